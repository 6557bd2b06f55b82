"""The reception: what comes is kept, then shown, then acknowledged.

The server has a message until it is acknowledged, so one that could not be kept comes
again at the next login. One that was kept, and not shown because the client ended there
and then, is shown at the next start.
"""

from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chatd.client import events
from chatd.client.events import Incoming
from chatd.wire import text
from chatd.wire.message import Message

MOST_UNKEPT: Final = 1000
"""How many messages may wait for the disk before no more are received."""

SHOWN_SECONDS: Final = 1.0
"""How long it may take, after a front end was given something, until it can be read."""


class Keeper(Protocol):
    """What the reception needs of a history: `chatd.client.history.History` has it."""

    def received(self, message: Message) -> Deferred[bool]:
        """Keep a message; return whether it is to be shown."""

    def shown(self) -> Deferred[bool]:
        """Keep that all that was received so far has been shown."""

    def not_shown(self) -> Deferred[list[Message]]:
        """Return what was kept by an earlier run, and perhaps not shown by it."""


class Owner(Protocol):
    """For whom messages are received."""

    def show_message(self, line: str) -> None:
        """Show a line of a message."""

    def acknowledge(self, line: str) -> None:
        """Send an acknowledgement, if there still is a connection."""

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept, which may fail."""

    def keeping_failed(self, failure: Failure) -> None:
        """Take note that a message could not be kept."""

    def hold(self, reason: str) -> None:
        """Receive nothing for a reason."""

    def release(self, reason: str) -> None:
        """Drop a reason."""


class Reception:
    """Receives the messages of one connection after another."""

    def __init__(self, keeper: Keeper, clock: IReactorTime, owner: Owner) -> None:
        self._keeper = keeper
        self._clock = clock
        self._owner = owner
        self._connections = 0
        self._kept_upto = 0
        self._acknowledging = False
        self._unkept = 0
        self._marking: IDelayedCall | None = None

    async def load(self) -> None:
        """Show what an earlier run has kept and perhaps not shown."""
        for message in await self._keeper.not_shown():
            self._show(message, queued=True)

    def connected(self) -> None:
        """Begin to count anew: the messages of each connection have their numbers."""
        self._connections += 1
        self._kept_upto = 0

    def received(self, event: Incoming) -> Deferred[None]:
        """Keep, show and acknowledge a message; fires when that is done."""
        connection, sequence = self._connections, event.message.position
        self._unkept += 1
        if self._unkept == MOST_UNKEPT:
            self._owner.hold("history")

        def show(wanted: bool) -> None:
            if wanted:
                self._show(event.message, queued=event.queued)

        def safe(result: None) -> None:
            # One that was not kept must come again, and with it those after it.
            if connection == self._connections and sequence == self._kept_upto + 1:
                self._kept_upto = sequence
                self._acknowledge_soon()

        def failed(failure: Failure) -> None:
            # To lose it altogether would be worse.
            show(True)
            self._owner.keeping_failed(failure)

        def kept(result: object) -> None:
            self._unkept -= 1
            if self._unkept == MOST_UNKEPT // 2:
                self._owner.release("history")

        keeping = self._keeper.received(event.message).addCallback(show)
        return keeping.addCallbacks(safe, failed).addBoth(kept)

    def finish(self) -> None:
        """Take note that all that was given to the front end has been shown."""
        if self._marking is not None:
            self._marking.cancel()
            self._mark_shown()

    def _show(self, message: Message, *, queued: bool) -> None:
        for line in text.message_lines(message, queued=queued):
            self._owner.show_message(line)
        if self._marking is None:
            self._marking = self._clock.callLater(SHOWN_SECONDS, self._mark_shown)

    def _mark_shown(self) -> None:
        self._marking = None
        self._owner.keep(self._keeper.shown())

    def _acknowledge_soon(self) -> None:
        # Once for all that one transaction has kept.
        if not self._acknowledging:
            self._acknowledging = True
            self._clock.callLater(0, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledging = False
        if self._kept_upto:
            self._owner.acknowledge(events.acknowledge(self._kept_upto))
