"""Sending from a script: what is sent, sent again, confirmed, and what it ends with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chatd.client.connection.events import Accepted, Hello, Pong, Refused, Welcome
from chatd.client.history.places import HistoryError
from chatd.client.script.feeding import Feed
from chatd.client.script.sender import ASK_AGAIN_SECONDS, Earlier, Sender, Wait
from chatd.client.statuses import Status
from chatd.client.talk.readahead import ROOM
from chatd.wire.message import Message

TIMEOUT = 30.0
HELLO = Hello(1, 131_072, 12_288)


class Connection:
    """A connection that writes down what it is to send."""

    def __init__(self) -> None:
        self.started = False
        self.stopped = False
        self._sent: list[dict[str, Any]] = []

    def start(self) -> None:
        assert not self.started
        self.started = True

    def send(self, line: str) -> None:
        self._sent.append(json.loads(line))

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)

    def sent(self) -> list[dict[str, Any]]:
        """Return what was sent since the last time."""
        sent, self._sent = self._sent, []
        return sent

    def texts(self) -> list[tuple[str, str]]:
        """Return to whom and what was sent since the last time."""
        return [(each["to"], each["text"]) for each in self.sent()]


@dataclass(frozen=True)
class Known:
    """What a history may have."""

    receiver: str
    text: str
    status: str


class Book:
    """A record in memory, that may be broken."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, ...]] = []
        self.known: list[Known] = []
        self.asked: list[tuple[str, str, str]] = []
        self.broken = False

    def earlier(
        self, messages: Sequence[Message]
    ) -> Deferred[Sequence[Earlier | None]]:
        self.asked += [(each.sender, each.id, each.target) for each in messages]
        if self.broken:
            return fail(Failure(HistoryError("The disk is broken.")))
        known = {each.receiver.casefold(): each for each in self.known}
        return succeed([known.get(each.target) for each in messages])

    def queue(self, message: Message) -> Deferred[bool]:
        return succeed(True)

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        if self.broken:
            return fail(Failure(HistoryError("The disk is full.")))
        self.kept.append((status, sender, receiver, message.text, message.id))
        return succeed(True)

    def refused(self, message: Message) -> Deferred[bool]:
        self.kept.append(("refused", message.target))
        return succeed(True)

    def settled(self) -> Deferred[None]:
        return succeed(None)


class Run:
    """One run of a sender, and all that it tells."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.link = Connection()
        self.book = Book()
        self.told: list[str] = []
        self.status: int | None = None
        if options.pop("look_up", False):
            options["look_up"] = self.book.earlier
        self.sender = Sender(
            self.book,
            self.clock,
            self.told.append,
            **{
                "user": "alice",
                "server": "host:5555",
                "wait": Wait.STORED,
                "timeout": TIMEOUT,
                "advice": "Use --id x.",
                "now": lambda: 1_795_000_000.5,
                **options,
            },
        )

    def begin(self) -> "Run":
        running = Deferred.fromCoroutine(self.sender.run(self.link))
        running.addCallback(lambda status: setattr(self, "status", status))
        return self

    def send(self, *targets: str, text: str = "Hi", id: str = "x") -> "Run":
        """Send one message and nothing else."""
        self.sender.put(targets or ("bob",), text, id)
        self.sender.close()
        return self.begin()

    def log_in(self, user: str = "Alice", hello: Hello = HELLO) -> None:
        welcome = Welcome(user, False, (), 0, (), 0, 0)
        self.sender.logged_in(hello, welcome)

    def accept(self, to: str = "Bob", status: str = "stored", id: str = "x") -> None:
        self.sender.happened(Accepted(id, to, status))

    def refuse(
        self,
        code: str = "unknown-user",
        to: str | None = "bob",
        *,
        temporary: bool = False,
        id: str = "x",
    ) -> None:
        self.sender.happened(Refused(code, f"{code}!", temporary, id, to))

    def take(self) -> list[str]:
        told = list(self.told)
        self.told.clear()
        return told


# One message -------------------------------------------------------------------------


def test_a_message_is_sent_after_the_login_and_kept_once_it_is_stored() -> None:
    run = Run().send("bob")
    assert run.link.started
    assert run.link.sent() == []
    run.log_in()
    assert run.link.sent() == [
        {"type": "send", "to": "bob", "text": "Hi", "id": "x", "want": "stored"}
    ]
    assert run.book.kept == []
    assert run.status is None
    run.accept()
    assert run.book.kept == [("stored", "Alice", "Bob", "Hi", "x")]
    assert (run.status, run.told, run.link.stopped) == (0, [], True)
    assert run.clock.getDelayedCalls() == []


def test_what_is_delivered_at_once_is_stored_too() -> None:
    run = Run().send("bob")
    run.log_in()
    run.accept(status="delivered")
    assert run.status == 0
    assert run.book.kept == [("delivered", "Alice", "Bob", "Hi", "x")]


def test_it_ends_when_all_targets_have_their_answers() -> None:
    run = Run().send("bob", "carol")
    run.log_in()
    assert [each["to"] for each in run.link.sent()] == ["bob", "carol"]
    run.accept("bob")
    assert run.status is None
    run.accept("carol")
    assert run.status == 0


def test_what_was_lost_before_its_answer_is_sent_again_under_its_id() -> None:
    run = Run().send("bob", "carol")
    run.log_in()
    run.accept("bob")
    run.link.sent()
    run.sender.lost("it broke")
    run.sender.attempt_failed("connection refused")
    run.log_in()
    assert [(each["to"], each["id"]) for each in run.link.sent()] == [("carol", "x")]
    run.accept("carol")
    assert (run.status, run.told) == (0, [])


# What is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [("unknown-user", Status.UNKNOWN_USER), ("id-used", Status.NOT_ACCEPTED)],
)
def test_a_refusal_is_told_and_makes_the_status(code: str, status: Status) -> None:
    run = Run().send("bob")
    run.log_in()
    run.refuse(code)
    assert (run.status, run.told) == (status, [f"{code}!"])


def test_of_several_targets_the_worst_makes_the_status() -> None:
    run = Run().send("zed", "bob", "carol")
    run.log_in()
    run.refuse("id-used", "bob")
    run.refuse("unknown-user", "zed")
    run.accept("carol")
    assert run.status == Status.NOT_ACCEPTED
    assert run.told == ["id-used!", "unknown-user!", "It was sent to carol."]


def test_a_refusal_of_all_targets_at_once_ends_it() -> None:
    run = Run().send("bob", "carol")
    run.log_in()
    run.refuse("bad-field", None)
    assert (run.status, run.told) == (Status.NOT_ACCEPTED, ["bad-field!"])


def test_what_is_refused_for_the_time_being_is_sent_again() -> None:
    run = Run().send("bob")
    run.log_in()
    run.link.sent()
    run.refuse("queue-full", temporary=True)
    assert run.link.sent() == []
    run.clock.advance(1)
    assert run.link.texts() == [("bob", "Hi")]
    run.accept()
    assert (run.status, run.told) == (0, [])


def test_what_stays_refused_for_the_time_being_is_refused_when_the_time_is_over() -> (
    None
):
    run = Run().send("bob")
    run.log_in()
    for _ in range(30):
        if run.link.sent():
            run.refuse("queue-full", temporary=True)
        run.clock.advance(1)
    assert run.told == ["queue-full!"]
    assert run.status == Status.NOT_ACCEPTED


def test_what_the_server_finds_too_long_is_refused_with_its_own_limit() -> None:
    run = Run().send("bob", text="é" * 11)
    run.log_in(hello=Hello(1, 131_072, 20))
    assert run.link.sent() == []
    assert run.status == Status.NOT_ACCEPTED
    (line,) = run.told
    assert "Message too long (over 20 bytes)" in line


def test_a_line_that_the_server_would_not_read_is_refused_before_it_is_sent() -> None:
    run = Run().send("bob", text="\n" * 40)
    run.log_in(hello=Hello(1, 100, 1000))
    assert run.link.sent() == []
    (line,) = run.told
    assert "Line too long (over 100 bytes)" in line


def test_a_login_that_is_refused_ends_it() -> None:
    run = Run().send("bob")
    run.sender.ended(Status.REFUSED, "alice cannot log in.")
    assert (run.status, run.told) == (Status.REFUSED, ["alice cannot log in."])


# The time ----------------------------------------------------------------------------


def test_a_server_that_is_not_reached_in_time_has_been_sent_nothing() -> None:
    run = Run().send("bob")
    run.sender.attempt_failed("connection refused")
    run.clock.advance(TIMEOUT - 0.01)
    assert run.status is None
    run.clock.advance(0.01)
    assert run.status == Status.UNREACHABLE
    assert run.told == [
        "Could not reach host:5555 within 30 s (connection refused). Nothing was sent."
    ]


def test_the_time_is_for_reaching_and_confirming_together() -> None:
    run = Run().send("bob")
    run.clock.advance(20)
    run.log_in()
    run.clock.advance(9.99)
    assert run.status is None
    run.clock.advance(0.01)
    assert run.status == Status.NOT_CONFIRMED
    assert run.told == [
        "The message to bob is not confirmed within 30 s, and may have been sent."
        " Use --id x."
    ]


def test_after_a_lost_connection_nobody_knows_what_became_of_it() -> None:
    run = Run().send("bob", "carol")
    run.log_in()
    run.sender.lost("it broke")
    run.clock.advance(TIMEOUT)
    assert run.status == Status.NOT_CONFIRMED
    assert run.told == [
        "2 messages to bob, carol are not confirmed within 30 s, and may have been"
        " sent. Use --id x."
    ]


def test_a_signal_ends_it_and_tells_what_may_have_been_sent() -> None:
    run = Run().send("bob")
    run.log_in()
    run.sender.interrupt(143)
    assert run.status == 143
    (line,) = run.told
    assert "may have been sent" in line
    run.sender.interrupt(130)
    assert len(run.told) == 1


# Until it is delivered ---------------------------------------------------------------


def test_who_waits_until_it_is_delivered_is_not_content_with_less() -> None:
    run = Run(wait=Wait.DELIVERED).send("bob")
    run.log_in()
    assert "want" not in run.link.sent()[0]
    run.accept(status="stored")
    assert run.status is None
    run.accept(status="delivered")
    assert run.status == 0
    assert run.book.kept == [
        ("stored", "Alice", "Bob", "Hi", "x"),
        ("delivered", "Alice", "Bob", "Hi", "x"),
    ]
    assert run.clock.getDelayedCalls() == []


def test_the_server_is_asked_again_and_again_for_what_is_stored() -> None:
    run = Run(wait=Wait.DELIVERED).send("bob")
    run.log_in()
    run.accept(status="stored")
    run.link.sent()
    run.clock.advance(ASK_AGAIN_SECONDS)
    assert run.link.texts() == [("bob", "Hi")]
    run.accept(status="stored")
    run.sender.lost("it broke")
    run.clock.advance(ASK_AGAIN_SECONDS)
    assert run.link.sent() == []
    run.log_in()
    assert run.link.texts() == [("bob", "Hi")]
    run.accept(status="delivered")
    assert (run.status, run.told) == (0, [])


def test_what_is_stored_and_not_delivered_in_time_is_not_confirmed() -> None:
    run = Run(wait=Wait.DELIVERED).send("bob")
    run.log_in()
    run.accept(status="stored")
    for _ in range(30):
        run.clock.advance(1)
    assert run.status == Status.NOT_CONFIRMED
    assert run.told == [
        "The message to bob is stored, and not known to be delivered within 30 s."
    ]


# What was sent before ----------------------------------------------------------------


def test_what_the_history_has_as_stored_is_not_sent_again() -> None:
    run = Run(look_up=True)
    run.book.known = [Known("Bob", "Hi", "stored")]
    run.send("bob")
    assert run.book.asked == [("alice", "x", "bob")]
    assert (run.status, run.told, run.link.started) == (0, [], False)


def test_what_is_stored_is_asked_about_by_who_waits_until_it_is_delivered() -> None:
    run = Run(look_up=True, wait=Wait.DELIVERED)
    run.book.known = [Known("Bob", "Hi", "stored")]
    run.send("bob")
    run.log_in()
    assert run.link.texts() == [("bob", "Hi")]
    run.accept(status="delivered")
    assert run.status == 0


def test_only_those_who_have_it_not_get_it() -> None:
    run = Run(look_up=True)
    run.book.known = [Known("Bob", "Hi", "delivered"), Known("Zed", "Hi", "refused")]
    run.send("bob", "carol", "zed")
    run.log_in()
    assert [each["to"] for each in run.link.sent()] == ["carol", "zed"]


def test_the_id_of_another_text_is_an_error() -> None:
    run = Run(look_up=True)
    run.book.known = [Known("Bob", "Ho", "stored")]
    run.send("bob")
    assert (run.status, run.link.started) == (Status.NOT_ACCEPTED, False)
    (line,) = run.told
    assert line.startswith("The id 'x' was another message's to 'Bob'.")


def test_nothing_is_sent_if_nobody_knows_whether_it_was_sent_before() -> None:
    run = Run(look_up=True)
    run.book.broken = True
    run.send("bob")
    assert (run.status, run.link.started) == (Status.HISTORY, False)
    (line,) = run.told
    assert line.endswith("The disk is broken.")


def test_what_is_safe_is_safe_though_the_history_cannot_be_written() -> None:
    run = Run().send("bob", "carol")
    run.log_in()
    run.book.broken = True
    run.accept("bob")
    run.accept("carol")
    assert run.status == 0
    assert run.told == [
        "What was sent is safe, but is not in the history. The disk is full."
    ]


def test_who_asks_is_told_what_became_of_each() -> None:
    run = Run(verbose=True, wait=Wait.DELIVERED).send("bob")
    run.log_in()
    run.accept(status="stored")
    run.accept(status="delivered")
    assert run.told == ["Stored for Bob (id x).", "Delivered for Bob (id x)."]


# A stream ----------------------------------------------------------------------------


def stream(**options: Any) -> tuple[Run, Feed]:
    run = Run(stream=True, **options)
    feed = Feed(run.sender, ("bob",), "x")
    run.begin()
    return run, feed


def test_each_line_is_a_message_with_an_id_of_its_own() -> None:
    run, feed = stream()
    assert run.link.started
    for line in ("one", "", "two"):
        feed.enter(line)
    feed.end_of_input()
    run.log_in()
    assert [(each["text"], each["id"]) for each in run.link.sent()] == [
        ("one", "x.0000001"),
        ("two", "x.0000003"),
    ]
    run.accept(id="x.0000001")
    run.refuse("id-used", id="x.0000003")
    assert (run.status, run.told) == (Status.NOT_ACCEPTED, ["line 3: id-used!"])


def test_a_line_that_cannot_be_sent_is_named_and_the_others_are_sent() -> None:
    run, feed = stream()
    run.log_in()
    for line in ("caf\udce9", "x" * 20_000, "y" * (2 << 20), "Hi"):
        feed.enter(line)
    assert run.link.texts() == [("bob", "Hi")]
    feed.end_of_input()
    run.accept(id="x.0000004")
    assert run.status == Status.NOT_ACCEPTED
    assert [each.partition(".")[0] for each in run.told] == [
        "line 1: Not valid UTF-8",
        "line 2: Message too long (over 12288 bytes)",
        "line 3: Message too long (over 12288 bytes)",
    ]


def test_no_more_lines_are_read_than_there_is_room_for() -> None:
    run, feed = stream()
    run.log_in()
    for number in range(ROOM):
        assert feed.when_room().called
        feed.enter(f"{number}")
    room = feed.when_room()
    assert not room.called
    run.accept(id="x.0000001")
    assert room.called


def test_a_stream_may_be_silent_for_ever_and_each_line_has_its_time() -> None:
    run, feed = stream()
    run.log_in()
    run.clock.advance(1000)
    feed.enter("one")
    run.clock.advance(TIMEOUT - 1)
    feed.enter("two")
    run.accept(id="x.0000001")
    run.clock.advance(TIMEOUT - 1)
    assert run.status is None
    run.clock.advance(1)
    assert run.status == Status.NOT_CONFIRMED
    (line,) = run.told
    assert line.startswith("The message to bob is not confirmed within 30 s")
    assert feed.when_room().called
    feed.enter("three")
    assert run.link.texts() == [("bob", "one"), ("bob", "two")]


def test_a_stream_whose_server_is_never_reached_ends_too() -> None:
    run, _ = stream()
    run.clock.advance(TIMEOUT)
    assert run.status == Status.UNREACHABLE


def test_a_silent_stream_survives_a_server_that_is_away() -> None:
    run, feed = stream()
    run.log_in()
    run.sender.lost("it broke")
    run.clock.advance(10 * TIMEOUT)
    assert run.status is None
    feed.enter("one")
    run.clock.advance(TIMEOUT - 1)
    run.log_in()
    run.accept(id="x.0000001")
    feed.end_of_input()
    assert (run.status, run.told) == (0, [])


def test_a_stream_without_lines_needs_no_answer() -> None:
    run, feed = stream()
    feed.end_of_input()
    assert run.status == 0
    run.sender.happened(Pong())
