"""A connection: handshake, login, what no chatd says, signs of life."""

import json

import pytest
from played_server import HELLO, PROMPT, WELCOME, Wire
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock

from chatd import __version__
from chatd.client.connection import connection
from chatd.client.connection.connection import Connection
from chatd.client.connection.events import (
    Event,
    Hello,
    Listing,
    Notice,
    Refused,
    Welcome,
)
from chatd.client.statuses import Status
from chatd.wire import objects
from chatd.wire.answers import Refusal


class World:
    """A connection, its server, and an owner that writes down what it is told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.held = False
        self.again = False
        self.known: str | None = None
        self.given_up = False
        self.told: list[object] = []
        self.connection = Connection(self, self.clock, "alice")
        self.wire = Wire(self.clock)
        self.wire.protocol = self.connection
        self.connection.makeConnection(self.wire)

    def connected(self, connection: Connection) -> None:
        self.told.append("connected")

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        self.told.append(f"in as {welcome.user}")

    def password(self) -> str | None:
        return self.known

    def login_refused(self, refused: Refused) -> bool:
        self.told.append(f"refused: {refused.code}")
        return self.again

    def happened(self, event: Event) -> None:
        self.told.append(event)

    def give_up(self, status: Status, reason: str) -> None:
        self.given_up = True
        self.told.append((status, reason))

    def disconnected(self, reason: str, *, was_in: bool) -> None:
        if not self.given_up:
            self.told.append(f"{'lost' if was_in else 'failed'}: {reason}")

    def take(self) -> list[object]:
        told, self.told = self.told, []
        return told

    def log_in(self) -> Wire:
        self.wire.say(PROMPT.strip(), HELLO, WELCOME)
        assert self.take() == ["in as alice"]
        self.wire.clear()
        return self.wire


@pytest.fixture
def world() -> World:
    world = World()
    assert world.take() == ["connected"]
    return world


# Handshake and login -----------------------------------------------------------------


def test_each_step_waits_for_what_answers_the_one_before(world: World) -> None:
    wire = world.wire
    assert wire.said() == [f"/json chat/{__version__}"]
    wire.protocol.dataReceived(b"Enter your username: ")
    assert wire.said() == []
    wire.say("")
    assert wire.said() == []
    wire.say(HELLO)
    assert [json.loads(line) for line in wire.said()] == [
        {"type": "login", "user": "alice"}
    ]
    assert world.take() == []
    wire.say(WELCOME)
    assert world.take() == ["in as alice"]


def test_it_matters_not_how_the_bytes_are_cut(world: World) -> None:
    wire = world.wire
    for byte in f"{PROMPT}{HELLO}\n{WELCOME}\n{objects.notice('Hi')}\n".encode():
        wire.protocol.dataReceived(bytes([byte]))
    assert world.take() == ["in as alice", Notice("Hi")]


def test_what_follows_the_welcome_at_once_comes_after_it(world: World) -> None:
    wire = world.wire
    wire.say(PROMPT.strip(), HELLO, WELCOME, objects.notice("Hi"))
    assert world.take() == ["in as alice", Notice("Hi")]


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
    wire = world.wire
    wire.say(*lines)
    ((status, reason),) = world.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD
    assert reason.startswith("The server is no chatd")
    assert wire.gone


def test_what_another_server_said_is_quoted_without_what_a_screen_would_obey(
    world: World,
) -> None:
    wire = world.wire
    wire.say("", "\x1b]0;title\x07" + 100 * "x")
    ((_, reason),) = world.take()  # type: ignore[misc]
    quoted = "\ufffd]0;title\ufffd" + 50 * "x" + "..."
    assert reason == f"The server is no chatd: it said {quoted!r}."


def test_a_line_without_an_end_is_not_gathered_for_ever(world: World) -> None:
    wire = world.wire
    wire.protocol.dataReceived(b"x" * (connection.MAX_LINE + 1))
    ((status, _),) = world.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD


def test_a_newer_protocol_ends_everything(world: World) -> None:
    wire = world.wire
    wire.say("", HELLO.replace('"protocol":1', '"protocol":2'))
    assert world.take() == [
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
    wire.say(line, objects.notice("never seen"))
    ((status, reason),) = world.take()  # type: ignore[misc]
    assert status == Status.NOT_CHATD
    assert reason.startswith(f"The server sent what no chatd sends, {line!r}: it")
    assert wire.gone


def test_a_refused_login_closes_the_connection_with_its_reason(world: World) -> None:
    world.again = True
    refusal = Refusal("too-many-names", limit=100)
    world.wire.say(PROMPT.strip(), HELLO, objects.error(refusal))
    assert world.take() == ["refused: too-many-names", f"failed: {refusal.text}"]
    assert world.wire.gone


def test_an_unknown_type_after_the_login_is_ignored(world: World) -> None:
    wire = world.log_in()
    wire.say('{"type":"typing"}', objects.names("who", [], 0))
    assert world.take() == [Listing("who", (), 0)]


def test_what_a_full_server_says_before_it_closes_is_told(world: World) -> None:
    wire = world.wire
    refusal = Refusal("too-many-connections", limit=1, scope="in all")
    wire.say(refusal.text)
    wire.lose(ConnectionDone())
    (told,) = world.take()
    assert str(told).startswith("failed: it said 'Too many connections (1 in all).")


def test_a_port_that_speaks_tls_only_ends_everything(world: World) -> None:
    world.wire.say(Refusal("not-tls").text)
    assert world.take() == [
        (
            Status.NOT_CHATD,
            "The server speaks TLS only on this port: use chat --tls.",
        )
    ]
    assert world.wire.gone


def test_a_server_that_says_nothing_is_given_up_in_time(world: World) -> None:
    wire = world.wire
    world.clock.advance(connection.HANDSHAKE_SECONDS - 1)
    assert not wire.gone
    world.clock.advance(1)
    assert wire.gone
    assert world.take() == ["failed: it does not answer as a chatd does"]


# Signs of life -----------------------------------------------------------------------


def test_a_server_that_stops_says_so_instead_of_an_error(world: World) -> None:
    wire = world.log_in()
    wire.say(objects.error(Refusal("shutting-down")))
    wire.lose(ConnectionDone())
    assert world.take() == ["lost: the server is stopping"]


def test_a_silent_server_is_asked_and_lives_if_it_answers(world: World) -> None:
    wire = world.log_in()
    for _ in range(3):
        world.clock.advance(connection.SILENT_SECONDS)
        assert [json.loads(line) for line in wire.said()] == [{"type": "ping"}]
        world.clock.advance(connection.ANSWER_SECONDS - 1)
        wire.say(objects.pong())
    assert not wire.gone


def test_a_server_that_gives_no_sign_of_life_is_lost(world: World) -> None:
    wire = world.log_in()
    world.clock.advance(connection.SILENT_SECONDS)
    world.clock.advance(connection.ANSWER_SECONDS - 1)
    assert not wire.gone
    world.clock.advance(1)
    assert wire.gone
    assert world.take() == ["lost: the server does not answer any more"]


def test_a_server_that_speaks_is_not_asked(world: World) -> None:
    wire = world.log_in()
    for _ in range(20):
        world.clock.advance(connection.SILENT_SECONDS / 2)
        wire.say(objects.notice("Hi"))
    assert wire.said() == []


# Leaving -----------------------------------------------------------------------------


def test_leaving_is_said_once_and_not_followed_by_pings(world: World) -> None:
    wire = world.log_in()
    world.connection.leave()
    world.connection.leave()
    assert [json.loads(line) for line in wire.said()] == [{"type": "quit"}]
    world.clock.advance(connection.SILENT_SECONDS)
    world.clock.advance(connection.ANSWER_SECONDS)
    assert wire.said() == []
    world.clock.advance(connection.LEAVING_SECONDS)
    assert wire.gone


# Passwords ---------------------------------------------------------------------------

NEEDED = objects.error(Refusal("password-needed", name="alice"))
WRONG = objects.error(Refusal("wrong-password"))


def test_a_password_that_is_known_is_sent_where_it_is_needed(world: World) -> None:
    world.known = "secret"
    world.wire.say(PROMPT.strip(), HELLO)
    assert "password" not in world.wire.said()[-1]
    world.wire.say(NEEDED)
    assert [json.loads(line) for line in world.wire.said()] == [
        {"type": "login", "user": "alice", "password": "secret"}
    ]
    assert world.take() == []
    world.wire.say(WELCOME)
    assert world.take() == ["in as alice"]


def test_a_password_is_tried_once_on_a_connection(world: World) -> None:
    for answer, code in ((WRONG, "wrong-password"), (NEEDED, "password-needed")):
        world = World()
        world.known = "secret"
        world.wire.say(PROMPT.strip(), HELLO, NEEDED)
        world.take()
        world.wire.said()
        world.wire.say(answer)
        assert world.wire.said() == []
        assert world.take()[0] == f"refused: {code}"
        assert world.wire.gone


def test_a_password_that_is_not_known_is_a_refusal(world: World) -> None:
    world.wire.say(PROMPT.strip(), HELLO, NEEDED)
    assert world.take()[0] == "refused: password-needed"
    assert world.wire.gone


def test_a_server_may_take_longer_to_check_a_password(world: World) -> None:
    world.known = "secret"
    world.clock.advance(connection.HANDSHAKE_SECONDS - 1)
    world.wire.say(PROMPT.strip(), HELLO, NEEDED)
    world.clock.advance(connection.PASSWORD_SECONDS - 1)
    assert not world.wire.gone
    world.clock.advance(1)
    assert world.wire.gone
