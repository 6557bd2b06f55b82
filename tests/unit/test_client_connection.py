"""The connection: handshake, login, loss, new attempts, signs of life."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd import __version__
from chatd.client import connection
from chatd.client.connection import Link
from chatd.client.events import Event, Hello, Listing, Notice, Welcome
from chatd.client.statuses import Status
from chatd.wire import objects
from chatd.wire.answers import Refusal

PROMPT = "Enter your username: \n"
HELLO = objects.hello("1.0", {"line": 131072, "message": 12288})
WELCOME = objects.welcome(
    "alice", new=False, users=[], more_users=0, online=[], more_online=0, queued=0
)


class Wire(StringTransport):
    """A transport that ends when it is told to, at the next turn."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.protocol: Any = None
        self.gone = False
        self.stuck = False

    def loseConnection(self) -> None:
        super().loseConnection()
        if not self.stuck:
            self.clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.disconnecting = True
        self.lose(ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """The network, played by the test."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.attempts: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        attempt: Deferred[Any] = Deferred()
        self.attempts.append((protocolFactory, attempt))
        return attempt

    def accept(self) -> Wire:
        factory, attempt = self.attempts[-1]
        wire = Wire(self.clock)
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        attempt.callback(wire.protocol)
        return wire

    def refuse(self, reason: Exception) -> None:
        self.attempts[-1][1].errback(Failure(reason))


class Heard:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        self.told.append(f"in as {welcome.user}")

    def happened(self, event: Event) -> None:
        self.told.append(event)

    def attempt_failed(self, reason: str) -> None:
        self.told.append(f"failed: {reason}")

    def lost(self, reason: str) -> None:
        self.told.append(f"lost: {reason}")

    def ended(self, status: Status, reason: str) -> None:
        self.told.append((status, reason))

    def take(self) -> list[object]:
        told, self.told = self.told, []
        return told


class World:
    """A link, its network and its listener."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network = Endpoint(self.clock)
        self.heard = Heard()
        self.delays: list[int] = []
        self.link = Link(
            self.network, self.clock, "alice", self.heard, policy=self.delay
        )

    def delay(self, attempt: int) -> float:
        self.delays.append(attempt)
        return 10.0 * attempt

    def say(self, wire: Wire, *lines: str) -> None:
        wire.protocol.dataReceived("".join(f"{line}\n" for line in lines).encode())
        self.clock.advance(0)

    def log_in(self) -> Wire:
        wire = self.network.accept()
        self.say(wire, PROMPT.strip(), HELLO, WELCOME)
        assert self.heard.take() == ["in as alice"]
        wire.clear()
        return wire


@pytest.fixture
def world() -> World:
    world = World()
    world.link.start()
    return world


def said(wire: Wire) -> list[str]:
    lines = wire.value().decode().splitlines()
    wire.clear()
    return lines


# Handshake and login -----------------------------------------------------------------


def test_each_step_waits_for_what_answers_the_one_before(world: World) -> None:
    wire = world.network.accept()
    assert said(wire) == [f"/json chat/{__version__}"]
    wire.protocol.dataReceived(b"Enter your username: ")
    assert said(wire) == []
    world.say(wire, "")
    assert said(wire) == []
    world.say(wire, HELLO)
    assert [json.loads(line) for line in said(wire)] == [
        {"type": "login", "user": "alice"}
    ]
    assert world.heard.take() == []
    world.say(wire, WELCOME)
    assert world.heard.take() == ["in as alice"]


def test_it_matters_not_how_the_bytes_are_cut(world: World) -> None:
    wire = world.network.accept()
    for byte in f"{PROMPT}{HELLO}\n{WELCOME}\n{objects.notice('Hi')}\n".encode():
        wire.protocol.dataReceived(bytes([byte]))
    assert world.heard.take() == ["in as alice", Notice("Hi")]


def test_what_follows_the_welcome_at_once_comes_after_it(world: World) -> None:
    wire = world.network.accept()
    world.say(wire, PROMPT.strip(), HELLO, WELCOME, objects.notice("Hi"))
    assert world.heard.take() == ["in as alice", Notice("Hi")]


def test_a_refused_login_ends_everything_and_closes_the_connection(
    world: World,
) -> None:
    wire = world.network.accept()
    refusal = Refusal("too-many-names", limit=100)
    world.say(wire, PROMPT.strip(), HELLO, objects.error(refusal))
    assert world.heard.take() == [
        (Status.REFUSED, f"alice cannot log in: {refusal.text}")
    ]
    assert wire.gone
    world.clock.advance(1000)
    assert len(world.network.attempts) == 1
    assert not world.clock.getDelayedCalls()


def test_a_login_again_that_is_refused_for_now_is_tried_again(world: World) -> None:
    world.log_in().lose(ConnectionLost())
    world.heard.take()
    world.clock.advance(10)
    wire = world.network.accept()
    refusal = Refusal("too-many-connections", limit=16, scope="of this name")
    world.say(wire, PROMPT.strip(), HELLO, objects.error(refusal))
    assert world.heard.take() == [f"failed: {refusal.text}"]
    assert wire.gone
    world.clock.advance(20)
    world.network.accept()
    assert len(world.network.attempts) == 3


def test_a_login_again_that_is_refused_for_good_ends_everything(world: World) -> None:
    world.log_in().lose(ConnectionLost())
    world.heard.take()
    world.clock.advance(10)
    wire = world.network.accept()
    refusal = Refusal("bad-name", reason="The name is reserved.")
    world.say(wire, PROMPT.strip(), HELLO, objects.error(refusal))
    ((status, _),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.REFUSED


@pytest.mark.parametrize(
    "lines",
    [
        ["HTTP/1.1 400 Bad Request", "Server: x"],
        ["220 mail.example ESMTP", "500 unrecognized command"],
        ["Welcome, /json.", "Type <target>-<message>"],
        ["", '{"type":"event"}'],
        ["", "[]"],
        ["", ""],
    ],
)
def test_a_server_that_speaks_something_else_ends_everything(
    world: World, lines: list[str]
) -> None:
    wire = world.network.accept()
    world.say(wire, *lines)
    ((status, reason),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD
    assert reason.startswith("The server is no chatd")
    assert wire.gone
    world.clock.advance(1000)
    assert len(world.network.attempts) == 1


def test_what_another_server_said_is_quoted_without_what_a_screen_would_obey(
    world: World,
) -> None:
    wire = world.network.accept()
    world.say(wire, "", "\x1b]0;title\x07" + 100 * "x")
    ((_, reason),) = world.heard.take()  # type: ignore[misc]
    quoted = "\ufffd]0;title\ufffd" + 50 * "x" + "..."
    assert reason == f"The server is no chatd: it said {quoted!r}."


def test_a_line_without_an_end_is_not_gathered_for_ever(world: World) -> None:
    wire = world.network.accept()
    wire.protocol.dataReceived(b"x" * (connection.MAX_LINE + 1))
    ((status, _),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD


def test_a_newer_protocol_ends_everything(world: World) -> None:
    wire = world.network.accept()
    world.say(wire, "", HELLO.replace('"protocol":1', '"protocol":2'))
    assert world.heard.take() == [
        (
            Status.NOT_CHATD,
            "The server speaks version 2 of the protocol, and this chat version 1:"
            " use a chat of the server's age.",
        )
    ]


@pytest.mark.parametrize(
    "line", ["nonsense", '{"type":"notice"}', '{"type":"message","from":1}']
)
def test_a_malformed_line_after_the_login_ends_everything(
    world: World, line: str
) -> None:
    wire = world.log_in()
    world.say(wire, line, objects.notice("never seen"))
    ((status, reason),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD
    assert reason.startswith(f"The server sent what no chatd sends, {line!r}: it")
    assert wire.gone


def test_an_unknown_type_after_the_login_is_ignored(world: World) -> None:
    wire = world.log_in()
    world.say(wire, '{"type":"presence"}', objects.names("who", [], 0))
    assert world.heard.take() == [Listing("who", (), 0)]


# Attempts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), "connection refused"),
        (DNSLookupError("x"), "no such host"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (RuntimeError("two\nlines\x1b"), "two lines\ufffd"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_failed_attempt_is_told_and_followed_by_others_ever_later(
    world: World, error: Exception, reason: str
) -> None:
    for number in range(1, 4):
        world.network.refuse(error)
        assert world.heard.take() == [f"failed: {reason}"]
        assert world.delays[-1] == number
        world.clock.advance(10 * number - 1)
        assert len(world.network.attempts) == number
        world.clock.advance(1)
        assert len(world.network.attempts) == number + 1
    world.log_in()


def test_a_name_that_no_host_can_have_ends_everything(world: World) -> None:
    world.network.refuse(ValueError("invalid hostname: a_b"))
    world.clock.advance(0)
    assert world.heard.take() == [
        (Status.UNREACHABLE, "Cannot connect: invalid hostname: a_b.")
    ]


def test_connections_that_end_before_the_login_count_as_failures(world: World) -> None:
    for number in (1, 2, 3):
        wire = world.network.accept()
        wire.lose(ConnectionDone())
        assert world.heard.take() == ["failed: the server closed it"]
        world.clock.advance(10 * number)
    assert world.delays == [1, 2, 3]


def test_a_login_makes_the_delays_short_again(world: World) -> None:
    world.network.refuse(ConnectionRefusedError())
    world.clock.advance(10)
    world.network.refuse(ConnectionRefusedError())
    world.clock.advance(20)
    world.heard.take()
    world.log_in().lose(ConnectionDone())
    assert world.delays == [1, 2, 1]


def test_what_a_full_server_says_before_it_closes_is_told(world: World) -> None:
    wire = world.network.accept()
    refusal = Refusal("too-many-connections", limit=1, scope="in all")
    world.say(wire, refusal.text)
    wire.lose(ConnectionDone())
    (told,) = world.heard.take()
    assert str(told).startswith("failed: it said 'Too many connections (1 in all).")


def test_a_server_that_is_stopping_is_tried_again(world: World) -> None:
    wire = world.network.accept()
    world.say(wire, PROMPT.strip(), Refusal("shutting-down").text)
    assert world.heard.take() == ["failed: the server is stopping"]
    world.clock.advance(10)
    wire = world.network.accept()
    shutting_down = objects.error(Refusal("shutting-down"))
    world.say(wire, PROMPT.strip(), HELLO, shutting_down)
    assert world.heard.take() == [f"failed: {Refusal('shutting-down').text}"]
    world.clock.advance(20)
    world.log_in()


def test_a_server_that_says_nothing_is_given_up_in_time(world: World) -> None:
    wire = world.network.accept()
    world.clock.advance(connection.HANDSHAKE_SECONDS - 1)
    assert not wire.gone
    world.clock.advance(1)
    assert wire.gone
    assert world.heard.take() == ["failed: it does not answer as a chatd does"]


# Loss --------------------------------------------------------------------------------


def test_a_lost_connection_is_told_and_made_again(world: World) -> None:
    world.log_in().lose(ConnectionLost())
    assert world.heard.take() == ["lost: it broke"]
    world.clock.advance(10)
    world.log_in()


def test_a_server_that_stops_says_so_instead_of_an_error(world: World) -> None:
    wire = world.log_in()
    world.say(wire, objects.error(Refusal("shutting-down")))
    wire.lose(ConnectionDone())
    assert world.heard.take() == ["lost: the server is stopping"]


def test_a_silent_server_is_asked_and_lives_if_it_answers(world: World) -> None:
    wire = world.log_in()
    for _ in range(3):
        world.clock.advance(connection.SILENT_SECONDS)
        assert [json.loads(line) for line in said(wire)] == [{"type": "ping"}]
        world.clock.advance(connection.ANSWER_SECONDS - 1)
        world.say(wire, objects.pong())
    assert not wire.gone


def test_a_server_that_gives_no_sign_of_life_is_lost(world: World) -> None:
    wire = world.log_in()
    world.clock.advance(connection.SILENT_SECONDS)
    world.clock.advance(connection.ANSWER_SECONDS - 1)
    assert not wire.gone
    world.clock.advance(1)
    assert wire.gone
    assert world.heard.take() == ["lost: the server does not answer any more"]
    world.clock.advance(10)
    world.log_in()


def test_a_server_that_speaks_is_not_asked(world: World) -> None:
    wire = world.log_in()
    for _ in range(20):
        world.clock.advance(connection.SILENT_SECONDS / 2)
        world.say(wire, objects.notice("Hi"))
    assert said(wire) == []


def test_nobody_is_asked_while_nothing_is_read(world: World) -> None:
    wire = world.log_in()
    world.link.hold("output")
    world.link.hold("history")
    assert wire.producerState == "paused"
    for _ in range(10):
        world.clock.advance(connection.SILENT_SECONDS)
    assert said(wire) == []
    world.link.release("output")
    assert wire.producerState == "paused"
    world.link.release("history")
    assert wire.producerState == "producing"
    world.clock.advance(connection.SILENT_SECONDS)
    assert len(said(wire)) == 1


def test_a_hold_outlasts_the_connection_but_not_the_login(world: World) -> None:
    world.log_in()
    world.link.hold("output")
    world.network.attempts.clear()
    world.link._protocol.abort()  # type: ignore[union-attr]
    world.clock.advance(10)
    wire = world.network.accept()
    assert wire.producerState == "producing"
    world.say(wire, PROMPT.strip(), HELLO, WELCOME)
    assert wire.producerState == "paused"


# Leaving -----------------------------------------------------------------------------


def test_leaving_is_said_once_and_not_followed_by_pings(world: World) -> None:
    wire = world.log_in()
    world.link.leave()
    world.link.leave()
    assert [json.loads(line) for line in said(wire)] == [{"type": "quit"}]
    world.clock.advance(connection.SILENT_SECONDS)
    world.clock.advance(connection.ANSWER_SECONDS)
    assert said(wire) == []
    world.clock.advance(connection.LEAVING_SECONDS)
    assert wire.gone


def test_after_a_stop_the_connection_is_closed_and_no_other_made(world: World) -> None:
    wire = world.log_in()
    stopped = world.link.stop()
    assert not stopped.called
    world.clock.advance(0)
    assert wire.gone
    assert stopped.called
    assert world.heard.take() == []
    assert not world.clock.getDelayedCalls()


def test_a_connection_that_does_not_close_is_cut(world: World) -> None:
    wire = world.log_in()
    wire.stuck = True
    stopped = world.link.stop()
    world.clock.advance(connection.CLOSE_SECONDS - 1)
    assert not stopped.called
    world.clock.advance(1)
    assert stopped.called
    assert wire.gone


def test_a_stop_ends_attempts_and_waits(world: World) -> None:
    assert world.link.stop().called
    assert world.heard.take() == []
    other = World()
    other.link.start()
    other.network.refuse(ConnectionRefusedError())
    assert other.link.stop().called
    other.clock.advance(1000)
    assert len(other.network.attempts) == 1


def test_a_stop_in_the_midst_of_a_login_leaves_no_connection_open(
    world: World,
) -> None:
    wire = world.network.accept()
    world.say(wire, PROMPT.strip(), HELLO)
    stopped = world.link.stop()
    world.clock.advance(0)
    assert wire.gone
    assert stopped.called
    assert world.heard.take() == []


def test_the_real_delays_grow_to_a_bound_and_differ() -> None:
    def delays(attempt: int) -> list[float]:
        return [connection.retry_policy(attempt) for _ in range(50)]

    assert max(delays(1)) < 2
    assert min(delays(30)) >= 30
    assert max(delays(1000)) <= 31
    assert len(set(delays(3))) > 1
