"""The ticker: when outlets look how far their bytes have got."""

from itertools import islice
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.turn import Turn

TICK_SECONDS: Final = 0.02
"""How often acknowledgements are looked for while any are awaited.

A receiver that only listens delays its own by up to 40 ms, so looking more often gains
little.
"""

LOOKS_A_TURN: Final = 4
"""How many look for acknowledgements before others have their turn, at least."""

TURNS: Final = 8
"""In how many turns all have looked, however many they are.

Turns may be long: who had to wait for ever more of them would never look.
"""


class Looking(Protocol):
    """An outlet, as its ticker sees it."""

    def look(self) -> None:
        """See what has been acknowledged."""

    def flush(self) -> None:
        """Send what was written in this turn."""


class Ticker:
    """Calls those who await something, `TICK_SECONDS` apart, and rests else.

    Where they are many, not all in one turn of the reactor.
    """

    def __init__(self, clock: IReactorTime, turn: Turn) -> None:
        self.clock = clock
        self._turn = turn
        self._waiting: dict[Looking, None] = {}
        self._due: dict[Looking, None] = {}
        self._looks = LOOKS_A_TURN
        self._call: IDelayedCall | None = None

    def add(self, outlet: Looking) -> None:
        """Let an outlet look for acknowledgements at the next tick, or soon."""
        if outlet in self._due:
            return
        self._waiting[outlet] = None
        if self._call is None:
            self._call = self.clock.callLater(TICK_SECONDS, self._tick)

    def remove(self, outlet: Looking) -> None:
        """Leave an outlet alone."""
        self._due.pop(outlet, None)
        self._waiting.pop(outlet, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def flush_later(self, outlet: Looking) -> None:
        """Let an outlet send what it has at the end of the reactor's turn."""
        self._turn.at_end(outlet.flush)

    def _tick(self) -> None:
        self._call = None
        resting = not self._due
        self._due |= self._waiting
        self._waiting = {}
        self._looks = max(LOOKS_A_TURN, -(-len(self._due) // TURNS))
        if resting:
            self._look()

    def _look(self) -> None:
        try:
            for outlet in list(islice(self._due, self._looks)):
                # One that has looked may make another one leave.
                if self._due.pop(outlet, self) is not self:
                    outlet.look()
        finally:
            if self._due:
                self.clock.callLater(0, self._look)
