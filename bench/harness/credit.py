"""Who may send more, since messages or answers have come."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from harness.connection import Connection


class Credit(Protocol):
    """Is told what came, and lets those send more who may."""

    def came(self, connection: Connection, before: int, after: int) -> None:
        """Note how many units a connection had before a read, and has after it."""

    def settle(self) -> Iterable[Connection]:
        """Let senders send more; return them. Called after a round of reads."""


class ByTag:
    """A sender may send one more for each of its messages that came, to whomever.

    Each message has its sender's tag, a letter, `offset` bytes after its beginning. The
    letters of a round are gathered, and then counted at once.
    """

    def __init__(
        self, senders: Sequence[Connection], tags: bytes, offset: int, size: int
    ) -> None:
        self._pairs = list(zip((bytes([tag]) for tag in tags), senders, strict=True))
        self._offset, self._size = offset, size
        self._gathered: list[bytearray] = []

    def came(self, connection: Connection, before: int, after: int) -> None:
        """Take the tags."""
        skip, size = connection.skip, self._size
        start = skip + before * size + self._offset
        self._gathered.append(connection.inbox[start : skip + after * size : size])

    def settle(self) -> Iterable[Connection]:
        """Count them."""
        if not self._gathered:
            return
        tags = b"".join(self._gathered)
        self._gathered.clear()
        for tag, sender in self._pairs:
            if count := tags.count(tag):
                sender.allow(count)
                yield sender


class ByPartner:
    """A sender may send one more for each message that came to its only receiver.

    Where each is its own partner, that is for each answer that it got.
    """

    def __init__(self, partners: Mapping[Connection, Connection]) -> None:
        self._partners = partners
        self._ready: list[Connection] = []

    def came(self, connection: Connection, before: int, after: int) -> None:
        """Let the partner send more, if there is one."""
        sender = self._partners.get(connection)
        if sender is not None:
            sender.allow(after - before)
            self._ready.append(sender)

    def settle(self) -> Iterable[Connection]:
        """Return those partners."""
        ready, self._ready = self._ready, []
        return ready


def by_answers(senders: Iterable[Connection]) -> ByPartner:
    """Return what lets a sender send one more for each answer that it got."""
    return ByPartner({sender: sender for sender in senders})
