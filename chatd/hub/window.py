"""The window: how much a live peer may have been written and not acknowledged."""

from collections.abc import Sequence

from chatd.hub.accepted import AcceptedMessage
from chatd.hub.peer import Peer
from chatd.hub.unconfirmed import Unconfirmed

CROWDED_BYTES = 16 * 1024
"""What a page, and a live peer's backlog, may have while memory is short."""

MAX_UNCONFIRMED = 10_000
"""How many messages a live peer may not have acknowledged, however short."""


class Window:
    """What one peer may be behind: `most` bytes, and a number of messages."""

    __slots__ = ("_most", "_peer", "_unconfirmed")

    def __init__(self, peer: Peer, unconfirmed: Unconfirmed, most: int) -> None:
        self._peer = peer
        self._unconfirmed = unconfirmed
        self._most = most

    @property
    def _room(self) -> int:
        bound = CROWDED_BYTES if self._peer.crowded else self._most
        return bound - max(self._peer.outstanding, self._unconfirmed.weight)

    @property
    def _places(self) -> int:
        return MAX_UNCONFIRMED - self._unconfirmed.messages

    def takes(self, messages: int, size: int) -> bool:
        """Whether so many messages, of so many bytes in all, can be written now."""
        return messages <= self._places and size <= self._room

    def fitting(self, entries: Sequence[AcceptedMessage]) -> int:
        """Return how many of the messages can be written now, from the first on."""
        room, places = self._room, self._places
        for count, entry in enumerate(entries):
            room -= entry.message.weight
            if room < 0 or count >= places:
                return count
        return len(entries)
