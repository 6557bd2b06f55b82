"""What was accepted and is not settled, as its receiver and its deliveries see it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from chatd.wire.block import Row
from chatd.wire.message import Message


class Accepted(Protocol):
    """A message that was accepted and is not settled, or several that share their fate.

    `shown` is set when it is written to a connection of the receiver.
    """

    shown: bool
    shared: bool
    """Whether it is counted to its senders' parts of the queue."""

    def measure(self) -> int:
        """Find out the exact `size`; return by how much it was counted too large."""

    def shares(self) -> Iterable[tuple[str, int, int]]:
        """Return for each sender how many messages and bytes are its."""

    @property
    def first(self) -> int:
        """The position of the first message."""

    @property
    def last(self) -> int:
        """The position of the last message."""

    def position_before(self, size: int) -> int:
        """Return the position of the last message before so many bytes of its lines."""

    def separate(self) -> Sequence["AcceptedMessage"]:
        """Take it apart: return each message by itself."""

    def confirm(self) -> bool:
        """Take note that a connection has it; return whether a transaction has it."""


class AcceptedMessage(Accepted, Protocol):
    """A message that was accepted and is not settled."""

    message: Message


class AcceptedRun(Accepted, Protocol):
    """Messages that were accepted together, `size` bytes of text in all, or some more.

    `delivered` is set when a connection has them.
    """

    count: int
    size: int
    delivered: bool

    @property
    def rows(self) -> Sequence[Row]:
        """The messages, as they are written to disk."""

    def sizes(self) -> Iterable[int]:
        """Return how many bytes of text each message has."""

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person; find out the `size`.

        There are none if no connection of the receiver is a person's.
        """

    def object_ends(self) -> Sequence[str] | None:
        """Return the lines that show them to a program, each from behind its number on.

        None if they are not at hand. Made once, until it is `written`.
        """

    def written(self) -> None:
        """Let go of what was made to be written."""
