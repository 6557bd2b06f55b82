"""What all queues have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatd.hub.recent import Room
from chatd.hub.watches import WatchRoom
from chatd.limits import Limits
from chatd.store.records import Removed


class Removals(Protocol):
    """What a receiver needs of the journal."""

    def remove(
        self,
        user: int,
        upto: int,
        on_removed: Callable[[int, Sequence[Removed]], None],
    ) -> None:
        """Take a user's messages up to a position from its queue."""


@dataclass(frozen=True, slots=True)
class Queues:
    """What all queues have in common, and share."""

    removals: Removals
    limits: Limits
    recent_room: Room
    watch_room: WatchRoom
