"""TCP connections, where Twisted's transports do not say enough."""

import contextlib
import socket
import struct
import sys
from typing import Final, Protocol

from twisted.internet.interfaces import IAddress, ISystemHandle

# Seconds of silence, seconds between probes, probes: a dead peer is found in a minute.
KEEPALIVE: Final = (30, 10, 3)

# struct tcp_info of linux/tcp.h: tcpi_bytes_acked is the u64 at this offset.
_BYTES_ACKED: Final = struct.Struct("=120xQ")


def bytes_acknowledged(connection: socket.socket) -> int | None:
    """Return how many bytes the peer's TCP has acknowledged, None if unknown.

    The count has the connection's FIN in it, once that is acknowledged.
    """
    if sys.platform != "linux":
        return None
    try:
        info = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size
        )
    except OSError:
        return None
    if len(info) < _BYTES_ACKED.size:
        return None
    acknowledged: int = _BYTES_ACKED.unpack(info)[0]
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


def tune(transport: Transport) -> None:
    """Send small answers at once, and find out when the peer has died.

    Does nothing to what is not a TCP connection of ours.
    """
    connection = tcp_socket(transport)
    if connection is None:
        return
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, KEEPALIVE, strict=True):
        if hasattr(socket, name):  # not on every system
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        # The peer may have gone already: then there is nothing to tune.
        with contextlib.suppress(OSError):
            connection.setsockopt(level, option, value)


def tcp_socket(transport: Transport) -> socket.socket | None:
    """Return the socket under a transport, if it is a TCP connection's own."""
    if not ISystemHandle.providedBy(transport):
        return None
    handle = transport.getHandle()
    if not isinstance(handle, socket.socket):
        return None
    return handle if handle.family in (socket.AF_INET, socket.AF_INET6) else None
