"""Watches: answers that wait until a message on disk is delivered.

A message that is stored and not acknowledged may be sent again for ever, to many
receivers at once, and each time somebody waits. So there is a bound for all receivers
together; and a sender gets no more than there is room left, so that others have some.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from chatd.limits import Tally

MOST_WATCHES: Final = 200_000
"""How many may wait at once, those included whose connection has gone, or who have
sent the message again; some 400 bytes each."""


class Informed(Protocol):
    """Who is told what becomes of a message, as its receiver sees it."""

    wants_delivery: bool

    def stored(self, *, may_be_delivered: bool) -> None:
        """Take note that it is on disk; `delivered` may follow."""

    def delivered(self) -> None:
        """Take note that a connection has it."""


class WatchRoom:
    """Counts the watches of all receivers, by who sent the message."""

    def __init__(self) -> None:
        self._by_sender = Tally()
        self._all = 0

    def has_room(self, sender: str) -> bool:
        """Whether a sender may have one more."""
        return self._by_sender[sender] < MOST_WATCHES - self._all

    def add(self, sender: str) -> None:
        """Count one more."""
        self._by_sender.add(sender)
        self._all += 1

    def remove(self, sender: str) -> None:
        """Count one less."""
        self._by_sender.remove(sender)
        self._all -= 1


class _Watch(NamedTuple):
    """Who waits until the message at a position is delivered, and who sent that."""

    position: int
    sender: str
    delivered: Callable[[], None]


class Watches:
    """The watches of one receiver, in the order of positions."""

    def __init__(self, room: WatchRoom) -> None:
        self._room = room
        self._watches: deque[_Watch] = deque()

    def __bool__(self) -> bool:
        return bool(self._watches)

    def add(self, position: int, sender: str, delivered: Callable[[], None]) -> None:
        """Have somebody told when the message at a position is delivered."""
        self._room.add(sender)
        watch = _Watch(position, sender, delivered)
        if self._watches and position < self._watches[-1].position:
            insort(self._watches, watch, key=lambda each: each.position)
        else:
            self._watches.append(watch)

    def tell(self, position: int) -> None:
        """Tell those who wait for a message up to a position."""
        while self._watches and self._watches[0].position <= position:
            watch = self._watches.popleft()
            self._room.remove(watch.sender)
            watch.delivered()

    def clear(self) -> None:
        """Forget those who wait."""
        for watch in self._watches:
            self._room.remove(watch.sender)
        self._watches.clear()
