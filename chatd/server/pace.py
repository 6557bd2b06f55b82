"""The pace at which a connection's lines are taken: its rate, and its turns."""

from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from chatd.limits import Bucket, Limits

LINES_A_TURN: Final = 100
"""How many lines of one connection are taken before others have their turn."""


LIGHTER: Final = 10
"""How many lines that are taken at once keep others waiting as long as one does."""


class Held(Protocol):
    """What takes no lines while it is held for a reason."""

    def hold(self, reason: str) -> None:
        """Take no further lines for a reason."""

    def release(self, reason: str) -> None:
        """Drop a reason."""


class Pace:
    """Holds a connection that is ahead of its rate, or has had its turn."""

    __slots__ = ("_bucket", "_clock", "_held", "_taken")

    def __init__(self, held: Held, limits: Limits, clock: IReactorTime) -> None:
        self._held: Held | None = held
        self._clock = clock
        self._bucket = Bucket(limits.line_rate, limits.line_burst, clock.seconds())
        self._taken = 0.0

    def line(self) -> None:
        """Count a line; the next may have to wait."""
        delay = self._bucket.take(self._clock.seconds())
        if delay:
            self._wait("rate", delay)
        self._take_turn(1)

    def lines_at_once(self) -> int:
        """Return how many lines can be taken before the next has to wait."""
        return self._bucket.at_once(self._clock.seconds())

    def lines(self, count: int) -> None:
        """Count lines that were taken after `lines_at_once`; the next may wait."""
        delay = self._bucket.spend(count)
        if delay:
            self._wait("rate", delay)
        self._take_turn(count / LIGHTER)

    def sequences(self, count: int) -> None:
        """Count telnet's sequences, as many lines; what follows may have to wait."""
        delay = self._bucket.take(self._clock.seconds(), count)
        if delay:
            self._wait("sequences", delay)

    def end(self) -> None:
        """Hold nobody any more: the connection is gone."""
        self._held = None

    def _take_turn(self, lines: float) -> None:
        self._taken += lines
        if self._taken >= LINES_A_TURN:
            self._taken = 0.0
            self._wait("turn", 0)

    def _wait(self, reason: str, seconds: float) -> None:
        if self._held is not None:
            self._held.hold(reason)
            self._clock.callLater(seconds, self._held.release, reason)
