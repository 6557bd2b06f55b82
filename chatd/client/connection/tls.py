"""Connections under TLS: nothing is said before the certificate was accepted.

The handshake is completed whatever the certificate, so that its fingerprint is known;
the connection above learns of it only afterwards, and only if it was accepted. This is
imported with ``--tls`` only: it needs OpenSSL.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeadlineError
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion, platformTrust
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.connection.pins import PinError
from chatd.client.connection.trust import Asker, Presented, Rejected, Trust, Unknown
from chatd.client.statuses import Status
from chatd.fingerprint import fingerprint

_TLS_RECORDS: Final = range(20, 25)  # RFC 8446, section 5.1

# What OpenSSL calls X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_DOUBTS: Final = {9: "it is not valid yet", 10: "it has expired"}
_UNSIGNED: Final = "no authority that this system trusts has signed it"


class _Doubted(SSL.Connection):
    """A connection with what is wrong with the certificate, as OpenSSL counts it."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self.errors: list[int] = []


def _note(
    connection: SSL.Connection, certificate: object, error: int, depth: int, ok: int
) -> bool:
    """Let the handshake go on, whatever is wrong with a certificate."""
    if not ok:
        assert isinstance(connection, _Doubted)
        connection.errors.append(error)
    return True


@implementer(IOpenSSLClientConnectionCreator)
class Authorities:
    """What this system's authorities say about the certificate of a host."""

    def __init__(self, host: str) -> None:
        try:
            # Without an IPv6 address's zone, which no certificate has.
            self._host = str(ip_address(host.partition("%")[0]))
            self._is_name = False
        except ValueError:
            self._host = host.encode("idna").decode("ascii")
            self._is_name = True
        self._context = CertificateOptions(
            trustRoot=platformTrust(), raiseMinimumTo=TLSVersion.TLSv1_2
        ).getContext()
        self._context.set_verify(SSL.VERIFY_PEER, _note)

    def clientConnectionForTLS(
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        """Begin a connection (`IOpenSSLClientConnectionCreator`)."""
        connection = _Doubted(self._context)
        if self._is_name:
            connection.set_tlsext_host_name(self._host.encode())
        return connection

    def presented(self, connection: "_Doubted") -> Presented:
        """Return the certificate that was presented in a handshake."""
        found = connection.get_peer_certificate()
        assert found is not None  # a server's always comes: there are no other ciphers
        certificate = found.to_cryptography()
        if connection.errors:
            doubt: str | None = _DOUBTS.get(connection.errors[0], _UNSIGNED)
        elif not self._names_host(certificate):
            doubt = f"it is not for {self._host}"
        else:
            doubt = None
        return Presented(fingerprint(certificate.public_bytes(Encoding.DER)), doubt)

    def _names_host(self, certificate: Certificate) -> bool:
        try:
            if self._is_name:
                verify_certificate_hostname(certificate, self._host)
            else:
                verify_certificate_ip_address(certificate, self._host)
        except (VerificationError, CertificateError):
            return False
        return True


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """Connects through another endpoint, and fires once the certificate is accepted.

    Without an `asker` nobody can be asked; `tell` shows a line all the same. A
    handshake may take `seconds`.
    """

    _log = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        authorities: Authorities,
        trust: Trust,
        asker: Asker | None,
        tell: Callable[[str], None],
        seconds: float,
    ) -> None:
        self._endpoint = endpoint
        self._reactor = reactor
        self._authorities = authorities
        self._trust = trust
        self._asker = asker
        self._tell = tell
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect (`IStreamClientEndpoint`). Fails with `Rejected`, too."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            return await self._attempt(factory)
        except Unknown as unknown:
            # That connection is closed: a server does not wait for a person.
            if self._asker is None:
                raise self._trust.refusal(unknown) from None
            if not await self._asker.ask(*self._trust.question(unknown)):
                raise self._trust.declined() from None
            await self._pin(unknown.presented)
        return await self._attempt(factory)

    async def _attempt(self, factory: IProtocolFactory) -> IProtocol:
        accepted: list[Presented] = []

        def judge(connection: _Doubted) -> None:
            presented = self._authorities.presented(connection)
            self._trust.judge(presented)
            accepted.append(presented)

        gates = Factory.forProtocol(lambda: _Gate(factory, judge, self._trust.server))
        gates.noisy = False
        encrypting = TLSMemoryBIOFactory(self._authorities, True, gates, self._reactor)
        encrypting.protocol = _Encrypted
        encrypted: Any = await self._endpoint.connect(encrypting)
        gate: _Gate = encrypted.wrappedProtocol
        try:
            protocol = await gate.passed.addTimeout(self._seconds, self._reactor)
        except DeadlineError:
            raise TimeoutError from None
        if self._trust.unpinned(accepted[0]):
            # Not waited for: who connects has to know of the connection at once.
            pinning = Deferred.fromCoroutine(self._pin(accepted[0]))
            _ = pinning.addErrback(
                lambda failure: self._log.failure("Pinning", failure)
            )
        return protocol

    def _failed(self, failure: Failure) -> None:
        self._log.failure("Pinning failed", failure=failure)

    async def _pin(self, presented: Presented) -> None:
        try:
            await deferToThreadPool(
                self._reactor, self._reactor.getThreadPool(), self._trust.pin, presented
            )
        except PinError as error:
            self._tell(f"The certificate is accepted for now only. {error}")


class _Encrypted(TLSMemoryBIOProtocol):
    """TLS that tells a server without it from one whose TLS fails."""

    transport: Any
    wrappedProtocol: "_Gate"  # noqa: N815
    _first = True

    def dataReceived(self, bytes: bytes) -> None:
        """Take ciphertext (`IProtocol`)."""
        first, self._first = self._first, False
        if first and bytes[0] not in _TLS_RECORDS:
            self.wrappedProtocol.no_tls()
            self.abortConnection()
            return
        super().dataReceived(bytes)


@implementer(IHandshakeListener)
class _Gate(Protocol):
    """Stands under a protocol that begins only once the certificate was judged.

    `passed` fires with it then, or fails with why there is none.
    """

    transport: Any

    def __init__(
        self,
        factory: IProtocolFactory,
        judge: Callable[[_Doubted], None],
        server: str,
    ) -> None:
        self.passed: Deferred[IProtocol] = Deferred(
            lambda _: self.transport.abortConnection()
        )
        self._factory = factory
        self._judge = judge
        self._server = server
        self._above: IProtocol | None = None

    def handshakeCompleted(self) -> None:
        """Judge the certificate, and begin (`IHandshakeListener`)."""
        try:
            self._judge(self.transport.getHandle())
            above = self._factory.buildProtocol(self.transport.getPeer())
            assert above is not None
        except Exception:
            self._fail(Failure())
            self.transport.abortConnection()
            return
        self._above = above
        above.makeConnection(self.transport)
        self.passed.callback(above)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what came (`IProtocol`)."""
        if self._above is not None:
            self._above.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass on the end (`IProtocol`)."""
        if self._above is not None:
            self._above.connectionLost(reason)
        elif isinstance(reason.value, SSL.Error):
            self._fail(Failure(self._handshake_failed(reason.value)))
        else:
            self._fail(reason)

    def no_tls(self) -> None:
        """Take note that the other side speaks something else."""
        line = (
            f"{self._server} speaks no TLS: leave --tls away, or give the port of the"
            " server that does."
        )
        self._fail(Failure(Rejected(Status.NOT_CHATD, line)))

    def _handshake_failed(self, error: SSL.Error) -> Rejected:
        queue = error.args[0] if error.args else []
        why = "; ".join(reason for *_, reason in queue) or type(error).__name__
        line = f"TLS with {self._server} failed: {why}."
        return Rejected(Status.NOT_CHATD, line)

    def _fail(self, failure: Failure) -> None:
        if not self.passed.called:
            self.passed.errback(failure)
