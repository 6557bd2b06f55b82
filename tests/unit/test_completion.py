"""What Tab makes of a half-typed line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.frontends.completion import Completion, Completions, complete

NAMES = ["alice", "alan", "Bob", "bobby", "carol", "Ärger", "漢字", "संजय", "संगीता"]
TOPICS = ["keys", "sending"]
COMMANDS = {"/help": TOPICS, "/quit": [], "/to": NAMES, "/users": NAMES, "/who": NAMES}


def tab(line: str) -> str:
    """Return the line after Tab was pressed where it has a ``|``; with `choices`."""
    before, _, after = line.partition("|")
    found = complete(before, after, Completions(NAMES, COMMANDS))
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
        ("al|", "al| [alice alan]"),
        ("AL|", "AL| [alice alan]"),
        ("bob|", "bob| [Bob bobby]"),
        ("सं|", "सं| [संजय संगीता]"),
    ],
)
def test_where_nothing_can_be_added_the_choices_are_told_in_their_order(
    line: str, then: str
) -> None:
    assert tab(line) == then


def test_an_empty_line_could_begin_with_any_name() -> None:
    found = complete("", "", Completions(NAMES, COMMANDS))
    assert found is not None
    assert list(found.choices) == NAMES


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
        ("/|", "/| [/help /quit /to /users /who]"),
        (" /q|", " /q|"),
        ("bob,/q|", "bob,/q|"),
    ],
)
def test_commands_are_completed_at_the_start_of_a_line_only(
    line: str, then: str
) -> None:
    assert tab(line) == then


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("/who c|", "/who carol|"),
        ("/to ca|", "/to carol|"),
        ("/to bob,ca|", "/to bob,carol|"),
        ("/to bob, al|", "/to bob, al| [alice alan]"),
        ("/to carol,ca|", "/to carol,ca|"),
        ("/help k|", "/help keys|"),
        ("/help |", "/help | [keys sending]"),
        ("/quit c|", "/quit c|"),
        ("/foo c|", "/foo c|"),
        ("/to c-c|", "/to c-c|"),
    ],
)
def test_what_can_follow_a_command_is_completed(line: str, then: str) -> None:
    assert tab(line) == then


def test_what_fits_nothing_stays() -> None:
    assert complete("zed", "", Completions(NAMES, COMMANDS)) is None
    assert complete("/foo", "", Completions(NAMES, COMMANDS)) is None
    assert complete("", "", Completions([], {})) is None


def test_a_name_that_cannot_be_seen_is_not_put_into_a_line() -> None:
    assert complete("b", "", Completions(["b\x1b[2J", "b\u202e"], {})) is None


def test_a_name_known_twice_is_one() -> None:
    assert complete("ca", "", Completions(["carol", "carol"], {})) == Completion(
        2, "carol-"
    )


def key(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


words = st.text(st.sampled_from("abAB漢ßİä\u0308"), max_size=4)


@given(words, st.lists(words))
def test_a_completion_fits_and_never_takes_back_what_was_typed(
    typed: str, names: list[str]
) -> None:
    found = complete(typed, "", Completions(names, {}))
    if found is None or found.choices:
        assert found is None or found.text == typed
        return
    assert found.length == len(typed)
    word = found.text.removesuffix("-")
    assert any(name.startswith(word) for name in names)
    assert key(word).startswith(key(typed))
