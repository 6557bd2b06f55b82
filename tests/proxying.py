"""Headers of the PROXY protocol, as proxies make them."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL: Final = 0x20
PROXY: Final = 0x21

Address = IPv4Address | IPv6Address


def v1(host: str, port: int = 40_000) -> bytes:
    """Return a header of version 1 for a connection from there."""
    address = ip_address(host)
    here = "192.0.2.100" if address.version == 4 else "2001:db8::100"
    return f"PROXY TCP{address.version} {host} {here} {port} 5555\r\n".encode()


def block(command: int, kind: int, content: bytes) -> bytes:
    """Return a header of version 2."""
    length = len(content).to_bytes(2, "big")
    return SIGNATURE + bytes((command, kind)) + length + content


def v2(host: str, port: int = 40_000, more: bytes = b"") -> bytes:
    """Return a header of version 2 for a connection from there.

    `more` is what follows the addresses in it.
    """
    address = ip_address(host)
    here = ip_address("192.0.2.100" if address.version == 4 else "2001:db8::100")
    ports = port.to_bytes(2, "big") + (5555).to_bytes(2, "big")
    kind = 0x11 if address.version == 4 else 0x21
    return block(PROXY, kind, address.packed + here.packed + ports + more)


UNKNOWN: Final = b"PROXY UNKNOWN\r\n"
"""What version 1 says for a health check, or for whom it does not know."""

LOCALLY: Final = block(LOCAL, 0, b"")
"""What version 2 says for a health check."""
