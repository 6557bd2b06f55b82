"""The few packets of MQTT 3.1.1 that are needed here."""

import struct
from typing import Final

CONNECTED: Final = b"\x20\x02\x00\x00"
CONNECTED_AGAIN: Final = b"\x20\x02\x01\x00"
ACKNOWLEDGEMENT_BYTES: Final = 4
DISCONNECT: Final = b"\xe0\x00"


def _packet(kind: int, body: bytes) -> bytes:
    if len(body) > 127:
        raise ValueError("longer than one byte of length can say")
    return bytes([kind, len(body)]) + body


def _string(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def connect(name: str, *, clean: bool) -> bytes:
    """Return CONNECT, without keepalive."""
    flags = 2 if clean else 0
    return _packet(0x10, _string("MQTT") + bytes([4, flags, 0, 0]) + _string(name))


def subscribe(topic: str, quality: int) -> bytes:
    """Return SUBSCRIBE."""
    return _packet(0x82, b"\x00\x01" + _string(topic) + bytes([quality]))


def subscribed(quality: int) -> bytes:
    """Return the SUBACK that answers it."""
    return bytes([0x90, 3, 0, 1, quality])


def publish(topic: str, text: bytes, quality: int, number: int) -> bytes:
    """Return PUBLISH, with a packet identifier made of a number where one is needed."""
    identifier = struct.pack(">H", number % 65535 + 1) if quality else b""
    return _packet(0x30 | quality << 1, _string(topic) + identifier + text)


def acknowledge(packets: bytes | bytearray, size: int, topic_bytes: int) -> bytes:
    """Return PUBACK for each of many PUBLISH packets of the same size."""
    at = 4 + topic_bytes
    count = len(packets) // size
    answer = bytearray(b"\x40\x02\x00\x00" * count)
    answer[2::4] = packets[at::size]
    answer[3::4] = packets[at + 1 :: size]
    return bytes(answer)
