"""What the text form and the JSON form have each of their own: how things look."""

from array import array
from collections.abc import Sequence

from twisted.internet.defer import Deferred

from chatd.hub.accepted import AcceptedRun
from chatd.wire.answers import Refusal
from chatd.wire.block import Block
from chatd.wire.message import Message


class Language:
    """How lines are read, and how what is said is written.

    Each of the two has its own of what raises `NotImplementedError`.
    """

    __slots__ = ()

    takes_chunks = False
    """Whether `take_chunk` may be asked."""

    acknowledges = False
    """Whether the peer's program says what it has; else its machine does."""

    def line(self, line: str) -> Deferred[None] | None:
        """Take a line; the next waits for the Deferred, if there is one."""
        raise NotImplementedError

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Take lines at once; return how many bytes, and lines, were taken."""
        raise NotImplementedError

    def refusal_line(self, refusal: Refusal) -> str:
        """Return a refusal as a line."""
        raise NotImplementedError

    def goodbye_line(self) -> str:
        """Return the line that says that everything sent is safe."""
        raise NotImplementedError

    def deliver(self, messages: Sequence[Message], *, queued: bool) -> Sequence[int]:
        """Write messages, in order; `queued` ones waited when the user logged in.

        Returns the mark of each, by which the peer will acknowledge it.
        """
        raise NotImplementedError

    def deliver_block(self, block: Block, *, queued: bool) -> tuple[int, "array[int]"]:
        """Write messages that are kept together, as lines."""
        raise NotImplementedError

    def bytes_for(self, run: AcceptedRun) -> int:
        """Return how many bytes a run may take, when it is written."""
        raise NotImplementedError

    def write_run(self, run: AcceptedRun, lines: bytes) -> int:
        """Write messages that were just accepted; return the mark of the last."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        """Write a line for the person."""
        raise NotImplementedError

    def progress(self, acknowledged: int) -> None:
        """Take note of what the peer's machine has."""
        raise NotImplementedError
