"""The plain front end: lines from standard input, lines to standard output.

For pipes and files, for cron, for terminals that can do nothing, and for people who
want it: no escape codes, no redrawing. Messages and answers go to standard output,
what is said about them and the connection to standard error.
"""

import os
import select
import termios
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorFDSet,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.frontends.bell import Bell
from chatd.client.frontends.frontend import MAX_TYPED, Intake, Key, Kind, Line, State
from chatd.client.history.printed import lines
from chatd.client.history.search import Found
from chatd.wire import text
from chatd.wire.display import neutralise
from chatd.wire.message import Message

_LOCAL: Final = 3
"""Where `termios` has the local modes."""

_ERRORS: Final = (Kind.ERROR, Kind.NOTICE)


class Plain:
    """The front end on the process's standard streams (`FrontEnd`)."""

    draws_states = False

    def __init__(
        self,
        reactor: IReactorFDSet,
        stdin: int = 0,
        stdout: int = 1,
        stderr: int = 2,
        *,
        bell: bool = False,
    ) -> None:
        self._reactor = reactor
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        rings = bell and os.isatty(stdout)
        self._bell = Bell(self._ring if rings else None, time.monotonic)
        # In one stream the order of what is shown must hold.
        self._together = _same(stdout, stderr)
        self._streams: _Streams | None = None
        self._blocking: dict[int, bool] = {}
        # How the terminal is, while it shows nothing of what is typed.
        self._attributes: list[Any] | None = None

    def start(self, core: Intake) -> Deferred[None]:
        """Read lines to the end of the input, and show lines until `stop`."""
        # Twisted makes them non-blocking, for other processes that have them too.
        self._blocking = {
            each: os.get_blocking(each) for each in (self._stdin, self._stdout)
        }
        self._streams = _Streams(core)
        StandardIO(  # type: ignore[call-arg]  # mypy sees that of Windows
            self._streams, self._stdin, self._stdout, self._reactor
        )

        def restore(result: None) -> None:
            self.rescue()
            self._streams = None

        return self._streams.ended.addCallback(restore)

    def show(self, line: Line) -> None:
        """Show a line."""
        data = f"{line.text}\n".encode(errors="replace")
        self._write(data, to_error=line.kind in _ERRORS)

    def _ring(self) -> None:
        self._write(b"\a", to_error=False)

    def _write(self, data: bytes, *, to_error: bool) -> None:
        if self._streams is not None and (not to_error or self._together):
            self._streams.write(data)
        else:
            _write(self._stderr if to_error else self._stdout, data)

    def received(self, message: Message, *, queued: bool) -> None:
        """Show a message that came, in the text form's words."""
        self._bell.message_came()
        for line in text.message_lines(message, queued=queued):
            self.show(Line(Kind.MESSAGE, neutralise(line)))

    def remembered(self, message: Message, state: State | None) -> None:
        """Show nothing: what was read stays above, or was written to a file."""

    def found(self, messages: Sequence[Found]) -> None:
        """Show messages of the history, as ``chat history`` does."""
        for each in messages:
            for line in lines(each.message):
                self.show(Line(Kind.ANSWER, line))

    def away(self, since: int | None) -> None:
        """Show nothing: what was queued bears its time."""

    def sent(self, key: Key, message: Message) -> None:
        """Show nothing: what was typed is seen where it was typed."""

    def became(self, key: Key, state: State) -> None:
        """Show nothing: the core says it in lines."""

    def standing_changed(self) -> None:
        """Show nothing: lines tell of the connection."""

    def people_changed(self) -> None:
        """Show nothing: there is no place for it."""

    def hide_input(self, hidden: bool) -> None:
        """Let the terminal show nothing of what is typed, or show it again.

        There it is the terminal that has what is half typed. In a pipe there is
        nothing to be done.
        """
        if not os.isatty(self._stdin):
            return
        with suppress(termios.error):  # it has gone
            termios.tcflush(self._stdin, termios.TCIFLUSH)
        self._show_typing()
        if hidden:
            with suppress(termios.error):
                self._attributes = termios.tcgetattr(self._stdin)
                attributes = termios.tcgetattr(self._stdin)
                attributes[_LOCAL] &= ~termios.ECHO
                attributes[_LOCAL] |= termios.ECHONL
                # At once: where output is stopped, waiting for it would stop all.
                termios.tcsetattr(self._stdin, termios.TCSANOW, attributes)

    def _show_typing(self) -> None:
        attributes, self._attributes = self._attributes, None
        if attributes is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._stdin, termios.TCSANOW, attributes)

    def stop(self) -> None:
        """Read no more; end when everything shown is written."""
        if self._streams is not None:
            self._streams.stop()

    def rescue(self) -> None:
        """Make the streams blocking again, if they were; show what is typed."""
        self._show_typing()
        for descriptor, value in self._blocking.items():
            os.set_blocking(descriptor, value)


@implementer(IHalfCloseableProtocol, IPushProducer)
class _Streams(Protocol):
    """The protocol on standard input and output.

    It asks the core to receive nothing while nobody reads the output.
    """

    transport: Any

    def __init__(self, core: Intake) -> None:
        self.ended: Deferred[None] = Deferred()
        self._core = core
        self._lines: deque[bytes] = deque()
        self._tail = bytearray()
        self._input_ended = False
        self._told_end = False
        self._waiting = False
        self._entering = False
        self._writable = True
        self._written = False
        self._stopped = False

    # What the core's side calls.

    def write(self, data: bytes) -> None:
        """Write to standard output."""
        self._written = True
        if self._writable:
            self.transport.write(data)
        else:
            self._core.output_lost()

    def stop(self) -> None:
        """Read no more; end when everything is written."""
        if self._stopped:
            return
        self._stopped = True
        self._lines.clear()
        self._tail.clear()
        if self._writable:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        else:
            self.transport.pauseProducing()
            self._end()

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin (`IProtocol`)."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the input (`IProtocol`)."""
        if self._stopped:
            return
        *complete, rest = data.split(b"\n")
        if complete:
            self._lines.append(bytes(self._tail) + complete[0])
            self._tail.clear()
            self._lines.extend(complete[1:])
        # What is too long is cut, and still too long: the core refuses it.
        self._tail += rest[: MAX_TYPED + 1 - len(self._tail)]
        self._enter_lines()

    def readConnectionLost(self) -> None:
        """Take note of the end of the input (`IHalfCloseableProtocol`)."""
        if self._tail:
            self._lines.append(bytes(self._tail))
            self._tail.clear()
        self._input_ended = True
        self._enter_lines()

    def writeConnectionLost(self) -> None:
        """Take note that nobody reads (`IHalfCloseableProtocol`)."""
        self._writable = False
        if self._written:
            self._core.output_lost()
        # Who only sends has nothing to show, and goes on.
        self._core.release_incoming()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note that everything is written, or cannot be (`IProtocol`)."""
        if not reason.check(ConnectionDone):
            self._core.output_lost()
        self._end()

    def pauseProducing(self) -> None:
        """Have nothing more to show, for now (`IPushProducer`)."""
        self._core.hold_incoming()

    def resumeProducing(self) -> None:
        """Show again (`IPushProducer`)."""
        self._core.release_incoming()

    def stopProducing(self) -> None:
        """Take note that nobody reads (`IPushProducer`)."""

    # Inside.

    def _enter_lines(self) -> None:
        """Enter what was read, at the pace at which the core takes it."""
        if self._entering or self._waiting:
            return
        self._entering = True
        while self._lines:
            room = self._core.when_room()
            if not room.called:
                self._waiting = True
                self.transport.pauseProducing()
                _ = room.addCallback(self._go_on)
                break
            if self._lines:
                line = self._lines.popleft().removesuffix(b"\r")
                self._core.enter(line.decode(errors="surrogateescape"))
        self._entering = False
        if self._input_ended and not self._lines and not self._told_end:
            self._told_end = True
            self._core.end_of_input()

    def _go_on(self, result: None) -> None:
        self._waiting = False
        if not self._stopped:
            self.transport.resumeProducing()
            self._enter_lines()

    def _end(self) -> None:
        if not self.ended.called:
            self.ended.callback(None)


def _same(one: int, other: int) -> bool:
    """Return whether two descriptors are of one file, pipe or terminal."""
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, or as much as somebody takes."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError:
            return
