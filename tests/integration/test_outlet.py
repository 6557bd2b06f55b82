"""The real outlet: sockets on loopback, and what the kernel says of them."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from chatd.listening import endpoints
from chatd.server import gauges
from chatd.server.outlet import Outlet, Traffic
from chatd.server.tcp import read_at_once, tcp_info
from chatd.server.ticker import TICK_SECONDS, Ticker
from chatd.turn import Turn

SECONDS = 60
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's TCP_INFO")
KINDS = ("tcp", "tls", "unix")


class Reports:
    """What was reported."""

    def __init__(self, reports: list[int]) -> None:
        self._reports = reports

    def progress(self, acknowledged: int) -> None:
        self._reports.append(acknowledged)


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
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionMade(self) -> None:
        from twisted.internet import reactor

        self.ticker = Ticker(reactor, Turn(reactor))  # type: ignore[arg-type]
        transport: Any = self.transport
        self.outlet = Outlet(transport, self.ticker, self.traffic, self)
        self._accepted.callback(self)

    def progress(self, acknowledged: int) -> None:
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
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while read < size:
                data = self.peer.recv(min(size - read, 1 << 16))
                if not data:
                    break
                read += len(data)
        return read


Connect = Callable[[str], Any]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a private key and a certificate for it."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(pem)
    )
    return path


async def shake_hands(peer: socket.socket) -> ssl.SSLSocket:
    """Make a connected socket speak TLS, while the reactor turns."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    peer.setblocking(False)
    secure = context.wrap_socket(peer, do_handshake_on_connect=False)

    def done() -> bool:
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.do_handshake()
            return True
        return False

    await until(done)
    return secure


@pytest_twisted.async_yield_fixture
async def connect(tmp_path: Path, certificate: Path) -> AsyncIterator[Connect]:
    from twisted.internet import reactor

    undo: list[Callable[[], Any]] = []

    async def make(kind: str) -> Pair:
        accepted: Deferred[Side] = Deferred()
        factory = Factory.forProtocol(lambda: Side(accepted))
        peer: socket.socket
        if kind == "tcp":
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
            peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        elif kind == "tls":
            (endpoint,) = endpoints(
                reactor, f"ssl:0:interface=127.0.0.1:privateKey={certificate}"
            )
            port = await endpoint.listen(factory)
            peer = socket.create_connection(("127.0.0.1", port.getHost().port))
            peer = await shake_hands(peer)
        else:
            path = str(tmp_path / "socket")
            port = reactor.listenUNIX(path, factory)  # type: ignore[attr-defined]
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(path)
        side = await accepted
        if kind == "tls":
            # As a login does: with it the handshake is done on both sides.
            peer.send(b"alice")
            await until(lambda: side.heard == b"alice")
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


def reactor_() -> Any:
    from twisted.internet import reactor

    return reactor


def acknowledged_by(connection: socket.socket) -> int:
    info = tcp_info(connection)
    assert info is not None
    return info.acknowledged


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


@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_what_a_reader_took_is_acknowledged_to_the_byte(
    connect: Connect, kind: str
) -> None:
    pair = await connect(kind)
    outlet = pair.side.outlet
    for data in (b"x", b"y" * 1_000, b"z" * 100_000):
        outlet.write(data)
    await outlet.drained()
    read = 0

    def all_read() -> bool:
        nonlocal read
        read += pair.read(101_001 - read)
        return read == 101_001

    await until(all_read)
    await pair.side.acknowledged(101_001)
    assert pair.side.reports[-1] == 101_001
    assert outlet.outstanding == 0
    assert pair.side.traffic.unsent == 0


@linux
@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_what_a_peers_kernel_has_no_room_for_is_outstanding(
    connect: Connect, kind: str
) -> None:
    pair = await connect(kind)
    outlet = pair.side.outlet
    size = 32 << 20
    for _ in range(32):
        outlet.write(b"x" * (1 << 20))
    await pair.side.acknowledged(1)
    assert outlet.unsent > 0
    assert 0 < outlet.written - outlet.outstanding < size
    assert pair.side.traffic.unsent == outlet.unsent


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


@linux
@pytest_twisted.ensureDeferred
async def test_on_a_unix_socket_what_the_program_has_not_read_is_outstanding(
    connect: Connect,
) -> None:
    pair = await connect("unix")
    outlet = pair.side.outlet
    outlet.write(b"hello")
    await outlet.drained()
    for _ in range(3):
        await turn()
        outlet.look()
    assert outlet.outstanding == 5
    assert pair.read(3) == 3
    outlet.look()
    assert outlet.outstanding == 5
    assert pair.read(2) == 2
    await pair.side.acknowledged(5)
    assert outlet.outstanding == 0


@linux
@pytest.mark.parametrize("rest", [0, 2])
@pytest_twisted.ensureDeferred
async def test_on_a_unix_socket_what_the_program_left_unread_is_never_acknowledged(
    connect: Connect, rest: int
) -> None:
    """It is looked for before the reactor hears that the program has gone."""
    pair = await connect("unix")
    outlet = pair.side.outlet
    outlet.write(b"hello")
    await outlet.drained()
    pair.read(5 - rest)
    pair.peer.close()
    outlet.look()
    assert outlet.outstanding == (5 if rest else 0)


@linux
@pytest_twisted.ensureDeferred
async def test_under_tls_what_the_program_never_read_is_acknowledged_by_its_machine(
    connect: Connect,
) -> None:
    pair = await connect("tls")
    outlet = pair.side.outlet
    for _ in range(100):
        outlet.write(b"hello")
    await pair.side.acknowledged(500)
    assert pair.side.reports[-1] == 500


@linux
@pytest_twisted.ensureDeferred
async def test_under_tls_nothing_counts_that_went_no_further_than_this_machine(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ciphertext of a byte is longer: one less of that, and the byte is not there.

    The peer's kernel is said to have all but the last byte.
    """
    pair = await connect("tls")
    outlet = pair.side.outlet
    outlet.write(b"hello")
    await pair.side.acknowledged(5)

    def all_but_one(connection: socket.socket) -> Any:
        info = tcp_info(connection)
        assert info is not None
        return info._replace(acknowledged=info.acknowledged - 1)

    monkeypatch.setattr(gauges, "tcp_info", all_but_one)
    outlet.write(b"x")
    await outlet.drained()
    await until(lambda: pair.read(100) > 0)
    for _ in range(3):
        await deferLater(reactor_(), 2 * TICK_SECONDS)
    assert outlet.outstanding == 1
    monkeypatch.undo()
    await pair.side.acknowledged(6)


@linux
@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_acknowledgements_are_seen_as_a_slow_peer_reads(
    connect: Connect, kind: str
) -> None:
    """Each is for bytes that its kernel has, and the last is for them all."""
    pair = await connect(kind)
    outlet, size = pair.side.outlet, 32 << 20
    for _ in range(32):
        outlet.write(b"x" * (1 << 20))
    await pair.side.acknowledged(1)
    read = 0
    while read < size:
        await turn()  # else nothing more is sent once all is acknowledged
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
    await until(lambda: acknowledged_by(pair.side.transport.getHandle()) == 6)
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
    second = Outlet(transport, pair.side.ticker, Traffic(), Reports(reports))
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
    monkeypatch.setattr(gauges, "bytes_acknowledged", lambda connection: None)
    pair.side.outlet.write(b"hello")
    await pair.side.outlet.drained()
    pair.side.outlet.look()
    assert pair.side.reports == []
    assert pair.side.outlet.outstanding == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest_twisted.ensureDeferred
async def test_nothing_is_looked_for_once_all_is_acknowledged(
    connect: Connect, kind: str
) -> None:
    from twisted.internet import reactor

    pair = await connect(kind)
    for _ in range(3):
        pair.side.outlet.write(b"hello")
    await until(lambda: pair.read(15) > 0)
    await pair.side.acknowledged(15)
    await until(lambda: pair.side.ticker._call is None)
    await deferLater(reactor, 3 * TICK_SECONDS)  # type: ignore[arg-type]
    assert pair.side.ticker._call is None
    assert not pair.side.ticker._waiting


@pytest.mark.parametrize("kind", KINDS)
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

    def all_read() -> bool:
        pair.read(1 << 20)
        return not outlet.outstanding

    await until(all_read)
    assert drained.called
    # The part that was handed over first may be known to be read before the rest.
    assert pair.side.reports[-1] == size
    assert pair.side.reports == sorted(set(pair.side.reports))


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_what_is_written_while_the_rest_drains_is_drained_with_it(
    connect: Connect, kind: str
) -> None:
    pair = await connect(kind)
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


# A machine that is gone -------------------------------------------------------------

DEAD_PEERS = Path(__file__).with_name("dead_peers.py")


def in_a_network_of_its_own(*arguments: str) -> list[str]:
    """Run a program of peers where it can cut its only link; return what it says."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare (util-linux) and ip (iproute2)")
    private = ["unshare", "--net"]
    if os.geteuid():
        private += ["--user", "--map-root-user"]
    done = subprocess.run(
        [*private, sys.executable, DEAD_PEERS, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "unshare" in done.stderr:
        pytest.skip(f"needs a network namespace: {done.stderr.strip()}")
    assert done.stderr == ""
    return done.stdout.splitlines()


@linux
def test_a_machine_that_answers_nothing_is_found_dead() -> None:
    assert in_a_network_of_its_own("reads", "cut", "30") == ["cut off"]


@linux
def test_a_machine_that_took_nothing_and_then_answers_nothing_is_found_dead() -> None:
    said = in_a_network_of_its_own("stuck", "cut", "30")
    assert said == ["takes nothing", "cut off"]


@linux
def test_a_machine_that_takes_nothing_but_answers_is_never_cut_off() -> None:
    said = in_a_network_of_its_own("stuck", "alive", "3")
    assert said[:2] == ["takes nothing", "there, 0 probes unanswered"]


@linux
def test_a_machine_that_was_silent_for_long_has_its_time_to_answer() -> None:
    said = in_a_network_of_its_own("reads", "alive", "2")
    assert said[0] == "there, 0 probes unanswered"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_what_is_corked_comes_with_what_follows(
    connect: Connect, kind: str
) -> None:
    pair = await connect(kind)
    outlet = pair.side.outlet
    outlet.write(b"first ")
    outlet.cork()
    await turn()
    outlet.write(b"second")
    await turn()
    pair.peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        pair.peer.recv(100)
    assert outlet.unsent == len(b"first second")
    outlet.uncork()
    await until(lambda: not outlet.unsent)
    assert pair.peer.recv(100) == b"first second"


@pytest_twisted.ensureDeferred
async def test_what_is_corked_and_uncorked_in_one_turn_is_sent_once(
    connect: Connect,
) -> None:
    pair = await connect("tcp")
    outlet = pair.side.outlet
    outlet.write(b"first ")
    outlet.cork()
    outlet.write(b"second")
    outlet.uncork()
    await until(lambda: not outlet.unsent)
    await pair.side.acknowledged(len(b"first second"))
    assert pair.peer.recv(100) == b"first second"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_what_has_come_can_be_read_at_once(connect: Connect, kind: str) -> None:
    pair = await connect(kind)
    read_at_once(pair.side.transport)
    assert pair.side.heard == b""
    pair.peer.sendall(b"alice\n")
    read_at_once(pair.side.transport)
    assert pair.side.heard == b"alice\n"
    pair.peer.shutdown(socket.SHUT_WR)
    read_at_once(pair.side.transport)
    await pair.side.gone


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_taken_ends_the_connection_as_ever(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = await connect("tcp")

    def fail(data: bytes) -> None:
        raise LookupError

    monkeypatch.setattr(pair.side, "dataReceived", fail)
    pair.peer.sendall(b"alice\n")
    with pytest.raises(LookupError):
        read_at_once(pair.side.transport)
    await pair.side.gone
