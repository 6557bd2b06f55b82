"""The reception: what comes is kept, then shown, then acknowledged.

The server has a message until it is acknowledged, so one that could not be kept comes
again at the next login. One that was kept, and not shown because the client ended there
and then, is shown at the next start.
"""

from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chatd.client.connection import events
from chatd.client.connection.events import Incoming
from chatd.client.talk.output import Output
from chatd.client.talk.people import People
from chatd.wire.message import Message
from chatd.wire.names import name_key

MOST_UNKEPT: Final = 1000
"""How many messages may wait for the disk before no more are received."""

SHOWN_SECONDS: Final = 1.0
"""How long it may take, after a front end was given something, until it can be read."""


class Keeper(Protocol):
    """What the reception needs of a history: `history.history.History` has it."""

    def received(self, message: Message) -> Deferred[int]:
        """Keep a message; return its place in the history, 0 if it is not to be shown.

        Places rise in the order of the calls.
        """

    def shown(self, upto: int) -> Deferred[bool]:
        """Keep that what was received up to a place has been shown."""

    def not_shown(self) -> Deferred[list[Message]]:
        """Return what was kept by an earlier run, and perhaps not shown by it.

        The positions of messages are their places in the history.
        """


class Owner(Protocol):
    """For whom messages are received."""

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

    def __init__(
        self,
        keeper: Keeper,
        clock: IReactorTime,
        output: Output,
        people: People,
        owner: Owner,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._output = output
        self._people = people
        self._owner = owner
        self._connections = 0
        self._kept_upto = 0
        self._acknowledging = False
        self._unkept = 0
        # The place of the last message given to the front end.
        self._given_upto = 0
        self._marking: IDelayedCall | None = None

    async def load(self) -> None:
        """Show what an earlier run has kept and perhaps not shown."""
        for message in await self._keeper.not_shown():
            self._show(message, message.position, queued=True)

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

        def show(place: int) -> None:
            if place:
                self._show(event.message, place, queued=event.queued)

        def safe(result: None) -> None:
            # One that was not kept must come again, and with it those after it.
            if connection == self._connections and sequence == self._kept_upto + 1:
                self._kept_upto = sequence
                self._acknowledge_soon()

        def failed(failure: Failure) -> None:
            # To lose it altogether would be worse.
            self._show(event.message, 0, queued=event.queued)
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
            self._marking = None
            self._owner.keep(self._keeper.shown(self._given_upto))

    def _show(self, message: Message, place: int, *, queued: bool) -> None:
        own = name_key(message.sender) == name_key(message.target)
        self._people.heard_from(message.sender, own=own)
        self._output.received(message, queued=queued)
        if place:
            self._given_upto = max(self._given_upto, place)
            if self._marking is None:
                self._mark_later()

    def _mark_later(self) -> None:
        self._marking = self._clock.callLater(
            SHOWN_SECONDS, self._mark_shown, self._given_upto
        )

    def _mark_shown(self, upto: int) -> None:
        """Mark what can be read by now, but nothing that was given out since."""
        self._marking = None
        self._owner.keep(self._keeper.shown(upto))
        if upto < self._given_upto:
            self._mark_later()

    def _acknowledge_soon(self) -> None:
        # Once for all that one transaction has kept.
        if not self._acknowledging:
            self._acknowledging = True
            self._clock.callLater(0, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledging = False
        if self._kept_upto:
            self._owner.acknowledge(events.acknowledge(self._kept_upto))
