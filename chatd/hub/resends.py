"""Resends: what each sender's messages are known by, so that none is sent twice.

The key of a message is its sender, its id and its target. The store knows those that
were stored in the last week; here are those of which it knows nothing, because they are
on their way or were delivered without ever being written, and the latest others.

Most ids are new, and rise: UUIDv7, ULID, a counter. An id that is higher than all that
a sender has used was never used, so that only one that is not has to be looked up.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Final, Protocol

from chatd.hub.acceptance import Acceptance, Receipt, Sender
from chatd.store.records import StoredId
from chatd.wire.answers import Refusal

KNOWN_OF_A_SENDER: Final = 10_000
KNOWN_IN_ALL: Final = 200_000
"""How many keys of settled messages are remembered; about 400 bytes each."""

_DIGEST_BYTES: Final = 16


def digest(text: bytes) -> bytes:
    """Return what tells a text from another one."""
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()


class Unsettled(Protocol):
    """A message of which it is not known yet what becomes of it."""

    def also(self, session: Sender, receipt: Receipt) -> None:
        """Tell another receipt what becomes of it, too, and the session it is of."""


@dataclass(slots=True)
class Earlier:
    """A message that was accepted under an id; `entry` is it until it is settled.

    `digest` is a hash, a number, where it is good for as long as the process lives.
    """

    position: int
    digest: bytes | int
    entry: Unsettled | None = None

    def check(self, text: bytes, id: str, target: str) -> None:
        """See that it was the same text. Raises `Refusal`: id-used."""
        same = hash if isinstance(self.digest, int) else digest
        if same(text) != self.digest:
            raise Refusal("id-used", id=id, name=target)


class Separable(Protocol):
    """Messages that are not settled."""

    def separate(self) -> object:
        """Take them apart: each is added by itself to what is known."""


class Part(list[bytes]):
    """The messages of a series that went to one target: their texts, until settled.

    `numbers` say which of the series they are. Until they are settled they are in a
    run; then `first` is the position of the first. They may have been taken `apart`.
    """

    __slots__ = ("apart", "first", "numbers", "run", "target")

    apart: bool
    first: int
    numbers: Sequence[int]
    run: Separable | None
    target: int

    def begin(self, run: Separable, target: int) -> None:
        """Take note in which run they are, and to whom."""
        self.run = run
        self.target = target
        self.first = 0
        self.apart = False


class Series:
    """Messages of one sender that were taken together, under ids that rise.

    None of the ids was used before. `hashes` are those of the texts; `left` is how many
    parts are not settled.
    """

    __slots__ = ("count", "hashes", "ids", "left", "parts")

    def __init__(
        self, ids: Sequence[str], hashes: Sequence[int], parts: Sequence[Part]
    ) -> None:
        self.ids = ids
        self.hashes = hashes
        self.parts = parts
        self.count = len(ids)
        self.left = len(parts)

    def part(self, number: int, target: int) -> Part | None:
        """Return where a message is; None if it is known by itself, or not at all."""
        for part in self.parts:
            if part.target == target and number in part.numbers:
                return None if part.apart else part
        return None


class SenderIds:
    """The ids that one sender has used, as far as memory knows.

    `highest` is None until it was looked up.
    """

    def __init__(self, ids: "Resends") -> None:
        self.highest: str | None = None
        self._all = ids
        # In the order of their acceptance.
        self._known: OrderedDict[tuple[str, int] | Series, Earlier | Series]
        self._known = OrderedDict()
        # Their ids rise from one to the next.
        self._series: list[Series] = []
        self._count = 0

    def may_be_stored(self, id: str) -> bool:
        """Whether the store must be asked before anything is sent under this id."""
        return self.highest is None or id <= self.highest

    def find(self, id: str, target: int) -> Earlier | None:
        """Return what was sent to a target under an id."""
        earlier = self._known.get((id, target))
        if isinstance(earlier, Earlier):
            return earlier
        at = bisect_right(self._series, id, key=lambda series: series.ids[0]) - 1
        if at < 0:
            return None
        series = self._series[at]
        number = bisect_left(series.ids, id)
        if number == len(series.ids) or series.ids[number] != id:
            return None
        part = series.part(number, target)
        if part is None:
            return None
        if part.run is not None:
            part.run.separate()
            return self.find(id, target)
        position = part.first + part.numbers.index(number)
        return Earlier(position, series.hashes[number])

    def add(self, id: str, target: int, earlier: Earlier) -> None:
        """Remember a message that was accepted."""
        if self.highest is not None and id > self.highest:
            self.highest = id
        self._known[id, target] = earlier
        self._counted(1)

    def add_accepted(self, accepted: Acceptance, sender: int, digest: bytes) -> None:
        """Remember a message that was accepted, and have it known when it is stored."""
        message, target = accepted.message, accepted.target
        accepted.stored_id = StoredId(
            message.position, sender, message.id, target, digest, message.time
        )
        self.add(message.id, target, Earlier(message.position, digest, accepted))

    def add_series(self, series: Series) -> None:
        """Remember messages that were taken together, under ids never used before."""
        self.highest = series.ids[-1]
        self._known[series] = series
        self._series.append(series)
        self._counted(series.count)

    def take_apart(self, series: Series, part: Part) -> None:
        """Take note that messages are added one by one instead."""
        part.apart, part.run = True, None
        series.count -= len(part.numbers)
        self._counted(-len(part.numbers))
        series.left -= 1

    def settled_series(self) -> None:
        """Take note that a series is stored or delivered: it may be forgotten."""
        if self._count > KNOWN_OF_A_SENDER:
            self._forget(self._count - KNOWN_OF_A_SENDER)

    def settled(self, id: str, target: int) -> None:
        """Take note that a message is stored or delivered: it may be forgotten."""
        earlier = self._known.get((id, target))
        if isinstance(earlier, Earlier):
            earlier.entry = None
        if self._count > KNOWN_OF_A_SENDER:
            self._forget(self._count - KNOWN_OF_A_SENDER)

    def refused(self, id: str, target: int) -> None:
        """Forget a message that was not sent after all."""
        if self._known.pop((id, target), None) is not None:
            self._counted(-1)

    def forget_settled(self) -> None:
        """Forget what memory has of messages that are settled."""
        self._forget(self._count + len(self._series))

    @property
    def empty(self) -> bool:
        """Whether nothing is known here but the highest id."""
        return not self._known

    def _forget(self, most: int) -> None:
        oldest = list(islice(self._known.items(), most))
        for key, earlier in oldest:
            if most <= 0:
                break
            if isinstance(earlier, Series):
                most -= earlier.count
                if not earlier.left:
                    del self._known[key]
                    self._series.remove(earlier)
                    self._counted(-earlier.count)
            else:
                most -= 1
                if earlier.entry is None:
                    del self._known[key]
                    self._counted(-1)

    def _counted(self, change: int) -> None:
        self._count += change
        self._all.count(self, change)


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
