"""What the client's core and its front ends know of each other.

The core connects, logs in, sends, receives and keeps the history. A front end takes
lines from the person and shows lines to the person, and does nothing else: the plain
one and the one on a terminal share everything but drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from chatd.client.frontends.completion import Completions
from chatd.client.history.search import Found
from chatd.wire.message import Message

MAX_TYPED: Final = 1024 * 1024
"""In bytes of UTF-8; a front end may cut a line that is longer, the core refuses it."""


class Kind(Enum):
    """What a line is about, for front ends that draw kinds differently."""

    MESSAGE = auto()  # a line of somebody's message, "bob: Hi"
    ANSWER = auto()  # the server's answer to what was typed
    NOTICE = auto()  # about the connection, or from the server to people
    ERROR = auto()  # what was typed was refused, or not sent


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be shown; `text` has no control characters but tabs."""

    kind: Kind
    text: str


class State(Enum):
    """What has become of a message that was sent; a later one follows an earlier."""

    WAITING = "waiting"  # kept here: not sent, or sent and not answered
    STORED = "stored"  # on the server's disk
    DELIVERED = "delivered"  # the receiver has it
    REFUSED = "refused"  # an error has said why


Key = tuple[str, str]
"""Tells messages that were sent apart."""


class Phase(Enum):
    """How the connection is doing."""

    CONNECTING = auto()
    CONNECTED = auto()
    PAUSING = auto()  # until the next attempt


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a conversation stands, for a front end that shows that all the time.

    `next_attempt` is when the next attempt to connect is made, in the seconds of the
    reactor's clock; only while it is `PAUSING`.
    """

    phase: Phase
    server: str
    next_attempt: float | None = None


class FrontEnd(Protocol):
    """Shows lines, and hands typed ones to the core it was given."""

    draws_states: bool
    """Whether it shows what becomes of a message sent; else the core says it in lines.
    """

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

    def received(self, message: Message, *, queued: bool) -> None:
        """Show a message that came; one that was `queued` waited for the login.

        Its text is as it was sent: the front end makes it safe.
        """

    def remembered(self, message: Message, state: State | None) -> None:
        """Show a message of an earlier run; with a state, one that was sent."""

    def found(self, messages: Sequence[Found]) -> None:
        """Show messages of the history that were asked for."""

    def away(self, since: int | None) -> None:
        """Take note that what was queued came while nobody saw it.

        That is since a time, in ms since 1970, or nobody knows since when. It may be
        nothing, and it may come before the connection.
        """

    def sent(self, key: Key, message: Message) -> None:
        """Show a message that is to be sent, and is `WAITING`; to one target each.

        Its text is as it was typed.
        """

    def became(self, key: Key, state: State) -> None:
        """Show what has become of a message; perhaps of one that was sent long ago."""

    def standing_changed(self) -> None:
        """Take note that `Core.standing` has changed."""

    def people_changed(self) -> None:
        """Take note that `Core.focus` or `Core.unread` has changed."""

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


class Intake(Protocol):
    """What a front end that reads whole lines, and no more, asks of their taker."""

    def enter(self, text: str) -> None:
        """Take a line that was typed: a message or a command.

        Bytes that are no UTF-8 are handed over as `surrogateescape` makes them.
        """

    def end_of_input(self) -> None:
        """Take note that nothing more will be typed; leave when all is answered."""

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


class Core(Intake, Protocol):
    """What a front end may ask of the core."""

    user: str
    """The name as the server shows it; before the login, as it was given."""

    def typing(self, text: str) -> None:
        """Take note of what is half typed, each time that it changes.

        Which names count as known for a line is settled when it is begun. Front ends
        that see whole lines only need not call this. No secret is handed over.
        """

    def completions(self) -> Completions:
        """Return what can be completed to."""

    def longest(self) -> int:
        """Return how many bytes of UTF-8 a line may have: no longer one can be sent."""

    def focus(self) -> str:
        """Return to whom every line goes unless it names others; mostly nobody."""

    def destination(self, typed: str) -> str:
        """Return to whom what is half typed would go, as one reads it: ``bob, eve``.

        Nothing for a command, and for what cannot be sent.
        """

    def unread(self) -> list[tuple[str, int]]:
        """Return whose messages are unread and how many, the latest writer first."""

    def standing(self) -> Standing:
        """Return where the conversation stands."""
