"""TLS between the daemon's port and the client's endpoint, on loopback."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any
from unittest.mock import patch

import pytest
import pytest_twisted
from certificates import DAY, Made
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from chatd.client.connection.pins import Pins
from chatd.client.connection.tls import Authorities, TLSEndpoint
from chatd.client.connection.trust import Rejected, Trust
from chatd.client.statuses import Status
from chatd.listening import endpoints
from chatd.server import tls
from chatd.wire.answers import Refusal

SECONDS = 60
SERVER = "127.0.0.1:5556"


@implementer(IHalfCloseableProtocol)
class Server(Protocol):
    """The daemon's end: it greets, and keeps what it hears."""

    transport: Any

    def __init__(self, world: "World") -> None:
        self.heard = b""
        self.ended = False
        self.gone: Deferred[None] = Deferred()
        world.accepted.append(self)

    def connectionMade(self) -> None:
        self.transport.write(b"Hello\n")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def readConnectionLost(self) -> None:
        self.ended = True
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: object = None) -> None:
        self.gone.callback(None)


class Client(Protocol):
    """The client's end: it speaks at once, as `chat` does."""

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.greeted: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"/json\n")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self.heard.endswith(b"\n"):
            self.greeted.callback(None)

    def connectionLost(self, reason: object = None) -> None:
        self.gone.callback(None)


class Person:
    """Somebody who is asked, and answers so."""

    def __init__(self, answer: bool | None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._answer = answer

    def ask(self, *lines: str) -> Deferred[bool]:
        self.asked.append(lines)
        return Deferred() if self._answer is None else succeed(self._answer)


class World:
    """A TLS port, and clients of it."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = folder
        self.accepted: list[Server] = []
        self.ports: list[Any] = []
        self.told: list[str] = []
        self.port = 0

    async def listen(self, made: Made) -> None:
        made.write(self.folder)
        where = (
            f"ssl:0:interface=127.0.0.1:privateKey={self.folder}/key.pem"
            f":certKey={self.folder}/cert.pem"
        )
        (endpoint,) = endpoints(self.reactor, where)
        self.took(await endpoint.listen(Factory.forProtocol(lambda: Server(self))))  # type: ignore[arg-type]

    def took(self, port: Any) -> None:
        self.ports.append(port)
        self.port = port.getHost().port

    def endpoint(
        self,
        trust: Trust,
        person: Person | None = None,
        *,
        host: str = "127.0.0.1",
        seconds: float = SECONDS,
    ) -> TLSEndpoint:
        tcp = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port)
        return TLSEndpoint(
            tcp,
            self.reactor,
            Authorities(host),
            trust,
            person,
            self.told.append,
            seconds,
        )

    async def connect(
        self, trust: Trust, person: Person | None = None, **options: Any
    ) -> Client:
        """Connect, say hello in both directions, and part."""
        connecting: Any = self.endpoint(trust, person, **options).connect(
            Factory.forProtocol(Client)
        )
        client: Client = await connecting.addTimeout(SECONDS, self.reactor)
        await client.greeted.addTimeout(SECONDS, self.reactor)
        assert client.heard == b"Hello\n"
        client.transport.loseConnection()
        await client.gone.addTimeout(SECONDS, self.reactor)
        await self.parted()
        assert self.accepted[-1].heard == b"/json\n"
        return client

    async def parted(self) -> None:
        for each in self.accepted:
            await each.gone.addTimeout(SECONDS, self.reactor)

    async def refused(
        self, trust: Trust, person: Person | None = None, **options: Any
    ) -> Rejected:
        """Connect in vain; the server has heard nothing."""
        with pytest.raises(Rejected) as caught:
            await self.connect(trust, person, **options)
        await self.parted()
        assert [each.heard for each in self.accepted] == [b""] * len(self.accepted)
        return caught.value


@pytest_twisted.async_yield_fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    for port in world.ports:
        await port.stopListening()


@pytest.fixture
def pins(tmp_path: Path) -> Callable[[], Pins]:
    return lambda: Pins(tmp_path / "known_servers")


MakePins = Callable[[], Pins]


@pytest_twisted.ensureDeferred
async def test_a_given_fingerprint_is_enough_and_kept(
    world: World, pins: MakePins
) -> None:
    made = Made("localhost")
    await world.listen(made)
    await world.connect(Trust(SERVER, pins(), made.fingerprint))
    while pins().of(SERVER) != made.fingerprint:
        await turn(world)
    await world.connect(Trust(SERVER, pins()))


@pytest_twisted.ensureDeferred
async def test_a_person_is_asked_once(world: World, pins: MakePins) -> None:
    made = Made("localhost")
    await world.listen(made)
    person = Person(True)
    trust = Trust(SERVER, pins())
    await world.connect(trust, person)
    await world.connect(trust, person)
    await world.connect(Trust(SERVER, pins()), person)
    (lines,) = person.asked
    assert made.fingerprint in lines
    assert [each.heard for each in world.accepted] == [b"", *[b"/json\n"] * 3]


@pytest_twisted.ensureDeferred
async def test_a_no_ends_it_and_nothing_was_sent(world: World, pins: MakePins) -> None:
    await world.listen(Made("localhost"))
    rejected = await world.refused(Trust(SERVER, pins()), Person(False))
    assert rejected.status == Status.CERTIFICATE
    assert pins().of(SERVER) is None


@pytest_twisted.ensureDeferred
async def test_where_nobody_can_be_asked_nothing_is_sent(
    world: World, pins: MakePins
) -> None:
    made = Made("localhost")
    await world.listen(made)
    rejected = await world.refused(Trust(SERVER, pins()))
    assert str(rejected).endswith(f"--fingerprint {made.fingerprint}")


@pytest_twisted.ensureDeferred
async def test_another_certificate_than_the_pinned_gets_nothing(
    world: World, pins: MakePins
) -> None:
    made, other = Made("localhost"), Made("localhost")
    pins().keep(SERVER, other.fingerprint)
    await world.listen(made)
    person = Person(True)
    rejected = await world.refused(Trust(SERVER, pins()), person)
    assert f"is {made.fingerprint}, and was {other.fingerprint}" in str(rejected)
    assert person.asked == []
    assert pins().of(SERVER) == other.fingerprint


@pytest_twisted.ensureDeferred
async def test_a_pin_that_cannot_be_kept_is_told_and_counts_for_now(
    world: World,
) -> None:
    await world.listen(Made("localhost"))
    trust = Trust(SERVER, Pins(None))
    await world.connect(trust, Person(True))
    (line,) = world.told
    assert line.startswith("The certificate is accepted for now only.")
    await world.connect(trust)


@pytest_twisted.ensureDeferred
async def test_who_stops_while_a_person_thinks_leaves_nothing_behind(
    world: World, pins: MakePins
) -> None:
    await world.listen(Made("localhost"))
    person = Person(None)
    connecting = world.endpoint(Trust(SERVER, pins()), person).connect(
        Factory.forProtocol(Client)  # type: ignore[arg-type]
    )
    while not person.asked:
        await turn(world)
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    await world.parted()


async def turn(world: World) -> None:
    done: Deferred[None] = Deferred()
    world.reactor.callLater(0.001, done.callback, None)
    await done


# Authorities --------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Return an authority that this system trusts."""
    made = Made(authority=True)
    path = tmp_path / "authority.pem"
    path.write_bytes(made.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "bücher.example"])
@pytest_twisted.ensureDeferred
async def test_whom_an_authority_vouches_for_is_trusted_and_not_pinned(
    world: World, pins: MakePins, authority: Made, host: str
) -> None:
    hosts = ("127.0.0.1", "localhost", "xn--bcher-kva.example")
    await world.listen(Made(*hosts, issuer=authority))
    await world.connect(Trust(SERVER, pins()), host=host)
    assert pins().of(SERVER) is None


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            lambda it: Made("127.0.0.2", "x.example", issuer=it),
            "it is not for 127.0.0.1",
        ),
        (lambda it: Made(issuer=it), "it is not for 127.0.0.1"),
        (lambda it: Made("127.0.0.1"), "no authority that this system trusts"),
        (
            lambda it: Made("127.0.0.1", issuer=Made(authority=True)),
            "no authority that this system trusts",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_whom_no_authority_vouches_for_is_asked_about(
    world: World, pins: MakePins, authority: Made, made: Any, why: str
) -> None:
    await world.listen(made(authority))
    rejected = await world.refused(Trust(SERVER, pins()))
    assert f"is not known: {why}" in str(rejected)


@pytest_twisted.ensureDeferred
async def test_an_authoritys_word_ends_with_the_certificate(
    world: World, pins: MakePins, authority: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = "chatd.certificates.ServerCertificate._date"
    monkeypatch.setattr(long_ago, lambda self: NOW - 2 * DAY)
    ends = NOW - DAY
    await world.listen(
        Made("127.0.0.1", begins=ends - 7 * DAY, ends=ends, issuer=authority)
    )
    rejected = await world.refused(Trust(SERVER, pins()))
    assert "is not known: it has expired." in str(rejected)


# Others -------------------------------------------------------------------------------


class Other(Protocol):
    """A server that says this, and no TLS."""

    transport: Any
    says = b""

    def connectionMade(self) -> None:
        if self.says:
            self.transport.write(self.says)


def other(world: World, says: bytes) -> None:
    protocol = type("Saying", (Other,), {"says": says})
    world.took(
        world.reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
    )


@pytest.mark.parametrize("says", [b"Enter your username: ", b"SSH-2.0-x\r\n"])
@pytest_twisted.ensureDeferred
async def test_a_server_without_tls_is_told_at_once(
    world: World, pins: MakePins, says: bytes
) -> None:
    other(world, says)
    rejected = await world.refused(Trust(SERVER, pins()))
    assert rejected.status == Status.NOT_CHATD
    assert str(rejected).startswith(f"{SERVER} speaks no TLS: leave --tls away")


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_fails_is_told_at_once(
    world: World, pins: MakePins
) -> None:
    other(world, b"\x15\x03\x03\x00\x02\x02\x28")  # a fatal alert: handshake failure
    rejected = await world.refused(Trust(SERVER, pins()))
    assert rejected.status == Status.NOT_CHATD
    assert str(rejected).startswith(f"TLS with {SERVER} failed: ")


@pytest_twisted.ensureDeferred
async def test_a_handshake_has_a_deadline(world: World, pins: MakePins) -> None:
    other(world, b"")
    with pytest.raises(error.TimeoutError):
        await world.connect(Trust(SERVER, pins()), seconds=0.01)


class Plain(Client):
    """A client without TLS."""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


@pytest_twisted.ensureDeferred
async def test_a_client_without_tls_is_told_so_at_a_tls_port(world: World) -> None:
    await world.listen(Made("localhost"))
    tcp = TCP4ClientEndpoint(world.reactor, "127.0.0.1", world.port)
    client: Any = await tcp.connect(Factory.forProtocol(Plain))
    await client.gone.addTimeout(SECONDS, world.reactor)
    assert client.heard.decode() == f"{Refusal('not-tls').text}\n"
    await world.parted()


@pytest_twisted.ensureDeferred
async def test_a_client_that_goes_in_the_midst_of_a_handshake_leaves_nothing(
    world: World,
) -> None:
    await world.listen(Made("localhost"))
    for hello in (b"", b"\x16\x03\x01"):
        with contextlib.suppress(error.ConnectionDone):
            tcp = TCP4ClientEndpoint(world.reactor, "127.0.0.1", world.port)
            client: Any = await tcp.connect(Factory.forProtocol(Protocol))
            client.transport.write(hello)
            client.transport.loseConnection()
        while not world.accepted:
            await turn(world)
        await world.parted()
        assert not world.accepted.pop().ended


def s_client(port: int) -> Popen[bytes]:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    return Popen(command, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, bufsize=0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
@pytest_twisted.ensureDeferred
async def test_who_asks_for_new_keys_without_end_is_cut_off(world: World) -> None:
    """Each is answered: they must neither fill memory nor keep the daemon busy."""
    await world.listen(Made("localhost"))
    with patch.object(tls, "MAX_STEPS", 60), s_client(world.port) as client:
        assert client.stdin is not None
        assert client.stderr is not None
        os.set_blocking(client.stderr.fileno(), False)
        asked, said = 0, b""
        while not (world.accepted and world.accepted[0].gone.called) and asked < 200:
            await turn(world)
            said += client.stderr.read() or b""
            # It sees only the first of those that it reads at once.
            if said.count(b"KEYUPDATE") == asked:
                asked += 1
                with contextlib.suppress(BrokenPipeError):
                    client.stdin.write(b"K\n")  # how it is told to ask
        client.kill()
    assert 5 < asked < 200
    await world.parted()
