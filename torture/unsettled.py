"""What a JSON sender has no answer to yet, and in which order it sends it again."""

from collections.abc import Iterator
from typing import Final

_UNDER_WAY: Final = True
_TO_BE_SENT: Final = False


class Unsettled:
    """The parts of messages (a number, and one target) that have no final answer.

    After a temporary error a target waits: once all that is under way to it is
    answered, what failed is sent again, in order, and before anything new.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, bool]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))

    @property
    def under_way(self) -> int:
        """How many are sent and have no answer."""
        return sum(sum(parts.values()) for parts in self._parts.values())

    def waits(self, target: str) -> bool:
        """Whether nothing new may be sent to a target."""
        return not all(self._parts.get(target, {}).values())

    def sent(self, number: int, target: str) -> None:
        """Take note that a part is sent, perhaps again."""
        self._parts.setdefault(target, {})[number] = _UNDER_WAY

    def failed(self, number: int, target: str) -> None:
        """Take note of a temporary error."""
        if number in self._parts.get(target, {}):
            self._parts[target][number] = _TO_BE_SENT

    def settled(self, number: int, target: str) -> None:
        """Take note of an answer that is final."""
        self._parts.get(target, {}).pop(number, None)

    def fail_all(self) -> None:
        """Take note that the connection is another one."""
        for target, parts in self._parts.items():
            self._parts[target] = dict.fromkeys(parts, _TO_BE_SENT)

    def clear(self) -> None:
        """Give up what has no answer."""
        self._parts.clear()

    def to_be_sent(self) -> Iterator[tuple[int, str]]:
        """Return what can be sent again now, in order for each target."""
        for target, parts in self._parts.items():
            if not any(parts.values()):
                for number in sorted(parts):
                    yield number, target
