"""TCP connections, where Twisted's transports do not say enough."""

import contextlib
import socket
import struct
import sys
from typing import Final, NamedTuple, Protocol

from twisted.internet.interfaces import IAddress, ISystemHandle
from twisted.internet.tcp import Connection as TCPConnection
from twisted.internet.tcp import Server

# Seconds of silence, seconds between probes, probes: a dead peer is found in a minute.
KEEPALIVE: Final = (30, 10, 3)

_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in zip(
            ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), KEEPALIVE, strict=True
        )
        if hasattr(socket, name)  # not on every system
    ),
]
# Whoever has this was tuned: no system has it by default.
_TELLING: Final = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)

TCP_FAMILIES: Final = (int(socket.AF_INET), int(socket.AF_INET6))

# struct tcp_info of linux/tcp.h: tcpi_retransmits and tcpi_probes, both u8 at 2 and 3;
# tcpi_last_ack_recv, u32 at 56; tcpi_bytes_acked, u64 at 120.
_TCP_INFO: Final = struct.Struct("=2xBB52xI60xQ")
_ACKNOWLEDGED: Final = struct.Struct("=Q")
_ACKNOWLEDGED_AT: Final = 120


class TCPInfo(NamedTuple):
    """What Linux knows of a TCP connection.

    `retransmitted` is how often what is on its way was sent again without an answer,
    `probes` how many questions to a peer that takes nothing were not answered;
    `silence` is how long ago the last acknowledgement came, in seconds;
    `acknowledged` how many bytes the peer's TCP has acknowledged, the connection's
    FIN among them.
    """

    retransmitted: int
    probes: int
    silence: float
    acknowledged: int


def tcp_info(connection: socket.socket) -> TCPInfo | None:
    """Return what the system knows of a connection, None if it does not tell."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size
        )
    except OSError:
        return None
    if len(info) < _TCP_INFO.size:
        return None
    retransmitted, probes, silence, acknowledged = _TCP_INFO.unpack(info)
    return TCPInfo(retransmitted, probes, silence / 1000, acknowledged)


def bytes_acknowledged(connection: socket.socket) -> int | None:
    """Return `TCPInfo.acknowledged` alone, of a connection that has told it before."""
    try:
        info = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size
        )
    except OSError:
        return None
    acknowledged: int = _ACKNOWLEDGED.unpack_from(info, _ACKNOWLEDGED_AT)[0]
    return acknowledged


class Transport(Protocol):
    """What a connection uses of Twisted's stream transports, plain or TLS."""

    def write(self, data: bytes) -> None:
        """Send bytes, some time."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Ask a producer for more when everything is written."""

    def unregisterProducer(self) -> None:
        """Ask it no more."""

    def pauseProducing(self) -> None:
        """Stop reading."""

    def resumeProducing(self) -> None:
        """Read again."""

    def loseConnection(self) -> None:
        """Close, once everything is written."""

    def abortConnection(self) -> None:
        """Close at once."""

    def getPeer(self) -> IAddress:
        """Return the address of the other end."""


def tune(transport: object) -> None:
    """Send small answers at once, and find out when the peer has died.

    Does nothing to what is not a TCP connection of ours.
    """
    connection = tcp_socket(transport)
    if connection is None:
        return
    if isinstance(transport, Server):
        # One string does: its name in the log has the peer, its other one the port.
        transport.repstr = transport.logstr
    # The peer may have gone already: then there is nothing to tune.
    with contextlib.suppress(OSError):
        if connection.getsockopt(*_TELLING):
            return  # it has them all from the port that took it
        for each in _OPTIONS:
            connection.setsockopt(*each)


def tune_port(port: object) -> None:
    """Tune all connections that a listening port will take, where that can be done.

    Linux hands the options of a listening socket on.
    """
    listener = getattr(port, "socket", None)
    if sys.platform == "linux" and isinstance(listener, socket.socket):
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            for each in _OPTIONS:
                listener.setsockopt(*each)


def read_at_once(transport: object) -> None:
    """Have a TCP connection take what has come, a turn before the reactor would.

    If nothing has, or no more will, the reactor sees that as ever.
    """
    if isinstance(transport, TCPConnection):
        try:
            transport.doRead()
        except BaseException:
            transport.abortConnection()  # as the reactor would
            raise


def tcp_socket(transport: object) -> socket.socket | None:
    """Return the socket under a transport, if it is a TCP connection's own."""
    if not ISystemHandle.providedBy(transport):
        return None
    handle = transport.getHandle()
    if not isinstance(handle, socket.socket):
        return None
    return handle if family_of(handle) in TCP_FAMILIES else None


def family_of(connection: socket.socket) -> int:
    """Return a socket's family, without making a member of an enumeration of it."""
    family: int = super(socket.socket, connection).family
    return family
