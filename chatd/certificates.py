"""Certificates of TLS ports: loaded at the start, and again while connections live.

What needs OpenSSL is imported when a port needs it: without one the daemon starts
faster, and smaller.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.clock import WallClock, wall_clock
from chatd.fingerprint import fingerprint

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from OpenSSL.SSL import Connection, Context
    from twisted.protocols.tls import TLSMemoryBIOProtocol

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"
"""What TLS 1.2 may use, in OpenSSL's words: forward secrecy and AEAD, nothing else.

TLS 1.3 has no ciphers but such.
"""

EXPIRES_SOON: Final = timedelta(days=14)


class CertificateError(Exception):
    """Files cannot be served; str() says in a line which and why."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a certificate and its key are; `chain` has what links it to its authority.

    The certificate's own file may have that as well, after the certificate.
    """

    key: Path
    certificate: Path
    chain: Path | None = None

    def absolute(self) -> "Files":
        """Return the same files, whatever the working directory becomes."""
        chain = None if self.chain is None else self.chain.absolute()
        return Files(self.key.absolute(), self.certificate.absolute(), chain)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is served: the context of new connections, and what the log tells of it."""

    context: "Context"
    fingerprint: str
    expires: datetime


def load(files: Files, now: datetime) -> Loaded:
    """Read a certificate, its chain and its key. Raises `CertificateError`."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from chatd.server.tls import count_steps

    certificates = _certificates(files.certificate)
    certificate, *chain = certificates
    if files.chain is not None:
        chain += _certificates(files.chain)
    begins, expires = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if expires <= now:
        raise CertificateError(f"{files.certificate} expired on {_date(expires)}")
    if begins > now:
        raise CertificateError(
            f"{files.certificate} is not valid before {_date(begins)}"
        )
    context = _context(files, certificate, chain)
    count_steps(context)
    der = certificate.public_bytes(Encoding.DER)
    return Loaded(context, fingerprint(der), expires)


InThread: TypeAlias = Callable[[Callable[[], Loaded]], Deferred[Loaded]]
"""Runs something outside the reactor's thread: files may lie on a slow disk."""


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """The certificate of a port; each new connection gets the one loaded last.

    A connection keeps what it began with.
    """

    _log = Logger()

    def __init__(self, files: Files, now: WallClock = wall_clock) -> None:
        self._files = files
        self._now = now
        self._lock = DeferredLock()
        self.loaded: Loaded

    def load(self) -> None:
        """Load it for the first time, at once. Raises `CertificateError`."""
        self._files = self._files.absolute()
        self._take(load(self._files, self._date()), "Serving TLS with")

    def load_again(self, in_thread: InThread) -> Deferred[None]:
        """Load it again, or go on with what there is; the log has which.

        Fires when that is decided. Of several the last one counts.
        """
        return self._lock.run(self._load_again, in_thread)

    def serverConnectionForTLS(
        self,
        tlsProtocol: "TLSMemoryBIOProtocol",  # noqa: N803
    ) -> "Connection":
        """Begin a connection (`IOpenSSLServerConnectionCreator`)."""
        from chatd.server.tls import HalfClosing

        return HalfClosing(self.loaded.context)

    def _load_again(self, in_thread: InThread) -> Deferred[None]:
        def read() -> Loaded:
            return load(self._files, self._date())

        def took(loaded: Loaded) -> None:
            self._take(loaded, "Loaded again:")

        return in_thread(read).addCallback(took).addErrback(self._keep)

    def _keep(self, failure: Failure) -> None:
        if not failure.check(CertificateError):
            self._log.failure("Loading a certificate failed", failure=failure)
        self._log.error(
            "Not loaded again: {reason}. {path} goes on as it was loaded before"
            " (SHA-256 {fingerprint}, valid until {expires})",
            reason=failure.getErrorMessage(),
            path=str(self._files.certificate),
            fingerprint=self.loaded.fingerprint,
            expires=_date(self.loaded.expires),
        )

    def _take(self, loaded: Loaded, how: str) -> None:
        self.loaded = loaded
        self._log.info(
            "{how} {path} (SHA-256 {fingerprint}, valid until {expires})",
            how=how,
            path=str(self._files.certificate),
            fingerprint=loaded.fingerprint,
            expires=_date(loaded.expires),
        )
        if loaded.expires - self._date() <= EXPIRES_SOON:
            self._log.warn(
                "{path} expires soon, on {expires}: renew it, and send SIGHUP",
                path=str(self._files.certificate),
                expires=_date(loaded.expires),
            )

    def _date(self) -> datetime:
        return datetime.fromtimestamp(self._now() / 1000, UTC)


def _certificates(path: Path) -> "list[Certificate]":
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(path))
    except ValueError:
        raise CertificateError(f"{path} has no certificate that can be read") from None


def _context(
    files: Files, certificate: "Certificate", chain: "list[Certificate]"
) -> "Context":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from OpenSSL import SSL, crypto
    from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion

    try:
        key = load_pem_private_key(_read(files.key), None)
    except TypeError:
        raise CertificateError(
            f"{files.key} is encrypted, and nobody can be asked for its password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{files.key} has no private key that can be read"
        ) from None
    if key.public_key() != certificate.public_key():
        raise CertificateError(
            f"{files.key} is not the key of the certificate in {files.certificate}"
        )
    try:
        return CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(key),  # type: ignore[arg-type]
            certificate=crypto.X509.from_cryptography(certificate),
            extraCertChain=[crypto.X509.from_cryptography(each) for each in chain],
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
        ).getContext()
    except SSL.Error as error:
        # Such as a key that is too short.
        why = "; ".join(reason for _, _, reason in error.args[0])
    except (TypeError, ValueError) as error:
        why = str(error)
    raise CertificateError(f"{files.certificate} cannot be used for TLS: {why}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
