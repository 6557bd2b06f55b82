"""Patience: how long something is waited for that may never come."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Patience:
    """Calls `on_lost` once nothing has come for some seconds; not until it is begun."""

    def __init__(
        self, clock: IReactorTime, seconds: float, on_lost: Callable[[], None]
    ) -> None:
        self.lost = False
        self._clock = clock
        self._seconds = seconds
        self._on_lost = on_lost
        self._call: IDelayedCall | None = None

    def begin(self) -> None:
        """Wait."""
        self.end()
        self._call = self._clock.callLater(self._seconds, self._lose)

    def go_on(self) -> None:
        """Take note that something came: wait as long again, if waiting at all."""
        if self._call is not None:
            self.begin()

    def close(self) -> None:
        """Wait never again."""
        self.end()
        self._on_lost = _ignore

    def end(self) -> None:
        """Wait no longer."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _lose(self) -> None:
        self._call = None
        self.lost = True
        self._on_lost()


def _ignore() -> None:
    """Nobody waits for it any more."""
