"""The client book: who was seen last, by name.

Each login shows it, and each login changes it; so it is kept in memory. The store is
asked only when the daemon starts, and when an administrator has changed who there is.
"""

from bisect import bisect_left
from collections.abc import Iterable

from chatd.store.records import Seen


class Book:
    """Those `most` users who were seen last."""

    def __init__(self, seen: Iterable[Seen], most: int) -> None:
        self._most = most
        # By keys: in the order in which they were seen, and in that of the alphabet.
        self._seen: dict[str, Seen] = {}
        self._keys: list[str] = []
        self._names: list[str] = []
        self.fill(seen)

    def saw(self, user: Seen) -> None:
        """Take note that a user was seen, later than all others."""
        key = user.key
        if self._seen.pop(key, None) is None:
            at = bisect_left(self._keys, key)
            self._keys.insert(at, key)
            self._names.insert(at, user.name)
        self._seen[key] = user
        if len(self._seen) > self._most:
            self._drop(next(iter(self._seen)))

    def forget(self, id: int) -> None:
        """Take note that there is no such user any more."""
        for each in list(self._seen.values()):
            if each.id == id:
                self._drop(each.key)

    def fill(self, stored: Iterable[Seen]) -> None:
        """Take in what is stored of who was seen; of some more is known here."""
        seen = {each.key: each for each in stored}
        for each in self._seen.values():
            before = seen.get(each.key)
            if before is None or before.time <= each.time:
                seen[each.key] = each
        latest = sorted(seen.values(), key=lambda each: each.time)[-self._most :]
        self._seen = {each.key: each for each in latest}
        self._keys = sorted(self._seen)
        self._names = [self._seen[key].name for key in self._keys]

    def names(self) -> list[str]:
        """Return their names, in alphabetical order of their keys."""
        return list(self._names)

    def _drop(self, key: str) -> None:
        del self._seen[key]
        at = bisect_left(self._keys, key)
        del self._keys[at], self._names[at]
