"""What the client's core and its front ends know of each other.

The core connects, logs in, sends, receives and keeps the history. A front end takes
lines from the person and shows lines to the person, and does nothing else: the plain
one and the one on a terminal share everything but drawing.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from twisted.internet.defer import Deferred

MAX_TYPED: Final = 1024 * 1024
"""In bytes of UTF-8; a front end may cut a line that is longer, the core refuses it."""


class Kind(Enum):
    """What a line is about, for front ends that draw kinds differently."""

    MESSAGE = auto()  # somebody's message, "bob: Hi"
    ANSWER = auto()  # the server's answer to what was typed
    NOTICE = auto()  # about the connection, or from the server to people
    ERROR = auto()  # what was typed was refused, or not sent


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be shown; `text` has no control characters but tabs."""

    kind: Kind
    text: str


class FrontEnd(Protocol):
    """Shows lines, and hands typed ones to the core it was given."""

    def start(self, core: "Core") -> Deferred[None]:
        """Take lines until the person ends, or `stop`.

        Fires then, with the terminal restored and everything shown. It may fire, or
        call `Core.end_of_input` and go on to show lines until `stop`.
        """

    def show(self, line: Line) -> None:
        """Show a line, above whatever is half typed.

        Before the start, and after the Deferred of `start` has fired, it is just
        written: the core may still have something to say.
        """

    def hide_input(self, hidden: bool) -> None:
        """Show nothing of what is typed, and remember none of it; or show it again.

        What is half typed at either time is no part of what is typed after it.
        """

    def stop(self) -> None:
        """Take no more lines; the Deferred of `start` fires soon. May come twice."""

    def rescue(self) -> None:
        """Leave the terminal as it was, at once: the process ends now.

        Called in a signal handler, where nothing can be waited for.
        """


class Core(Protocol):
    """What a front end may ask of the core."""

    user: str
    """The name as the server shows it; before the login, as it was given."""

    def enter(self, text: str) -> None:
        """Take a line that was typed: a message or a command.

        Bytes that are no UTF-8 are handed over as `surrogateescape` makes them.
        """

    def end_of_input(self) -> None:
        """Take note that nothing more will be typed; leave when all is answered."""

    def completions(self) -> tuple[list[str], list[str]]:
        """Return the names and the commands that can be completed to."""

    def when_room(self) -> Deferred[None]:
        """Fire when another line should be entered, perhaps at once.

        For front ends that read faster than anybody types; others need not ask.
        """

    def hold_incoming(self) -> None:
        """Receive nothing for now: what was shown waits to be read."""

    def release_incoming(self) -> None:
        """Receive again."""

    def output_lost(self) -> None:
        """Take note that nothing can be shown any more; leave, and tell so at last."""
