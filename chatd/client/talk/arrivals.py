"""What other programs put into the outbox while a chat runs: it is sent soon."""

import sqlite3
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chatd.wire.message import Message

LOOK_SECONDS: Final = 2.0
"""How long after one look at the outbox the next one is."""


class Keeper(Protocol):
    """What is needed of a history: `chatd.client.history.history.History` has it."""

    def arrived(self) -> Deferred[list[Message]]:
        """Return what other programs have left to be sent; each once."""


class Arrivals:
    """Looks at the outbox again and again, from `start` to `stop`."""

    def __init__(self, keeper: Keeper, clock: IReactorTime) -> None:
        self._keeper = keeper
        self._clock = clock
        self._next: IDelayedCall | None = None
        self._stopped = False

    def start(self, take: Callable[[list[Message]], None]) -> None:
        """Hand over from now on what has arrived, some at a time."""
        if not self._stopped:
            self._next = self._clock.callLater(LOOK_SECONDS, self._look, take)

    def stop(self) -> None:
        """Hand over nothing more: what arrives stays where it is for the next run."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self, take: Callable[[list[Message]], None]) -> None:
        self._next = None

        def arrived(messages: list[Message]) -> None:
            if messages and not self._stopped:
                take(messages)

        def failed(failure: Failure) -> None:
            # What is wrong with the history is said when something is to be kept.
            failure.trap(sqlite3.Error)

        looked = self._keeper.arrived().addCallbacks(arrived, failed)
        _ = looked.addCallback(lambda _: self.start(take))
