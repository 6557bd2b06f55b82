"""``chatctl certificate``: what it makes, and what it leaves alone."""

import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from chatd.certificates import Files, load
from chatd.control.main import main
from chatd.listening import TLSEndpoint, endpoints


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chatctl(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error; there is nothing else."""
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("chatctl: ")
    return line


def made(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())


def names(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return [str(name.value) for name in extension.value]


def test_the_certificate_is_for_all_hosts_and_signs_for_none(folder: Path) -> None:
    hosts = ("Chat.Example.org", "*.example.org", "bücher.example", "192.0.2.1")
    assert chatctl("certificate", *hosts, "[2001:db8::1]", "chat.example.org") == 0
    certificate = made(folder)
    assert names(certificate) == [
        "chat.example.org",
        "*.example.org",
        "xn--bcher-kva.example",
        "192.0.2.1",
        "2001:db8::1",
    ]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    certificate.verify_directly_issued_by(certificate)


def test_a_name_longer_than_a_subject_may_be_is_among_the_hosts(folder: Path) -> None:
    long = ".".join(["a" * 40] * 3)
    assert chatctl("certificate", long) == 0
    assert names(made(folder)) == [long]


@pytest.mark.parametrize(("options", "days"), [((), 730), (("--days", "7"), 7)])
def test_it_is_valid_now_and_for_so_many_days(
    folder: Path, options: tuple[str, ...], days: int
) -> None:
    now = datetime.now(UTC)
    assert chatctl("certificate", "localhost", *options) == 0
    certificate = made(folder)
    assert certificate.not_valid_before_utc < now
    lasts = certificate.not_valid_after_utc - now
    assert timedelta(days, seconds=-60) < lasts < timedelta(days, seconds=60)


def test_the_line_that_is_shown_serves_what_was_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = folder / "k:1.pem"
    assert chatctl("certificate", "localhost", "--key", "k:1.pem") == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert f"Private key:  {key}\nCertificate:  {folder / 'cert.pem'}\n" in output
    shown = re.search(r"--port '(ssl:5556:.+)'\n$", output)
    assert shown
    from twisted.internet.testing import MemoryReactor

    (endpoint,) = endpoints(MemoryReactor(), shown[1])
    assert isinstance(endpoint, TLSEndpoint)
    files = endpoint.certificate._files
    assert files == Files(key, folder / "cert.pem")
    assert f"\n  {load(files, datetime.now(UTC)).fingerprint}\n" in output


def test_the_key_is_its_owners_alone(folder: Path) -> None:
    assert chatctl("certificate", "localhost") == 0
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600


def test_nobody_could_read_the_key_even_while_it_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    modes: list[int] = []
    real = os.open

    def open_and_look(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        assert flags & os.O_EXCL
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr("chatd.control.certificate.os.open", open_and_look)
    before = os.umask(0)
    try:
        assert chatctl("certificate", "localhost") == 0
    finally:
        os.umask(before)
    assert modes == [0o600, 0o644]


@pytest.mark.parametrize("there", ["key.pem", "cert.pem"])
def test_what_is_there_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (folder / there).write_text("precious")
    assert chatctl("certificate", "localhost") == 1
    assert f"{there} is there already; --force replaces" in complaint(capsys)
    assert [each.name for each in folder.iterdir()] == [there]
    assert (folder / there).read_text() == "precious"


@pytest.mark.parametrize("there", [True, False])
def test_with_force_too_it_is_both_or_neither(
    folder: Path, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    if there:
        (folder / "key.pem").write_text("old")
    (folder / "cert.pem").mkdir()
    assert chatctl("certificate", "localhost", "--force") == 1
    assert "Is a directory" in complaint(capsys)
    left = {each.name: each.is_file() and each.read_text() for each in folder.iterdir()}
    assert left == {"cert.pem": False} | ({"key.pem": "old"} if there else {})


def test_with_force_both_are_replaced(folder: Path) -> None:
    assert chatctl("certificate", "localhost") == 0
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert chatctl("certificate", "localhost", "--force") == 0
    after = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert set(after) == {"key.pem", "cert.pem"}
    assert not set(before.values()) & set(after.values())
    load(Files(folder / "key.pem", folder / "cert.pem"), datetime.now(UTC))


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        ((), 2, "Missing argument 'HOST...'"),
        (("a b",), 2, "'a b' is no name or address of a host"),
        (("300.1.1.1",), 2, "'300.1.1.1' is no name or address of a host"),
        (("x\x1b[2J",), 2, "is no name or address of a host"),
        (("localhost", "--days", "0"), 2, "--days"),
        (("localhost", "--key", "x", "--cert", "./x"), 2, "are the same file"),
        (("localhost", "--key", "no/key.pem"), 1, "cannot be written: No such file"),
    ],
)
def test_a_mistake_is_said_in_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    what: str,
) -> None:
    assert chatctl("certificate", *arguments) == status
    assert what in complaint(capsys)
    assert list(folder.iterdir()) == []


def test_without_arguments_the_commands_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert chatctl() == 0
    assert "  certificate  Make a private key" in capsys.readouterr().out
    assert chatctl("user") == 0
    assert "\n  add       Register NAME" in capsys.readouterr().out
