"""The room for watches: answers that wait until a message on disk is delivered.

A message that is stored and not acknowledged may be sent again for ever, to many
receivers at once, and each time somebody waits. So there is a bound for all receivers
together; and a sender gets no more than there is room left, so that others have some.
"""

from typing import Final

from chatd.limits import Tally

MOST_WATCHES: Final = 200_000
"""How many may wait at once, those included whose connection has gone, or who have
sent the message again; some 400 bytes each."""


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
