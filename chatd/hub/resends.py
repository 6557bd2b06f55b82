"""Resends: what each sender's messages are known by, so that none is sent twice.

The key of a message is its sender, its id and its target. The store knows those that
were stored in the last week; here are those of which it knows nothing, because they are
on their way or were delivered without ever being written, and the latest others.

Most ids are new, and rise: UUIDv7, ULID, a counter. An id that is higher than all that
a sender has used was never used, so that only one that is not has to be looked up.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Final, Protocol

from chatd.hub.acceptance import Receipt, Sender
from chatd.wire.answers import Refusal

KNOWN_OF_A_SENDER: Final = 10_000
KNOWN_IN_ALL: Final = 200_000
"""How many keys of settled messages are remembered; about 400 bytes each."""

_DIGEST_BYTES: Final = 16


def digest(text: str) -> bytes:
    """Return what tells a text from another one."""
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


class Unsettled(Protocol):
    """A message of which it is not known yet what becomes of it."""

    def also(self, session: Sender, receipt: Receipt) -> None:
        """Tell another receipt what becomes of it, too, and the session it is of."""


@dataclass(slots=True)
class Earlier:
    """A message that was accepted under an id; `entry` is it until it is settled."""

    position: int
    digest: bytes
    entry: Unsettled | None = None

    def check(self, text_digest: bytes, id: str, target: str) -> None:
        """See that it was the same text. Raises `Refusal`: id-used."""
        if text_digest != self.digest:
            raise Refusal("id-used", id=id, name=target)


class SenderIds:
    """The ids that one sender has used, as far as memory knows.

    `highest` is None until it was looked up.
    """

    def __init__(self, ids: "Resends") -> None:
        self.highest: str | None = None
        self._all = ids
        self._known: OrderedDict[tuple[str, int], Earlier] = OrderedDict()

    def may_be_stored(self, id: str) -> bool:
        """Whether the store must be asked before anything is sent under this id."""
        return self.highest is None or id <= self.highest

    def find(self, id: str, target: int) -> Earlier | None:
        """Return what was sent to a target under an id."""
        return self._known.get((id, target))

    def add(self, id: str, target: int, earlier: Earlier) -> None:
        """Remember a message that was accepted."""
        if self.highest is not None and id > self.highest:
            self.highest = id
        self._known[id, target] = earlier
        self._all.count(self, 1)

    def settled(self, id: str, target: int) -> None:
        """Take note that a message is stored or delivered: it may be forgotten."""
        earlier = self._known.get((id, target))
        if earlier is not None:
            earlier.entry = None
        if len(self._known) > KNOWN_OF_A_SENDER:
            self._forget(len(self._known) - KNOWN_OF_A_SENDER)

    def refused(self, id: str, target: int) -> None:
        """Forget a message that was not sent after all."""
        if self._known.pop((id, target), None) is not None:
            self._all.count(self, -1)

    def forget_settled(self) -> None:
        """Forget what memory has of messages that are settled."""
        self._forget(len(self._known))

    @property
    def empty(self) -> bool:
        """Whether nothing is known here but the highest id."""
        return not self._known

    def _forget(self, most: int) -> None:
        oldest = list(islice(self._known.items(), most))
        for key, earlier in oldest:
            if earlier.entry is None:
                del self._known[key]
                self._all.count(self, -1)


class Resends:
    """The ids of all senders, those used last behind the others."""

    def __init__(self) -> None:
        self._senders: OrderedDict[int, SenderIds] = OrderedDict()
        self._count = 0

    def of(self, sender: int) -> SenderIds:
        """Return the ids of a user."""
        ids = self._senders.get(sender)
        if ids is None:
            ids = self._senders[sender] = SenderIds(self)
            self.count(ids, 1)
        self._senders.move_to_end(sender)
        return ids

    def count(self, of: SenderIds, change: int) -> None:
        """Take note of how many are remembered; too many are forgotten.

        A sender counts as one, too.
        """
        self._count += change
        if change > 0 and self._count > KNOWN_IN_ALL:
            self._forget_some(of)

    def _forget_some(self, besides: SenderIds) -> None:
        for sender, ids in list(self._senders.items()):
            if self._count <= KNOWN_IN_ALL * 3 // 4:
                break
            if ids is not besides:
                ids.forget_settled()
                if ids.empty:
                    del self._senders[sender]
                    self._count -= 1
