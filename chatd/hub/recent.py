"""The newest of a queue, in memory, for a connection that has nearly caught up.

Who has fallen behind while senders go on is given what is on disk; to read it takes
longer than to write what is new, so that the end of the queue might never be reached.
So what is stored from some moment on is kept here as well, as long as there is room:
who has come to that moment gets the rest from memory, and is live soon after.
"""

from bisect import bisect_right
from itertools import islice
from operator import attrgetter
from typing import Final

from chatd.wire.block import Block, Row, page_of

AT_ONCE: Final = 250
"""How many messages are written in one turn: few, since nobody else has it."""

_last = attrgetter("last")


class Room:
    """What may be kept for all queues together, in bytes."""

    def __init__(self, most: int) -> None:
        self.left = most


class Recent:
    """What was stored in one queue after a position, without a gap.

    `most` is how many bytes it may have, of the `room` that it shares with others.
    """

    def __init__(self, after: int, most: int, room: Room) -> None:
        self._after = after
        self._most = most
        self._room = room
        self._bytes = 0
        self._rows: list[Row] = []

    def add(self, row: Row) -> bool:
        """Keep what was stored behind all others, if there is room."""
        if row.last <= self._after:
            return True
        if isinstance(row, Block):
            row = row.after(self._after)
        weight = row.weight
        if self._bytes + weight > self._most or weight > self._room.left:
            return False
        self._bytes += weight
        self._room.left -= weight
        self._rows.append(row)
        return True

    def page(
        self, after: int, max_bytes: int, *, as_lines: bool = False
    ) -> list[Row] | None:
        """Return the next messages behind a position, None if it does not have them.

        There are more of those that are kept together if they become lines.
        """
        if after < self._after:
            return None
        first = bisect_right(self._rows, after, key=_last)
        rows = islice(self._rows, first, None)
        return page_of(rows, after, max_bytes, AT_ONCE, as_lines=as_lines)

    def clear(self) -> None:
        """Give the room back; of no use from then on."""
        self._room.left += self._bytes
        self._bytes = 0
        self._rows.clear()
