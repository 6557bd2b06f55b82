"""The end of the reactor's turn: what is done once for all that the turn has brought.

To ask the reactor for a call in its next turn costs about what a message does. So those
who gather something for the end of the turn share one call.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class Turn:
    """Calls what is to be called at the end of a turn, in the order of asking."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[Callable[[], None]] = []
        self._last: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call once: after everything that was asked for before, at the end too.

        What fails is logged, and keeps nothing else from being called.
        """
        if not (self._calls or self._last):
            self._clock.callLater(0, self._end)
        self._calls.append(call)

    def at_last(self, call: Callable[[], None]) -> None:
        """Call once, when nothing is left that was asked for with `at_end`."""
        if not (self._calls or self._last):
            self._clock.callLater(0, self._end)
        self._last.append(call)

    def _end(self) -> None:
        # Both grow while what is called asks for more.
        calls, done = self._calls, 0
        while done < len(calls) or self._last:
            if done == len(calls):
                calls.append(self._last.pop(0))
            try:
                calls[done]()
            except Exception:  # the next one is somebody else's
                self._log.failure("What a turn has left to its end failed")
            done += 1
        calls.clear()
