"""The people one talks with: to whom a line goes, whatever comes meanwhile."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chatd.client.talk.destination import Impossible, parse_focus
from chatd.client.talk.names import MOST_NAMES
from chatd.client.talk.people import People
from chatd.client.talk.watching import Watching
from chatd.wire.answers import Refusal
from chatd.wire.text import Send

NAMES = ["bob", "Carol", "dave", "well", "漢字"]


def people() -> People:
    watching = Watching(Clock(), print, print, talked_with_too=True)
    return People(watching, lambda: None, interactive=True)


names = st.sampled_from(NAMES)
happenings: "st.SearchStrategy[Callable[[People], None]]" = st.one_of(
    st.builds(lambda name: lambda them: them.heard_from(name, own=False), names),
    st.builds(lambda name: lambda them: them.names.remember(name), names),
    st.builds(lambda name: lambda them: them.accepted(name), names),
    st.builds(lambda name: lambda them: them.wrote(name), names),
)
lines = st.builds(
    lambda whom, dash, text: f"{','.join(whom)}{dash}{text}",
    st.lists(names, max_size=3),
    st.sampled_from(["-", "", " -", "- "]),
    st.sampled_from(["Hi", "a-b", "", "carol-Hi"]),
)


@given(
    st.lists(happenings),
    st.sampled_from(["", "bob", "bob,dave"]),
    lines,
    st.lists(happenings, min_size=1),
)
def test_nothing_that_comes_changes_to_whom_a_half_typed_line_goes(
    before: list[Callable[[People], None]],
    focus: str,
    line: str,
    meanwhile: list[Callable[[People], None]],
) -> None:
    disturbed, undisturbed = people(), people()
    for them in (disturbed, undisturbed):
        for happens in before:
            happens(them)
        them.turn_to(parse_focus(focus))
        them.entered(f"/to {focus}")
    for length, happens in enumerate(meanwhile, 1):
        disturbed.typing(line[:length])
        happens(disturbed)
    for them in (disturbed, undisturbed):
        them.typing(line)
    # Spellings may be learned.
    assert (
        disturbed.destination(line).casefold()
        == undisturbed.destination(line).casefold()
    )
    assert outcome(disturbed, line) == outcome(undisturbed, line)


def outcome(them: People, line: str) -> object:
    try:
        return them.route(line, 100)
    except Refusal as refusal:
        return refusal.code
    except Impossible as impossible:
        return str(impossible).casefold()


def test_of_very_many_one_talked_with_the_latest_are_known() -> None:
    them = people()
    for number in range(MOST_NAMES + 2):
        them.heard_from(f"u{number}", own=False)
    known = them.names.known()
    assert len(known) == MOST_NAMES
    assert known[0] == f"u{MOST_NAMES + 1}"
    assert known[-1] == "u2"
    assert not them.names.is_known("u1")
    assert them.names.is_known("U2")


def test_a_name_is_known_from_the_moment_on_that_it_was_learned() -> None:
    them = people()
    them.names.remember("bob")
    learned = them.names.learned
    them.names.remember("Carol")
    assert them.names.was_known("bob", learned)
    assert not them.names.was_known("carol", learned)
    assert them.names.was_known("carol", them.names.learned)
    assert not them.names.was_known("zed", them.names.learned)


def test_what_is_for_somebody_mistyped_does_not_go_to_whom_one_talks_to() -> None:
    them = people()
    them.accepted("Carol")
    them.turn_to(parse_focus("bob"))
    them.typing("c")
    with pytest.raises(Impossible) as refused:
        them.route("caorl-Bob is late again", 100)
    assert str(refused.value) == (
        "Nobody known is called 'caorl': is Carol meant? Nothing was sent. A space"
        " before it sends all of it to bob."
    )


def test_in_a_pipe_what_is_sent_does_not_depend_on_names_that_are_alike() -> None:
    watching = Watching(Clock(), print, print, talked_with_too=True)
    them = People(watching, lambda: None, interactive=False)
    them.accepted("carol")
    them.turn_to(parse_focus("bob"))
    routed = them.route("caorl-Hi", 100)
    assert isinstance(routed, Send)
    assert [each.shown for each in routed.targets] == ["bob"]
