"""What is the same for a search, and where it stands in a text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.history.folding import fold, spans, words_of

TEXTS = st.text(
    st.sampled_from(
        "aAbB äÄöß\u0308\u0301\u0323İıﬁςΣ漢字ガカ\u3099한\u1112\u1161\u11ab🎉\n"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hallo", "hALLO"),
        ("Über", "uber"),
        ("Über", "U\u0308BER"),
        ("straße", "STRASSE"),
        ("Σίσυφος", "σισυφοσ"),
        ("tiếng Việt", "TIENG VIET"),
        ("が", "か\u3099"),
        ("한", "\u1112\u1161\u11ab"),
        ("İ", "i"),
        ("\ud800", "\ufffd"),
    ],
    ids=ascii,
)
def test_spellings_that_are_the_same_for_a_search(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("o", "0"), ("が", "か"), ("한", "하"), ("漢", "汉"), ("a-b", "ab"), ("й", "j")],
)
def test_spellings_that_are_not(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(TEXTS)
def test_the_forms_of_unicode_are_the_same(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)


def test_words_are_divided_by_blanks_only() -> None:
    assert words_of(' "Ab  c-D\u3000AND\t*\n') == ['"ab', "c-d", "and", "*"]
    assert words_of(" \n") == []


@pytest.mark.parametrize(
    ("text", "words", "marked"),
    [
        ("Hallo Welt", "welt", "Hallo [Welt]"),
        ("Regenwolke, Wolken", "wolke", "Regen[wolke], [Wolke]n"),
        ("Über alles", "uber alles", "[Über] [alles]"),
        ("U\u0308ber alles", "über", "[U\u0308ber] alles"),
        ("xu\u0308", "u", "x[u\u0308]"),
        ("Straße", "ss", "Stra[ß]e"),
        ("aaa", "aa", "[aaa]"),
        ("abc", "ab bc", "[abc]"),
        ("漢字かな", "字か", "漢[字か]な"),
        ("\u1112\u1161\u11abx", "한x", "[\u1112\u1161\u11abx]"),
        ("nothing", "else", "nothing"),
        ("", "a", ""),
    ],
    ids=ascii,
)
def test_what_was_searched_for_is_found_in_the_text_as_it_is(
    text: str, words: str, marked: str
) -> None:
    shown, at = "", 0
    for start, end in spans(text, words_of(words)):
        shown += f"{text[at:start]}[{text[start:end]}]"
        at = end
    assert shown + text[at:] == marked


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_spans_are_in_order_and_have_each_word_that_is_there(
    text: str, searched: list[str]
) -> None:
    words = words_of(" ".join(searched))
    found = spans(text, words)
    at = -1
    for start, end in found:
        assert at < start < end <= len(text)
        at = end
    assert bool(found) == any(word in fold(text) for word in words)
    for start, end in found:
        assert any(word in fold(text[start:end]) for word in words)
