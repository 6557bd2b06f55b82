"""Who is watched, and what a person is told of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chatd.client.connection.events import Hello, Presence
from chatd.client.talk.watching import (
    ASKING_SECONDS,
    MOST_TALKED_WITH,
    RETURN_SECONDS,
    SETTLED_SECONDS,
    Watching,
    watch_list,
)

HELLO = Hello(1, None, None, frozenset({"watch"}), 1000)


class Watched:
    """A `Watching`, what the server was asked and what the person was told."""

    def __init__(self, *, hello: Hello = HELLO, talked_with_too: bool = True) -> None:
        self.clock = Clock()
        self.asked: list[list[str]] = []
        self.told: list[str] = []
        self.it = Watching(
            self.clock, self._send, self.told.append, talked_with_too=talked_with_too
        )
        self.hello = hello

    def _send(self, line: str) -> None:
        request = json.loads(line)
        assert request["type"] == "watch"
        self.asked.append(request["names"])

    def login(self) -> "Watched":
        self.it.connected(self.hello, "Alice")
        return self

    def say(self, *states: tuple[str, bool]) -> None:
        for user, online in states:
            self.it.happened(Presence(user, online))


@pytest.fixture
def watched() -> Watched:
    """Somebody who talks with bob and has just logged in."""
    watched = Watched()
    watched.it.talked("bob")
    return watched.login()


def test_those_one_has_talked_with_are_watched_from_the_login_on_the_latest_first() -> (
    None
):
    watched = Watched()
    watched.it.talked("bob", "carol")
    watched.it.talked("dave")
    watched.it.talked("bob")
    assert watched.asked == []
    watched.login()
    assert watched.asked == [["bob", "dave", "carol"]]


def test_nobody_is_asked_of_a_server_that_cannot_watch() -> None:
    watched = Watched(hello=Hello(1, None, None))
    watched.it.talked("bob")
    watched.login()
    watched.it.watch(["carol"])
    watched.clock.advance(60)
    assert watched.asked == []
    assert not watched.it.possible


def test_who_talks_with_nobody_asks_nothing() -> None:
    assert Watched().login().asked == []


def test_a_change_is_told_once_it_has_lasted(watched: Watched) -> None:
    watched.say(("bob", False))
    watched.clock.advance(60)
    assert watched.told == []
    watched.say(("Bob", True))
    watched.clock.advance(SETTLED_SECONDS - 0.01)
    assert watched.told == []
    watched.clock.advance(0.02)
    assert watched.told == ["Bob is here."]
    watched.say(("Bob", False))
    watched.clock.advance(60)
    assert watched.told == ["Bob is here.", "Bob has left."]


def test_who_is_back_within_seconds_has_not_left(watched: Watched) -> None:
    watched.say(("bob", True))
    for _ in range(5):
        watched.say(("bob", False))
        watched.clock.advance(SETTLED_SECONDS - 0.01)
        watched.say(("bob", True))
        watched.clock.advance(0.005)
    watched.clock.advance(60)
    assert watched.told == []


def test_whom_nobody_has_asked_for_is_not_told_of(watched: Watched) -> None:
    watched.say(("zed", False), ("zed", True))
    watched.clock.advance(60)
    assert watched.told == []


def test_after_a_reconnect_the_first_answers_are_no_changes(watched: Watched) -> None:
    watched.say(("bob", False))
    watched.it.lost()
    watched.clock.advance(60)
    watched.login()
    assert watched.asked == [["bob"], ["bob"]]
    watched.say(("bob", True))
    watched.clock.advance(60)
    assert watched.told == []
    watched.say(("bob", False))
    watched.clock.advance(60)
    assert watched.told == ["bob has left."]


def test_who_was_there_before_a_lost_connection_and_is_back_soon_was_never_away(
    watched: Watched,
) -> None:
    watched.say(("bob", True))
    watched.it.lost()
    watched.login()
    watched.say(("bob", False))
    watched.clock.advance(RETURN_SECONDS - 1)
    watched.say(("bob", True))
    watched.clock.advance(60)
    assert watched.told == []
    watched.say(("bob", False))
    watched.clock.advance(SETTLED_SECONDS)
    assert watched.told == ["bob has left."]


def test_who_was_there_before_a_lost_connection_and_does_not_return_has_left(
    watched: Watched,
) -> None:
    watched.say(("bob", True))
    watched.it.lost()
    watched.login()
    watched.it.lost()
    watched.login()
    watched.say(("bob", False))
    watched.clock.advance(RETURN_SECONDS - 1)
    assert watched.told == []
    watched.clock.advance(1)
    assert watched.told == ["bob has left."]


def test_answers_about_those_who_were_watched_already_are_compared(
    watched: Watched,
) -> None:
    watched.say(("bob", True))
    watched.it.talked("carol")
    watched.clock.advance(ASKING_SECONDS)
    assert watched.asked[-1] == ["carol", "bob"]
    watched.say(("carol", True), ("bob", False))
    watched.clock.advance(60)
    assert watched.told == ["bob has left."]


def test_the_server_is_not_asked_again_for_the_same_names(watched: Watched) -> None:
    watched.it.talked("BOB")
    watched.it.focused(["bob"])
    watched.it.watch(["bob"])
    watched.clock.advance(60)
    assert watched.asked == [["bob"]]


def test_many_that_are_new_at_once_are_asked_for_together(watched: Watched) -> None:
    for number in range(20):
        watched.it.talked(f"u{number}")
        watched.clock.advance(ASKING_SECONDS / 100)
    watched.clock.advance(ASKING_SECONDS)
    assert len(watched.asked) == 2
    assert len(watched.asked[-1]) == 21


def test_of_those_talked_with_only_the_latest_are_watched(watched: Watched) -> None:
    for number in range(MOST_TALKED_WITH):
        watched.it.talked(f"u{number}")
    watched.clock.advance(60)
    assert len(watched.asked[-1]) == MOST_TALKED_WITH
    assert "bob" not in watched.asked[-1]
    watched.it.focused(["bob"])
    watched.clock.advance(60)
    assert watched.asked[-1][0] == "bob"


def test_no_more_are_watched_than_the_server_allows() -> None:
    watched = Watched(hello=Hello(1, None, None, frozenset({"watch"}), 2))
    watched.it.talked("bob", "carol", "dave")
    watched.login()
    assert watched.asked == [["dave", "carol"]]
    watched.it.watch(["zed"])
    watched.clock.advance(60)
    assert watched.asked[-1] == ["zed", "dave"]


def test_oneself_is_not_watched() -> None:
    watched = Watched()
    watched.it.talked("alice", "bob")
    watched.login()
    assert watched.asked == [["bob"]]


def test_who_is_not_to_be_watched_is_not_until_asked_for(watched: Watched) -> None:
    watched.say(("bob", True), ("bob", False))
    watched.it.unwatch(["BOB"])
    watched.clock.advance(60)
    assert watched.asked[-1] == []
    assert watched.told == []
    watched.it.talked("bob")
    watched.clock.advance(60)
    assert watched.asked[-1] == []
    watched.it.watch(["bob"])
    watched.clock.advance(60)
    assert watched.asked[-1] == ["bob"]


def test_whoever_wants_it_so_is_told_only_of_those_asked_for() -> None:
    watched = Watched(talked_with_too=False)
    watched.it.talked("bob")
    watched.it.focused(["carol"])
    watched.login()
    assert watched.asked == []
    watched.it.watch(["dave"])
    watched.clock.advance(60)
    assert watched.asked == [["dave"]]


def test_the_list_says_who_is_here(watched: Watched) -> None:
    watched.it.watch(["carol", "dave"])
    watched.clock.advance(60)
    watched.say(("carol", True), ("bob", False))
    assert watch_list(watched.it.watched()) == (
        "Watched => carol (here), dave, bob (away)"
    )
    assert watch_list([]) == "Watched => (nobody)"


def test_whoever_asks_for_somebody_is_told_how_it_is_now(watched: Watched) -> None:
    watched.say(("bob", True))
    watched.it.watch(["bob", "carol", "dave"])
    assert watched.asked[-1] == ["bob", "carol", "dave"]
    assert watched.told == ["bob is here."]
    watched.say(("Carol", True), ("dave", False))
    assert watched.told == ["bob is here.", "Carol is here.", "dave is not here."]
    watched.clock.advance(60)
    watched.it.lost()
    watched.login()
    watched.say(("bob", True), ("carol", True), ("dave", True))
    watched.clock.advance(60)
    assert len(watched.told) == 3


def test_whoever_asks_for_themselves_is_told_at_once(watched: Watched) -> None:
    watched.it.watch(["alice"])
    assert watched.told == ["alice is here."]
    assert watched.asked == [["bob"]]


def test_nothing_is_told_after_the_end(watched: Watched) -> None:
    watched.say(("bob", True), ("bob", False))
    watched.it.talked("carol")
    watched.it.lost()
    assert watched.clock.getDelayedCalls() == []


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10)), min_size=1))
def test_what_was_told_is_true_once_it_has_settled(
    states: list[tuple[bool, float]],
) -> None:
    watched = Watched()
    watched.it.talked("bob")
    watched.login()
    for online, seconds in states:
        watched.say(("bob", online))
        watched.clock.advance(seconds)
    watched.clock.advance(60)
    words = {"bob is here.": True, "bob has left.": False}
    told = [words[line] for line in watched.told]
    # Each is a change, and the last of them, or else the first answer, is how it is.
    everything = [states[0][0], *told]
    assert all(one != two for one, two in zip(everything, told, strict=False))
    assert everything[-1] == states[-1][0]
