"""One connection to the server: handshake, login, what is said, signs of life.

It is made for an `Owner`, which is told what comes of it and makes the next one. The
server is not trusted: what no chatd says ends it.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from chatd import __version__
from chatd.client.connection import events
from chatd.client.connection.events import Event, Hello, Malformed, Refused, Welcome
from chatd.client.connection.reasons import in_words
from chatd.client.connection.secrets import NEEDED
from chatd.client.statuses import Status
from chatd.wire.answers import ANSWERS
from chatd.wire.display import neutralise

HANDSHAKE_SECONDS: Final = 30.0
"""How long a server may take from the connection to the welcome."""

SILENT_SECONDS: Final = 25.0
"""After how long without a byte the server is asked for a sign of life."""

ANSWER_SECONDS: Final = 25.0
"""How long it may take to give one."""

PASSWORD_SECONDS: Final = 60.0
"""How long a server may take to check a password: while somebody guesses, it waits."""

LEAVING_SECONDS: Final = 60.0
"""How long a server that was told goodbye may be silent before it answers."""

MAX_LINE: Final = 1024 * 1024
"""The longest line that a server may send, unless it takes longer messages."""

LARGEST_LINE: Final = 8 * 1024 * 1024

SHUTTING_DOWN: Final = "shutting-down"
"""The code of an error that a server sends when it stops."""

_EXCERPT: Final = 60


class Owner(Protocol):
    """For whom the connection is: `chatd.client.connection.link.Link`."""

    @property
    def held(self) -> bool:
        """Whether there is a reason to read nothing."""

    def connected(self, connection: "Connection") -> None:
        """Take note of a connection, not logged in yet."""

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Take note of the login."""

    def password(self) -> str | None:
        """Return what to log in with where a password is needed, if it is known."""

    def login_refused(self, refused: Refused) -> bool:
        """Take note of a refusal; return whether to try again."""

    def happened(self, event: Event) -> None:
        """Take note of something that the server said after the login."""

    def give_up(self, status: Status, reason: str) -> None:
        """Make no more attempts."""

    def disconnected(self, reason: str, *, was_in: bool) -> None:
        """Take note of the end of the connection."""


class Connection(LineOnlyReceiver):
    """One connection: from ``/json`` through the login to its end.

    What has no line end yet is bounded by `MAX_LENGTH`; a chunk is split once, so a
    flood of lines costs what it should. That they cannot be held back within a chunk
    does no harm.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    transport: Any

    def __init__(
        self, owner: Owner, clock: IReactorTime, user: str, *, receive: bool = True
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._user = user
        self._receive = receive
        self._take: Callable[[bytes], None] = self._take_prompt
        self._in = False
        self._password_sent = False
        self._leaving = False
        self._reason: str | None = None
        self._heard = 0.0
        self._asked: float | None = None
        self._timer: IDelayedCall | None = None
        self._hello = Hello(events.PROTOCOL, None, None)

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin (`IProtocol`)."""
        self._owner.connected(self)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._timer = self._clock.callLater(HANDSHAKE_SECONDS, self._handshake_too_late)
        self.send(events.greeting(__version__))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes (`IProtocol`)."""
        self._heard = self._clock.seconds()
        self._asked = None
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line, as far as the conversation has come."""
        try:
            self._take(line)
        except Malformed as malformed:
            self._give_up(
                Status.NOT_CHATD,
                f"sent what no chatd sends, {_excerpt(line)!r}: {malformed}",
            )

    def lineLengthExceeded(self, line: bytes) -> None:
        """Give up: no chatd sends such lines."""
        if self._in:
            what = f"sent a line of more than {self.MAX_LENGTH} bytes"
            self._give_up(Status.NOT_CHATD, what)
        else:
            self._no_chatd(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the owner (`IProtocol`)."""
        self._cancel_timer()
        self._owner.disconnected(self._reason or in_words(reason), was_in=self._in)

    # What the owner calls.

    def send(self, line: str) -> None:
        """Send a line."""
        self.transport.write(f"{line}\n".encode())

    def leave(self) -> None:
        """Say that nothing follows. A goodbye answers it."""
        if not self._leaving:
            self._leaving = True
            self.send(events.leave())

    def hold(self) -> None:
        """Read nothing, once logged in."""
        if self._in:
            self.transport.pauseProducing()

    def release(self) -> None:
        """Read again."""
        self._heard = self._clock.seconds()
        self._asked = None
        self.transport.resumeProducing()

    def abort(self) -> None:
        """Close at once, with no regard to what is under way."""
        self.transport.abortConnection()

    # The conversation.

    def _take_prompt(self, line: bytes) -> None:
        # Whatever it is: the prompt, ended by the answer to ``/json``; or a line in
        # which a server that is full says so before it closes.
        if line.decode(errors="replace") == ANSWERS["not-tls"].text:
            self._give_up(
                Status.NOT_CHATD, "speaks TLS only on this port: use chat --tls"
            )
            return
        if line and not line.startswith(b"Enter your username"):
            self._reason = f"it said {_excerpt(line)!r}, and closed"
        self._take = self._take_hello

    def _take_hello(self, line: bytes) -> None:
        if line.decode(errors="replace") == ANSWERS[SHUTTING_DOWN].text:
            self._try_again("the server is stopping")
            return
        try:
            hello = events.parse_event(line)
        except Malformed:
            hello = None
        if not isinstance(hello, Hello):
            self._no_chatd(line)
            return
        if hello.protocol != events.PROTOCOL:
            self._give_up(
                Status.NOT_CHATD,
                f"speaks version {hello.protocol} of the protocol, and this chat"
                f" version {events.PROTOCOL}: use a chat of the server's age",
            )
            return
        self._hello = hello
        self._reason = None
        if hello.max_message is not None:
            # In JSON a byte may take six.
            longest = min(8 * hello.max_message, LARGEST_LINE)
            self.MAX_LENGTH = max(self.MAX_LENGTH, longest)
        self._take = self._take_welcome
        self.send(events.login(self._user, receive=self._receive))

    def _take_welcome(self, line: bytes) -> None:
        event = events.parse_event(line)
        if isinstance(event, Refused):
            if event.code == NEEDED and self._send_password():
                return
            if self._owner.login_refused(event):
                self._try_again(event.text)
            else:
                self.transport.loseConnection()
        elif isinstance(event, Welcome):
            self._in = True
            self._take = self._take_event
            self._cancel_timer()
            self._look_again_in(SILENT_SECONDS)
            if self._owner.held:
                self.hold()
            self._owner.logged_in(self._hello, event)

    def _send_password(self) -> bool:
        """Log in again with the password; return whether there is a new one to try."""
        password = None if self._password_sent else self._owner.password()
        if password is None:
            return False
        self._password_sent = True
        self._cancel_timer()
        self._timer = self._clock.callLater(PASSWORD_SECONDS, self._handshake_too_late)
        self.send(events.login(self._user, password, receive=self._receive))
        return True

    def _take_event(self, line: bytes) -> None:
        event = events.parse_event(line)
        if event is None:
            return
        if isinstance(event, Refused) and event.code == SHUTTING_DOWN:
            self._reason = "the server is stopping"
        else:
            self._owner.happened(event)

    def _no_chatd(self, line: bytes) -> None:
        said = f": it said {_excerpt(line)!r}" if line.strip() else ""
        self._give_up(Status.NOT_CHATD, f"is no chatd{said}")

    def _give_up(self, status: Status, what: str) -> None:
        self._owner.give_up(status, f"The server {what}.")
        self.transport.loseConnection()

    def _try_again(self, reason: str) -> None:
        self._reason = reason
        self.transport.loseConnection()

    # Signs of life.

    def _handshake_too_late(self) -> None:
        self._reason = self._reason or "it does not answer as a chatd does"
        self.abort()

    def _look_again_in(self, seconds: float) -> None:
        self._timer = self._clock.callLater(max(0.1, seconds), self._look)

    def _look(self) -> None:
        """See when something was last heard, and act on it."""
        if self._owner.held:
            self._heard = self._clock.seconds()
        silent = self._clock.seconds() - self._heard
        allowed = LEAVING_SECONDS if self._leaving else SILENT_SECONDS
        if silent < allowed:
            self._look_again_in(allowed - silent)
        elif self._asked is None and not self._leaving:
            self._asked = self._clock.seconds()
            self.send(events.ping())
            self._look_again_in(ANSWER_SECONDS)
        else:
            self._reason = "the server does not answer any more"
            self.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _excerpt(line: bytes) -> str:
    text = neutralise(line[:_EXCERPT].decode(errors="replace").strip())
    return f"{text}..." if len(line) > _EXCERPT else text
