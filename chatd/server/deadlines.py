"""Deadlines that are all the same time away: one timer for all of them."""

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Late(Protocol):
    """What has to be done in time."""

    def too_late(self) -> None:
        """Take note that it was not."""


class Deadlines:
    """Tells those who are not done after so many seconds.

    They come due in the order in which they began; so nothing is sorted, and hardly
    anybody who is done in time costs a timer.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._due: dict[Late, float] = {}
        self._call: IDelayedCall | None = None

    def begin(self, late: Late) -> None:
        """Tell it in time, unless that is ended before."""
        self._due[late] = self._clock.seconds() + self._seconds
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._look)

    def end(self, late: Late) -> None:
        """Do not tell it; does nothing if that has not begun, or is over."""
        self._due.pop(late, None)
        if not self._due and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        now = self._clock.seconds()
        late = [each for each, due in self._due.items() if due <= now]
        for each in late:
            del self._due[each]
        if self._due:
            first = next(iter(self._due.values()))
            self._call = self._clock.callLater(max(0, first - now), self._look)
        for each in late:
            try:
                each.too_late()
            except Exception:  # what fails for one must not spare another
                self._log.failure("A deadline could not be kept")
