"""Who is online: the list that each login shows, and each login changes."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from chatd.hub.receiver import Receiver


@dataclass(frozen=True, slots=True)
class NameList:
    """Some names, in alphabetical order, and how many more there are."""

    names: Sequence[str]
    more: int


class Online:
    """The receivers of those who are online."""

    def __init__(self) -> None:
        # In the order of their last logins, and in that of the alphabet.
        self._receivers: dict[str, Receiver] = {}
        self._keys: list[str] = []

    def came(self, receiver: Receiver) -> None:
        """Take note that a user has one more connection that receives."""
        if self._receivers.pop(receiver.key, None) is None:
            insort(self._keys, receiver.key)
        self._receivers[receiver.key] = receiver

    def went(self, receiver: Receiver) -> None:
        """Take note that a user may have one connection less that receives."""
        if receiver.online or self._receivers.pop(receiver.key, None) is None:
            return
        del self._keys[bisect_left(self._keys, receiver.key)]

    def latest(self, most: int, besides: str) -> NameList:
        """Return those who came last; `besides` is left out."""
        online = self._receivers
        others = len(online) - (besides in online)
        keys = self._keys
        if others > most:
            latest = (key for key in reversed(online) if key != besides)
            keys = sorted(islice(latest, most))
        shown = [online[key].name for key in keys if key != besides]
        return NameList(shown, others - len(shown))

    def by_prefix(self, prefix: str, most: int, besides: str) -> NameList:
        """Return whose name begins so, in alphabetical order."""
        prefix = prefix.lower()
        first = bisect_left(self._keys, prefix)
        behind = bisect_left(self._keys, prefix + "\U0010ffff")
        # One more than is shown, as oneself may be among them.
        some = self._keys[first : min(behind, first + most + 1)]
        shown = [self._receivers[key].name for key in some if key != besides][:most]
        own = besides in self._receivers and besides.startswith(prefix)
        return NameList(shown, behind - first - own - len(shown))
