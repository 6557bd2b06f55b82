"""How a half-typed line falls into rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from chatd.client.frontends.rows import fill_rows


@pytest.mark.parametrize(
    ("text", "columns", "column", "shown"),
    [
        ("", 5, 0, ""),
        ("abcdefg", 5, 0, "abcdefg"),
        ("abcdefg", 5, 4, "abcdefg"),
        ("漢字語", 4, 0, "漢字語"),
        ("漢字語", 5, 0, "漢字 語"),
        ("漢字語", 5, 4, " 漢字 語"),
        ("abcde\u0301f", 5, 0, "abcd e\u0301f"),
        ("abce\u0301f", 5, 0, "abce\u0301f"),
        ("abc漢\u0301f", 5, 0, "abc  漢\u0301f"),
        ("abcd\te", 5, 0, "abcd \te"),
    ],
    ids=ascii,
)
def test_a_row_that_would_end_early_is_filled(
    text: str, columns: int, column: int, shown: str
) -> None:
    assert fill_rows(text, columns, column).text == shown


def test_the_column_after_the_text_can_be_that_after_the_row() -> None:
    assert fill_rows("abc", 5).column == 3
    assert fill_rows("abcde", 5).column == 5
    assert fill_rows("abcdef", 5).column == 1
    assert fill_rows("", 5, 4).column == 4


@given(
    st.text(st.sampled_from("ab漢字\u0301\u093f🎉")),
    st.integers(3, 20),
    st.integers(0, 3),
)
def test_full_rows_have_all_characters_in_their_order_and_only_spaces_more(
    text: str, columns: int, column: int
) -> None:
    filled = fill_rows(text, columns, column)
    *places, end = filled.places
    assert [filled.text[place] for place in places] == list(text)
    assert end == len(filled.text)
    others = set(range(end)) - set(places)
    assert all(filled.text[index] == " " for index in others)
    # The rows are full: characters never lie across the end of one.
    at = column
    for character in filled.text:
        width = get_cwidth(character)
        assert at // columns == (at + max(width, 1) - 1) // columns or not width
        at += width
    assert (at - filled.column) % columns == 0
