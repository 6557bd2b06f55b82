"""Which messages one has not turned to yet, counted by who wrote them."""

from typing import Final

from chatd.wire.names import name_key

MOST_WRITERS: Final = 1000
"""Of how many people messages are counted; those who wrote longest ago go first."""


class Unread:
    """Counts messages until somebody turns to their writers."""

    def __init__(self) -> None:
        # By the writer's key: the name and how many, the latest writer last.
        self._counts: dict[str, tuple[str, int]] = {}

    def arrived(self, sender: str) -> None:
        """Count a message."""
        key = name_key(sender)
        _, count = self._counts.pop(key, (sender, 0))
        self._counts[key] = (sender, count + 1)
        if len(self._counts) > MOST_WRITERS:
            del self._counts[next(iter(self._counts))]

    def read(self, *names: str) -> bool:
        """Take note that one turns to somebody; return whether anything was unread."""
        counted = [self._counts.pop(name_key(name), None) for name in names]
        return any(each is not None for each in counted)

    def read_all(self) -> bool:
        """Take note that one has seen all; return whether anything was unread."""
        any_there, self._counts = bool(self._counts), {}
        return any_there

    def counts(self) -> list[tuple[str, int]]:
        """Return who wrote and how many are unread, the latest writer first."""
        return list(reversed(self._counts.values()))
