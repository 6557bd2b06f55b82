"""What was written to a connection and is not known to have reached its peer."""

from array import array
from bisect import bisect_right
from itertools import repeat
from typing import Final

from chatd.hub.accepted import AcceptedRun

_TIDY: Final = 1024


class Unconfirmed:
    """The messages written to one connection and not confirmed, in order.

    A message's *mark* is what the peer confirms it by: marks and positions only rise.
    Messages that are confirmed together are one entry. Takes 32 bytes an entry: a
    program that never confirms may make it long. Those of one entry may be told apart
    by the `sizes` of what was written for them, 4 bytes each.
    """

    def __init__(self) -> None:
        self._marks = array("Q")
        self._positions = array("Q")
        self._weights = array("Q")
        self._counts = array("Q")
        self._first = 0
        self._sizes: dict[int, array[int]] = {}
        self.messages = 0
        """How many messages they are."""
        self.weight = 0
        """The weights of all of them, in bytes."""

    def __len__(self) -> int:
        return len(self._marks) - self._first

    @property
    def first(self) -> tuple[int, int] | None:
        """Mark and position of the first entry, None if there is none."""
        if not len(self):
            return None
        return self._marks[self._first], self._positions[self._first]

    def position_before(self, missing: int) -> int | None:
        """Return the last position of which the peer has everything.

        That is in the first entry, if the peer has it but for its last bytes. None if
        its messages cannot be told apart.
        """
        mark, position = self.first or (0, 0)
        sizes = self._sizes.get(mark)
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
            self._sizes[mark] = sizes
        self._marks.append(mark)
        self._positions.append(position)
        self._weights.append(weight)
        self._counts.append(count)
        self.weight += weight
        self.messages += count

    def add_run(self, mark: int, run: AcceptedRun, *, each: bool) -> None:
        """Add messages behind all others; the last of them has the mark.

        If `each` can be confirmed by itself, the others have the marks before it.
        """
        if not each:
            self.add(mark, run.last, run.size, run.count)
            return
        count = run.count
        self._marks.extend(range(mark - count + 1, mark + 1))
        self._positions.extend(range(run.first, run.last + 1))
        self._weights.extend(run.sizes())
        self._counts.extend(repeat(1, count))
        self.weight += run.size
        self.messages += count

    def confirm(self, mark: int) -> int:
        """Drop what has marks up to this one; return the last position, or 0."""
        return self._drop(self._marks, mark)

    def forget(self, position: int) -> None:
        """Drop what has positions up to this one: nobody waits for them any more."""
        self._drop(self._positions, position)

    def _drop(self, key: "array[int]", upto: int) -> int:
        end = len(key)
        first = bisect_right(key, upto, self._first, end)
        if first == self._first:
            return 0
        self.weight -= sum(self._weights[self._first : first])
        self.messages -= sum(self._counts[self._first : first])
        if self._sizes:
            for mark in self._marks[self._first : first]:
                self._sizes.pop(mark, None)
        position = self._positions[first - 1]
        self._first = first
        if first == end or first >= max(_TIDY, end // 2):
            for each in self._marks, self._positions, self._weights, self._counts:
                del each[:first]
            self._first = 0
        return position
