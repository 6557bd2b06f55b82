"""The pace at which a connection's lines are taken: its rate, and its turns."""

from typing import Final, Protocol

from chatd.limits import Bucket, Limits

LINES_A_TURN: Final = 100
"""How many lines of one connection are taken before others have their turn."""


LIGHTER: Final = 10
"""How many lines that are taken at once keep others waiting as long as one does."""


class Held(Protocol):
    """What takes no lines while it is held for a reason."""

    def hold_for(self, seconds: float, reason: str) -> None:
        """Take no further lines for a reason, and drop that after some time."""


class Pace(Bucket):
    """Holds a connection that is ahead of its rate, or has had its turn.

    A token is a line. Every connection has one: so it is a bucket, and keeps none.
    """

    __slots__ = ("_held", "_lines")

    def __init__(self, held: Held, limits: Limits, now: float) -> None:
        super().__init__(limits.line_rate, limits.line_burst, now)
        self._held: Held | None = held
        self._lines: float = 0  # as small an integer as most ever count to

    def line(self, now: float) -> None:
        """Count a line; the next may have to wait."""
        delay = self.take(now)
        if delay:
            self._wait(delay, "rate")
        self._take_turn(1)

    def lines(self, count: int) -> None:
        """Count lines for which it was asked `at_once`; the next may have to wait."""
        delay = self.spend(count)
        if delay:
            self._wait(delay, "rate")
        self._take_turn(count / LIGHTER)

    def sequences(self, count: int, now: float) -> None:
        """Count telnet's sequences, as many lines; what follows may have to wait."""
        delay = self.take(now, count)
        if delay:
            self._wait(delay, "sequences")

    def end(self) -> None:
        """Hold nobody any more: the connection is gone."""
        self._held = None

    def _take_turn(self, lines: float) -> None:
        self._lines += lines
        if self._lines >= LINES_A_TURN:
            self._lines = 0
            self._wait(0, "turn")

    def _wait(self, seconds: float, reason: str) -> None:
        if self._held is not None:
            self._held.hold_for(seconds, reason)
