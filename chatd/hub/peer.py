"""A peer: a connection that receives, as the hub sees it."""

from array import array
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from chatd.hub.accepted import AcceptedRun
from chatd.wire.block import Block
from chatd.wire.message import Message


class Peer(Protocol):
    """What a delivery needs of the connection to which it delivers."""

    acknowledges: bool
    """Whether the peer's program says what it has; else its machine does."""

    @property
    def outstanding(self) -> int:
        """How many bytes written the other end's machine has not acknowledged."""

    @property
    def crowded(self) -> bool:
        """Whether all connections together hold too much that was not read."""

    def deliver(self, messages: Sequence[Message], *, queued: bool) -> Sequence[int]:
        """Write messages, in order; `queued` ones waited when the user logged in.

        Returns the mark of each, by which `acknowledged` will be told of it.
        """

    def deliver_block(self, block: Block, *, queued: bool) -> tuple[int, "array[int]"]:
        """Write messages that are kept together, in order, as `deliver` does.

        Returns the mark of the last, and the bytes of each one's line. Asked only of a
        peer whose machine acknowledges for it.
        """

    def bytes_for(self, run: AcceptedRun) -> int:
        """Return how many bytes a run may take, when it is written."""

    def write_run(self, run: AcceptedRun, lines: bytes) -> int:
        """Write messages that were just accepted; return the mark of the last.

        `lines` show them to a person. Marks of those that a program acknowledges are
        consecutive.
        """

    @property
    def near(self) -> bool:
        """Whether `send_now` is worth a try."""

    def send_now(self, lines: bytes) -> tuple[int, bool]:
        """Write lines that show messages past all buffers.

        Returns their mark, and whether the peer has them already. Asked only of one
        that is `near`.
        """

    def notice(self, text: str) -> None:
        """Write a line for the person."""

    def drained(self) -> Deferred[None]:
        """Fire when what was written has left this process, or the connection."""
