"""A command that is run for each message: at least once, in order, one at a time.

The text is on its standard input, and what else there is to know in its environment:
nothing of a message is ever part of a command line, and no shell has a part in it. Its
standard output and error are our own.
"""

import os
import shlex
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from chatd.client.connection.events import Incoming, rfc3339
from chatd.client.script.listening import Unhandled
from chatd.client.statuses import Status
from chatd.wire.display import neutralise

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""How long a command that failed is left alone: longer each time."""


class BadCommand(ValueError):
    """What should be run cannot be; str() says why, as a sentence."""


def parse_command(text: str) -> list[str]:
    """Return the path of a program, then its arguments with its name before them.

    They are split as a shell splits words, and nothing else of what a shell does is
    done. Raises `BadCommand`.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadCommand(f"{text!r} is no command: {str(error).lower()}.") from None
    if not words:
        raise BadCommand("there is no command.")
    program = shutil.which(words[0])
    if program is None:
        raise BadCommand(f"there is no program {words[0]!r} that can be run.")
    return [program, *words]


def environment_of(incoming: Incoming) -> dict[bytes, bytes]:
    """Return what a command is told of a message in its environment."""
    message = incoming.message
    told = {
        "CHAT_FROM": message.sender,
        "CHAT_TO": message.target,
        "CHAT_ID": neutralise(message.id),  # a server may send a NUL in it
        "CHAT_TIME": rfc3339(message.time),
        "CHAT_QUEUED": "true" if incoming.queued else "false",
    }
    return {name.encode(): value.encode() for name, value in told.items()}


class Execution:
    """Runs a command for each message, again and again until it succeeds (`Handler`).

    With `attempts` it gives up after so many.
    """

    def __init__(
        self,
        command: Sequence[str],
        reactor: Any,
        tell: Callable[[str], None],
        attempts: int | None = None,
        environment: Mapping[bytes, bytes] = os.environb,
    ) -> None:
        self._program, *self._arguments = (os.fsencode(each) for each in command)
        self._reactor = reactor
        self._tell = tell
        self._attempts = attempts
        self._environment = environment
        self._stopping = False
        self._attempt = 0
        self._pause: IDelayedCall | None = None
        self._process: _Command | None = None
        self._incoming: Incoming
        self._handled: Deferred[None]

    def handle(self, incoming: Incoming) -> Deferred[None]:
        """Run the command for a message until it succeeds (`Handler`)."""
        self._incoming = incoming
        self._attempt = 0
        self._handled = Deferred()
        self._run()
        return self._handled

    def stop(self) -> None:
        """Let what runs come to its end, and run nothing more (`Handler`)."""
        self._stopping = True
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
            self._give_up(Status.NOT_ACCEPTED, "It will be run again.")

    def abandon(self) -> None:
        """End what runs (`Handler`)."""
        if self._process is not None:
            self._process.terminate()

    def _run(self) -> None:
        self._attempt += 1
        self._process = _Command(self._incoming.message.text.encode(), self._ended)
        environment = {**self._environment, **environment_of(self._incoming)}
        try:
            self._reactor.spawnProcess(
                self._process,
                self._program,
                self._arguments,
                environment,
                childFDs={0: "w", 1: 1, 2: 2},
            )
        except OSError as error:
            self._ended(f"it cannot be run: {error.strerror}")

    def _ended(self, why: str | None) -> None:
        """Take note of an end: None for success, else what happened."""
        self._process = None
        if why is None:
            self._handled.callback(None)
            return
        message = self._incoming.message
        failed = f"The command failed for message {message.id} from {message.sender}"
        if self._attempts is not None and self._attempt >= self._attempts:
            times = f", attempt {self._attempt}" if self._attempt > 1 else ""
            self._give_up(
                Status.COMMAND_FAILED, f"{failed} ({why}{times}). It comes again."
            )
        elif self._stopping:
            self._give_up(Status.NOT_ACCEPTED, f"{failed} ({why}). It comes again.")
        else:
            pause = min(
                FIRST_PAUSE_SECONDS * 2.0 ** min(self._attempt - 1, 30),
                LONGEST_PAUSE_SECONDS,
            )
            self._tell(
                f"{failed} ({why}, attempt {self._attempt}); running it again in"
                f" {pause:g} s."
            )
            self._pause = self._reactor.callLater(pause, self._run)

    def _give_up(self, status: Status, why: str) -> None:
        self._handled.errback(Unhandled(status, why))


class _Command(ProcessProtocol):
    """One run: its input is written, and its own end counts, whoever has its pipes."""

    transport: Any

    def __init__(self, text: bytes, ended: Callable[[str | None], None]) -> None:
        self._text = text
        self._tell_end = ended
        self._over = False

    def connectionMade(self) -> None:
        """Write the text (`IProcessProtocol`)."""
        self.transport.write(self._text)
        self.transport.closeStdin()

    def processExited(self, reason: Failure) -> None:
        """Tell how it ended (`IProcessProtocol`).

        A process of its own that goes on may have its pipes; what it does not read is
        lost to it.
        """
        if not self._over:
            self._over = True
            self.transport.loseConnection()
            self._tell_end(_why(reason))

    def terminate(self) -> None:
        """End it."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("TERM")


def _why(reason: Failure) -> str | None:
    value = reason.value
    if not isinstance(value, ProcessTerminated):
        return None
    if value.signal is not None:
        return signal.Signals(value.signal).name
    return f"status {value.exitCode}"
