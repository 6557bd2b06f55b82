"""The account of one receiver's queue: what waits there, and what has its place kept.

A message's place is reserved when it is accepted, before anything is written: what is
refused was shown to nobody, and what was accepted is never refused for want of room.
The figures are those of the database plus what is on its way there; they are kept, not
counted, so that an acceptance costs the same for an empty queue and a full one.
"""

from chatd.limits import Limits
from chatd.store.records import Amount
from chatd.wire.answers import Refusal


class Backlog:
    """One receiver's queue, in figures.

    `stored` is how many messages are on disk and not yet delivered.
    """

    __slots__ = ("_held", "_limits", "_name", "_shares", "_shares_known", "stored")

    def __init__(self, name: str, limits: Limits, held: Amount) -> None:
        self._name = name
        self._limits = limits
        self._held = held
        self._shares: dict[str, Amount] = {}
        # An empty queue has no shares on disk: none need be looked up.
        self._shares_known = held.messages == 0
        self.stored = held.messages

    def knows(self, sender: str) -> bool:
        """Whether the sender's share is here; else `learn` it before `reserve`."""
        return self._shares_known or sender in self._shares

    @property
    def knows_all(self) -> bool:
        """Whether every sender's share is here."""
        return self._shares_known

    def learn(self, sender: str, share: Amount) -> None:
        """Take a sender's share as the database has it."""
        self._shares.setdefault(sender, share)

    def unshared_room(self) -> int:
        """Return how many messages have room, whatever part of the queue a sender has.

        That is, even if all that waits were its.
        """
        held = self._held
        room = self._limits.sender_bytes - held.bytes
        longest = self._limits.message
        return min(
            int(self._limits.sender_messages) - held.messages, int(room) // longest
        )

    def reserve_unshared(self, messages: int, size: int) -> None:
        """Keep places for which there is room; whose they are may be told later."""
        self._held.add(messages, size)

    @property
    def share_matters(self) -> bool:
        """Whether it has to be known whose places are kept, before another one is."""
        held = self._held
        return (
            held.messages >= self._limits.sender_messages
            or held.bytes + self._limits.line >= self._limits.sender_bytes
        )

    def release_unshared(self, messages: int, size: int) -> None:
        """Give places back of which nobody has said whose they are."""
        held = self._held
        held.messages -= messages
        held.bytes -= size
        if held.messages <= 0:
            self._forget_if_empty()

    def share(self, sender: str, messages: int, size: int) -> None:
        """Say whose places are that were reserved."""
        self._shares.setdefault(sender, Amount()).add(messages, size)

    def reserve(self, sender: str, size: int) -> None:
        """Keep a place for a message. Raises `Refusal`: queue-full."""
        limits = self._limits
        share = self._shares.get(sender) or Amount()
        if not self._held.fits(
            size, limits.queue_messages, limits.queue_bytes
        ) or not share.fits(size, limits.sender_messages, limits.sender_bytes):
            raise Refusal("queue-full", name=self._name)
        self._held.add(1, size)
        share.add(1, size)
        self._shares[sender] = share

    def release(self, sender: str, messages: int, size: int) -> None:
        """Give places back: delivered, expired, or not stored after all."""
        self._held.add(-messages, -size)
        share = self._shares.get(sender)
        if share is not None:
            share.add(-messages, -size)
            if share.messages <= 0 and self._shares_known:
                del self._shares[sender]
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if self._held.messages <= 0:
            self._shares.clear()
            self._shares_known = True
