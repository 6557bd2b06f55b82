"""The window: how much a live peer may have been written and not acknowledged.

That is `most` bytes, and a number of messages.
"""

from collections.abc import Sequence

from chatd.hub.accepted import AcceptedMessage
from chatd.hub.peer import Peer
from chatd.hub.unconfirmed import Unconfirmed

CROWDED_BYTES = 16 * 1024
"""What a page, and a live peer's backlog, may have while memory is short."""

MAX_UNCONFIRMED = 10_000
"""How many messages a live peer may not have acknowledged, however short."""


def takes(
    peer: Peer, unconfirmed: Unconfirmed, most: int, messages: int, size: int
) -> bool:
    """Whether so many messages, of so many bytes in all, can be written now."""
    return messages <= _places(unconfirmed) and size <= _room(peer, unconfirmed, most)


def fitting(
    peer: Peer, unconfirmed: Unconfirmed, most: int, entries: Sequence[AcceptedMessage]
) -> int:
    """Return how many of the messages can be written now, from the first on."""
    room, places = _room(peer, unconfirmed, most), _places(unconfirmed)
    for count, entry in enumerate(entries):
        room -= entry.message.weight
        if room < 0 or count >= places:
            return count
    return len(entries)


def _room(peer: Peer, unconfirmed: Unconfirmed, most: int) -> int:
    bound = CROWDED_BYTES if peer.crowded else most
    return bound - max(peer.outstanding, unconfirmed.weight)


def _places(unconfirmed: Unconfirmed) -> int:
    return MAX_UNCONFIRMED - unconfirmed.messages
