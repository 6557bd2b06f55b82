"""TLS under connections, such that each side can end alone, as without it.

Twisted's closes all when the other side says that it will send no more: answers on
their way would be lost, and so would ``Goodbye.``. And it hands the wish to close our
own side to TCP, which the other end takes for an attack.

This is imported where there is a TLS port only: it needs OpenSSL.
"""

from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from chatd.server.gauges import CiphertextCounters
from chatd.wire.answers import Refusal

_HANDSHAKE: Final = b"\x16"  # RFC 8446, section 5.1
_FLUSH: Final = 1 << 15

MAX_STEPS: Final = 3_000
"""How many steps the handshakes of one connection may have.

The first has some 20, and new keys for a connection take 2. They are answered though
the other side reads nothing, and count in no limit of what is read. Whoever takes new
keys for a reason does so after gigabytes.
"""


class HalfClosing(SSL.Connection):
    """A connection whose other side may end before ours does.

    `tell` is called once, when the other side has said that nothing follows. `steps` of
    its handshakes are counted where `count_steps` was told to.
    """

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self.peer_ended = False
        self.steps = 0
        self.tell: Any = None

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Receive; while we have not ended as well, the end is not an error."""
        try:
            return super().recv(bufsiz, flags)
        except SSL.ZeroReturnError:
            if self.get_shutdown() & SSL.SENT_SHUTDOWN:
                raise
            if not self.peer_ended:
                self.peer_ended = True
                self.tell()
            raise SSL.WantReadError from None


@implementer(IHalfCloseableProtocol)
class Encrypted(TLSMemoryBIOProtocol):
    """One connection under TLS.

    `truncated` says that TCP ended and the other side had not said so: whoever can cut
    the wire can do that, so it must not pass for the end of what they had to say.
    """

    transport: Any
    truncated = False
    _first = True

    def makeConnection(self, transport: Any) -> None:
        """Begin (`IProtocol`)."""
        super().makeConnection(transport)
        self.getHandle().tell = self._tell_end

    def dataReceived(self, bytes: bytes) -> None:
        """Take ciphertext; tell those who speak anything else (`IProtocol`)."""
        first, self._first = self._first, False
        if first and not bytes.startswith(_HANDSHAKE):
            self.transport.write(f"{Refusal('not-tls').text}\n".encode())
            self.transport.loseConnection()
            return
        super().dataReceived(bytes)
        connection = self.getHandle()
        if connection is not None and connection.steps > MAX_STEPS:
            self.abortConnection()

    def loseWriteConnection(self) -> None:
        """Say that nothing follows, and go on reading (`IHalfCloseableDescriptor`)."""
        connection = self.getHandle()
        if connection is None or connection.get_peer_finished() is None:
            self.loseConnection()
            return
        try:
            connection.shutdown()
            said = connection.bio_read(_FLUSH)
        except SSL.Error:  # after a failure there is nobody to say it to
            self.loseConnection()
        else:
            self.transport.write(said)

    def loseConnection(self) -> None:
        """Close; nobody is left who could agree to it if TCP has ended."""
        super().loseConnection()
        if self.truncated:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """Take note of the end of TCP (`IHalfCloseableProtocol`)."""
        connection = self.getHandle()
        if connection is None or connection.get_peer_finished() is None:
            self.transport.loseConnection()
        elif not connection.peer_ended:
            self.truncated = True
            self._tell_end()

    def writeConnectionLost(self) -> None:
        """Nobody closes only the output of TCP here (`IHalfCloseableProtocol`)."""

    def _tell_end(self) -> None:
        wrapped = IHalfCloseableProtocol(self.wrappedProtocol, None)
        if wrapped is None:
            self.loseConnection()
        else:
            wrapped.readConnectionLost()


def count_steps(context: SSL.Context) -> None:
    """Have the connections of a context count the steps of their handshakes.

    To be called once, before there are any: they keep what is told here.
    """
    context.set_info_callback(_note)


def _note(connection: SSL.Connection, where: int, result: int) -> None:
    if where & SSL.SSL_CB_LOOP and isinstance(connection, HalfClosing):
        connection.steps += 1


def encrypting(
    certificate: IOpenSSLServerConnectionCreator, factory: IProtocolFactory
) -> IProtocolFactory:
    """Return a factory of TCP connections that carry those of `factory`.

    What they write is counted: see `chatd.server.gauges`.
    """
    under = TLSMemoryBIOFactory(certificate, False, factory)
    # Twisted's own has a buffer; here what is written goes down in the same call.
    under.protocol = Encrypted
    return CiphertextCounters(under)
