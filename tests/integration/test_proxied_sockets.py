"""A port for proxies on real sockets: the connection takes over the transport."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from proxying import v1, v2
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from chatd.limits import Limits
from chatd.listening import endpoints
from chatd.server.connection import Connection
from chatd.server.factory import ChatFactory
from chatd.server.gauges import TCPGauge, UnixGauge

PROMPT = b"Enter your username: "
SECONDS = 60


async def turn() -> None:
    """Let the reactor look at its sockets."""
    from twisted.internet import reactor

    await deferLater(reactor, 0.001)  # type: ignore[arg-type]


async def until(happened: Callable[[], object]) -> None:
    """Let the reactor turn until something has happened."""
    from twisted.internet import reactor

    clock: Any = reactor
    deadline = clock.seconds() + SECONDS
    while not happened():
        assert clock.seconds() < deadline
        await turn()


class Port:
    """A port for proxies, and a proxy that connects to it."""

    def __init__(self, chat: ChatFactory, proxy: socket.socket) -> None:
        self.chat = chat
        self.proxy = proxy
        self.heard = b""
        proxy.setblocking(False)

    def hear(self) -> bytes:
        """Return what came so far."""
        with suppress(BlockingIOError):
            self.heard += self.proxy.recv(4096)
        return self.heard

    @property
    def connection(self) -> Connection:
        (connection,) = self.chat._connections
        return connection


Listen = Callable[[str], Any]


@pytest_twisted.async_yield_fixture
async def listen(tmp_path: Path) -> AsyncIterator[Listen]:
    from twisted.internet import reactor

    ports: list[Any] = []
    made: list[Port] = []

    async def make(kind: str) -> Port:
        path = str(tmp_path / "socket")
        where = "tcp:0:interface=127.0.0.1" if kind == "tcp" else f"unix:{path}"
        chat = ChatFactory(Limits(), reactor)  # type: ignore[arg-type]
        (endpoint,) = endpoints(reactor, f"haproxy:{where}")
        ports.append(await endpoint.listen(chat))
        if kind == "tcp":
            address = ("127.0.0.1", ports[-1].getHost().port)
            made.append(Port(chat, socket.create_connection(address)))
        else:
            made.append(Port(chat, socket.socket(socket.AF_UNIX)))
            made[-1].proxy.connect(path)
        return made[-1]

    yield make
    for each in made:
        each.proxy.close()
        await each.chat.all_gone()
    for port in ports:
        await _done(port.stopListening())


async def _done(result: object) -> None:
    if isinstance(result, Deferred):
        await result


@pytest.mark.parametrize(("kind", "gauge"), [("tcp", TCPGauge), ("unix", UnixGauge)])
@pytest_twisted.ensureDeferred
async def test_the_kernel_is_asked_as_without_a_proxy(
    kind: str, gauge: type, listen: Listen
) -> None:
    port = await listen(kind)
    port.proxy.sendall(v1("192.0.2.1"))
    await until(lambda: port.hear() == PROMPT)
    outlet = port.connection.outlet
    assert isinstance(outlet._gauge, gauge)
    await until(lambda: not outlet.outstanding)
    assert outlet.written == len(PROMPT)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("header", [v1("192.0.2.1"), v2("192.0.2.1")])
@pytest_twisted.ensureDeferred
async def test_a_header_byte_by_byte_and_half_a_close(
    kind: str, header: bytes, listen: Listen
) -> None:
    port = await listen(kind)
    for byte in header:
        port.proxy.sendall(bytes((byte,)))
        await turn()
    port.proxy.shutdown(socket.SHUT_WR)
    await until(lambda: port.hear().endswith(b"Goodbye.\n"))
    assert port.heard == PROMPT + b"\nGoodbye.\n"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_what_is_no_header_is_answered_and_closed(
    kind: str, listen: Listen
) -> None:
    port = await listen(kind)
    port.proxy.sendall(b"alice\n")
    await until(lambda: port.hear().endswith(b"\n"))
    assert port.heard.startswith(b"This port is for proxies only")
    assert not port.chat._connections
