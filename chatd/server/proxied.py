"""Connections that a proxy passes on: its header first, then as if there were no proxy.

The header (`chatd.wire.proxy`) says where a connection comes from, so it is read before
there is a `Connection`, which then takes over the transport itself. Nothing stays in
between: the end of the input, pauses and what the kernel knows are those of the TCP
connection, though its other end is the proxy.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from chatd.accounts import Origin
from chatd.server.connection import Connection
from chatd.server.factory import ChatFactory, without_mapping
from chatd.wire.answers import Refusal
from chatd.wire.proxy import BadHeader, HeaderReader

HEADER_SECONDS: Final = 5.0
"""How long a proxy may take for its header, which it should send at once."""

Networks = Sequence[IPv4Network | IPv6Network]

LOOPBACK: Final[Networks] = (ip_network("127.0.0.0/8"), ip_network("::1"))


class Transport(Protocol):
    """What is used of a transport that a connection takes over."""

    protocol: object


class ProxyConnection(TwistedProtocol):
    """A connection from a trusted proxy, until its header has come.

    `proxy` is where it comes from itself.
    """

    transport: Transport  # type: ignore[assignment]

    def __init__(self, chat: ChatFactory, proxy: Origin) -> None:
        self._chat = chat
        self._proxy = proxy
        self._header = HeaderReader()
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait (`IProtocol`)."""
        self._deadline = self._chat.clock.callLater(HEADER_SECONDS, self._refuse)
        self._chat.came(self)

    def dataReceived(self, data: bytes) -> None:
        """Read the header; what follows it is the connection's (`IProtocol`)."""
        try:
            header = self._header.feed(data)
        except BadHeader:
            self._refuse()
            return
        if header is None:
            return
        origin = self._proxy
        if header.source is not None:
            address = without_mapping(header.source.address)
            origin = Origin(str(address), header.source.port, False)
        connection = self._give_way(origin)
        if header.rest:
            connection.dataReceived(header.rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nobody has come (`IProtocol`)."""
        self._wait_no_more()
        self._chat.went(self)

    def turn_away(self, refusal: Refusal) -> None:
        """Have a refused connection take its place (`Newcomer`)."""
        self._give_way(self._proxy, refusal)

    def _refuse(self) -> None:
        self.turn_away(Refusal("no-proxy-header"))

    def _give_way(self, origin: Origin, unwelcome: Refusal | None = None) -> Connection:
        self._wait_no_more()
        self._chat.took_over(self)
        connection = self._chat.connection_from(origin, unwelcome)
        self.transport.protocol = connection
        connection.makeConnection(self.transport)
        return connection

    def _wait_no_more(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


class ProxyFactory(Factory):
    """Makes the connections of a port for proxies.

    A header is believed from the `trusted` networks, and on Unix sockets; who else
    connects is refused.
    """

    noisy = False

    def __init__(self, chat: ChatFactory, trusted: Networks) -> None:
        self._chat = chat
        self._trusted = trusted

    def buildProtocol(self, addr: IAddress | None) -> ProxyConnection | Connection:
        """Return the protocol of a new connection (`IProtocolFactory`)."""
        # On this machine may be the proxy, and not those for whom it connects.
        proxy = self._chat.origin_of(addr)._replace(exempt=False, private=False)
        if self._trusts(addr, proxy):
            return ProxyConnection(self._chat, proxy)
        return self._chat.connection_from(proxy, Refusal("not-trusted"))

    def _trusts(self, addr: IAddress | None, proxy: Origin) -> bool:
        if isinstance(addr, UNIXAddress):
            return True
        if proxy.port is None:
            return False
        address = ip_address(proxy.host)
        return any(address in network for network in self._trusted)
