"""What is the same for a search, and where it stands in a text."""

import tracemalloc
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.history import folding
from chatd.client.history.folding import fold, spans, words_of

TEXTS = st.text(
    st.sampled_from(
        "aAbB äÄöß\u0308\u0301\u0323İıﬁςΣ漢字ガカ\u3099한\u1112\u1161\u11ab🎉\n"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)

MARKS = "\u0301\u0345\u0323\u0327\u3099\u0e38\u05b0\u0344\u0f73"
HOSTILE_TEXTS = st.lists(
    st.text("ao\u1112\u1161 ", max_size=3)
    | st.text(MARKS, min_size=50, max_size=200)
    | st.builds(str.__mul__, st.sampled_from(MARKS), st.integers(60, 200)),
    max_size=6,
).map("".join)


class CountedUnicode:
    """`unicodedata` that counts how many characters are put in order."""

    def __init__(self) -> None:
        self.characters = 0
        self.most = 0

    combining = staticmethod(unicodedata.combining)

    def normalize(self, form: Literal["NFC", "NFD"], text: str) -> str:
        self._count(text)
        return unicodedata.normalize(form, text)

    def is_normalized(self, form: Literal["NFC", "NFD"], text: str) -> bool:
        self._count(text)
        return unicodedata.is_normalized(form, text)

    def _count(self, text: str) -> None:
        self.characters += len(text)
        self.most = max(self.most, len(text))


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


def test_a_word_that_is_given_twice_is_searched_for_once() -> None:
    assert words_of("b a B \u00e4 b") == ["b", "a"]
    assert words_of("a " * 400) == ["a"]


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


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301" + "\u0301" * 400,
        "e\u0301" + "\u0301\u0323\u0327\u0e38\u05b0" * 80,
        "e\u0301" + "\u0f73" * 400,
        "e\u0301" + "\u0344" * 400,
    ],
    ids=["one", "falling", "tibetan", "double"],
)
def test_marks_without_end_are_put_in_order_a_few_at_a_time(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = CountedUnicode()
    monkeypatch.setattr(folding, "unicodedata", counted)
    assert spans(text, ["e"])[0][0] == 0
    fold(text)
    assert counted.most <= 2 * 64
    assert counted.characters <= 16 * len(text)


@given(HOSTILE_TEXTS, HOSTILE_TEXTS)
def test_of_marks_without_end_spans_have_the_words_that_are_there(
    text: str, searched: str
) -> None:
    words = words_of(searched) + words_of(text[:70])
    found = spans(text, words)
    at = -1
    for start, end in found:
        assert at < start < end <= len(text)
        at = end
    assert bool(found) == any(word in fold(text) for word in words)


def test_as_many_marks_as_a_language_may_need_are_in_one_order() -> None:
    marks = "\u0301\u0e38\u05b0" * 10
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, f"e{marks}")) == fold(f"e{marks}")


def test_the_places_of_many_words_do_not_add_up() -> None:
    text, words = "a" * 12_000, ["a" * length for length in range(1, 33)]
    tracemalloc.start()
    try:
        assert spans(text, words) == [(0, 12_000)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 250 * len(text)  # a place takes 56 bytes, or more


def test_whoever_sends_all_characters_that_there_are_fills_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folding, "MOST_KNOWN", 100)
    tables = folding._Folded(), folding._Kinds()
    monkeypatch.setattr(folding, "_FOLDED", tables[0])
    monkeypatch.setattr(folding, "_KINDS", tables[1])
    text = "".join(map(chr, range(0x100, 0x3000)))
    bounded = fold(text), spans(text, [fold("Ǆ")])
    assert [len(table) for table in tables] == [100, 100]
    monkeypatch.undo()
    assert bounded == (fold(text), spans(text, [fold("Ǆ")]))
