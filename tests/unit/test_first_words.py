"""What a connection sends along with itself, and what it gets for that."""

from collections.abc import Callable

import pytest
from memory import MemoryServer, NearTransport
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from chatd.limits import Limits
from chatd.server import connection as connections
from chatd.store.records import User

PROMPT = b"Enter your username: "
RESERVED = b"The name 'me' is reserved. Please choose another name.\n"
HOME = IPv4Address("TCP", "127.0.0.1", 40_000)


class Script:
    """A connection over a socket that has the peer's first bytes already, or not."""

    def __init__(
        self,
        server: MemoryServer,
        monkeypatch: pytest.MonkeyPatch,
        first: bytes = b"",
    ) -> None:
        self.pieces: list[bytes] = []
        self.server = server

        class Socket(NearTransport):
            def send(_, data: bytes) -> int:  # noqa: N805
                self.pieces.append(data)
                return super().send(data)

        def read_at_once(transport: object) -> None:
            assert transport is self.transport
            if first:
                self.connection.dataReceived(first)

        monkeypatch.setattr(connections, "read_at_once", read_at_once)
        self.transport = Socket(server.clock, HOME)
        self.connection = server.factory.buildProtocol(HOME)
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        server.settle()

    def send(self, line: str) -> None:
        self.connection.dataReceived(f"{line}\n".encode())
        self.server.settle()


def test_a_name_that_came_at_once_is_greeted_in_one_piece_with_the_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script(MemoryServer(), monkeypatch, b"alice\n")
    (piece,) = script.pieces
    assert piece.startswith(PROMPT + b"Welcome, alice. You are new here.\n")


def test_who_says_nothing_gets_the_prompt_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script(MemoryServer(), monkeypatch)
    assert script.pieces == [PROMPT]
    script.send("alice")
    _, piece = script.pieces
    assert piece.startswith(b"Welcome, alice.")


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (b"/quit\n", b"Goodbye.\n"),
        (b"me\n", RESERVED + PROMPT),
        (b"\xff\n", b"Not valid UTF-8. Nothing was sent.\n" + PROMPT),
        (b"ali", b""),
    ],
)
def test_what_needs_no_look_up_is_answered_behind_the_prompt(
    first: bytes, last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(MemoryServer(), monkeypatch, first)
    assert b"".join(script.pieces) == PROMPT + last


def never(key: str) -> "Deferred[User | None]":
    return Deferred()


@pytest.mark.parametrize(
    "end",
    [
        lambda script: script.server.clock.advance(61),
        lambda script: script.connection.hang_up(),
    ],
)
def test_an_end_while_a_name_is_looked_up_keeps_nothing_back(
    end: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer(Limits(login_time=60))
    monkeypatch.setattr(server.store, "find_user", never)
    script = Script(server, monkeypatch, b"alice\n")
    assert script.pieces == []
    end(script)
    server.settle()
    assert b"".join(script.pieces).startswith(PROMPT)
    assert not script.connection.outlet.unsent
    assert script.transport.write_closed


def test_nothing_is_read_at_once_from_who_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = MemoryServer(Limits(connections=0))
    script = Script(server, monkeypatch, b"alice\n")
    (piece,) = script.pieces
    assert piece.startswith(b"Too many connections")
