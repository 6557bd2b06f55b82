"""The newest of a queue, in memory, for a connection that has nearly caught up.

Who has fallen behind while senders go on is given what is on disk; to read it takes
longer than to write what is new, so that the end of the queue might never be reached.
So what is stored from some moment on is kept here as well, as long as there is room:
who has come to that moment gets the rest from memory, and is live soon after.
"""

from bisect import bisect_right
from operator import attrgetter
from typing import Final

from chatd.wire.message import Message

AT_ONCE: Final = 250
"""How many messages are written in one turn: few, since nobody else has it."""

_position = attrgetter("position")


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
        self._messages: list[Message] = []

    def add(self, message: Message) -> bool:
        """Keep a message that was stored behind all others, if there is room."""
        if message.position <= self._after:
            return True
        weight = message.weight
        if self._bytes + weight > self._most or weight > self._room.left:
            return False
        self._bytes += weight
        self._room.left -= weight
        self._messages.append(message)
        return True

    def page(self, after: int, max_bytes: int) -> list[Message] | None:
        """Return the next messages behind a position, None if it does not have them."""
        if after < self._after:
            return None
        first = bisect_right(self._messages, after, key=_position)
        page = []
        for message in self._messages[first : first + AT_ONCE]:
            page.append(message)
            max_bytes -= message.weight
            if max_bytes <= 0:
                break
        return page

    def clear(self) -> None:
        """Give the room back; of no use from then on."""
        self._room.left += self._bytes
        self._bytes = 0
        self._messages.clear()
