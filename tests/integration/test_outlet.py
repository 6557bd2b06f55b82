"""The real outlet: sockets on loopback, and what the kernel says of them."""

import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from chatd.server import outlet as outlet_module
from chatd.server.outlet import TICK_SECONDS, Outlet, Ticker, Traffic
from chatd.server.tcp import bytes_acknowledged

SECONDS = 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's TCP_INFO")


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """The daemon's end: an outlet, and what it reported."""

    transport: Any

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

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: object = None) -> None:
        self.outlet.lost()
        self.gone.callback(None)


class Pair:
    """Both ends of a connection: the daemon's, and a socket that reads when told."""

    def __init__(self, side: Side, peer: socket.socket) -> None:
        self.side = side
        self.peer = peer

    def read(self, size: int) -> int:
        """Read so many bytes, or what is there; return how many those were."""
        self.peer.setblocking(False)
        read = 0
        with contextlib.suppress(BlockingIOError):
            while read < size:
                data = self.peer.recv(min(size - read, 1 << 16))
                if not data:
                    break
                read += len(data)
        return read


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


async def turn() -> None:
    """Let the reactor turn, and look at its sockets."""
    from twisted.internet import reactor

    await deferLater(reactor, 0.001)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Let the reactor turn until something is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        await turn()


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


@linux
@pytest_twisted.ensureDeferred
async def test_acknowledgements_are_seen_as_a_slow_peer_reads(connect: Connect) -> None:
    """Each is for bytes that its kernel has, and the last is for them all."""
    pair = await connect("tcp")
    outlet, size = pair.side.outlet, 32 << 20
    outlet.write(b"x" * size)
    await pair.side.acknowledged(1)
    read = 0
    while read < size:
        read += pair.read(1 << 20)
        await pair.side.acknowledged(read)
        assert pair.side.reports == sorted(set(pair.side.reports))
    assert pair.side.reports[-1] == size
    assert len(pair.side.reports) > 2
    assert outlet.unsent == 0


@linux
@pytest_twisted.ensureDeferred
async def test_the_end_of_the_connection_is_not_taken_for_a_byte(
    connect: Connect,
) -> None:
    """The kernel's count has the FIN in it."""
    pair = await connect("tcp")
    outlet = pair.side.outlet
    outlet.write(b"hello")
    await pair.side.acknowledged(5)
    ended: Deferred[None] = Deferred()
    pair.side.writeConnectionLost = lambda: ended.callback(None)
    pair.side.transport.loseWriteConnection()
    await ended
    assert pair.read(100) == 5
    await until(lambda: bytes_acknowledged(pair.side.transport.getHandle()) == 6)
    outlet.look()
    assert pair.side.reports == [5]
    assert outlet.outstanding == 0


@linux
@pytest_twisted.ensureDeferred
async def test_bytes_written_before_the_outlet_was_there_do_not_count(
    connect: Connect,
) -> None:
    pair = await connect("tcp")
    first = pair.side.outlet
    first.write(b"x" * 1_000)
    await pair.side.acknowledged(1_000)
    reports: list[int] = []
    transport: Any = pair.side.transport
    second = Outlet(transport, pair.side.ticker, Traffic(), reports.append)
    second.write(b"12345")
    await until(lambda: bool(reports))
    assert reports == [5]
    assert second.outstanding == 0
    second.lost()


@linux
@pytest_twisted.ensureDeferred
async def test_a_socket_that_no_longer_says_what_arrived_acknowledges_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = await connect("tcp")
    monkeypatch.setattr(outlet_module, "bytes_acknowledged", lambda connection: None)
    pair.side.outlet.write(b"hello")
    await pair.side.outlet.drained()
    pair.side.outlet.look()
    assert pair.side.reports == []
    assert pair.side.outlet.outstanding == 5


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_looked_for_once_all_is_acknowledged(
    connect: Connect, kind: str
) -> None:
    from twisted.internet import reactor

    pair = await connect(kind)
    for _ in range(3):
        pair.side.outlet.write(b"hello")
    await pair.side.acknowledged(15)
    await until(lambda: pair.side.ticker._call is None)
    await deferLater(reactor, 3 * TICK_SECONDS)  # type: ignore[arg-type]
    assert pair.side.ticker._call is None
    assert not pair.side.ticker._waiting


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_looked_for_once_the_connection_is_lost(
    connect: Connect, kind: str
) -> None:
    pair = await connect(kind)
    pair.side.outlet.write(b"x" * (32 << 20))
    await turn()
    pair.side.transport.abortConnection()
    await pair.side.gone
    reports = list(pair.side.reports)
    pair.side.outlet.look()
    assert pair.side.reports == reports
    assert pair.side.ticker._call is None


@pytest_twisted.ensureDeferred
async def test_on_a_unix_socket_what_was_not_handed_over_is_outstanding(
    connect: Connect,
) -> None:
    pair = await connect("unix")
    outlet, size = pair.side.outlet, 8 << 20
    outlet.write(b"x" * size)
    await turn()
    assert outlet.outstanding == size
    drained = outlet.drained()

    def has_drained() -> bool:
        pair.read(1 << 20)
        return drained.called

    await until(has_drained)
    await pair.side.acknowledged(size)
    assert pair.side.reports == [size]


@pytest_twisted.ensureDeferred
async def test_what_is_written_while_the_rest_drains_is_drained_with_it(
    connect: Connect,
) -> None:
    pair = await connect("tcp")
    outlet, size = pair.side.outlet, 8 << 20
    outlet.write(b"x" * size)
    drained = outlet.drained()
    outlet.write(b"y" * 1_000)
    read = 0

    def all_read() -> bool:
        nonlocal read
        read += pair.read(1 << 20)
        return read == size + 1_000

    await until(all_read)
    await drained
    await pair.side.acknowledged(size + 1_000)
    assert outlet.unsent == 0
    outlet.write(b"z")
    await outlet.drained()
    await pair.side.acknowledged(size + 1_001)
