"""Who is online: the list that each login shows, and each login changes."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from chatd.hub.receiver import Receiver


class NameList(NamedTuple):
    """Some names, in alphabetical order, and how many more there are."""

    names: Sequence[str]
    more: int


class Online:
    """Those who are online, by name."""

    def __init__(self) -> None:
        # Names by keys: in the order of their last logins, and in that of the alphabet.
        self._names: dict[str, str] = {}
        self._keys: list[str] = []

    def came(self, receiver: Receiver) -> bool:
        """Take note that a user has one more connection that receives.

        Returns whether that is the first.
        """
        first = self._names.pop(receiver.key, None) is None
        if first:
            insort(self._keys, receiver.key)
        self._names[receiver.key] = receiver.name
        return first

    def went(self, receiver: Receiver) -> bool:
        """Take note that a user may have one connection less that receives.

        Returns whether that was the last.
        """
        if receiver.online or self._names.pop(receiver.key, None) is None:
            return False
        del self._keys[bisect_left(self._keys, receiver.key)]
        return True

    def shown(self, key: str) -> str | None:
        """Return the name of a user who is online, by its key; None for all others."""
        return self._names.get(key)

    def latest(self, most: int, besides: str) -> NameList:
        """Return those who came last; `besides` is left out."""
        names = self._names
        own = besides in names
        keys = list(islice(reversed(names), most + own))
        if own and besides in keys:
            keys.remove(besides)
        del keys[most:]
        keys.sort()
        shown = [names[key] for key in keys]
        return NameList(shown, len(names) - own - len(shown))

    def by_prefix(self, prefix: str, most: int, besides: str) -> NameList:
        """Return whose name begins so, in alphabetical order."""
        prefix = prefix.lower()
        first = bisect_left(self._keys, prefix)
        behind = bisect_left(self._keys, prefix + "\U0010ffff")
        # One more than is shown, as oneself may be among them.
        some = self._keys[first : min(behind, first + most + 1)]
        shown = [self._names[key] for key in some if key != besides][:most]
        own = besides in self._names and besides.startswith(prefix)
        return NameList(shown, behind - first - own - len(shown))
