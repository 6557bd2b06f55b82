"""The reactor's time: even, whatever is done to the date."""

import pytest
from twisted.internet.selectreactor import SelectReactor

from chatd.clock import run_evenly


class JumpingReactor(SelectReactor):
    """A reactor that follows a date which a test sets."""

    date = 1_795_000_000.0

    def seconds(self) -> float:
        return self.date


@pytest.fixture
def reactor() -> JumpingReactor:
    return JumpingReactor()


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_what_is_due_now_happens_now_though_the_date_jumps(
    reactor: JumpingReactor, jump: int
) -> None:
    happened: list[str] = []
    run_evenly(reactor)
    reactor.callLater(0, happened.append, "now")
    reactor.callLater(60, happened.append, "in a minute")
    reactor.date += jump
    reactor.runUntilCurrent()
    assert happened == ["now"]


def test_what_was_scheduled_before_time_became_even_is_still_due(
    reactor: JumpingReactor,
) -> None:
    happened: list[str] = []
    reactor.callLater(0, happened.append, "now")
    reactor.callLater(60, happened.append, "in a minute")
    run_evenly(reactor)
    reactor.date -= 3600
    reactor.runUntilCurrent()
    assert happened == ["now"]
