"""What ``--port`` names, as far as it can be said without listening."""

import sys
from collections.abc import Iterable
from typing import Final

DEFAULT_PORT: Final = "5555"

SOCKETS: Final = ("tcp", "tcp6", "unix", "systemd")
"""Kinds whose connections are the system's sockets, with nothing above them."""


def kind_of(description: str) -> str:
    """Return the kind of endpoint; a number is of none."""
    return description.partition(":")[0].lower()


def is_proxied(description: str) -> bool:
    """Whether a ``--port`` is one for proxies."""
    return kind_of(description) == "haproxy"


def speak_no_tls(descriptions: Iterable[str]) -> bool:
    """Whether it is certain that nothing at these ports is encrypted."""
    for description in descriptions:
        if is_proxied(description):
            description = description.partition(":")[2]
        if not description.isdigit() and kind_of(description) not in SOCKETS:
            return False
    return True


def do_without_openssl() -> None:
    """Have Twisted take OpenSSL for not installed, if it has not been imported yet.

    Its reactor imports OpenSSL wherever there is one, and does without it elsewhere. It
    takes a fifth of the start, and a quarter of the memory of an idle daemon.
    """
    imported = {"OpenSSL", "twisted.internet.tcp", "twisted.internet.reactor"}
    if imported.isdisjoint(sys.modules):
        # As the import system has it: "importing it will fail".
        sys.modules["OpenSSL"] = None  # type: ignore[assignment]
