"""A form: one way to speak to a connection, as the connection sees it."""

from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed

from chatd.wire.answers import Refusal


class Form(Protocol):
    """How a connection is spoken to: greeting, text or JSON."""

    takes_chunks: bool

    def line(self, line: str) -> Deferred[None] | None:
        """Take a line; the next waits for the Deferred, if there is one."""

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Take lines that can be taken at once; return how many bytes, and lines.

        At `most` so many lines; asked if it `takes_chunks`.
        """

    def refuse(self, refusal: Refusal) -> None:
        """Answer something that was wrong with a line, or end the connection."""

    def progress(self, acknowledged: int) -> None:
        """Take note that the peer has that many bytes of what was written."""

    def end(self) -> None:
        """Take note that the input has ended, after its last line."""

    def idle(self) -> None:
        """Take note that all lines read so far are processed."""

    def held(self) -> None:
        """Take note that no lines are taken for a while."""

    def released(self) -> None:
        """Take note that lines are taken again; those that waited come first."""

    def stop(self) -> Deferred[None]:
        """Say that the server stops; fire when everything sent is answered."""

    def disconnected(self) -> None:
        """Take note that nobody reads any more; lines may still come."""

    def close(self) -> None:
        """Let go of everything: no line will come any more."""


class Ended:
    """The form of a connection that is being closed: what comes is dropped."""

    takes_chunks = False

    def line(self, line: str) -> Deferred[None] | None:
        """Drop it."""
        return None

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Never comes."""
        return 0, 0

    def refuse(self, refusal: Refusal) -> None:
        """Drop it."""

    def progress(self, acknowledged: int) -> None:
        """Nobody waits for it."""

    def end(self) -> None:
        """Nothing depends on it."""

    def idle(self) -> None:
        """Nothing depends on it."""

    def held(self) -> None:
        """Nothing depends on it."""

    def released(self) -> None:
        """Nothing depends on it."""

    def stop(self) -> Deferred[None]:
        """There is nothing to answer."""
        return succeed(None)

    def disconnected(self) -> None:
        """There is nothing to let go of."""

    def close(self) -> None:
        """There is nothing to let go of."""


ENDED: Final = Ended()
"""It is the same for all of them."""
