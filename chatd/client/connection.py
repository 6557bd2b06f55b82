"""The connection to the server: made, kept up, and made again when it is lost.

`ClientService` connects, and decides when to try again; the handshake and the login are
the protocol's own, as the service would leave a connection open whose preparation
failed. Whatever comes of it is told to a `Listener`.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd import __version__
from chatd.client import events
from chatd.client.events import Event, Hello, Malformed, Refused, Welcome
from chatd.client.statuses import Status
from chatd.wire.answers import ANSWERS
from chatd.wire.display import neutralise

HANDSHAKE_SECONDS: Final = 30.0
"""How long a server may take from the connection to the welcome."""

SILENT_SECONDS: Final = 25.0
"""After how long without a byte the server is asked for a sign of life."""

ANSWER_SECONDS: Final = 25.0
"""How long it may take to give one."""

LEAVING_SECONDS: Final = 60.0
"""How long a server that was told goodbye may be silent before it answers."""

CLOSE_SECONDS: Final = 3.0
"""How long a connection may take to close."""

MAX_LINE: Final = 1024 * 1024
"""The longest line that a server may send, unless it takes longer messages."""

LARGEST_LINE: Final = 8 * 1024 * 1024

_EXCERPT: Final = 60
_SHUTTING_DOWN: Final = "shutting-down"

retry_policy: Final = backoffPolicy(initialDelay=0.3, maxDelay=30.0, factor=1.7)
"""From the number of failures in a row to the seconds until the next attempt."""

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (error.DNSLookupError, "no such host"),
    (error.ConnectionRefusedError, "connection refused"),
    (error.NoRouteError, "no way to it"),
    (error.TimeoutError, "it does not answer"),
    (error.TCPTimedOutError, "it does not answer"),
    (error.ConnectionDone, "the server closed it"),
    (error.ConnectionLost, "it broke"),
)


class Listener(Protocol):
    """Who is told what happens on the connection; the core implements it."""

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Take note of a login: the first, or one after the connection was lost."""

    def happened(self, event: Event) -> None:
        """Take note of something that the server said after the login."""

    def attempt_failed(self, reason: str) -> None:
        """Take note that there is no connection yet; there will be more attempts."""

    def lost(self, reason: str) -> None:
        """Take note that the connection was lost; there will be attempts."""

    def ended(self, status: Status, reason: str) -> None:
        """Take note that there will be no more attempts."""


class Link:
    """What the core has of the connection.

    Starts with `start`, and keeps a logged-in connection from then on, until the login
    is refused, something is no chatd, or `stop`.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        user: str,
        listener: Listener,
        policy: Callable[[int], float] = retry_policy,
    ) -> None:
        self.clock = clock
        self.user = user
        self.listener = listener
        self.leaving = False
        self.stopping = False
        self._endpoint = endpoint
        self._policy = policy
        self._failures = 0
        self._been_in = False
        self._protocol: ServerProtocol | None = None
        self._holds: set[str] = set()
        factory = Factory.forProtocol(lambda: ServerProtocol(self))
        factory.noisy = False
        self._service = ClientService(
            _Watched(endpoint, self._attempt_failed), factory, self._delay, clock
        )

    def start(self) -> None:
        """Connect."""
        self._service.startService()

    def send(self, line: str) -> None:
        """Send a line; only while logged in."""
        assert self._protocol is not None
        self._protocol.send(line)

    def leave(self) -> None:
        """Say that nothing follows; only while logged in. A goodbye answers it."""
        if not self.leaving:
            self.leaving = True
            self.send(events.leave())

    def hold(self, reason: str) -> None:
        """Read nothing for a reason; several may hold at once."""
        self._holds.add(reason)
        if self._protocol is not None:
            self._protocol.hold()

    def release(self, reason: str) -> None:
        """Drop a reason; after the last, read again."""
        self._holds.discard(reason)
        if not self._holds and self._protocol is not None:
            self._protocol.release()

    def stop(self) -> Deferred[None]:
        """Close the connection, and make no other; fire when it is closed."""
        self.stopping = True
        stopped = self._service.stopService()
        if self._protocol is not None and not stopped.called:
            deadline = self.clock.callLater(CLOSE_SECONDS, self._protocol.abort)

            def done(result: object) -> None:
                if deadline.active():
                    deadline.cancel()

            _ = stopped.addCallback(done)
        return stopped

    # What the protocol calls.

    @property
    def held(self) -> bool:
        """Whether there is a reason to read nothing."""
        return bool(self._holds)

    def connected(self, protocol: "ServerProtocol") -> None:
        """Take note of a connection, not logged in yet."""
        self._protocol = protocol

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Take note of the login."""
        self._failures = 0
        self._been_in = True
        self.listener.logged_in(hello, welcome)

    def login_refused(self, refused: Refused) -> bool:
        """Take note of a refusal; return whether to try again.

        It ends everything. But who was in, and only has to come again later, tries.
        """
        if refused.code == _SHUTTING_DOWN or (self._been_in and refused.temporary):
            return True
        self.give_up(
            Status.REFUSED, f"{self.user} cannot log in: {refused.text or refused.code}"
        )
        return False

    def give_up(self, status: Status, reason: str) -> None:
        """Make no more attempts."""
        if not self.stopping:
            self.stopping = True
            _ = self._service.stopService()
            self.listener.ended(status, reason)

    def disconnected(self, reason: str, *, was_in: bool) -> None:
        """Take note of the end of a connection."""
        self._protocol = None
        if self.stopping:
            return
        if was_in:
            self.listener.lost(reason)
        else:
            self.listener.attempt_failed(reason)

    def _attempt_failed(self, failure: Failure) -> None:
        if failure.check(ValueError):  # no name of a host: no attempt will succeed
            # Later: the service cannot be stopped in the midst of its start.
            why = f"Cannot connect: {_in_words(failure)}."
            self.clock.callLater(0, self.give_up, Status.UNREACHABLE, why)
        elif not self.stopping:
            self.listener.attempt_failed(_in_words(failure))

    def _delay(self, attempt: int) -> float:
        # The service counts a connection as a success, however its login ends.
        self._failures += 1
        return self._policy(self._failures)


class ServerProtocol(LineOnlyReceiver):
    """One connection: from ``/json`` through the login to its end.

    What has no line end yet is bounded by `MAX_LENGTH`; a chunk is split once, so a
    flood of lines costs what it should. That they cannot be held back within a chunk
    does no harm.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    transport: Any

    def __init__(self, link: Link) -> None:
        self._link = link
        self._take: Callable[[bytes], None] = self._take_prompt
        self._in = False
        self._reason: str | None = None
        self._heard = 0.0
        self._asked: float | None = None
        self._timer: IDelayedCall | None = None
        self._hello = Hello(events.PROTOCOL, None, None)

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin (`IProtocol`)."""
        self._link.connected(self)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        clock = self._link.clock
        self._timer = clock.callLater(HANDSHAKE_SECONDS, self._handshake_too_late)
        self.send(events.greeting(__version__))

    def dataReceived(self, data: bytes) -> None:
        """Take bytes (`IProtocol`)."""
        self._heard = self._link.clock.seconds()
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
        """Tell the link (`IProtocol`)."""
        self._cancel_timer()
        self._link.disconnected(self._reason or _in_words(reason), was_in=self._in)

    # What the link calls.

    def send(self, line: str) -> None:
        """Send a line."""
        self.transport.write(f"{line}\n".encode())

    def hold(self) -> None:
        """Read nothing, once logged in."""
        if self._in:
            self.transport.pauseProducing()

    def release(self) -> None:
        """Read again."""
        self._heard = self._link.clock.seconds()
        self._asked = None
        self.transport.resumeProducing()

    def abort(self) -> None:
        """Close at once, with no regard to what is under way."""
        self.transport.abortConnection()

    # The conversation.

    def _take_prompt(self, line: bytes) -> None:
        # Whatever it is: the prompt, ended by the answer to ``/json``; or a line in
        # which a server that is full says so before it closes.
        if line and not line.startswith(b"Enter your username"):
            self._reason = f"it said {_excerpt(line)!r}, and closed"
        self._take = self._take_hello

    def _take_hello(self, line: bytes) -> None:
        if line.decode(errors="replace") == ANSWERS[_SHUTTING_DOWN].text:
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
        self.send(events.login(self._link.user))

    def _take_welcome(self, line: bytes) -> None:
        event = events.parse_event(line)
        if isinstance(event, Refused):
            if self._link.login_refused(event):
                self._try_again(event.text)
            else:
                self.transport.loseConnection()
        elif isinstance(event, Welcome):
            self._in = True
            self._take = self._take_event
            self._cancel_timer()
            self._look_again_in(SILENT_SECONDS)
            if self._link.held:
                self.hold()
            self._link.logged_in(self._hello, event)

    def _take_event(self, line: bytes) -> None:
        event = events.parse_event(line)
        if event is None:
            return
        if isinstance(event, Refused) and event.code == _SHUTTING_DOWN:
            self._reason = "the server is stopping"
        else:
            self._link.listener.happened(event)

    def _no_chatd(self, line: bytes) -> None:
        said = f": it said {_excerpt(line)!r}" if line.strip() else ""
        self._give_up(Status.NOT_CHATD, f"is no chatd{said}")

    def _give_up(self, status: Status, what: str) -> None:
        self._link.give_up(status, f"The server {what}.")
        self.transport.loseConnection()

    def _try_again(self, reason: str) -> None:
        self._reason = reason
        self.transport.loseConnection()

    # Signs of life.

    def _handshake_too_late(self) -> None:
        self._reason = self._reason or "it does not answer as a chatd does"
        self.abort()

    def _look_again_in(self, seconds: float) -> None:
        self._timer = self._link.clock.callLater(max(0.1, seconds), self._look)

    def _look(self) -> None:
        """See when something was last heard, and act on it."""
        clock, leaving = self._link.clock, self._link.leaving
        if self._link.held:
            self._heard = clock.seconds()
        silent = clock.seconds() - self._heard
        allowed = LEAVING_SECONDS if leaving else SILENT_SECONDS
        if silent < allowed:
            self._look_again_in(allowed - silent)
        elif self._asked is None and not leaving:
            self._asked = clock.seconds()
            self.send(events.ping())
            self._look_again_in(ANSWER_SECONDS)
        else:
            self._reason = "the server does not answer any more"
            self.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


@implementer(IStreamClientEndpoint)
class _Watched:
    """An endpoint that tells of failed attempts, which `ClientService` does not."""

    def __init__(
        self, endpoint: IStreamClientEndpoint, failed: Callable[[Failure], None]
    ) -> None:
        self._endpoint = endpoint
        self._failed = failed

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect (`IStreamClientEndpoint`)."""
        attempt: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)

        def failed(failure: Failure) -> Failure:
            if not failure.check(CancelledError, error.UserError):
                self._failed(failure)
            return failure

        return attempt.addErrback(failed)


def _in_words(failure: Failure) -> str:
    for kind, words in _REASONS:
        if isinstance(failure.value, kind):
            return words
    text = getattr(failure.value, "strerror", None) or str(failure.value)
    return neutralise(" ".join(text.split())) or type(failure.value).__name__


def _excerpt(line: bytes) -> str:
    text = neutralise(line[:_EXCERPT].decode(errors="replace").strip())
    return f"{text}..." if len(line) > _EXCERPT else text
