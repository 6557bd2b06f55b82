"""What Tab makes of a half-typed line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.completion import Completion, complete

NAMES = ["alice", "alan", "Bob", "bobby", "carol", "Ärger", "漢字", "संजय", "संगीता"]
COMMANDS = ["/help", "/quit", "/users", "/who"]


def tab(line: str) -> str:
    """Return the line after Tab was pressed where it has a ``|``; with `choices`."""
    before, _, after = line.partition("|")
    found = complete(before, after, NAMES, COMMANDS)
    if found is None:
        return line
    shown = f"{before[: len(before) - found.length]}{found.text}|{after}"
    return f"{shown} [{' '.join(found.choices)}]" if found.choices else shown


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("c|", "carol-|"),
        ("carol|", "carol-|"),
        ("  c|", "  carol-|"),
        ("漢|", "漢字-|"),
        ("bob,c|", "bob,carol-|"),
        ("bob, c|", "bob, carol-|"),
        ("x,y,c|", "x,y,carol-|"),
        ("c|-Hi", "carol|-Hi"),
        ("c|,bob-Hi", "carol|,bob-Hi"),
    ],
)
def test_the_only_name_that_fits_is_completed(line: str, then: str) -> None:
    assert tab(line) == then


@pytest.mark.parametrize(
    ("line", "then"),
    [("CAR|", "carol-|"), ("är|", "Ärger-|"), ("a\u0308r|", "Ärger-|")],
)
def test_neither_case_nor_composition_matters(line: str, then: str) -> None:
    assert tab(line) == then


@pytest.mark.parametrize(
    ("line", "then"),
    [("b|", "Bob|"), ("bo|", "Bob|"), ("स|", "सं|")],
)
def test_what_several_names_have_in_common_is_added(line: str, then: str) -> None:
    assert tab(line) == then


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("al|", "al| [alan alice]"),
        ("AL|", "AL| [alan alice]"),
        ("bob|", "bob| [Bob bobby]"),
        ("सं|", "सं| [संगीता संजय]"),
    ],
)
def test_where_nothing_can_be_added_the_choices_are_told(line: str, then: str) -> None:
    assert tab(line) == then


def test_an_empty_line_could_begin_with_any_name() -> None:
    found = complete("", "", NAMES, COMMANDS)
    assert found is not None
    assert set(found.choices) == set(NAMES)


def test_who_is_named_already_is_not_offered_again() -> None:
    assert tab("alan,al|") == "alan,alice-|"
    assert tab("ALAN ,al|") == "ALAN ,alice-|"


@pytest.mark.parametrize("line", ["carol-c|", "carol-Hi, c|", "-c|", "c-|"])
def test_nothing_is_completed_in_a_message(line: str) -> None:
    assert tab(line) == line


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("/q|", "/quit |"),
        ("/W|", "/who |"),
        ("/q|uit", "/quit|uit"),
        ("/|", "/| [/help /quit /users /who]"),
        ("/who c|", "/who c|"),
        (" /q|", " /q|"),
        ("bob,/q|", "bob,/q|"),
    ],
)
def test_commands_are_completed_at_the_start_of_a_line_only(
    line: str, then: str
) -> None:
    assert tab(line) == then


def test_what_fits_nothing_stays() -> None:
    assert complete("zed", "", NAMES, COMMANDS) is None
    assert complete("/foo", "", NAMES, COMMANDS) is None
    assert complete("", "", [], []) is None


def test_a_name_that_cannot_be_seen_is_not_put_into_a_line() -> None:
    assert complete("b", "", ["b\x1b[2J", "b\u202e"], []) is None


def test_a_name_known_twice_is_one() -> None:
    assert complete("ca", "", ["carol", "carol"], []) == Completion(2, "carol-")


def key(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


words = st.text(st.sampled_from("abAB漢ßİä\u0308"), max_size=4)


@given(words, st.lists(words))
def test_a_completion_fits_and_never_takes_back_what_was_typed(
    typed: str, names: list[str]
) -> None:
    found = complete(typed, "", names, [])
    if found is None or found.choices:
        assert found is None or found.text == typed
        return
    assert found.length == len(typed)
    word = found.text.removesuffix("-")
    assert any(name.startswith(word) for name in names)
    assert key(word).startswith(key(typed))
