"""What was accepted and is not settled, as its receiver and its deliveries see it."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from chatd.wire.block import Block
from chatd.wire.message import Message


class Accepted(Protocol):
    """A message that was accepted and is not settled, or several that share their fate.

    `shown` is set when it is written to a connection of the receiver.
    """

    shown: bool
    shared: bool
    """Whether it is counted to its senders' parts of the queue."""

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
    """Messages that were accepted together, `size` bytes of text in all.

    `delivered` is set when a connection has them.
    """

    count: int
    size: int
    delivered: bool

    @property
    def row(self) -> Block:
        """The messages, as they are written to disk."""

    def measure(self) -> None:
        """Find out the `size`: it is 0 until then."""

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person; find out the `size`."""
