"""A whole chatd without a network, a disk or a thread.

The real hub, journal, forms and SQL; the store runs its statements on a database in
memory, in the reactor's thread, and a `Clock` takes the place of the reactor. So tests
that use it are deterministic, and can make the disk slow or full at any moment.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from chatd.accounts import Accounts
from chatd.credentials import Policy
from chatd.hub.gate import Gate
from chatd.hub.hub import Hub
from chatd.journal import HOLD_SECONDS, Journal
from chatd.limits import Limits
from chatd.passwords import Hasher
from chatd.server import outlet
from chatd.server.connection import Connection
from chatd.server.factory import ChatFactory
from chatd.store import migrations, queues, transactions
from chatd.store.records import Amount, Batch, Outcome, Seen, StoreFailure, User
from chatd.store.store import FORGET_AT_ONCE
from chatd.wire.block import Row

T = TypeVar("T")


class _ClosedAtTheEnd(sqlite3.Connection):
    """A connection that need not be closed: a newer Python warns of one that is not."""

    def __del__(self) -> None:
        self.close()


class _Slow(Generic[T]):
    """Something that the store was asked for and has not answered yet."""

    def __init__(self, work: Callable[[], Deferred[T]]) -> None:
        self.answered: Deferred[T] = Deferred()
        self._work = work
        self._done: Deferred[T] | None = None

    def carry_out(self) -> None:
        if self._done is None:
            self._done = self._work()

    def answer(self) -> None:
        self.carry_out()
        assert self._done is not None
        self._done.chainDeferred(self.answered)


class MemoryStore:
    """A store in memory, with the methods of `chatd.store.store.Store`.

    While `slow` is true, commits are carried out and answered by `catch_up` only, and
    while `slow_reads` is, reads by `answer_reads`. `lack` is why nothing new is stored
    (as on a full disk); `broken` makes every commit fail, `unreadable` every read.

    A thread may be done some time before the reactor hears of it: `write` carries out
    the commits that wait, `read` the reads, and neither answers anybody.

    The database is that of the `connection`, if one is given: as after a restart.
    """

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        if connection is None:
            connection = sqlite3.connect(
                ":memory:",
                isolation_level=None,
                # It may be collected while another test's thread runs.
                check_same_thread=False,
                factory=_ClosedAtTheEnd,
            )
            migrations.migrate(connection, migrations.load())
        self.connection = connection
        self.slow = False
        self.slow_reads = False
        self.lack: str | None = None
        self.broken = False
        self.unreadable = False
        self.commits: list[Batch] = []
        (self.users,) = connection.execute("SELECT COUNT(*) FROM users").fetchone()
        self.last_position = transactions.last_position(connection)
        self.id_secret = transactions.find_id_secret(connection)
        self.seen_last = transactions.names_seen_last(
            connection, transactions.LISTED_SEEN_LAST
        )
        self._commits: list[_Slow[Any]] = []
        self._reads: list[_Slow[Any]] = []

    def allot(self, messages: int = 1) -> int:
        first = self.last_position + 1
        self.last_position += messages
        return first

    def commit(self, batch: Batch) -> Deferred[Outcome]:
        return self._in_order(partial(self._carry_out, batch))

    def _in_order(self, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        if not self.slow:
            return work()
        self._commits.append(_Slow(work))
        return self._commits[-1].answered

    def write(self) -> None:
        """Carry out the commits that wait, without an answer."""
        for commit in self._commits:
            commit.carry_out()

    def catch_up(self) -> None:
        """Carry out the commits that wait, and answer them."""
        commits, self._commits = self._commits, []
        for commit in commits:
            commit.answer()

    def _carry_out(self, batch: Batch) -> Deferred[Outcome]:
        if self.broken:
            return fail(Failure(StoreFailure("disk I/O error")))
        self.commits.append(batch)
        outcome = transactions.write(self.connection, batch, self.lack)
        self.connection.commit()
        self.users += sum(1 for each in outcome.arrived if each is not None and each[1])
        return succeed(outcome)

    def read(self) -> None:
        """Carry out the reads that wait, without an answer."""
        for read in self._reads:
            read.carry_out()

    def answer_reads(self) -> None:
        """Carry out the reads that wait, and answer them."""
        reads, self._reads = self._reads, []
        for read in reads:
            read.answer()

    def _read(self, query: Callable[..., T], *args: object) -> Deferred[T]:
        def carry_out() -> Deferred[T]:
            if self.unreadable:
                return fail(Failure(StoreFailure("disk I/O error")))
            return succeed(query(self.connection, *args))

        if not self.slow_reads:
            return carry_out()
        self._reads.append(_Slow(carry_out))
        return self._reads[-1].answered

    def find_user(self, key: str) -> Deferred[User | None]:
        return self._read(transactions.find_user, key)

    def find_share(self, target: int, sender: str) -> Deferred[Amount]:
        def carry_out() -> Deferred[Amount]:
            return succeed(transactions.find_share(self.connection, target, sender))

        return self._in_order(carry_out)

    def page(
        self,
        target: int,
        name: str,
        after: int,
        max_bytes: int,
        *,
        as_lines: bool = False,
    ) -> Deferred[list[Row]]:
        return self._read(queues.page, target, name, after, max_bytes, as_lines)

    def find_stored_ids(
        self, sender: int, id: str
    ) -> Deferred[dict[int, tuple[int, bytes]]]:
        return self._read(transactions.find_stored_ids, sender, id)

    def highest_stored_id(self, sender: int) -> Deferred[str]:
        return self._read(transactions.highest_stored_id, sender)

    def set_password(
        self, user: int, before: str | None, password: str, time: int, address: str
    ) -> Deferred[bool]:
        def carry_out() -> Deferred[bool]:
            if self.broken:
                return fail(Failure(StoreFailure("disk I/O error")))
            return succeed(
                transactions.set_password(
                    self.connection, user, before, password, time, address
                )
            )

        return self._in_order(carry_out)

    async def forget_stored_ids(self, before: int, until: int) -> None:
        after: int | None = 0
        while after is not None:
            after = transactions.forget_stored_ids(
                self.connection, after, before, until, FORGET_AT_ONCE
            )

    def names_seen_last(self, most: int) -> Deferred[list[Seen]]:
        return self._read(transactions.names_seen_last, most)

    def names_by_prefix(
        self, prefix: str, most: int
    ) -> Deferred[tuple[list[str], int]]:
        return self._read(transactions.names_by_prefix, prefix, most, self.users)

    def unused_queues(self, before: int, most: int) -> Deferred[list[str]]:
        return self._read(transactions.unused_queues, before, most)

    def queued(self, name: str) -> list[str]:
        """Return the texts in a user's queue on disk, in order."""
        return [text for *_, text in self.rows(name)]

    def rows(self, name: str | None = None) -> list[tuple[int, int, str, str]]:
        """Return position, receiver, sender and text of all that is queued, in order.

        That of one user, if one is named.
        """
        found = self.connection.execute(
            "SELECT position, target, sender, message FROM offline_messages"
            " JOIN users ON users.id = target WHERE key = COALESCE(?, key)",
            (name,),
        ).fetchall()
        runs = self.connection.execute(
            "SELECT first, last, target, senders, messages FROM offline_runs"
            " JOIN users ON users.id = target WHERE key = COALESCE(?, key)",
            (name,),
        )
        for first, last, target, senders, texts in runs:
            shares = [line.split(" ") for line in senders.split("\n")]
            names = [sender for sender, count, _ in shares for _ in range(int(count))]
            each = texts.decode().split("\n")
            positions = range(first, last + 1)
            rows = zip(positions, names, each, strict=True)
            found += [(at, target, sender, text) for at, sender, text in rows]
        return sorted(found)


class MemoryTransport(StringTransport):
    """A transport to a peer that reads at once, unless `reading` is false.

    What is written is handed over at the next turn, as by a real one.
    """

    def __init__(self, clock: Clock, peer: IAddress) -> None:
        super().__init__(peerAddress=peer)
        self.clock = clock
        self.reading = True
        self.received = b""
        self.closed = False
        self.write_closed = False
        self.aborted = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        if self.closed or self.write_closed:
            return
        super().write(data)
        self.clock.callLater(0, self.flush)

    def registerProducer(self, producer: object, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Hand over what was written, if the peer reads."""
        if not self.reading or self.closed:
            return
        self.received += self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        if self.disconnecting:
            self.lose()

    def loseConnection(self) -> None:
        super().loseConnection()
        self.clock.callLater(0, self.flush)

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.lose()

    def lose(self) -> None:
        """End the connection, as its peer or the network would."""
        if not self.closed:
            self.closed = True
            self.connected = False
            assert self.protocol is not None
            from twisted.internet.error import ConnectionDone

            self.protocol.connectionLost(Failure(ConnectionDone()))


class NearTransport(MemoryTransport):
    """One whose socket can be written to past it, and whose peer acknowledges at once.

    That is, while the peer reads.
    """

    connected = True

    @property
    def socket(self) -> "NearTransport":
        return self

    def send(self, data: bytes) -> int:
        if self.closed or self.write_closed:
            raise BrokenPipeError
        if not self.reading or self.value():
            raise BlockingIOError
        self.received += data
        return len(data)

    def connectionLost(self, reason: Failure) -> None:
        self.lose()


outlet.BARE = (*outlet.BARE, NearTransport)


class Client:
    """One connection to a `MemoryServer`, as its user sees it."""

    def __init__(
        self,
        server: "MemoryServer",
        factory: Factory,
        peer: IAddress,
        kind: type[MemoryTransport] = MemoryTransport,
    ) -> None:
        self._server = server
        self.transport = kind(server.clock, peer)
        self.transport.protocol = factory.buildProtocol(peer)
        self._seen = 0
        self.protocol.makeConnection(self.transport)
        server.settle()

    @property
    def protocol(self) -> Connection:
        """The daemon's end, which another protocol may take over."""
        protocol: Connection = self.transport.protocol
        return protocol

    def send_bytes(self, data: bytes) -> None:
        """Send bytes in one packet."""
        self.protocol.dataReceived(data)
        self._server.settle()

    def send(self, *lines: str) -> None:
        """Send lines in one packet."""
        self.send_bytes("".join(f"{line}\n" for line in lines).encode())

    def end_input(self) -> None:
        """Close the sending side, as ``nc -N`` does."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self.transport.lose()
        self._server.settle()

    def vanish(self) -> None:
        """Lose the connection."""
        self.transport.lose()
        self._server.settle()

    def resume_reading(self) -> None:
        """Read what was written, and whatever follows."""
        self.transport.reading = True
        self.transport.flush()
        self._server.settle()

    def received(self) -> str:
        """Return what arrived since this was asked last."""
        self._server.settle()
        data = self.transport.received[self._seen :]
        self._seen = len(self.transport.received)
        return data.decode()

    def lines(self) -> list[str]:
        """Return the lines that arrived since this was asked last."""
        return self.received().splitlines()


class MemoryServer:
    """A daemon in memory, and its clients."""

    def __init__(
        self,
        limits: Limits | None = None,
        store: MemoryStore | None = None,
        policy: Policy | None = None,
        checkers: tuple[Any, ...] = (),
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_000_000)
        self.jump = 0
        self.limits = limits or Limits()
        self.store = store or MemoryStore()
        self.factory = ChatFactory(self.limits, self.clock)
        self.journal = Journal(self.store, self.clock, self.factory.turn)
        accounts = Accounts(
            self.store, self.journal, self.limits, self.clock, self.date
        )
        self.hub = Hub(
            self.store,  # type: ignore[arg-type]
            self.journal,
            accounts,
            self.limits,
            self.clock,
            self.date,
            self.factory.turn,
        )
        self.factory.hub = self.hub
        self.factory.gate = Gate(
            self.hub,
            self.store,
            Hasher(lambda work: maybeDeferred(work)),
            policy or Policy(),
            self.clock,
            self.date,
            checkers,
        )
        self._ports = count(40_000)

    def date(self) -> int:
        """Return the date, which jumps whenever a test sets `jump`, in milliseconds."""
        return int((self.clock.seconds() + self.jump) * 1000)

    def check_figures(self) -> None:
        """Assert that the figures kept of the queues are those of their rows.

        Those in memory are compared where nothing is on its way to the disk.
        """

        def rows(query: str) -> dict[Any, tuple[int, int]]:
            found = self.store.connection.execute(query)
            return {tuple(row[:-2]): (row[-2], row[-1]) for row in found}

        kept = rows("SELECT id, queued_messages, queued_bytes FROM users")
        queues = dict.fromkeys(kept, (0, 0))
        shares: dict[Any, tuple[int, int]] = {}
        for _, target, sender, text in self.store.rows():
            size = len(text.encode())
            for figures, key in (queues, (target,)), (shares, (target, sender)):
                messages, sizes = figures.get(key, (0, 0))
                figures[key] = (messages + 1, sizes + size)
        assert kept == queues
        assert shares == rows(
            "SELECT target, sender, messages, bytes FROM queue_shares"
        )
        for receiver in self.hub._receivers.values():
            if receiver._pending or receiver._removing:
                continue
            backlog = receiver.backlog
            assert backlog.stored == queues[receiver.id,][0], receiver.name
            held = (backlog._messages, backlog._bytes)
            assert held == queues[receiver.id,], receiver.name
            for sender, share in backlog._shares.items():
                expected = shares.get((receiver.id, sender), (0, 0))
                assert (share.messages, share.bytes) == expected, receiver.name

    def killed(self) -> "MemoryServer":
        """Return a new daemon on the database as it is now: as after ``kill -9``."""
        return MemoryServer(self.limits, MemoryStore(self.store.connection))

    def settle(self) -> None:
        """Let turns of the reactor pass until nothing is due."""
        for _ in range(1_000):
            now = self.clock.seconds()
            if all(call.getTime() > now for call in self.clock.getDelayedCalls()):
                return
            self.clock.advance(0)
        raise AssertionError("the server does not come to rest")

    def wait(self, seconds: float) -> None:
        """Let time pass, a hundredth of a second at a time."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)
            self.settle()

    def end_hold(self) -> None:
        """Let the time pass for which messages are held."""
        self.wait(2 * HOLD_SECONDS)

    def connect(
        self,
        host: str = "127.0.0.1",
        kind: type[MemoryTransport] = MemoryTransport,
    ) -> Client:
        """Return a new connection; it has been sent the prompt."""
        peer = IPv4Address("TCP", host, next(self._ports))
        return Client(self, self.factory, peer, kind)

    def connect_to(self, factory: Factory, peer: IAddress) -> Client:
        """Return a new connection to another port than the usual one."""
        return Client(self, factory, peer)

    def log_in(
        self, name: str, kind: type[MemoryTransport] = MemoryTransport
    ) -> Client:
        """Return a connection that is logged in, its greeting read."""
        client = self.connect(kind=kind)
        client.send(name)
        client.received()
        return client
