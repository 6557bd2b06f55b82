"""How text falls into rows: whole words, full cells, nothing over the edge."""

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wcwidth import wcswidth, wcwidth
from wcwidth import width as cluster_width

from chatd.client.frontends import layout
from chatd.client.frontends.layout import NARROWEST, Folding, Row, beginning, cells
from chatd.wire.display import neutralise

FAMILY = "👩\u200d👩\u200d👧"


def folded(text: str, columns: int, indent: int = 0) -> list[str]:
    folding = Folding(columns, indent)
    folding.add("", text)
    return [row.text for row in folding.rows()]


def test_words_are_wrapped_whole() -> None:
    assert folded("one two three four", 10) == ["one two", "three four"]


def test_rows_after_the_first_are_indented() -> None:
    assert folded("one two three four", 12, 4) == ["one two", "    three", "    four"]


def test_an_indent_leaves_half_of_the_row() -> None:
    assert folded("one two three", 10, 9) == ["one two", "     three"]


def test_spaces_stay_but_at_the_breaks() -> None:
    assert folded("  a  b   c      defghij  ", 10) == ["  a  b   c", "defghij"]


def test_a_word_that_just_fits_ends_its_row() -> None:
    assert folded("abc defghi", 10) == ["abc defghi"]
    assert folded("abcd defghi", 10) == ["abcd", "defghi"]


def test_a_long_url_runs_on_from_edge_to_edge_with_nothing_in_between() -> None:
    folding = Folding(20, 4)
    folding.add("", "so see https://example.org/a/long/path?q=1 there")
    assert folding.rows() == [
        Row((("", "so see"),)),
        Row((("", "    https://example."),), runs_on=True),
        Row((("", "org/a/long/path?q=1"),)),
        Row((("", "    there"),)),
    ]


def test_a_long_url_that_ends_at_the_edge_runs_on_no_further() -> None:
    folding = Folding(10)
    folding.add("", "a://" + "x" * 16)
    folding.add("", " y")
    rows = folding.rows()
    assert [(row.text, row.runs_on) for row in rows] == [
        ("a://xxxxxx", True),
        ("x" * 10, False),
        ("y", False),
    ]


def test_a_long_url_whose_parts_have_styles_runs_on() -> None:
    folding = Folding(20, 4)
    folding.add("", "a https://")
    folding.add("m", "example")
    folding.add("", ".org/path b")
    assert [(row.text, row.runs_on) for row in folding.rows()] == [
        ("a https://example.or", True),
        ("g/path", False),
        ("    b", False),
    ]


def test_any_other_long_word_is_broken_under_the_indent() -> None:
    assert folded("so so " + "x" * 30, 20, 4) == [
        "so so",
        "    " + "x" * 16,
        "    " + "x" * 14,
    ]


@pytest.mark.parametrize(
    "blank",
    [*map(chr, [0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x2800, 0x3000])],
)
def test_no_blank_puts_a_line_of_somebody_else_at_the_left_edge(blank: str) -> None:
    forged = blank.join(["14:03", "bob", "Please send it to me"])
    for padding in range(60, 70):
        for text in (blank * padding + forged, "x" * padding + forged):
            folding = Folding(80, 12)
            folding.add("", "14:02 eve" + " " * 3)
            folding.add("", text)
            rows = folding.rows()
            assert len(rows) > 1
            assert not any(row.runs_on for row in rows)
            assert all(row.text.startswith(" " * 12) for row in rows[1:])


def test_nothing_stands_beside_the_end_of_a_url_that_ran_on() -> None:
    url = "https://" + "x" * 20
    assert folded(f"{url}14:03 bob  Please", 28, 4) == [
        url,
        "14:03",
        "    bob  Please",
    ]
    # The mark of an own message may: it is not part of the text.
    folding = Folding(28, 4)
    folding.add("", f"{url}14:03 ")
    folding.add_whole("m", "✓", 2)
    assert [row.text for row in folding.rows()] == [url, "14:03 ✓"]


def test_every_text_takes_steps_in_proportion_to_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = 0
    plain = layout.iter_graphemes

    def counting(text: str) -> Iterator[str]:
        nonlocal measured
        for each in plain(text):
            measured += 1
            yield each

    monkeypatch.setattr(layout, "iter_graphemes", counting)
    assert folded("é" + "\t" * 12_284 + "x", 80) == ["é", "x"]
    assert measured < 10
    assert beginning("é" * 12_000, 70) == "é" * 70
    assert measured < 100


def test_the_beginning_of_a_text_ends_with_whole_characters() -> None:
    assert beginning("abc", 3) == "abc"
    assert beginning("abcd", 3) == "abc"
    assert beginning("abce\u0301f", 4) == "abce\u0301"
    assert beginning("ab漢", 3) == "ab"
    assert beginning(f"a{FAMILY}", 6) == "a"
    assert beginning("abc", -1) == ""


def test_wide_characters_break_anywhere_but_before_a_full_stop() -> None:
    assert folded("漢字かな漢字。かな", 10) == ["漢字かな漢", "字。かな"]
    assert folded("漢字かな漢。字", 12) == ["漢字かな漢。", "字"]
    assert folded("漢字かなx漢。字", 12) == ["漢字かなx", "漢。字"]


def test_a_cluster_is_as_wide_as_the_widest_terminal_draws_it() -> None:
    # Older terminals draw each of the three; newer ones two columns in all.
    assert cells(FAMILY) == 6
    assert cells("❤\ufe0f") == 2
    assert cells("e\u0301") == 1


def test_clusters_are_kept_whole() -> None:
    assert folded(FAMILY * 3, 12) == [FAMILY * 2, FAMILY]
    assert folded("xe\u0301" * 6, 11) == ["xe\u0301" * 5 + "x", "e\u0301"]


def test_a_cluster_wider_than_a_row_is_cut_between_its_characters() -> None:
    people = "\u200d".join("👩" * 8)
    rows = folded(people, 10)
    assert "".join(rows) == people
    assert len(rows) == 2


def test_tabs_go_to_the_next_stop() -> None:
    assert folded("a\tbc\t漢\tx", 40) == ["a       bc      漢      x"]


def test_control_characters_are_replaced() -> None:
    assert folded("a\x1b[31mb\u202ec", 40) == ["a\ufffd[31mb\ufffdc"]


def test_styles_stay_with_their_text() -> None:
    folding = Folding(10, 2)
    folding.add("a", "one")
    folding.add("b", " two four")
    assert folding.rows() == [
        Row((("a", "one"), ("", " "), ("b", "two"))),
        Row((("", "  "), ("b", "four"))),
    ]


def test_what_is_added_whole_keeps_its_room() -> None:
    folding = Folding(10)
    folding.add("", "12345678")
    folding.add_whole("m", "✓", 2)
    assert [row.text for row in folding.rows()] == ["12345678✓"]
    folding = Folding(10)
    folding.add("", "123456789")
    folding.add_whole("m", "✓", 2)
    assert [row.text for row in folding.rows()] == ["123456789", "✓"]


texts = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "ab  \t漢字가👍👩\u200d\ufe0f\u0301🏽🇩🇪✓ไ\u0e33न\u094d\x1b\x9b\u202e"
        ),
        st.sampled_from("https://example.org/path"),
    ),
    max_size=200,
)


@given(texts, st.integers(1, 210), st.integers(0, 60))
@example("x" * 300, 40, 10)
@example("https://" + "x" * 300 + " and more", 40, 10)
@example("漢" * 100, 41, 11)
@example(FAMILY * 20, 40, 11)
def test_no_row_is_wider_than_the_columns_and_nothing_is_lost(
    text: str, columns: int, indent: int
) -> None:
    columns = max(columns, NARROWEST)
    folding = Folding(columns, indent)
    folding.add("", text)
    rows = folding.rows()
    for row in rows:
        clusters = sum(max(wcwidth(each), 0) for each in row.text)
        assert max(clusters, wcswidth(row.text), cluster_width(row.text)) <= columns
        assert neutralise(row.text) == row.text
        assert "\t" not in row.text
        assert not row.runs_on or cells(row.text) == columns
    left = " " * min(indent, columns // 2)
    for before, row in itertools.pairwise(rows):
        if before.runs_on:
            assert re.fullmatch("[!-~]+", row.text)
        elif row.text:
            assert row.text.startswith(left)
    joined = "".join(row.text for row in rows)
    assert re.sub("[ \t]", "", joined) == re.sub("[ \t]", "", neutralise(text))
    # No word is broken that could be whole.
    if all(cells(word) <= columns // 2 and word.isascii() for word in text.split()):
        assert " ".join(row.text for row in rows).split() == neutralise(text).split()


@given(
    st.lists(st.sampled_from(["ab", " ", "https://", "漢", "é", "x" * 30])).map(
        "".join
    ),
    st.integers(10, 200),
)
def test_a_long_url_can_be_copied(text: str, columns: int) -> None:
    folding = Folding(columns, 6)
    folding.add("", text)
    written = "".join(row.text + "\n" * (not row.runs_on) for row in folding.rows())
    for word in text.split():
        if re.fullmatch("[a-z]+://[!-~]*", word):
            assert word in written


@pytest.mark.parametrize("columns", [0, 1, 2, 9])
def test_fewer_columns_than_make_sense_are_no_error(columns: int) -> None:
    assert folded("one two three 漢字 https://example.org", columns, 30)
