"""The link: attempts, login, loss, new attempts, the end."""

import json
from typing import Any

import pytest
from played_server import HELLO, PROMPT, WELCOME, Wire
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.connection import connection, link
from chatd.client.connection.events import Event, Hello, Welcome
from chatd.client.connection.link import Link
from chatd.client.connection.secrets import OwnPassword
from chatd.client.connection.trust import Rejected
from chatd.client.statuses import Status
from chatd.wire import objects
from chatd.wire.answers import Refusal


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
        self.pauses: list[float] = []
        self.attempts = 0

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        self.told.append(f"in as {welcome.user}")

    def happened(self, event: Event) -> None:
        self.told.append(event)

    def pausing(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def trying(self) -> None:
        self.attempts += 1

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

    def __init__(self, *, script: bool = False, **own: Any) -> None:
        self.clock = Clock()
        self.network = Endpoint(self.clock)
        self.heard = Heard()
        self.delays: list[int] = []
        self.link = Link(
            self.network,
            self.clock,
            "alice",
            self.heard,
            OwnPassword("alice", **{"private": True, **own}),
            policy=self.delay,
            receive=not script,
            patient=script,
        )

    def delay(self, attempt: int) -> float:
        self.delays.append(attempt)
        return 10.0 * attempt

    def log_in(self) -> Wire:
        wire = self.network.accept()
        wire.say(PROMPT.strip(), HELLO, WELCOME)
        assert self.heard.take() == ["in as alice"]
        wire.clear()
        return wire


@pytest.fixture
def world() -> World:
    world = World()
    world.link.start()
    return world


# Login -------------------------------------------------------------------------------


def test_a_refused_login_ends_everything_and_closes_the_connection(
    world: World,
) -> None:
    wire = world.network.accept()
    refusal = Refusal("too-many-names", limit=100)
    wire.say(PROMPT.strip(), HELLO, objects.error(refusal))
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
    wire.say(PROMPT.strip(), HELLO, objects.error(refusal))
    assert world.heard.take() == [f"failed: {refusal.text}"]
    assert wire.gone
    world.clock.advance(20)
    world.network.accept()
    assert len(world.network.attempts) == 3


def test_who_is_patient_tries_again_from_the_first_login_on() -> None:
    world = World(script=True)
    world.link.start()
    wire = world.network.accept()
    refusal = Refusal("too-many-connections", limit=16, scope="of this name")
    wire.say(PROMPT.strip(), HELLO, objects.error(refusal))
    assert world.heard.take() == [f"failed: {refusal.text}"]
    assert wire.gone
    world.clock.advance(10)
    world.log_in()


def test_who_only_sends_says_so_with_the_password_too() -> None:
    world = World(script=True, given="a good long password")
    world.link.start()
    wire = world.network.accept()
    needed = Refusal("password-needed", name="alice")
    wire.say(PROMPT.strip(), HELLO, objects.error(needed))
    logins = [json.loads(line) for line in wire.said()[1:]]
    assert logins == [
        {"type": "login", "user": "alice", "receive": False},
        {
            "type": "login",
            "user": "alice",
            "password": "a good long password",
            "receive": False,
        },
    ]


def test_a_login_again_that_is_refused_for_good_ends_everything(world: World) -> None:
    world.log_in().lose(ConnectionLost())
    world.heard.take()
    world.clock.advance(10)
    wire = world.network.accept()
    refusal = Refusal("bad-name", reason="The name is reserved.")
    wire.say(PROMPT.strip(), HELLO, objects.error(refusal))
    ((status, _),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.REFUSED


def test_what_is_no_chatd_ends_everything(world: World) -> None:
    wire = world.network.accept()
    wire.say("HTTP/1.1 400 Bad Request", "Server: x")
    ((status, _),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD
    world.clock.advance(1000)
    assert len(world.network.attempts) == 1
    assert not world.clock.getDelayedCalls()


def test_the_pauses_between_attempts_and_their_ends_are_told(world: World) -> None:
    assert (world.heard.attempts, world.heard.pauses) == (1, [])
    world.log_in().lose(ConnectionLost())
    assert (world.heard.attempts, world.heard.pauses) == (1, [10.0])
    world.clock.advance(10)
    assert (world.heard.attempts, world.heard.pauses) == (2, [10.0])
    world.network.refuse(ConnectionRefusedError())
    assert (world.heard.attempts, world.heard.pauses) == (2, [10.0, 20.0])


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


def test_a_server_that_is_not_the_right_one_ends_everything(world: World) -> None:
    world.network.refuse(Rejected(Status.CERTIFICATE, "The certificate has changed."))
    world.clock.advance(0)
    assert world.heard.take() == [(Status.CERTIFICATE, "The certificate has changed.")]
    world.clock.advance(1000)
    assert len(world.network.attempts) == 1
    assert not world.clock.getDelayedCalls()


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


def test_a_server_that_is_stopping_is_tried_again(world: World) -> None:
    wire = world.network.accept()
    wire.say(PROMPT.strip(), Refusal("shutting-down").text)
    assert world.heard.take() == ["failed: the server is stopping"]
    world.clock.advance(10)
    wire = world.network.accept()
    shutting_down = objects.error(Refusal("shutting-down"))
    wire.say(PROMPT.strip(), HELLO, shutting_down)
    assert world.heard.take() == [f"failed: {Refusal('shutting-down').text}"]
    world.clock.advance(20)
    world.log_in()


def test_the_real_delays_grow_to_a_bound_and_differ() -> None:
    def delays(attempt: int) -> list[float]:
        return [link.retry_policy(attempt) for _ in range(50)]

    assert max(delays(1)) < 2
    assert min(delays(30)) >= 30
    assert max(delays(1000)) <= 31
    assert len(set(delays(3))) > 1


# Loss --------------------------------------------------------------------------------


def test_a_lost_connection_is_told_and_made_again(world: World) -> None:
    world.log_in().lose(ConnectionLost())
    assert world.heard.take() == ["lost: it broke"]
    world.clock.advance(10)
    world.log_in()


# Holds -------------------------------------------------------------------------------


def test_nobody_is_asked_while_nothing_is_read(world: World) -> None:
    wire = world.log_in()
    world.link.hold("output")
    world.link.hold("history")
    assert wire.producerState == "paused"
    for _ in range(10):
        world.clock.advance(connection.SILENT_SECONDS)
    assert wire.said() == []
    world.link.release("output")
    assert wire.producerState == "paused"
    world.link.release("history")
    assert wire.producerState == "producing"
    world.clock.advance(connection.SILENT_SECONDS)
    assert len(wire.said()) == 1


def test_a_hold_outlasts_the_connection_but_not_the_login(world: World) -> None:
    world.log_in()
    world.link.hold("output")
    world.network.attempts.clear()
    world.link._connection.abort()  # type: ignore[union-attr]
    world.clock.advance(10)
    wire = world.network.accept()
    assert wire.producerState == "producing"
    wire.say(PROMPT.strip(), HELLO, WELCOME)
    assert wire.producerState == "paused"


# Stopping ----------------------------------------------------------------------------


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
    world.clock.advance(link.CLOSE_SECONDS - 1)
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
    wire.say(PROMPT.strip(), HELLO)
    stopped = world.link.stop()
    world.clock.advance(0)
    assert wire.gone
    assert stopped.called
    assert world.heard.take() == []


# Passwords ---------------------------------------------------------------------------

NEEDED = objects.error(Refusal("password-needed", name="alice"))
WRONG = objects.error(Refusal("wrong-password"))


class Person:
    """Somebody who is asked for the password."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Deferred[str] = Deferred()

    def ask_secret(self, *lines: str) -> Deferred[str]:
        self.asked.append(lines[0])
        self.answer = Deferred()
        return self.answer


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def asking(person: Person) -> World:
    world = World(asker=person)
    world.link.start()
    return world


def be_refused(world: World, *refusals: str) -> Wire:
    wire = world.network.accept()
    wire.say(PROMPT.strip(), HELLO, *refusals)
    assert wire.gone
    world.clock.advance(0)
    return wire


def test_a_person_is_asked_without_a_connection_and_without_a_complaint(
    asking: World, person: Person
) -> None:
    be_refused(asking, NEEDED)
    for number in (1, 2):
        assert len(person.asked) == number
        asking.clock.advance(1000)
        assert len(asking.network.attempts) == number
        person.answer.callback("secret")
        assert len(asking.network.attempts) == number + 1
        if number == 1:
            be_refused(asking, NEEDED, WRONG)
    assert person.asked == [
        "The name 'alice' needs its password.",
        "Wrong name or password. Please try again.",
    ]
    assert asking.heard.take() == []
    assert asking.delays == []
    wire = asking.network.accept()
    wire.say(PROMPT.strip(), HELLO, NEEDED)
    assert '"password":"secret"' in wire.said()[-1]
    wire.say(WELCOME)
    assert asking.heard.take() == ["in as alice"]


def test_a_password_is_used_again_after_a_loss(asking: World, person: Person) -> None:
    asking.log_in()
    asking.link.remember("new secret")
    asking.link._connection.abort()  # type: ignore[union-attr]
    asking.clock.advance(10)
    wire = asking.network.accept()
    wire.say(PROMPT.strip(), HELLO, NEEDED)
    assert '"password":"new secret"' in wire.said()[-1]
    assert person.asked == []


def test_an_attempt_that_fails_after_the_answer_is_told(
    asking: World, person: Person
) -> None:
    be_refused(asking, NEEDED)
    person.answer.callback("secret")
    asking.network.refuse(ConnectionRefusedError())
    assert asking.heard.take() == ["failed: connection refused"]


def test_a_stop_while_somebody_is_asked_ends_the_question(
    asking: World, person: Person
) -> None:
    be_refused(asking, NEEDED)
    assert asking.link.stop().called
    assert person.answer.called
    assert len(asking.network.attempts) == 1
    assert asking.heard.take() == []
    assert not asking.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("own", "refusals", "line"),
    [
        ({}, [NEEDED], "alice needs a password: put it into the environment"),
        ({"given": "x"}, [NEEDED, WRONG], "alice cannot log in: Wrong name or"),
        ({"given": "x", "private": False}, [NEEDED], "alice needs a password, and"),
    ],
)
def test_where_nobody_is_asked_it_ends(
    own: dict[str, Any], refusals: list[str], line: str
) -> None:
    world = World(**own)
    world.link.start()
    be_refused(world, *refusals)
    ((status, reason),) = world.heard.take()  # type: ignore[misc]
    assert status == Status.REFUSED
    assert reason.startswith(line)
    world.clock.advance(1000)
    assert len(world.network.attempts) == 1
    assert not world.clock.getDelayedCalls()
