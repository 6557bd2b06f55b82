"""Deadlines that are all the same time away."""

from typing import TYPE_CHECKING

from twisted.internet.task import Clock

from chatd.server.deadlines import Deadlines

if TYPE_CHECKING:
    from conftest import LoggedErrors


class Work:
    def __init__(self) -> None:
        self.late = 0

    def too_late(self) -> None:
        self.late += 1


def test_who_is_not_done_in_time_is_told_once() -> None:
    clock = Clock()
    deadlines = Deadlines(clock, 60)
    first, second, third = Work(), Work(), Work()
    deadlines.begin(first)
    clock.advance(10)
    deadlines.begin(second)
    deadlines.begin(third)
    deadlines.end(second)
    clock.advance(49)
    assert (first.late, second.late, third.late) == (0, 0, 0)
    clock.advance(1)
    assert (first.late, second.late, third.late) == (1, 0, 0)
    clock.advance(10)
    assert (first.late, second.late, third.late) == (1, 0, 1)
    assert clock.getDelayedCalls() == []


def test_no_timer_is_left_when_all_are_done() -> None:
    clock = Clock()
    deadlines = Deadlines(clock, 60)
    first, second = Work(), Work()
    deadlines.begin(first)
    deadlines.begin(second)
    deadlines.end(first)
    deadlines.end(second)
    deadlines.end(second)
    assert clock.getDelayedCalls() == []
    deadlines.begin(first)
    clock.advance(60)
    assert first.late == 1


def test_one_that_fails_spares_no_other(logged_errors: "LoggedErrors") -> None:
    class Unlucky(Work):
        def too_late(self) -> None:
            raise RuntimeError("a bug")

    clock = Clock()
    deadlines = Deadlines(clock, 60)
    work = Work()
    deadlines.begin(Unlucky())
    deadlines.begin(work)
    clock.advance(60)
    assert work.late == 1
    assert len(logged_errors.flush(RuntimeError)) == 1
