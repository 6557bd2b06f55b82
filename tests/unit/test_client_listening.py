"""Receiving for a script: one after the other, acknowledged when done, to the end."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from chatd.client.connection.events import (
    Goodbye,
    Hello,
    Incoming,
    Notice,
    Pong,
    Welcome,
)
from chatd.client.script.listening import (
    GOODBYE_SECONDS,
    INTERRUPT_SECONDS,
    MOST_WAITING,
    Listening,
    Unhandled,
)
from chatd.client.statuses import Status
from chatd.wire.message import Message

TIMEOUT = 30.0


class Connection:
    """A connection that writes down what it is to do."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.holds: set[str] = set()
        self.left = 0
        self.stopped = False

    def start(self) -> None:
        assert not self.stopped

    def send(self, line: str) -> None:
        request = json.loads(line)
        assert request.pop("type") == "ack"
        self.acknowledged.append(request["seq"])

    def leave(self) -> None:
        self.left += 1

    def hold(self, reason: str) -> None:
        self.holds.add(reason)

    def release(self, reason: str) -> None:
        self.holds.discard(reason)

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class Work:
    """A handler that is done when the test says so, or at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.slow = False
        self.stopped = False
        self.abandoned = False
        self._under_way: Deferred[None] | None = None

    def handle(self, incoming: Incoming) -> Deferred[None]:
        assert self._under_way is None, "two at a time"
        self.texts.append(incoming.message.text)
        if not self.slow:
            return succeed(None)
        self._under_way = Deferred()
        return self._under_way

    def stop(self) -> None:
        self.stopped = True

    def abandon(self) -> None:
        self.abandoned = True

    def done(self) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.callback(None)

    def fail(self, error: Exception) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.errback(error)


class Run:
    """One run, at the login or before it."""

    def __init__(self, *, slow: bool = False, count: int | None = None) -> None:
        self.clock = Clock()
        self.link = Connection()
        self.work = Work()
        self.work.slow = slow
        self.told: list[str] = []
        self.status: int | None = None
        self.listening = Listening(
            self.work,
            self.clock,
            self.told.append,
            server="host:5555",
            timeout=TIMEOUT,
            count=count,
        )
        running = Deferred.fromCoroutine(self.listening.run(self.link))
        running.addCallback(lambda status: setattr(self, "status", status))

    def log_in(self) -> "Run":
        welcome = Welcome("Alice", False, (), 0, (), 0, 0)
        self.listening.logged_in(Hello(1, None, None), welcome)
        return self

    def receive(self, *numbers: int, first: int = 1) -> None:
        """Receive messages by number; `first` is the place of the first of them."""
        for place, number in enumerate(numbers, first):
            message = Message(place, f"id-{number}", "bob", "Alice", f"{number}", 0, 0)
            self.listening.happened(Incoming(message, queued=False))

    def goodbye(self) -> None:
        self.listening.happened(Goodbye())


def test_a_message_is_acknowledged_once_it_is_handled() -> None:
    run = Run(slow=True).log_in()
    run.receive(1, 2)
    assert (run.work.texts, run.link.acknowledged) == (["1"], [])
    run.work.done()
    assert (run.work.texts, run.link.acknowledged) == (["1", "2"], [1])
    run.work.done()
    assert run.link.acknowledged == [1, 2]
    run.listening.happened(Pong())
    assert run.told == []


def test_many_that_are_handled_at_once_are_handled_in_order() -> None:
    run = Run().log_in()
    numbers = list(range(1, 5_001))
    run.receive(*numbers)
    assert run.work.texts == [f"{each}" for each in numbers]
    assert run.link.acknowledged == numbers


def test_no_more_are_received_than_may_wait() -> None:
    run = Run(slow=True).log_in()
    run.receive(*range(1, MOST_WAITING + 1))
    assert run.link.holds == set()
    run.receive(*range(MOST_WAITING + 1, MOST_WAITING + 10), first=MOST_WAITING + 1)
    assert run.link.holds == {"handling"}
    for _ in range(MOST_WAITING // 2 + 7):
        run.work.done()
    assert run.link.holds == {"handling"}
    run.work.done()
    assert run.link.holds == set()


def test_what_waited_when_the_connection_was_lost_comes_again() -> None:
    run = Run(slow=True).log_in()
    run.receive(*range(1, MOST_WAITING + 10))
    run.listening.lost("it broke")
    assert run.link.holds == set()
    run.log_in()
    run.receive(1, 2)
    run.work.done()  # of the first connection, and recognised on the second
    assert (run.work.texts, run.link.acknowledged) == (["1", "2"], [1])
    run.work.done()
    assert run.link.acknowledged == [1, 2]
    assert run.told == [
        "The connection to host:5555 was lost (it broke); trying again.",
        "Connected to host:5555 again.",
    ]


def test_an_id_that_is_used_again_for_another_text_is_another_message() -> None:
    run = Run().log_in()
    for place, text in enumerate(("one", "two", "one"), 1):
        message = Message(place, "nightly", "cron", "Alice", text, 0, 0)
        run.listening.happened(Incoming(message, queued=True))
    assert run.work.texts == ["one", "two"]
    assert run.link.acknowledged == [1, 2, 3]


def test_nothing_is_acknowledged_on_a_connection_that_it_did_not_come_on() -> None:
    run = Run(slow=True).log_in()
    run.receive(1)
    run.listening.lost("it broke")
    run.log_in()
    run.work.done()
    assert run.link.acknowledged == []


def test_reasons_are_told_once_to_who_was_connected() -> None:
    run = Run()
    run.listening.attempt_failed("connection refused")
    run.log_in()
    run.listening.lost("it broke")
    for reason in ("connection refused", "connection refused", "no such host"):
        run.listening.attempt_failed(reason)
    assert run.told[1:] == [
        "Cannot reach host:5555 (connection refused); trying again.",
        "Cannot reach host:5555 (no such host); trying again.",
    ]
    run.clock.advance(100 * TIMEOUT)
    assert run.status is None


def test_a_server_that_is_not_reached_in_time_ends_it() -> None:
    run = Run()
    run.listening.attempt_failed("connection refused")
    run.clock.advance(TIMEOUT)
    assert run.status == Status.UNREACHABLE
    assert run.told == ["Could not reach host:5555 within 30 s (connection refused)."]


def test_a_login_that_is_refused_ends_it() -> None:
    run = Run()
    run.listening.ended(Status.REFUSED, "alice cannot log in.")
    assert (run.status, run.told) == (Status.REFUSED, ["alice cannot log in."])


def test_it_ends_after_so_many_and_acknowledges_no_others() -> None:
    run = Run(count=2).log_in()
    run.receive(1, 2, 3)
    assert (run.work.texts, run.link.acknowledged) == (["1", "2"], [1, 2])
    assert (run.link.left, run.status) == (1, None)
    run.goodbye()
    assert (run.status, run.link.stopped) == (0, True)


def test_it_ends_without_a_goodbye_too() -> None:
    run = Run(count=1).log_in()
    run.receive(1)
    run.clock.advance(GOODBYE_SECONDS)
    assert run.status == 0


def test_it_ends_though_the_connection_breaks_before_the_goodbye() -> None:
    run = Run(count=1).log_in()
    run.receive(1)
    run.listening.lost("it broke")
    assert (run.status, run.told) == (0, [])


def test_a_signal_ends_it_when_what_is_under_way_is_done() -> None:
    run = Run(slow=True).log_in()
    run.receive(1, 2)
    run.listening.finish(143)
    run.listening.finish(130)
    assert run.work.stopped
    assert run.link.left == 0
    run.work.done()
    assert (run.link.acknowledged, run.link.left) == ([1], 1)
    run.goodbye()
    assert (run.status, run.work.texts) == (143, ["1"])
    assert run.clock.getDelayedCalls() == []


def test_what_is_not_done_in_time_after_a_signal_is_given_up() -> None:
    run = Run(slow=True).log_in()
    run.receive(1)
    run.listening.finish(143)
    run.clock.advance(INTERRUPT_SECONDS)
    assert (run.work.abandoned, run.link.left) == (True, 1)
    run.work.fail(Unhandled(Status.NOT_ACCEPTED, "It was ended."))
    assert run.status is None
    run.clock.advance(GOODBYE_SECONDS)
    assert (run.status, run.link.acknowledged) == (143, [])
    assert run.told == [
        "What was done with the last message took more than 5 s: it comes again."
    ]


@pytest.mark.parametrize("online", [True, False])
def test_a_signal_ends_it_at_once_when_there_is_nothing_to_do(online: bool) -> None:
    run = Run()
    if online:
        run.log_in()
    run.listening.finish(130)
    assert run.status == (None if online else 130)
    run.goodbye()
    assert run.status == 130


def test_what_cannot_be_handled_ends_it_unacknowledged() -> None:
    run = Run(slow=True).log_in()
    run.receive(1, 2)
    run.work.fail(Unhandled(Status.COMMAND_FAILED, "It failed too often."))
    run.goodbye()
    assert (run.status, run.told) == (Status.COMMAND_FAILED, ["It failed too often."])
    assert (run.link.acknowledged, run.work.texts) == ([], ["1"])


def test_notices_are_told() -> None:
    run = Run().log_in()
    run.listening.happened(Notice("Some messages went elsewhere."))
    assert run.told == ["Some messages went elsewhere."]


def test_a_handler_with_a_mistake_ends_it_and_is_logged(logged_errors: Any) -> None:
    run = Run(slow=True).log_in()
    run.receive(1)
    run.work.fail(ZeroDivisionError())
    run.goodbye()
    assert run.status == Status.NOT_ACCEPTED
    assert len(logged_errors.flush(ZeroDivisionError)) == 1
