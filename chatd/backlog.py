"""The account of one receiver's queue: what waits there, and what has its place kept.

A message's place is reserved when it is accepted, before anything is written: what is
refused was shown to nobody, and what was accepted is never refused for want of room.
The figures are those of the database plus what is on its way there; they are kept, not
counted, so that an acceptance costs the same for an empty queue and a full one.
"""

from typing import Final

from chatd.limits import Limits
from chatd.store.records import Amount
from chatd.wire.answers import Refusal

NOTHING: Final[dict[str, Amount]] = {}
"""The shares of all who have none in their queue; an empty one each has 64 bytes."""


class Backlog:
    """One receiver's queue, in figures.

    `stored` is how many messages are on disk and not yet delivered.
    """

    __slots__ = (
        "_bytes",
        "_limits",
        "_messages",
        "_name",
        "_shares",
        "_shares_known",
        "stored",
    )

    def __init__(self, name: str, limits: Limits, held: Amount) -> None:
        self._name = name
        self._limits = limits
        # What is held: an `Amount`, without an object of its own.
        self._messages = held.messages
        self._bytes = held.bytes
        self._shares = NOTHING
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
        self._own_shares().setdefault(sender, share)

    def unshared_room(self) -> int:
        """Return how many messages have room, whatever part of the queue a sender has.

        That is, even if all that waits were its.
        """
        room = self._limits.sender_bytes - self._bytes
        longest = self._limits.message
        return min(
            int(self._limits.sender_messages) - self._messages, int(room) // longest
        )

    def reserve_unshared(self, messages: int, size: int) -> None:
        """Keep places for which there is room; whose they are may be told later."""
        self._messages += messages
        self._bytes += size

    @property
    def share_matters(self) -> bool:
        """Whether it has to be known whose places are kept, before another one is."""
        return (
            self._messages >= self._limits.sender_messages
            or self._bytes + self._limits.line >= self._limits.sender_bytes
        )

    def release_unshared(self, messages: int, size: int) -> None:
        """Give places back of which nobody has said whose they are."""
        self._messages -= messages
        self._bytes -= size
        if self._messages <= 0:
            self._forget_if_empty()

    def share(self, sender: str, messages: int, size: int) -> None:
        """Say whose places are that were reserved."""
        self._own_shares().setdefault(sender, Amount()).add(messages, size)

    def reserve(self, sender: str, size: int) -> None:
        """Keep a place for a message. Raises `Refusal`: queue-full."""
        limits = self._limits
        share = self._shares.get(sender) or Amount()
        held = Amount(self._messages, self._bytes)
        if not held.fits(
            size, limits.queue_messages, limits.queue_bytes
        ) or not share.fits(size, limits.sender_messages, limits.sender_bytes):
            raise Refusal("queue-full", name=self._name)
        self.reserve_unshared(1, size)
        share.add(1, size)
        self._own_shares()[sender] = share

    def release(self, sender: str, messages: int, size: int) -> None:
        """Give places back: delivered, expired, or not stored after all."""
        self._messages -= messages
        self._bytes -= size
        share = self._shares.get(sender)
        if share is not None:
            share.add(-messages, -size)
            if share.messages <= 0 and self._shares_known:
                del self._shares[sender]
        self._forget_if_empty()

    def _forget_if_empty(self) -> None:
        if self._messages <= 0:
            self._shares = NOTHING
            self._shares_known = True

    def _own_shares(self) -> dict[str, Amount]:
        if self._shares is NOTHING:
            self._shares = {}
        return self._shares
