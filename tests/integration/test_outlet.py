"""The real outlet: sockets on loopback, and what the kernel says of them."""

import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from chatd.server.outlet import Outlet, Ticker, Traffic

SECONDS = 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's TCP_INFO")


class Side(Protocol):
    """The daemon's end: an outlet, and what it reported."""

    def __init__(self, accepted: "Deferred[Side]") -> None:
        self._accepted = accepted
        self.reports: list[int] = []
        self.reported: list[tuple[int, Deferred[None]]] = []
        self.gone: Deferred[None] = Deferred()
        self.traffic = Traffic()

    def connectionMade(self) -> None:
        from twisted.internet import reactor

        self.ticker = Ticker(reactor)  # type: ignore[arg-type]
        transport: Any = self.transport
        self.outlet = Outlet(transport, self.ticker, self.traffic, self._report)
        self._accepted.callback(self)

    def _report(self, acknowledged: int) -> None:
        self.reports.append(acknowledged)
        for upto, done in list(self.reported):
            if acknowledged >= upto:
                self.reported.remove((upto, done))
                done.callback(None)

    def acknowledged(self, upto: int) -> Deferred[None]:
        """Fire when so many bytes are reported."""
        from twisted.internet import reactor

        done: Deferred[None] = Deferred()
        if self.outlet.written - self.outlet.outstanding >= upto:
            done.callback(None)
        else:
            self.reported.append((upto, done))
        return done.addTimeout(SECONDS, reactor)  # type: ignore[arg-type]

    def connectionLost(self, reason: object = None) -> None:
        self.outlet.lost()
        self.gone.callback(None)


class Pair:
    """Both ends of a connection: the daemon's, and a socket that reads when told."""

    def __init__(self, side: Side, peer: socket.socket) -> None:
        self.side = side
        self.peer = peer

    def read(self, size: int) -> None:
        """Read so many bytes; they must be there or on their way."""
        self.peer.setblocking(False)
        while size:
            try:
                size -= len(self.peer.recv(min(size, 1 << 16)))
            except BlockingIOError:
                return


Connect = Callable[[str], Any]


@pytest_twisted.async_yield_fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    from twisted.internet import reactor

    undo: list[Callable[[], Any]] = []

    async def make(kind: str) -> Pair:
        accepted: Deferred[Side] = Deferred()
        factory = Factory.forProtocol(lambda: Side(accepted))
        peer: socket.socket
        if kind == "tcp":
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
            peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        else:
            path = str(tmp_path / "socket")
            port = reactor.listenUNIX(path, factory)  # type: ignore[attr-defined]
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(path)
        side = await accepted
        undo.append(port.stopListening)
        undo.append(lambda: side.gone)
        undo.append(peer.close)
        return Pair(side, peer)

    yield make
    for each in reversed(undo):
        await pytest_twisted_wait(each())


async def pytest_twisted_wait(result: object) -> None:
    if isinstance(result, Deferred):
        await result


@pytest_twisted.ensureDeferred
async def test_what_a_reader_took_is_acknowledged_to_the_byte(connect: Connect) -> None:
    pair = await connect("tcp")
    outlet = pair.side.outlet
    for data in (b"x", b"y" * 1_000, b"z" * 100_000):
        outlet.write(data)
    await outlet.drained()
    pair.read(101_001)
    await pair.side.acknowledged(101_001)
    assert pair.side.reports[-1] == 101_001
    assert outlet.outstanding == 0
    assert pair.side.traffic.unsent == 0


@linux
@pytest_twisted.ensureDeferred
async def test_what_a_peers_kernel_has_no_room_for_is_outstanding(
    connect: Connect,
) -> None:
    pair = await connect("tcp")
    outlet = pair.side.outlet
    size = 32 << 20
    outlet.write(b"x" * size)
    await pair.side.acknowledged(1)
    assert outlet.unsent > 0
    assert 0 < outlet.written - outlet.outstanding < size
    assert pair.side.traffic.unsent == size


@pytest_twisted.ensureDeferred
async def test_a_lost_connection_lets_everybody_go(connect: Connect) -> None:
    pair = await connect("tcp")
    outlet = pair.side.outlet
    outlet.write(b"x" * (32 << 20))
    drained = outlet.drained()
    assert not drained.called
    pair.peer.close()
    await drained
    await pair.side.gone
    assert pair.side.traffic.unsent == 0
    outlet.write(b"dropped")
    assert outlet.written == 32 << 20


@pytest_twisted.ensureDeferred
async def test_on_a_unix_socket_what_was_handed_over_counts_as_acknowledged(
    connect: Connect,
) -> None:
    pair = await connect("unix")
    outlet = pair.side.outlet
    outlet.write(b"hello")
    await outlet.drained()
    await pair.side.acknowledged(5)
    assert outlet.outstanding == 0
