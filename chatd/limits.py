"""How much is allowed: the table of limits, and the counters that keep to it."""

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
HOUR: Final = 3600.0


def _limit(default: int, option: str, meaning: str) -> int:
    """Declare a limit that an administrator sets as ``--option``."""
    metadata = {"option": option, "meaning": meaning}
    value: int = field(default=default, metadata=metadata)
    return value


@dataclass(frozen=True)
class Limits:
    """Every bound of the daemon. Sizes are bytes, times seconds, unless it says else.

    The fields with an option are the administrator's; the rest only bound memory.
    """

    line: int = _limit(16 * KIB, "max-line", "bytes in a line of text")
    message: int = _limit(12 * KIB, "max-message", "bytes in a message")
    json_line: int = _limit(128 * KIB, "max-json-line", "bytes in a line of JSON")
    connections: int = _limit(10_000, "max-connections", "connections in all")
    connections_by_address: int = _limit(
        256, "max-connections-by-address", "connections from one address"
    )
    connections_by_user: int = _limit(
        16, "max-connections-by-user", "connections of one user"
    )
    login_time: int = _limit(60, "max-login-time", "seconds until a login")
    bad_names: int = _limit(10, "max-bad-names", "names refused on a connection")
    line_rate: int = _limit(
        1_000, "max-line-rate", "lines a second from a connection, on average"
    )
    line_burst: int = _limit(
        10_000, "max-line-burst", "lines from a connection without delay"
    )
    queue_messages: int = _limit(
        100_000, "max-queue-messages", "messages in a receiver's queue"
    )
    queue_bytes: int = _limit(
        100 * MIB, "max-queue-bytes", "bytes in a receiver's queue"
    )
    queue_share: int = _limit(
        50, "max-queue-share", "percent of a receiver's queue for one sender"
    )
    new_names: int = _limit(100, "max-new-names", "new names from an address an hour")
    database: int = _limit(10 * GIB, "max-database", "bytes in the database")
    free_disk: int = _limit(
        64 * MIB, "min-free-disk", "bytes on the disk that stay free"
    )
    unacknowledged: int = _limit(
        MIB, "max-unacknowledged", "bytes a live receiver may be behind"
    )

    watched: int = _limit(
        1_000, "max-watched", "names of which a connection is told who is online"
    )

    pending_messages: int = 10_000  # of one connection, awaiting a commit
    pending_bytes: int = MIB
    all_pending_bytes: int = 64 * MIB  # of all connections
    unread_answers: int = 256 * KIB  # bytes written to a connection and not read
    recent_bytes: int = MIB  # of one queue, on disk and in memory
    all_recent_bytes: int = 64 * MIB  # of all queues

    @cached_property
    def sender_messages(self) -> float:
        """How many messages of a queue may be one sender's."""
        return self.queue_messages * self.queue_share / 100

    @cached_property
    def sender_bytes(self) -> float:
        """How many bytes of a queue may be one sender's."""
        return self.queue_bytes * self.queue_share / 100

    @cached_property
    def message_line(self) -> int:
        """How long a line may be for its message not to be too long, whatever it is."""
        return min(self.message, self.line)

    @classmethod
    def options(cls) -> list[tuple[str, str, int, str]]:
        """Return each field that has an option: field, option, default, meaning."""
        return [
            (each.name, each.metadata["option"], each.default, each.metadata["meaning"])
            for each in dataclasses.fields(cls)
            if each.metadata and isinstance(each.default, int)
        ]


class Bucket:
    """A token bucket: `rate` tokens a second, `burst` at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def at_once(self, now: float) -> int:
        """Return for how many there are tokens; one can always be taken."""
        tokens = self._tokens
        if now > self._at:
            tokens += (now - self._at) * self._rate
            if tokens > self._burst:
                tokens = self._burst
        self._at = now  # a clock that was set back adds nothing
        self._tokens = tokens
        return int(tokens) if tokens >= 1 else 1

    def take(self, now: float, count: int = 1) -> float:
        """Take tokens, and return how many seconds to wait before the next.

        They are always given: who waits as told keeps to the rate.
        """
        self.at_once(now)
        return self.spend(count)

    def spend(self, count: int) -> float:
        """Take tokens as `take` does, at the time for which it was asked last."""
        self._tokens = tokens = self._tokens - count
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate


class Tally:
    """Counts what is there now, by key; a key without any takes no memory."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __getitem__(self, key: str) -> int:
        return self._counts.get(key, 0)

    def add(self, key: str) -> None:
        """Count one more."""
        self._counts[key] = self[key] + 1

    def remove(self, key: str) -> None:
        """Count one less."""
        left = self._counts.pop(key) - 1
        if left:
            self._counts[key] = left


class HourlyTally:
    """Counts what happened in the last hour, by key."""

    def __init__(self) -> None:
        self._counts = Tally()
        self._events: deque[tuple[float, str]] = deque()

    def count(self, key: str, now: float) -> int:
        """Return how many there were; `now` in seconds must not fall much."""
        while self._events and self._events[0][0] <= now - HOUR:
            self._counts.remove(self._events.popleft()[1])
        return self._counts[key]

    def add(self, key: str, now: float) -> None:
        """Count one more."""
        self._events.append((now, key))
        self._counts.add(key)
