"""Certificates for tests, such as nobody would make on purpose."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from chatd.fingerprint import fingerprint

DAY = timedelta(days=1)


class Made:
    """A key and a certificate, signed by itself or by an `issuer`."""

    def __init__(
        self,
        *hosts: str,
        begins: datetime | None = None,
        ends: datetime | None = None,
        issuer: "Made | None" = None,
        authority: bool = False,
        key: rsa.RSAPrivateKey | None = None,
    ) -> None:
        now = datetime.now(UTC)
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        common = "authority" if authority else "server"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        signer = issuer or self
        builder = x509.CertificateBuilder(
            issuer_name=issuer.certificate.subject if issuer else subject,
            subject_name=subject,
            public_key=self.key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begins or now - DAY,
            not_valid_after=ends or now + 365 * DAY,
        ).add_extension(x509.BasicConstraints(authority, None), critical=True)
        if hosts:
            names = [_general_name(host) for host in hosts]
            builder = builder.add_extension(
                x509.SubjectAlternativeName(names),
                critical=False,
            )
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate.public_bytes(Encoding.DER))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path) -> "Made":
        """Write ``key.pem`` and ``cert.pem``."""
        (folder / "key.pem").write_bytes(self.key_pem)
        (folder / "cert.pem").write_bytes(self.pem)
        return self


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
