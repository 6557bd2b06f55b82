"""To whom a typed line goes."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.talk.destination import destination, mistyped, parse_focus, route
from chatd.wire.answers import Refusal
from chatd.wire.names import BadName, Name
from chatd.wire.text import MAX_TARGETS, Command, Send, parse_line

LONGEST = 100
BOB = parse_focus("bob")
TWO = parse_focus("bob,Eve")
KNOWN = frozenset({"alice", "bob", "carol", "dave"})


def known(key: str) -> bool:
    return key in KNOWN


def sent(typed: str, focus: tuple[Name, ...] = BOB) -> tuple[str, str]:
    """Return to whom a line goes, and what."""
    routed = route(typed, focus, known, LONGEST)
    assert isinstance(routed, Send)
    return ",".join(each.shown for each in routed.targets), routed.text


def towards(typed: str, focus: tuple[Name, ...] = BOB) -> str:
    return ",".join(each.shown for each in destination(typed, focus, known))


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("Hi", ("bob", "Hi")),
        ("well-known fact", ("bob", "well-known fact")),
        ("zed-Hi", ("bob", "zed-Hi")),
        ("carol-Hi", ("carol", "Hi")),
        ("CAROL-Hi", ("CAROL", "Hi")),
        ("carol,dave-Hi", ("carol,dave", "Hi")),
        ("carol, dave-Hi", ("carol,dave", "Hi")),
        ("bob-carol-Hi", ("bob", "carol-Hi")),
        ("carol,zed-Hi", ("bob", "carol,zed-Hi")),
        ("thanks,carol-Hi", ("bob", "thanks,carol-Hi")),
        ("carol - Hi", ("bob", "carol - Hi")),
        (" carol-Hi", ("bob", " carol-Hi")),
        ("-carol", ("bob", "-carol")),
        ("-", ("bob", "-")),
        ("one\ncarol-two", ("bob", "one\ncarol-two")),
        ("carol-one\ntwo", ("carol", "one\ntwo")),
        (" Hi ", ("bob", " Hi ")),
        ("//etc/passwd", ("bob", "/etc/passwd")),
        ("//carol-Hi", ("bob", "/carol-Hi")),
        (" /quit", ("bob", " /quit")),
    ],
)
def test_with_a_focus_a_line_goes_there_unless_it_names_others_who_are_known(
    typed: str, then: tuple[str, str]
) -> None:
    assert sent(typed) == then
    assert towards(typed) == then[0]


def test_a_focus_can_have_several_and_they_count_as_known() -> None:
    assert sent("Hi", TWO) == ("bob,Eve", "Hi")
    assert sent("eve-Hi", TWO) == ("eve", "Hi")
    assert sent("eve,carol-Hi", TWO) == ("eve,carol", "Hi")
    assert sent("zed-Hi", TWO) == ("bob,Eve", "zed-Hi")


@pytest.mark.parametrize("typed", ["", " ", "\t", "\n", "  \n "])
def test_with_a_focus_a_line_of_spaces_is_nothing(typed: str) -> None:
    assert route(typed, BOB, known, LONGEST) is None
    assert towards(typed) == ""


def test_two_slashes_and_nothing_are_one_slash() -> None:
    assert sent("//") == ("bob", "/")


@pytest.mark.parametrize("focus", [(), BOB])
@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("/who c", Command("/who", "c")),
        ("/to", Command("/to", "")),
        ("/carol-Hi", Command("/carol-Hi", "")),
        ("/", Command("/", "")),
    ],
)
def test_a_command_is_one_whatever_the_focus(
    focus: tuple[Name, ...], typed: str, then: Command
) -> None:
    assert route(typed, focus, known, LONGEST) == then
    assert towards(typed, focus) == ""


def test_without_a_focus_two_slashes_are_an_unknown_command() -> None:
    assert route("//etc", (), known, LONGEST) == Command("//etc", "")
    assert towards("//etc", ()) == ""


@pytest.mark.parametrize("typed", ["carol-", "bob-"])
def test_to_somebody_and_nothing_is_refused_rather_than_sent_to_the_focus(
    typed: str,
) -> None:
    with pytest.raises(Refusal, match="format"):
        route(typed, BOB, known, LONGEST)
    assert towards(typed) == typed[:-1]


def test_a_text_that_is_too_long_is_refused_whoever_it_is_for() -> None:
    assert sent("x" * LONGEST) == ("bob", "x" * LONGEST)
    for typed in ("x" * (LONGEST + 1), "carol-" + "x" * (LONGEST + 1)):
        with pytest.raises(Refusal, match="message-too-long"):
            route(typed, BOB, known, LONGEST)


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("zed-Hi", "zed"),
        ("zed-", "zed"),
        (" zed , bob -Hi", "zed,bob"),
        ("zed", ""),
        ("", ""),
        ("-Hi", ""),
        ("not a name-Hi", ""),
        ("x" * 5000 + "-Hi", ""),
    ],
)
def test_without_a_focus_it_goes_to_those_before_the_dash(
    typed: str, then: str
) -> None:
    assert towards(typed, ()) == then


def test_a_focus_is_parsed_like_targets() -> None:
    assert parse_focus("") == parse_focus("  ") == ()
    assert [each.shown for each in parse_focus(" bob, Carol,bob")] == ["bob", "Carol"]


@pytest.mark.parametrize("names", ["bob carol", "bob,", ",", "b:", "-", "a-b"])
def test_a_focus_that_is_no_name_is_refused_with_the_reason(names: str) -> None:
    with pytest.raises(BadName):
        parse_focus(names)


def test_a_focus_has_no_more_than_a_message_can_have() -> None:
    most = ",".join(f"u{number}" for number in range(MAX_TARGETS))
    assert len(parse_focus(most)) == MAX_TARGETS
    with pytest.raises(Refusal, match="too-many-targets"):
        parse_focus(most + ",more")


lines = st.text(st.sampled_from("/-, \nabob") | st.characters(), max_size=12) | (
    st.builds(
        lambda names, rest: ",".join(names) + rest,
        st.lists(st.sampled_from(["bob", "carol", "Eve", "well", "漢字"]), max_size=3),
        st.sampled_from(["-Hi", "-", " -Hi", "- Hi", "-a-b", ""]),
    )
)


@given(lines, st.sampled_from([(), BOB, TWO]))
def test_what_is_announced_is_what_happens(typed: str, focus: tuple[Name, ...]) -> None:
    announced = destination(typed, focus, known)
    try:
        routed = route(typed, focus, known, LONGEST)
    except Refusal:
        return
    if isinstance(routed, Send):
        assert routed.targets == announced
    else:
        assert announced == ()


@given(lines)
def test_without_a_focus_a_line_is_what_it_is_in_the_text_form(typed: str) -> None:
    def outcome(parse: Callable[[], object]) -> object:
        try:
            return parse()
        except Refusal as refusal:
            return refusal.code

    assert outcome(lambda: route(typed, (), known, LONGEST)) == outcome(
        lambda: parse_line(typed, LONGEST)
    )


@given(lines, st.sampled_from([BOB, TWO]))
def test_nobody_is_written_to_who_is_neither_known_nor_in_the_focus(
    typed: str, focus: tuple[Name, ...]
) -> None:
    try:
        routed = route(typed, focus, known, LONGEST)
    except Refusal:
        return
    if isinstance(routed, Send):
        allowed = KNOWN | {each.key for each in focus}
        assert {each.key for each in routed.targets} <= allowed
        # And nothing of what was typed is lost but the address.
        assert typed.endswith(routed.text)
        before = typed[: len(typed) - len(routed.text)]
        assert before in ("", "/") or before.endswith("-")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("caorl-Bob is fired", ("caorl", "carol")),
        ("carrol-Hi", ("carrol", "carol")),
        ("alice,Caorl-Hi", ("Caorl", "carol")),
        ("boob-Hi", ("boob", "bob")),
        ("carol-Hi", None),
        ("bob-Hi", None),
        ("well-known fact", None),
        ("cal-Hi", None),
        (" caorl-Hi", None),
        ("caorl - Hi", None),
        ("caorl", None),
        ("//caorl-Hi", None),
        ("/caorl-Hi", None),
    ],
)
def test_with_a_focus_a_name_that_is_nearly_another_is_noticed(
    typed: str, found: tuple[str, str] | None
) -> None:
    assert mistyped(typed, BOB, known, ["carol", "dave"]) == found


def test_without_a_focus_a_mistyped_name_is_for_the_server_to_refuse() -> None:
    assert mistyped("caorl-Hi", (), known, ["carol"]) is None
