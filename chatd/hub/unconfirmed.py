"""What was written to a connection and is not known to have reached its peer."""

from array import array
from bisect import bisect_right
from itertools import chain, repeat
from typing import Final

from chatd.hub.accepted import AcceptedRun

_POSITION, _WEIGHT, _COUNT, _FIELDS = 1, 2, 3, 4

_TIDY: Final = 1024 * _FIELDS

# Of those to whom nothing was ever written, which are most.
_NONE: Final = array("Q")


class Unconfirmed:
    """The messages written to one connection and not confirmed, in order.

    A message's *mark* is what the peer confirms it by: marks and positions only rise.
    Messages that are confirmed together are one entry. Takes 32 bytes an entry: a
    program that never confirms may make it long. Those of one entry may be told apart
    by the `sizes` of what was written for them, 4 bytes each.
    """

    __slots__ = ("_entries", "_first", "_sizes", "messages", "weight")

    def __init__(self) -> None:
        # Mark, last position, weight and count of each, one after the other.
        self._entries = _NONE
        self._first = 0
        self._sizes: dict[int, array[int]] | None = None
        self.messages = 0
        """How many messages they are."""
        self.weight = 0
        """The weights of all of them, in bytes."""

    def __len__(self) -> int:
        return (len(self._entries) - self._first) // _FIELDS

    @property
    def first(self) -> tuple[int, int] | None:
        """Mark and position of the first entry, None if there is none."""
        if not len(self):
            return None
        return self._entries[self._first], self._entries[self._first + _POSITION]

    def position_before(self, missing: int) -> int | None:
        """Return the last position of which the peer has everything.

        That is in the first entry, if the peer has it but for its last bytes. None if
        its messages cannot be told apart.
        """
        mark, position = self.first or (0, 0)
        sizes = None if self._sizes is None else self._sizes.get(mark)
        if sizes is None:
            return None
        for size in reversed(sizes):
            if missing <= 0:
                break
            missing -= size
            position -= 1
        return position

    def add(
        self,
        mark: int,
        position: int,
        weight: int,
        count: int = 1,
        sizes: "array[int] | None" = None,
    ) -> None:
        """Add a message behind all others, or several: their last position."""
        if sizes is not None:
            if self._sizes is None:
                self._sizes = {}
            self._sizes[mark] = sizes
        if self._entries is _NONE:
            self._entries = array("Q")
        self._entries.extend((mark, position, weight, count))
        self.weight += weight
        self.messages += count

    def add_run(self, mark: int, run: AcceptedRun, *, each: bool) -> None:
        """Add messages behind all others; the last of them has the mark.

        If `each` can be confirmed by itself, the others have the marks before it.
        """
        count = run.count
        if not each:
            self.add(mark, run.last, run.size, count)
            return
        marks = range(mark - count + 1, mark + 1)
        positions = range(run.first, run.last + 1)
        if self._entries is _NONE:
            self._entries = array("Q")
        self._entries.extend(
            chain.from_iterable(zip(marks, positions, run.sizes(), repeat(1)))
        )
        self.weight += run.size
        self.messages += count

    def confirm(self, mark: int) -> int:
        """Drop what has marks up to this one; return the last position, or 0."""
        return self._drop(0, mark)

    def forget(self, position: int) -> None:
        """Drop what has positions up to this one: nobody waits for them any more."""
        self._drop(_POSITION, position)

    def _drop(self, field: int, upto: int) -> int:
        entries, begin = self._entries, self._first
        end = len(entries)
        if end and entries[end - _FIELDS + field] <= upto:
            # All, as nearly always.
            position = entries[end - _FIELDS + _POSITION]
            del entries[:]
            self._first = self.messages = self.weight = 0
            self._sizes = None
            return position
        keys = range(begin + field, end, _FIELDS)
        count = bisect_right(keys, upto, key=entries.__getitem__)
        if not count:
            return 0
        first = begin + count * _FIELDS
        self.weight -= sum(entries[begin + _WEIGHT : first : _FIELDS])
        self.messages -= sum(entries[begin + _COUNT : first : _FIELDS])
        if self._sizes:
            for mark in entries[begin:first:_FIELDS]:
                self._sizes.pop(mark, None)
        position = entries[first - _FIELDS + _POSITION]
        self._first = first
        if first >= max(_TIDY, end // 2):
            del entries[:first]
            self._first = 0
        return position


NOTHING: Final = Unconfirmed()
"""Of those to whom nothing was written, or all was acknowledged at once: most."""
