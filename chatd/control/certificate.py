"""The command ``chatctl certificate``: a private key, and a certificate it signs."""

import os
import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from chatd.fingerprint import fingerprint

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, GeneralName, KeyUsage

PORT: Final = 5556
"""The port in the line that is shown."""

DAYS: Final = 730

_ALREADY: Final = timedelta(days=1)
"""Since when it is valid: other clocks may be behind."""

_LONGEST_NAME: Final = 64  # RFC 5280, ub-common-name
_DNS: Final = re.compile(r"(\*\.)?([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


@click.command("certificate")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default="key.pem",
    show_default=True,
    metavar="PATH",
    help="Where the private key goes.",
)
@click.option(
    "--cert",
    type=click.Path(path_type=Path),
    default="cert.pem",
    show_default=True,
    metavar="PATH",
    help="Where the certificate goes.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=DAYS,
    show_default=True,
    metavar="N",
    help="How long it is valid.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
def certificate(
    hosts: Sequence[str], key: Path, cert: Path, days: int, force: bool
) -> None:
    """Make a private key and a certificate for a TLS port.

    It is for each HOST, a name or an address by which clients reach the server. As no
    authority has signed it, each person is asked once whether it is the right one: tell
    them its fingerprint, which is shown.
    """
    if key.absolute() == cert.absolute():
        raise click.UsageError("--key and --cert are the same file.")
    names = [_host(host) for host in hosts]
    made, private = _make(names, datetime.now(UTC), days)
    _write(key, private, cert, _pem(made), force=force)
    _tell(made, key.absolute(), cert.absolute())


def _host(text: str) -> str:
    """Return a host as a certificate has it. Raises `UsageError`."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        name = text.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not _DNS.fullmatch(name) or re.fullmatch(r"[0-9.]+", name):
        raise click.UsageError(f"{text[:100]!r} is no name or address of a host.")
    return name.removesuffix(".").lower()


def _make(
    hosts: Sequence[str], now: datetime, days: int
) -> "tuple[Certificate, bytes]":
    """Return a certificate, and its key in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    common = hosts[0] if len(hosts[0]) <= _LONGEST_NAME else "chatd"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName(map(_general_name, dict.fromkeys(hosts))), False),
        # It speaks for itself only: whoever trusts it trusts nothing it would sign.
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_signs_only(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _ALREADY,
        not_valid_after=now + timedelta(days=days),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return builder.sign(key, hashes.SHA256()), private


def _general_name(host: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signs_only() -> "KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _write(
    key: Path, private: bytes, cert: Path, public: bytes, *, force: bool
) -> None:
    """Write both files, or neither. Raises `ClickException`."""
    try:
        with (
            _beside(key, private, 0o600) as new_key,
            _beside(cert, public, 0o644) as new,
        ):
            if force:
                with _put_back_on_failure(key):
                    new_key.replace(key)
                    new.replace(cert)
                return
            # Unlike a rename, a link never takes the place of a file.
            key.hardlink_to(new_key)
            try:
                cert.hardlink_to(new)
            except BaseException:
                key.unlink()
                raise
    except FileExistsError as error:
        raise click.ClickException(
            f"{error.filename2 or error.filename} is there already; --force replaces"
            " key and certificate."
        ) from None
    except OSError as error:
        raise click.ClickException(
            f"{key} and {cert} cannot be written: {error.strerror}"
        ) from None


@contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """Write a file beside another, on disk at the end; it is gone afterwards.

    It has its mode from the first moment on: nobody could open it meanwhile.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield new
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _put_back_on_failure(path: Path) -> Iterator[None]:
    """Have a file as it was, or not at all, if what is done meanwhile fails."""
    old = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        old.hardlink_to(path)
    except FileNotFoundError:
        there = False
    else:
        there = True
    try:
        yield
    except BaseException:
        if there:
            old.replace(path)
        else:
            path.unlink(missing_ok=True)
        raise
    finally:
        old.unlink(missing_ok=True)


def _tell(made: "Certificate", key: Path, cert: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding
    from twisted.internet.endpoints import quoteStringArgument

    where = (
        f"ssl:{PORT}:privateKey={quoteStringArgument(str(key))}"
        f":certKey={quoteStringArgument(str(cert))}"
    )
    click.echo(f"Private key:  {key}")
    click.echo(f"Certificate:  {cert}")
    click.echo(f"Valid until:  {made.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    click.echo("Fingerprint (SHA-256), for those who will be asked for it:")
    click.echo(f"  {fingerprint(made.public_bytes(Encoding.DER))}")
    click.echo("To serve it:")
    click.echo(f"  twistd -n chatd --port {shlex.quote(where)}")
