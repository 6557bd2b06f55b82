"""The PROXY protocol: who connects, as a proxy says it before the first byte.

Version 1 is a line of text, version 2 a block of bytes; haproxy's `proxy-protocol.txt`
is the specification of both. Which of them comes shows in the first bytes.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

MAX_LINE: Final = 107
"""How long a header of version 1 may be, its end counted."""

MAX_BLOCK: Final = 4096
"""How long a header of version 2 may be; what proxies add to it takes some hundreds."""

MAX_PORT: Final = 65535

_V1_BEGIN: Final = b"PROXY "
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+)"
    rb" (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)

_V2_BEGIN: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = 16  # the beginning, version and command, family, length
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_FAMILIES: Final = 4  # unspecified, IPv4, IPv6, Unix
_TRANSPORTS: Final = 3  # unspecified, stream, datagram
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_ADDRESSES: Final = (0, 12, 36, 216)  # by family: bytes of both addresses and ports


class BadHeader(Exception):
    """What came is no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who connected to the proxy."""

    address: IPv4Address | IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header, and the bytes that came after it.

    The source is None if the proxy speaks for itself, as for a health check, or does
    not say who connected.
    """

    source: Source | None
    rest: bytes


class HeaderReader:
    """Reads one header, however its bytes are split.

    What is kept of it is bounded, but for the bytes that were fed last.
    """

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Header | None:
        """Take bytes; return the header once it is complete.

        Raises `BadHeader` as soon as it cannot become one; after either the reader is
        of no more use.
        """
        self._bytes += data
        if _may_be(_V1_BEGIN, self._bytes):
            return self._line()
        if _may_be(_V2_BEGIN, self._bytes):
            return self._block()
        raise BadHeader("neither version 1 nor version 2")

    def _line(self) -> Header | None:
        end = self._bytes.find(b"\n", 0, MAX_LINE) + 1
        if not end:
            if len(self._bytes) >= MAX_LINE:
                raise BadHeader("the line is too long")
            return None
        match = _V1.fullmatch(self._bytes, 0, end)
        if match is None:
            raise BadHeader("the line is malformed")
        source = None
        if match[1] is not None:
            parse = IPv4Address if match[1] == b"4" else IPv6Address
            try:
                address, _ = (parse(each.decode()) for each in match.group(2, 3))
            except AddressValueError:
                raise BadHeader("an address is none") from None
            port, proxy_port = (int(each) for each in match.group(4, 5))
            if port > MAX_PORT or proxy_port > MAX_PORT:
                raise BadHeader("a port is none")
            source = Source(address, port)
        return Header(source, bytes(self._bytes[end:]))

    def _block(self) -> Header | None:
        block = self._bytes
        size = len(block)
        if size > 12 and block[12] not in (_LOCAL, _PROXY):
            raise BadHeader("an unknown version or command")
        if size < _V2_FIXED:
            return None
        command, kind = block[12], block[13]
        length = int.from_bytes(block[14:16], "big")
        end = _V2_FIXED + length
        if end > MAX_BLOCK:
            raise BadHeader("the block is too long")
        # A proxy that speaks for itself may leave anything in the rest.
        if command == _PROXY:
            family, transport = kind >> 4, kind & 0xF
            if family >= _FAMILIES or transport >= _TRANSPORTS:
                raise BadHeader("an unknown family or transport")
            if length < _ADDRESSES[family]:
                raise BadHeader("the addresses are cut off")
        if size < end:
            return None
        source = None
        if command == _PROXY and kind == _TCP4:
            source = Source(IPv4Address(bytes(block[16:20])), _number(block[24:26]))
        elif command == _PROXY and kind == _TCP6:
            source = Source(IPv6Address(bytes(block[16:32])), _number(block[48:50]))
        return Header(source, bytes(block[end:]))


def _may_be(begin: bytes, data: bytearray) -> bool:
    """Whether data begins so, as far as it goes."""
    return begin.startswith(bytes(data[: len(begin)]))


def _number(data: bytearray) -> int:
    return int.from_bytes(data, "big")
