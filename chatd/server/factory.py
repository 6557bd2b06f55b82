"""The factory: every connection there is, and how many there may be."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from twisted.internet.address import IPv4Address as TCP4Address
from twisted.internet.address import IPv6Address as TCP6Address
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IReactorTime, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from chatd.accounts import Origin
from chatd.hub.hub import Hub
from chatd.limits import Limits, Tally
from chatd.server.connection import Connection
from chatd.server.form import Ended, Form
from chatd.server.greeting import Greeting
from chatd.server.outlet import Ticker, Traffic
from chatd.server.tcp import Transport
from chatd.wire.answers import Refusal

REFUSED_AT_ONCE: Final = 100
"""How many refused connections may be on their way out; more are cut at once."""


class ChatFactory(Factory):
    """Makes connections, and counts them.

    `hub` is set before the reactor accepts the first connection.
    """

    _log = Logger()
    noisy = False
    hub: Hub

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.limits = limits
        self.clock = clock
        self.ticker = Ticker(clock)
        self.traffic = Traffic()
        self._connections: dict[Connection, None] = {}
        self._refused: dict[Connection, None] = {}
        self._by_address = Tally()
        self._stopping = False
        self._empty: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Return the protocol of a new connection (`IProtocolFactory`)."""
        connection = Connection(self)
        connection.factory = self
        return connection

    def origin_of(self, transport: Transport) -> Origin:
        """Return where a connection comes from.

        Loopback and Unix sockets are exempt from what is counted by address, and are
        private though nothing encrypts them.
        """
        peer, encrypted = transport.getPeer(), ISSLTransport.providedBy(transport)
        if isinstance(peer, TCP4Address | TCP6Address):
            address = ip_address(peer.host)
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            here = address.is_loopback
            return Origin(str(address), peer.port, here, here or encrypted)
        if isinstance(peer, UNIXAddress):
            return Origin("local", None, True, True)
        return Origin("unknown", None, False, encrypted)

    def joined(self, connection: Connection) -> Form:
        """Count a connection in; return its greeting, or end it."""
        refusal = self._refusal(connection.origin)
        if refusal is None:
            self._connections[connection] = None
            if not connection.origin.exempt:
                self._by_address.add(connection.origin.host)
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
                self._by_address.remove(connection.origin.host)
        if not self._connections and not self._refused:
            empty, self._empty = self._empty, []
            for each in empty:
                each.callback(None)

    async def finish_conversations(self) -> None:
        """Read nothing more; process, answer, and say that the server stops.

        Returns when everything sent so far has its answer.
        """
        self._stopping = True
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
        if self._connections or self._refused:
            self._empty.append(done)
        else:
            done.callback(None)
        return done

    @property
    def lines_waiting(self) -> int:
        """How many lines were read and are not processed."""
        return sum(connection.lines_waiting for connection in self._connections)

    def _refusal(self, origin: Origin) -> Refusal | None:
        limits = self.limits
        if self._stopping:
            return Refusal("shutting-down")
        if len(self._connections) >= limits.connections:
            return Refusal(
                "too-many-connections", limit=limits.connections, scope="in all"
            )
        most = limits.connections_by_address
        if not origin.exempt and self._by_address[origin.host] >= most:
            return Refusal("too-many-connections", limit=most, scope="from one address")
        return None
