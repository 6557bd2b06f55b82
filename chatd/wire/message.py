"""A message, as it travels from its sender to its receiver."""

import secrets
import time
import uuid
from dataclasses import dataclass
from hashlib import blake2b

_last = 0


@dataclass(slots=True)
class Message:
    """One message to one receiver; never changed once it is made.

    `position` is its place in the order of all accepted messages: it only rises.
    `sender` and `target` are names as shown; `text` is as it was sent, with LF
    between lines; `time` is the acceptance in milliseconds since 1970-01-01 UTC;
    `size` is the text's in bytes of UTF-8; `id` is the sender's own, ``""`` if it gave
    none: then `DerivedIds` know it.
    """

    position: int
    id: str
    sender: str
    target: str
    text: str
    time: int
    size: int

    @property
    def first(self) -> int:
        """Its position, as that of a block's first message."""
        return self.position

    @property
    def last(self) -> int:
        """Its position, as that of a block's last message."""
        return self.position

    @property
    def count(self) -> int:
        """One."""
        return 1

    @property
    def weight(self) -> int:
        """Its bytes, with the sender's name before each further line.

        This is what it may take on a text connection: many short lines make much of
        little.
        """
        return self.size + 128 * self.text.count("\n")


class DerivedIds:
    """The ids of messages that were sent without one.

    They are derived when somebody needs them, and then the same each time, before and
    after a restart: most messages go to people, who never see one. They are UUIDs of
    version 7, and say nothing but the time to who does not know the `secret`.
    """

    def __init__(self, secret: bytes) -> None:
        self._hash = blake2b(key=secret, digest_size=10)

    def of(self, message: Message) -> str:
        """Return the message's id: its own, or the derived one."""
        if message.id:
            return message.id
        hashed = self._hash.copy()
        hashed.update(message.position.to_bytes(8, "big"))
        random = int.from_bytes(hashed.digest(), "big")
        return str(uuid.UUID(int=_version_7(message.time, random)))


def new_id() -> str:
    """Return a new id: a UUID of version 7 (RFC 9562, section 5.7).

    Each is higher than all that this process has made before, whatever the clock does;
    ids of others that are made later are higher to the millisecond.
    """
    global _last
    milliseconds = time.time_ns() // 1_000_000
    value = _version_7(milliseconds, secrets.randbits(80))
    if value <= _last:
        # Section 6.2, method 2: the random part counts.
        value = _last + 1 + secrets.randbits(32)
    _last = value
    return str(uuid.UUID(int=value))


def _version_7(milliseconds: int, random: int) -> int:
    """Return a UUID's value; of the 80 random bits 74 remain."""
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 7 << 76  # the version
    return value & ~(0x3 << 62) | 2 << 62  # the variant
