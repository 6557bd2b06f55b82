"""What ``--port`` names, and what is imported for it."""

import subprocess
import sys

import pytest

from chatd.ports import do_without_openssl, is_proxied, speak_no_tls


@pytest.mark.parametrize(
    ("descriptions", "certain"),
    [
        (["5555"], True),
        (["tcp:5555:interface=127.0.0.1", "unix:/run/chatd"], True),
        (["TCP6:5555", "systemd:domain=INET:index=0"], True),
        (["haproxy:5555", "haproxy:tcp:5556"], True),
        (["ssl:5556:privateKey=key.pem"], False),
        (["5555", "ssl:5556:privateKey=key.pem"], False),
        (["haproxy:ssl:5556:privateKey=key.pem"], False),
        (["somebodys:plugin"], False),
        ([""], False),
    ],
)
def test_what_is_certainly_not_encrypted_is_known(
    descriptions: list[str], certain: bool
) -> None:
    assert speak_no_tls(descriptions) == certain


@pytest.mark.parametrize(
    ("description", "proxied"),
    [("haproxy:5555", True), ("HAProxy:tcp:1", True), ("tcp:1", False), ("1", False)],
)
def test_a_port_for_proxies_says_so_first(description: str, proxied: bool) -> None:
    assert is_proxied(description) == proxied


@pytest.mark.parametrize(
    ("arguments", "parent", "imported"),
    [
        ([], {}, False),
        (["--port=haproxy:5555", "--port=unix:/run/chatd"], {}, False),
        (["--port=5555", "--port=ssl:5556:privateKey=key.pem"], {}, True),
        (["--auth=memory:alice:a long password"], {}, True),
        # In a .tac file, which may have other services that need it.
        ([], None, True),
    ],
)
def test_openssl_is_imported_before_the_start_or_never(
    arguments: list[str], parent: dict[str, str] | None, imported: bool
) -> None:
    """Later the files may be those of another version."""
    code = (
        "import sys; from chatd.tap import Options, makeService; options = Options();"
        f"parent = {parent!r}; parent is None or setattr(options, 'parent', parent);"
        f"options.parseOptions({arguments!r});"
        "makeService(options);"
        "print('cryptography' in sys.modules, sys.modules.get('OpenSSL') is not None)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert told == f"{imported} {imported}\n"


def test_what_is_imported_already_stays() -> None:
    before = sys.modules.get("OpenSSL")
    do_without_openssl()
    assert sys.modules.get("OpenSSL") is before
