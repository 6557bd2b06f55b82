"""What a TLS port serves: which files are taken, at the start and later."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificates import DAY, Made
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from twisted.internet.defer import Deferred, execute
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from chatd.certificates import (
    EXPIRES_SOON,
    CertificateError,
    Files,
    Loaded,
    ServerCertificate,
    load,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Log:
    """What was logged: the level of each line, and the line."""

    def __init__(self) -> None:
        self.lines: list[tuple[LogLevel, str]] = []

    def __call__(self, event: LogEvent) -> None:
        self.lines.append((event["log_level"], formatEvent(event)))

    def take(self) -> list[tuple[LogLevel, str]]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    globalLogPublisher.addObserver(log)
    yield log
    globalLogPublisher.removeObserver(log)


class Port:
    """A certificate and its files, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.files = Files(folder / "key.pem", folder / "cert.pem")
        self.made = self.write()
        self.certificate = ServerCertificate(
            self.files, lambda: int(self.now.timestamp() * 1000)
        )

    def write(self, lasts: timedelta = 365 * DAY) -> Made:
        made = Made("localhost", begins=self.now - DAY, ends=self.now + lasts)
        return made.write(self.folder)

    def load_again(self) -> None:
        done = self.certificate.load_again(execute)
        assert done.called


@pytest.fixture
def port(tmp_path: Path) -> Port:
    return Port(tmp_path)


# The files ----------------------------------------------------------------------------


def test_key_certificate_and_chain_may_lie_in_one_file(tmp_path: Path) -> None:
    authority = Made(authority=True, begins=NOW - DAY, ends=NOW + DAY)
    made = Made("localhost", begins=NOW - DAY, ends=NOW + DAY, issuer=authority)
    path = tmp_path / "all.pem"
    for parts in (
        (made.key_pem, made.pem, authority.pem),
        (made.pem, authority.pem, made.key_pem),
    ):
        path.write_bytes(b"".join(parts))
        assert load(Files(path, path), NOW).fingerprint == made.fingerprint


def broken(made: Made, folder: Path, how: str) -> str:
    """Break the files of a certificate; return what is said of them."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    match how:
        case "no key":
            key.unlink()
            return f"{key}: No such file or directory"
        case "no certificate":
            cert.unlink()
            return f"{cert}: No such file or directory"
        case "a folder":
            cert.unlink()
            cert.mkdir()
            return f"{cert}: Is a directory"
        case "an empty certificate":
            cert.write_bytes(b"")
            return f"{cert} has no certificate that can be read"
        case "half a certificate":
            cert.write_bytes(made.pem[: len(made.pem) // 2])
            return f"{cert} has no certificate that can be read"
        case "a certificate for a key":
            key.write_bytes(made.pem)
            return f"{key} has no private key that can be read"
        case "an encrypted key":
            key.write_bytes(
                made.key.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
                )
            )
            return f"{key} is encrypted, and nobody can be asked for its password"
        case "another key":
            key.write_bytes(Made("localhost").key_pem)
            return f"{key} is not the key of the certificate in {cert}"
    raise AssertionError(how)


BROKEN = [
    "no key",
    "no certificate",
    "a folder",
    "an empty certificate",
    "half a certificate",
    "a certificate for a key",
    "an encrypted key",
    "another key",
]


@pytest.mark.parametrize("how", BROKEN)
def test_files_that_cannot_be_served_are_named_with_the_reason(
    port: Port, how: str
) -> None:
    expected = broken(port.made, port.folder, how)
    with pytest.raises(CertificateError) as caught:
        load(port.files, NOW)
    assert str(caught.value) == expected


def test_a_chain_that_is_missing_is_named(port: Port) -> None:
    chain = port.folder / "chain.pem"
    with pytest.raises(CertificateError, match=r"chain\.pem: No such file"):
        load(Files(port.files.key, port.files.certificate, chain), NOW)


def test_a_key_that_is_too_weak_for_tls_is_refused(tmp_path: Path) -> None:
    weak = Made("localhost", key=rsa.generate_private_key(65537, 1024)).write(tmp_path)
    files = Files(tmp_path / "key.pem", tmp_path / "cert.pem")
    with pytest.raises(CertificateError, match=r"cannot be used for TLS: .*small"):
        load(files, weak.certificate.not_valid_before_utc)


@pytest.mark.parametrize(
    ("begins", "ends", "why"),
    [
        (NOW - 2 * DAY, NOW, "expired on 2030-01-01 00:00:00 UTC"),
        (NOW + DAY, NOW + 2 * DAY, "is not valid before 2030-01-02 00:00:00 UTC"),
    ],
)
def test_a_certificate_out_of_its_time_is_refused(
    tmp_path: Path, begins: datetime, ends: datetime, why: str
) -> None:
    Made("localhost", begins=begins, ends=ends).write(tmp_path)
    files = Files(tmp_path / "key.pem", tmp_path / "cert.pem")
    with pytest.raises(CertificateError) as caught:
        load(files, NOW)
    assert str(caught.value) == f"{files.certificate} {why}"
    assert load(files, begins).expires == ends


# Loading again ------------------------------------------------------------------------


def test_the_log_tells_what_is_served(port: Port, log: Log) -> None:
    port.certificate.load()
    assert log.take() == [
        (
            LogLevel.info,
            f"Serving TLS with {port.files.certificate} (SHA-256"
            f" {port.made.fingerprint}, valid until 2031-01-01 00:00:00 UTC)",
        )
    ]


def test_renewed_files_are_taken(port: Port, log: Log) -> None:
    port.certificate.load()
    first = port.certificate.loaded.context
    renewed = port.write()
    log.take()
    port.load_again()
    assert port.certificate.loaded.fingerprint == renewed.fingerprint
    assert port.certificate.loaded.context is not first
    ((level, line),) = log.take()
    assert level == LogLevel.info
    assert line.startswith(f"Loaded again: {port.files.certificate} (SHA-256 ")


@pytest.mark.parametrize("how", [*BROKEN, "expired"])
def test_files_that_cannot_be_served_leave_the_old_ones_in_use(
    port: Port, log: Log, how: str
) -> None:
    port.certificate.load()
    before = port.certificate.loaded
    if how == "expired":
        port.write(lasts=timedelta(0))
        reason = f"{port.files.certificate} expired on 2030-01-01 00:00:00 UTC"
    else:
        reason = broken(port.made, port.folder, how)
    log.take()
    port.load_again()
    assert port.certificate.loaded is before
    assert log.take() == [
        (
            LogLevel.error,
            f"Not loaded again: {reason}. {port.files.certificate} goes on as it was"
            f" loaded before (SHA-256 {before.fingerprint}, valid until 2031-01-01"
            " 00:00:00 UTC)",
        )
    ]


def test_of_two_requests_at_once_the_last_one_counts(port: Port) -> None:
    port.certificate.load()
    waiting: list[tuple[Deferred[Loaded], Loaded]] = []

    def slowly(read: object) -> Deferred[Loaded]:
        assert callable(read)
        waiting.append((Deferred(), read()))
        return waiting[-1][0]

    for _ in range(2):
        port.certificate.load_again(slowly)
    assert len(waiting) == 1
    last = port.write()
    for done, loaded in waiting:
        done.callback(loaded)
    assert port.certificate.loaded.fingerprint == last.fingerprint


@pytest.mark.parametrize("again", [False, True])
def test_a_certificate_that_expires_soon_is_a_warning(
    port: Port, log: Log, again: bool
) -> None:
    port.certificate.load()
    port.write(EXPIRES_SOON + timedelta(seconds=1))
    log.take()

    def loaded() -> list[tuple[LogLevel, str]]:
        port.load_again() if again else port.certificate.load()
        return log.take()[1:]

    assert loaded() == []
    port.now += timedelta(seconds=1)
    assert loaded() == [
        (
            LogLevel.warn,
            f"{port.files.certificate} expires soon, on 2030-01-15 00:00:01 UTC:"
            " renew it, and send SIGHUP",
        )
    ]
