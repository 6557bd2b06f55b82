"""The names that the client knows of, and with whom one has talked lately."""

from itertools import islice
from typing import Final

from chatd.wire.names import name_key

MOST_NAMES: Final = 10_000
"""How many names are remembered that were only heard of, and as many talked with."""


class Names:
    """Names, each known in one spelling, from some moment on.

    How many were learned so far tells moments apart: see `learned`.
    """

    def __init__(self) -> None:
        self._spellings: dict[str, str] = {}
        # When each was learned: as how manieth.
        self._places: dict[str, int] = {}
        # The keys of those talked with, the latest last.
        self._talked: dict[str, None] = {}
        self.learned = 0
        """How many names were learned until now."""

    def remember(self, *names: str) -> None:
        """Learn names in the server's spelling; some may be known."""
        for name in names:
            key = name_key(name)
            if key in self._places or len(self._places) < MOST_NAMES:
                self._learn(key, name)

    def talked(self, name: str) -> None:
        """Take note that one talks with somebody now; learn the name if need be."""
        key = name_key(name)
        if key not in self._places:
            self._learn(key, name)
        self._talked.pop(key, None)
        self._talked[key] = None
        if len(self._talked) > MOST_NAMES:
            oldest = next(iter(self._talked))
            for each in (self._talked, self._places, self._spellings):
                del each[oldest]

    def talked_with(self, most: int, learned: int) -> list[str]:
        """Return the keys of those one has talked with, the latest first.

        Only of those among the first names that were `learned`.
        """
        latest = islice(reversed(self._talked), most)
        return [key for key in latest if self.was_known(key, learned)]

    def has_talked(self, name: str) -> bool:
        """Return whether one has talked with somebody."""
        return name_key(name) in self._talked

    def is_known(self, name: str) -> bool:
        """Return whether a name was learned."""
        return name_key(name) in self._places

    def was_known(self, key: str, learned: int) -> bool:
        """Return whether a name was among the first ones that were `learned`."""
        return self._places.get(key, learned) < learned

    def spelling(self, name: str) -> str:
        """Return a name as the server spells it, where that is known."""
        return self._spellings.get(name_key(name), name)

    def known(self) -> list[str]:
        """Return all: whom one talked with last first, then the others in order."""
        others = [key for key in self._spellings if key not in self._talked]
        return [
            self._spellings[key] for key in [*reversed(self._talked), *sorted(others)]
        ]

    def _learn(self, key: str, name: str) -> None:
        self._spellings[key] = name
        if key not in self._places:
            self._places[key] = self.learned
            self.learned += 1
