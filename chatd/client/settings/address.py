"""Where to connect, and as whom: ``alice@host:5555``."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from chatd.wire.display import neutralise
from chatd.wire.names import BadName, Name, parse_name

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 5555
DEFAULT_TLS_PORT: Final = 5556

# With its zone: fe80::1%eth0.
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")


class BadAddress(ValueError):
    """A string that is no address; str() is one sentence that says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(neutralise(sentence))


@dataclass(frozen=True, slots=True)
class Server:
    """A host, and the port where one was given."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        """Return it as people write it."""
        if self.port is None:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_this_machine(self) -> bool:
        """Whether what is sent there cannot leave this machine."""
        if self.host.lower().removesuffix(".") == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Address:
    """What was written as ``alice@host:5555``; either side may have been left out."""

    user: Name | None
    server: Server | None


def parse_address(text: str) -> Address:
    """Return what ``alice@host:5555`` means; all of it but the ``@`` may be left out.

    A port alone is one of this machine. Raises `BadAddress`.
    """
    before, _, rest = text.rpartition("@")
    user = parse_user(before) if before else None
    if not before and not rest:
        raise BadAddress(
            f"{text!r} is no address: write it like alice@host:{DEFAULT_PORT}."
        )
    return Address(user, parse_server(rest) if rest else None)


def parse_server(text: str) -> Server:
    """Return what ``host:5555`` means. Raises `BadAddress`."""
    if text.startswith("["):
        host, bracket, end = text[1:].partition("]")
        if not bracket or (end and end[0] != ":"):
            raise BadAddress(f"{text!r} is no address: write it like [::1]:5555.")
        if ":" not in host:
            raise BadAddress(f"{host!r} is no IPv6 address.")
        port = end[1:]
    elif text.count(":") > 1:  # an IPv6 address, without a port
        host, port, end = text, "", ""
    else:
        host, end, port = text.partition(":")
        host = host if host or not end else DEFAULT_HOST
    return Server(parse_host(host), parse_port(port) if end else None)


def parse_user(text: str) -> Name:
    """Return a user's name. Raises `BadAddress`."""
    try:
        return parse_name(text)
    except BadName as bad:
        raise BadAddress(f"{text[:64]!r} is no name: {bad}") from None


def parse_host(text: str) -> str:
    """Return a host's name or address. Raises `BadAddress`."""
    if ":" in text:
        host = text.removeprefix("[").removesuffix("]")
        try:
            if not _IPV6.fullmatch(host):
                raise ValueError
            IPv6Address(host)
        except ValueError:
            raise BadAddress(f"{host[:64]!r} is no IPv6 address.") from None
        return host
    try:
        name = text.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise BadAddress(f"{text[:64]!r} is no host name.")
    return text


def parse_port(text: str) -> int:
    """Return a port's number. Raises `BadAddress`."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise BadAddress(f"{text[:64]!r} is no port: ports are 1 to 65535.")
    return int(text)
