"""Pages: how a queue on disk is read, a part at a time."""

from typing import Final, Protocol

from twisted.internet.defer import Deferred

from chatd.wire.message import Message

PAGE_BYTES: Final = 256 * 1024
"""How much a page is that nobody else's memory makes smaller."""


class Pages(Protocol):
    """What a delivery needs of the store."""

    def page(
        self, target: int, target_name: str, after: int, max_bytes: int
    ) -> Deferred[list[Message]]:
        """Return the next messages of a queue, in order; empty if there are none."""
