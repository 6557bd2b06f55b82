"""Receiving for a script: what comes is handled, one by one, and then acknowledged.

Whatever is not handled stays in the queue at the server, which is the only store here.
One that was handled, but whose acknowledgement was lost with the connection, comes
again, is recognised, and is acknowledged without being handled twice.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client.connection import events
from chatd.client.connection.events import (
    Event,
    Goodbye,
    Hello,
    Incoming,
    Notice,
    Welcome,
)
from chatd.client.statuses import Status
from chatd.client.talk.neighbours import Link

MOST_WAITING: Final = 100
"""How many messages may wait to be handled before no more are received."""

MOST_REMEMBERED: Final = 10_000
"""How many handled messages are recognised if they come again."""

GOODBYE_SECONDS: Final = 3.0
"""How long the server may take to confirm the last acknowledgement."""

INTERRUPT_SECONDS: Final = 5.0
"""How long what is being handled may take to its end after a signal."""

_Key = tuple[str, str, int]


class Unhandled(Exception):
    """A message cannot be handled, now or ever; str() says why, as a sentence."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


class Handler(Protocol):
    """What is done with each message."""

    def handle(self, incoming: Incoming) -> Deferred[None]:
        """Handle a message; fire when that is done for good.

        Fails with `Unhandled` if it will not be. It is called for one at a time.
        """

    def stop(self) -> None:
        """Begin nothing any more, as soon as that is possible; `handle` may fire."""

    def abandon(self) -> None:
        """Give up what is under way: its time is over."""


class Listening:
    """Handles what comes, until it has handled `count` (the connection's `Listener`).

    `timeout` is how long the first login may take, in seconds; a connection that was
    lost later is waited for without end. `tell` is given lines for people.
    """

    _log = Logger()

    def __init__(
        self,
        handler: Handler,
        clock: IReactorTime,
        tell: Callable[[str], None],
        *,
        server: str,
        timeout: float,
        count: int | None = None,
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._tell = tell
        self._server = server
        self._timeout = timeout
        self._left = count
        self._link: Link
        self._online = False
        self._been_online = False
        self._connections = 0
        self._waiting: deque[Incoming] = deque()
        self._handling = False
        self._in_turn = False
        self._handled: OrderedDict[_Key, None] = OrderedDict()
        self._status: int | None = None
        self._left_already = False
        self._deadline: IDelayedCall | None = None
        self._reason = "it does not answer"
        self._told_reason: str | None = None
        self._over: Deferred[None] = Deferred()

    async def run(self, link: Link) -> int:
        """Receive until the end; return the exit status."""
        self._link = link
        self._deadline = self._clock.callLater(self._timeout, self._too_late)
        link.start()
        await self._over
        await link.stop()
        assert self._status is not None
        return self._status

    def finish(self, status: int) -> None:
        """Handle nothing more; end with this status when what is under way is done."""
        if self._status is not None:
            return
        self._status = status
        self._waiting.clear()
        self._cancel_deadline()
        if self._handling:
            self._deadline = self._clock.callLater(INTERRUPT_SECONDS, self._abandon)
            self._handler.stop()
        else:
            self._leave()

    def output_lost(self) -> None:
        """End: nothing that is printed is read any more."""
        if self._status is None:
            self._tell("Nobody reads standard output any more.")
            self.finish(Status.NOT_ACCEPTED)

    # What the connection calls (`Listener`).

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Receive."""
        self._online = True
        self._connections += 1
        self._told_reason = None
        if self._been_online:
            self._tell(f"Connected to {self._server} again.")
        elif self._status is None:
            self._been_online = True
            self._cancel_deadline()

    def happened(self, event: Event) -> None:
        """Act on what the server says."""
        match event:
            case Incoming() if self._status is None:
                self._waiting.append(event)
                if len(self._waiting) == MOST_WAITING:
                    self._link.hold("handling")
                self._handle_next()
            case Notice():
                self._tell(event.text)
            case Goodbye() if self._left_already:
                self._end()
            case _:
                pass

    def attempt_failed(self, reason: str) -> None:
        """Say so, once for each reason, to who was connected before."""
        self._reason = reason
        if self._been_online and reason != self._told_reason:
            self._told_reason = reason
            self._tell(f"Cannot reach {self._server} ({reason}); trying again.")

    def pausing(self, seconds: float) -> None:
        """Nothing follows from it."""

    def trying(self) -> None:
        """Nothing follows from it."""

    def lost(self, reason: str) -> None:
        """Forget what waits: it comes again."""
        self._online = False
        self._waiting.clear()
        self._link.release("handling")
        self._told_reason = reason
        if self._left_already:
            self._end()
        elif self._status is None:
            self._tell(
                f"The connection to {self._server} was lost ({reason}); trying again."
            )

    def ended(self, status: Status, reason: str) -> None:
        """Say so, and end."""
        self._online = False
        self._tell(reason)
        self.finish(status)

    # One after the other.

    def _handle_next(self) -> None:
        """Handle what waits. Not by recursion: much of it may be done at once."""
        if self._in_turn:
            return
        self._in_turn = True
        while self._waiting and not self._handling and self._status is None:
            incoming = self._waiting.popleft()
            if len(self._waiting) == MOST_WAITING // 2:
                self._link.release("handling")
            connection = self._connections
            message = incoming.message
            # The text, too: whoever uses an id again for another one is not ignored.
            key = (message.sender, message.id, hash(message.text))
            if key in self._handled:
                self._acknowledge(incoming, connection)
                continue
            self._handling = True
            handling = self._handler.handle(incoming)
            _ = handling.addCallback(self._is_handled, incoming, key, connection)
            _ = handling.addErrback(self._is_not_handled)
            _ = handling.addBoth(self._go_on)
        self._in_turn = False

    def _is_handled(
        self, result: None, incoming: Incoming, key: _Key, connection: int
    ) -> None:
        self._handled[key] = None
        if len(self._handled) > MOST_REMEMBERED:
            self._handled.popitem(last=False)
        self._acknowledge(incoming, connection)
        if self._left is not None:
            self._left -= 1

    def _is_not_handled(self, failure: Failure) -> None:
        if isinstance(failure.value, Unhandled):
            status, why = failure.value.status, str(failure.value)
        else:
            self._log.failure("Handling a message", failure=failure)
            status, why = Status.NOT_ACCEPTED, ""
        if self._status is None:
            if why:
                self._tell(why)
            self._status = status
            self._waiting.clear()

    def _go_on(self, result: object) -> None:
        self._handling = False
        if self._left == 0 and self._status is None:
            self._status = Status.OK
            self._waiting.clear()
        if self._status is None:
            self._handle_next()
        elif not self._left_already:
            self._cancel_deadline()
            self._leave()

    def _acknowledge(self, incoming: Incoming, connection: int) -> None:
        if self._online and connection == self._connections:
            self._link.send(events.acknowledge(incoming.message.position))

    # The end.

    def _too_late(self) -> None:
        self._tell(
            f"Could not reach {self._server} within {self._timeout:g} s"
            f" ({self._reason})."
        )
        self.finish(Status.UNREACHABLE)

    def _abandon(self) -> None:
        self._handler.abandon()
        self._tell(
            f"What was done with the last message took more than"
            f" {INTERRUPT_SECONDS:g} s: it comes again."
        )
        self._leave()

    def _leave(self) -> None:
        """Say goodbye: its answer says that the acknowledgements have arrived."""
        if self._left_already:
            return
        self._left_already = True
        if self._online:
            self._link.release("handling")
            self._link.leave()
            self._deadline = self._clock.callLater(GOODBYE_SECONDS, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._cancel_deadline()
        if not self._over.called:
            self._over.callback(None)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
