"""The factory: every connection there is, and how many there may be."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol

from twisted.internet.address import IPv4Address as TCP4Address
from twisted.internet.address import IPv6Address as TCP6Address
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from chatd.accounts import Origin
from chatd.hub.gate import Gate
from chatd.hub.hub import Hub
from chatd.limits import Limits, Tally
from chatd.server.connection import Connection
from chatd.server.deadlines import Deadlines
from chatd.server.form import Ended, Form
from chatd.server.greeting import Greeting
from chatd.server.outlet import Traffic
from chatd.server.ticker import Ticker
from chatd.turn import Turn
from chatd.wire.answers import Refusal

REFUSED_AT_ONCE: Final = 100
"""How many refused connections may be on their way out; more are cut at once."""


class Newcomer(Protocol):
    """A connection that has not said yet where it comes from."""

    def turn_away(self, refusal: Refusal) -> None:
        """Have a refused connection take its place."""


class ChatFactory(Factory):
    """Makes connections, and counts them.

    `hub` and `gate` are set before the reactor accepts the first connection.
    """

    _log = Logger()
    noisy = False
    hub: Hub
    gate: Gate

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.limits = limits
        self.clock = clock
        self.turn = Turn(clock)
        self.ticker = Ticker(clock, self.turn)
        self.traffic = Traffic()
        self.logins = Deadlines(clock, limits.login_time)
        self._connections: dict[Connection, None] = {}
        self._refused: dict[Connection, None] = {}
        self._newcomers: dict[Newcomer, None] = {}
        self._by_address = Tally()
        self._stopping = False
        self._empty: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Return the protocol of a new connection (`IProtocolFactory`)."""
        return self.connection_from(self.origin_of(addr))

    def connection_from(
        self, origin: Origin, unwelcome: Refusal | None = None
    ) -> Connection:
        """Return the protocol of a new connection, perhaps of one to be refused."""
        connection = Connection(self, origin)
        if unwelcome is not None:
            connection.unwelcome = unwelcome
        return connection

    def origin_of(self, peer: IAddress | None) -> Origin:
        """Return where a connection comes from.

        Loopback and Unix sockets are exempt from what is counted by address, and are
        private though nothing encrypts them.
        """
        if isinstance(peer, TCP4Address) and ":" not in peer.host:
            here = peer.host.startswith("127.")
            return Origin(peer.host, peer.port, here, here)
        if isinstance(peer, TCP4Address | TCP6Address):
            address = without_mapping(ip_address(peer.host))
            here = address.is_loopback
            return Origin(str(address), peer.port, here, here)
        if isinstance(peer, UNIXAddress):
            return Origin("local", None, True, True)
        return Origin("unknown", None, False)

    def joined(self, connection: Connection) -> Form:
        """Count a connection in; return its greeting, or end it."""
        refusal = connection.unwelcome or self._refusal(connection.origin)
        if refusal is None:
            self._connections[connection] = None
            if not connection.origin.exempt:
                self._by_address.add(connection.origin.network)
            return Greeting(connection)
        self._refused[connection] = None
        connection.log_refusal(refusal)
        if len(self._refused) > REFUSED_AT_ONCE:
            connection.transport.abortConnection()
        else:
            connection.write(f"{refusal.text}\n".encode())
            connection.hang_up()
        return Ended()

    def left(self, connection: Connection) -> None:
        """Count a connection out."""
        if connection in self._refused:
            del self._refused[connection]
        else:
            del self._connections[connection]
            if not connection.origin.exempt:
                self._by_address.remove(connection.origin.network)
        self._tell_if_empty()

    def came(self, newcomer: Newcomer) -> None:
        """Count in, among all, a connection that is yet to say where it comes from.

        Turns it away if there is no room for it.
        """
        refusal = self._refusal_of_anybody()
        self._newcomers[newcomer] = None
        if refusal is not None:
            newcomer.turn_away(refusal)

    def took_over(self, newcomer: Newcomer) -> None:
        """Count a newcomer no more: a connection takes its place at once."""
        del self._newcomers[newcomer]

    def went(self, newcomer: Newcomer) -> None:
        """Count a newcomer out that was lost."""
        del self._newcomers[newcomer]
        self._tell_if_empty()

    async def finish_conversations(self) -> None:
        """Read nothing more; process, answer, and say that the server stops.

        Returns when everything sent so far has its answer.
        """
        self._stopping = True
        for newcomer in list(self._newcomers):
            newcomer.turn_away(Refusal("shutting-down"))
        self.gate.stop()
        self.hub.watchers.stop()
        await DeferredList(
            [
                Deferred.fromCoroutine(connection.stop())
                for connection in list(self._connections)
            ],
            consumeErrors=True,
        )

    def all_gone(self) -> Deferred[None]:
        """Fire when there is no connection any more."""
        done: Deferred[None] = Deferred()
        self._empty.append(done)
        self._tell_if_empty()
        return done

    @property
    def lines_waiting(self) -> int:
        """How many lines were read and are not processed."""
        return sum(connection.lines_waiting for connection in self._connections)

    def _tell_if_empty(self) -> None:
        if self._connections or self._refused or self._newcomers:
            return
        empty, self._empty = self._empty, []
        for each in empty:
            each.callback(None)

    def _refusal(self, origin: Origin) -> Refusal | None:
        most = self.limits.connections_by_address
        refusal = self._refusal_of_anybody()
        if refusal is not None or origin.exempt:
            return refusal
        if self._by_address[origin.network] >= most:
            return Refusal("too-many-connections", limit=most, scope="from one address")
        return None

    def _refusal_of_anybody(self) -> Refusal | None:
        if self._stopping:
            return Refusal("shutting-down")
        most = self.limits.connections
        if len(self._connections) + len(self._newcomers) >= most:
            return Refusal("too-many-connections", limit=most, scope="in all")
        return None


def without_mapping(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an IPv4 address that is written as an IPv6 one as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
