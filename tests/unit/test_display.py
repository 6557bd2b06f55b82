"""What a screen gets to see of a text."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.wire.display import neutralise

UNSAFE = {
    *range(0x00, 0x09),
    *range(0x0A, 0x20),
    *range(0x7F, 0xA0),
    0x061C,
    *(0x200E, 0x200F),
    *(0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
}


def test_exactly_the_unsafe_characters_are_replaced() -> None:
    changed = {
        code for code in range(sys.maxunicode + 1) if neutralise(chr(code)) != chr(code)
    }
    assert changed == UNSAFE


def test_each_unsafe_character_becomes_one_replacement_character() -> None:
    assert {neutralise(chr(code)) for code in UNSAFE} == {"\ufffd"}


def test_no_unsafe_character_counts_as_printable() -> None:
    # The short cut for printable text rests on it.
    assert not any(chr(code).isprintable() for code in UNSAFE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Hey there!", "Hey there!"),
        ("a\tb", "a\tb"),
        ("a\nb\r", "a\ufffdb\ufffd"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("\x9b31m", "\ufffd31m"),
        ("abc\u202etxt.exe", "abc\ufffdtxt.exe"),
        ("one\u2028two", "one\ufffdtwo"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("Grüße, 漢字, שלום, हिन्दी", "Grüße, 漢字, שלום, हिन्दी"),
        ("👩\u200d👩\u200d👧 a\u00a0b \u00ad", "👩\u200d👩\u200d👧 a\u00a0b \u00ad"),
    ],
)
def test_text_is_shown_as_sent_but_for_what_steers_a_terminal(
    text: str, shown: str
) -> None:
    assert neutralise(text) == shown


def test_printable_text_is_returned_as_the_same_object() -> None:
    text = "Grüße " * 1000
    assert neutralise(text) is text


# With surrogates, which st.text() leaves out.
any_text = st.text(st.characters(exclude_categories=()))


@settings(deadline=None)
@given(any_text)
def test_any_text_can_be_sent_to_a_terminal(text: str) -> None:
    shown = neutralise(text)
    assert len(shown) == len(text)
    shown.encode()
    assert not any(unicodedata.category(c) == "Cc" for c in shown if c != "\t")
    assert len(shown.splitlines()) <= 1


@settings(deadline=None)
@given(any_text)
def test_what_has_been_made_safe_stays_as_it_is(text: str) -> None:
    assert neutralise(neutralise(text)) == neutralise(text)
