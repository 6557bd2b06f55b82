"""What is pending: accepted, and neither on disk nor delivered nor refused."""

from collections.abc import Callable


class Pending:
    """What was accepted and is not settled yet, of all sessions together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        """Whether senders should pause."""
        return self._bytes >= self._max_bytes

    def near(self, size: int) -> bool:
        """Whether so many bytes more are too many."""
        return self._bytes + size >= self._max_bytes

    def add(self, size: int) -> None:
        """Count a message's bytes; a negative size takes them away."""
        self._bytes += size
        if self._waiting and self._bytes <= self._max_bytes // 2:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each()

    def call_when_room(self, resume: Callable[[], None]) -> None:
        """Call back once half of the bound is free again."""
        self._waiting.append(resume)
