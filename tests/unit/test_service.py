"""The service's own arithmetic of time: what takes too long, and what was in time."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.task import Clock

from chatd.limits import Limits
from chatd.service import ChatService


@pytest.fixture
def clock() -> Clock:
    return Clock()


def in_time(clock: Clock, done: "Deferred[None]", seconds: float) -> list[bool]:
    """Ask for something within 10 seconds; let some pass."""
    service = ChatService(clock, [], Path("server.db"), Limits())
    results: list[bool] = []
    asked = Deferred.fromCoroutine(service._within(10, done))
    asked.addCallback(results.append)
    clock.advance(seconds)
    return results


def test_what_happens_at_once_is_in_time(clock: Clock) -> None:
    assert in_time(clock, succeed(None), 0) == [True]
    assert clock.getDelayedCalls() == []


def test_what_takes_too_long_is_late(clock: Clock) -> None:
    assert in_time(clock, Deferred(), 9) == []
    assert in_time(clock, Deferred(), 10) == [False]


def test_many_that_take_too_long_are_late_though_they_end_in_order(
    clock: Clock,
) -> None:
    async def all_of_them() -> None:
        await DeferredList([Deferred(), Deferred()], consumeErrors=True)

    assert in_time(clock, Deferred.fromCoroutine(all_of_them()), 10) == [False]


def test_a_failure_in_time_is_no_lateness(clock: Clock) -> None:
    service = ChatService(clock, [], Path("server.db"), Limits())
    done: Deferred[None] = Deferred()
    asked = Deferred.fromCoroutine(service._within(10, done))
    failures: list[object] = []
    asked.addErrback(lambda failure: failures.append(failure.value))
    done.errback(ValueError("broken"))
    assert isinstance(failures[0], ValueError)
    assert clock.getDelayedCalls() == []
