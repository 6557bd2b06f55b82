"""What is left to the end of a turn is done once, in its order."""

from typing import TYPE_CHECKING

import pytest
from twisted.internet.task import Clock

from chatd.turn import Turn

if TYPE_CHECKING:
    from conftest import LoggedErrors


class Diary:
    """What was called, in order."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.done: list[str] = []

    def note(self, what: str) -> None:
        self.done.append(what)


@pytest.fixture
def diary() -> Diary:
    return Diary()


def test_all_is_done_with_one_call_of_the_reactor_in_the_order_of_asking(
    diary: Diary,
) -> None:
    for what in "abc":
        diary.turn.at_end(lambda what=what: diary.note(what))  # type: ignore[misc]
    assert len(diary.clock.getDelayedCalls()) == 1
    assert diary.done == []
    diary.clock.advance(0)
    assert diary.done == ["a", "b", "c"]
    diary.clock.advance(0)
    assert diary.done == ["a", "b", "c"]


def test_what_is_asked_for_at_the_end_is_still_done_in_this_turn(diary: Diary) -> None:
    diary.turn.at_end(lambda: diary.turn.at_end(lambda: diary.note("second")))
    diary.turn.at_end(lambda: diary.note("first"))
    diary.clock.advance(0)
    assert diary.done == ["first", "second"]
    assert diary.clock.getDelayedCalls() == []


def test_what_comes_last_waits_for_all_that_is_asked_for_meanwhile(
    diary: Diary,
) -> None:
    def ask() -> None:
        diary.note("asks")
        diary.turn.at_end(lambda: diary.note("asked"))

    diary.turn.at_last(lambda: diary.note("last"))
    diary.turn.at_end(ask)
    diary.clock.advance(0)
    assert diary.done == ["asks", "asked", "last"]


def test_what_fails_keeps_nothing_else_from_being_done(
    diary: Diary, logged_errors: "LoggedErrors"
) -> None:
    diary.turn.at_end(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    diary.turn.at_end(lambda: diary.note("next"))
    diary.clock.advance(0)
    assert diary.done == ["next"]
    assert len(logged_errors.flush()) == 1
    diary.turn.at_end(lambda: diary.note("next turn"))
    diary.clock.advance(0)
    assert diary.done == ["next", "next turn"]
