"""Messages on standard output: each is done with when the system has taken it."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.connection.events import Incoming, rfc3339
from chatd.client.script.listening import Unhandled
from chatd.client.statuses import Status
from chatd.wire import text

_CLOSED: Final = "Standard output cannot be written: the last message comes again."


def as_lines(incoming: Incoming) -> bytes:
    """Return the lines that show a message, as the text form does."""
    lines = text.message_lines(incoming.message, queued=incoming.queued)
    return "".join(f"{line}\n" for line in lines).encode()


def as_json(incoming: Incoming) -> bytes:
    """Return a message as the server sends it, in ASCII, without its number."""
    message = incoming.message
    fields = {
        "type": "message",
        "id": message.id,
        "from": message.sender,
        "to": message.target,
        "text": message.text,
        "time": rfc3339(message.time),
        "queued": incoming.queued,
    }
    line = json.dumps(fields, separators=(",", ":"))
    return line.replace("\x7f", "\\u007f").encode() + b"\n"  # for a terminal


@implementer(IHalfCloseableProtocol, IPullProducer)
class Printer(Protocol):
    """Writes messages to a descriptor, one at a time (`Handler`).

    `lost` is called when nobody can read what is written any more.
    """

    transport: Any

    def __init__(
        self,
        reactor: Any,
        form: Callable[[Incoming], bytes],
        lost: Callable[[], None],
        descriptor: int = 1,
    ) -> None:
        self._form = form
        self._lost = lost
        self._descriptor = descriptor
        self._writing: Deferred[None] | None = None
        self._writable = True
        # Twisted makes it non-blocking, for other processes that have it too.
        self._blocking = os.get_blocking(descriptor)
        nothing = os.open(os.devnull, os.O_RDONLY)
        StandardIO(  # type: ignore[call-arg]  # mypy sees that of Windows
            self, nothing, descriptor, reactor
        )

    def handle(self, incoming: Incoming) -> Deferred[None]:
        """Write a message; fire when the system has all of it (`Handler`)."""
        self._writing = Deferred()
        writing = self._writing
        if self._writable:
            self.transport.write(self._form(incoming))
        else:
            self._fail()
        return writing

    def stop(self) -> None:
        """Nothing follows from it (`Handler`)."""

    def abandon(self) -> None:
        """Nothing more is written (`Handler`)."""
        self.restore()

    def restore(self) -> None:
        """Make the descriptor blocking again, if it was."""
        with suppress(OSError):
            os.set_blocking(self._descriptor, self._blocking)

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin (`IProtocol`)."""
        # One that is asked for more when all is written.
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Take note that all is written (`IPullProducer`)."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.callback(None)

    def stopProducing(self) -> None:
        """Nothing follows from it (`IPullProducer`)."""

    def readConnectionLost(self) -> None:
        """Nothing is read (`IHalfCloseableProtocol`)."""

    def writeConnectionLost(self) -> None:
        """Take note that nobody reads (`IHalfCloseableProtocol`)."""
        self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note that nobody reads (`IProtocol`)."""
        self._end()

    def _end(self) -> None:
        if self._writable:
            self._writable = False
            self._fail()
            self._lost()

    def _fail(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.errback(Unhandled(Status.NOT_ACCEPTED, _CLOSED))
