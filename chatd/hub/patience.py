"""Patience: how long something is waited for that may never come."""

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Patience:
    """Calls `on_lost` once nothing has come for some seconds."""

    __slots__ = ("_call", "_clock", "_on_lost", "_seconds", "lost")

    def __init__(
        self, clock: IReactorTime, seconds: float, on_lost: Callable[[], None]
    ) -> None:
        self.lost = False
        self._clock = clock
        self._seconds = seconds
        self._on_lost = on_lost
        self._call: IDelayedCall | None = None
        self._begin()

    def go_on(self) -> None:
        """Take note that something came: wait as long again, if waiting at all."""
        if self._call is not None:
            self.end()
            self._begin()

    def _begin(self) -> None:
        self._call = self._clock.callLater(self._seconds, self._lose)

    def end(self) -> None:
        """Wait no longer."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _lose(self) -> None:
        self._call = None
        self.lost = True
        self._on_lost()


class Untried:
    """What stands for patience that was never begun, and does nothing."""

    lost = False

    def go_on(self) -> None:
        """Nothing is waited for."""

    def end(self) -> None:
        """Nothing is waited for."""


UNTRIED: Final = Untried()
