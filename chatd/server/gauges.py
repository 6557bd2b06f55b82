"""Gauges: how much of what was written to a connection its peer's machine has.

For a TCP connection on Linux ``TCP_INFO`` tells. Under TLS it counts ciphertext, so the
bytes that go down to TCP are counted too, and each of our writes marked with that
count. On a Unix socket ``SIOCOUTQ`` is 0 once the peer's *program* has read everything,
or has ended with something unread, which is an error of the socket.
Where nobody tells, what has left this process has to do for it, which is weaker: what
is on its way is lost with the connection.
"""

import fcntl
import select
import socket
import sys
from collections import deque
from typing import Final, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol, ISystemHandle
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from chatd.server.tcp import (
    TCP_FAMILIES,
    Transport,
    bytes_acknowledged,
    family_of,
    tcp_info,
    tcp_socket,
)

_SIOCOUTQ: Final = 0x5411
_UNIX: Final = int(socket.AF_UNIX)
_TLS_RECORD: Final = 16 * 1024  # RFC 8446, section 5.1


class Gauge(Protocol):
    """Measures one connection."""

    def write(self, transport: Transport, data: bytes) -> None:
        """Write to the transport, and keep what is needed to measure it."""

    def acknowledged(self, handed: int, written: int) -> int | None:
        """Return how many bytes the peer's machine has, None if nobody knows.

        `handed` is how many have left this process of those that were `written`.
        """


class HandedGauge:
    """Takes what has left this process for acknowledged."""

    def write(self, transport: Transport, data: bytes) -> None:
        """Write."""
        transport.write(data)

    def acknowledged(self, handed: int, written: int) -> int | None:
        """Return what has left this process."""
        return handed


class TCPGauge:
    """Asks Linux about a TCP connection on which nothing was sent yet."""

    __slots__ = ("_base", "_connection")

    def __init__(self, connection: socket.socket, base: int) -> None:
        self._connection = connection
        self._base = base

    def write(self, transport: Transport, data: bytes) -> None:
        """Write."""
        transport.write(data)

    def acknowledged(self, handed: int, written: int) -> int | None:
        """Return what the peer's TCP has acknowledged."""
        acknowledged = bytes_acknowledged(self._connection)
        if acknowledged is None:
            return None
        # The count has the connection's FIN in it, once that is acknowledged.
        acknowledged -= self._base
        return acknowledged if acknowledged < written else written


class UnixGauge:
    """Asks Linux about a connected Unix socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = 0

    def write(self, transport: Transport, data: bytes) -> None:
        """Write."""
        transport.write(data)

    def acknowledged(self, handed: int, written: int) -> int | None:
        """Return what the peer's program was last seen to have read, all of it."""
        try:
            unread = fcntl.ioctl(self._connection, _SIOCOUTQ, b"\0\0\0\0")
            # Asked after it: the system reports the error before it drops anything.
            if not any(unread) and not self._has_failed():
                self._read = handed
        except OSError:
            return None
        return self._read

    def _has_failed(self) -> bool:
        """Whether the peer ended with bytes unread: then none are left as well."""
        poll = select.poll()
        poll.register(self._connection, 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))


@implementer(IHalfCloseableProtocol)
class CiphertextCounter(ProtocolWrapper):
    """Stands between TLS and TCP, and counts what goes down."""

    def makeConnection(self, transport: object) -> None:
        """Begin to count (`IProtocol`)."""
        self.sent = 0
        connection = tcp_socket(transport)
        info = None if connection is None else tcp_info(connection)
        self.connection = connection if info is not None else None
        self.base = 0 if info is None else info.acknowledged
        super().makeConnection(transport)

    def write(self, data: bytes) -> None:
        """Count and pass on (`ITransport`)."""
        self.sent += len(data)
        super().write(data)

    def readConnectionLost(self) -> None:
        """Pass on that TCP's input has ended (`IHalfCloseableProtocol`)."""
        IHalfCloseableProtocol(self.wrappedProtocol).readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Nobody closes only the output of TCP here (`IHalfCloseableProtocol`)."""


class CiphertextCounters(WrappingFactory[CiphertextCounter]):
    """Makes the connections of a TLS factory count."""

    protocol = CiphertextCounter
    noisy = False


class TLSGauge:
    """Asks Linux about the TCP connection under a TLS one."""

    def __init__(self, counter: CiphertextCounter, connection: socket.socket) -> None:
        self._counter = counter
        self._connection = connection
        self._written = 0
        self._acknowledged = 0
        # Counts of ciphertext, and of what it has in it.
        self._marks: deque[tuple[int, int]] = deque()

    def write(self, transport: Transport, data: bytes) -> None:
        """Write, and mark where each record ends in the ciphertext.

        What does not go down at once, because the handshake is not done, has no mark:
        it counts as acknowledged with the next that has one.
        """
        for start in range(0, len(data), _TLS_RECORD):
            record = data[start : start + _TLS_RECORD]
            before = self._counter.sent
            transport.write(record)
            self._written += len(record)
            if self._counter.sent - before >= len(record):
                self._marks.append((self._counter.sent, self._written))

    def acknowledged(self, handed: int, written: int) -> int | None:
        """Return what is in the ciphertext that the peer's TCP has acknowledged."""
        info = tcp_info(self._connection)
        if info is None:
            return None
        ciphertext = info.acknowledged - self._counter.base
        while self._marks and self._marks[0][0] <= ciphertext:
            self._acknowledged = self._marks.popleft()[1]
        return self._acknowledged


def gauge_for(transport: object) -> Gauge:
    """Return the best gauge that there is for a transport."""
    if not sys.platform.startswith("linux"):
        return HandedGauge()
    counter = transport
    while isinstance(counter, ProtocolWrapper):
        if isinstance(counter, CiphertextCounter):
            if counter.connection is None:
                break
            return TLSGauge(counter, counter.connection)
        counter = counter.transport
    if not ISystemHandle.providedBy(transport):
        return HandedGauge()
    handle = transport.getHandle()
    if not isinstance(handle, socket.socket):
        return HandedGauge()
    family = family_of(handle)
    if family == _UNIX:
        return UnixGauge(handle)
    info = tcp_info(handle) if family in TCP_FAMILIES else None
    return HandedGauge() if info is None else TCPGauge(handle, info.acknowledged)


def under_tls(transport: object) -> object:
    """Return the transport that has the connection's own socket."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport
