"""The link to the server: connected, logged in, and made again when it is lost.

`ClientService` connects, and decides when to try again; handshake and login are the
connection's own, as the service would leave one open whose preparation failed.
Whatever comes of it is told to a `Listener`.
"""

from collections.abc import Callable
from typing import Final, Protocol

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import UserError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.connection.connection import SHUTTING_DOWN, Connection
from chatd.client.connection.events import Event, Hello, Refused, Welcome
from chatd.client.connection.reasons import in_words
from chatd.client.connection.secrets import ASKED_AGAIN, OwnPassword
from chatd.client.connection.trust import Rejected
from chatd.client.statuses import Status

CLOSE_SECONDS: Final = 3.0
"""How long a connection may take to close."""

retry_policy: Final = backoffPolicy(initialDelay=0.3, maxDelay=30.0, factor=1.7)
"""From the number of failures in a row to the seconds until the next attempt."""


class Listener(Protocol):
    """Who is told what happens on the connection; the core implements it."""

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Take note of a login: the first, or one after the connection was lost."""

    def happened(self, event: Event) -> None:
        """Take note of something that the server said after the login."""

    def attempt_failed(self, reason: str) -> None:
        """Take note that there is no connection yet; there will be more attempts."""

    def pausing(self, seconds: float) -> None:
        """Take note that the next attempt follows in so many seconds."""

    def trying(self) -> None:
        """Take note that an attempt begins."""

    def lost(self, reason: str) -> None:
        """Take note that the connection was lost; there will be attempts."""

    def ended(self, status: Status, reason: str) -> None:
        """Take note that there will be no more attempts."""


class Link:
    """What the core has of the connection.

    Starts with `start`, and keeps a logged-in connection from then on, until the login
    is refused, something is no chatd, or `stop`. One that does not `receive` only
    sends. One that is `patient` tries again after every refusal for the time being, as
    one that was in before does.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        user: str,
        listener: Listener,
        own: OwnPassword,
        policy: Callable[[int], float] = retry_policy,
        *,
        receive: bool = True,
        patient: bool = False,
    ) -> None:
        self._clock = clock
        self._user = user
        self._listener = listener
        self._own = own
        self._stopping = False
        self._policy = policy
        self._failures = 0
        self._tries_again = patient
        self._connection: Connection | None = None
        self._holds: set[str] = set()
        factory = Factory.forProtocol(
            lambda: Connection(self, clock, user, receive=receive)
        )
        factory.noisy = False
        self._service = ClientService(
            _Watched(endpoint, self._ready, self._attempt_failed),
            factory,
            self._delay,
            clock,
        )

    def start(self) -> None:
        """Connect."""
        self._service.startService()

    def send(self, line: str) -> None:
        """Send a line; only while logged in."""
        assert self._connection is not None
        self._connection.send(line)

    def leave(self) -> None:
        """Say that nothing follows; only while logged in. A goodbye answers it."""
        assert self._connection is not None
        self._connection.leave()

    def hold(self, reason: str) -> None:
        """Read nothing for a reason; several may hold at once."""
        self._holds.add(reason)
        if self._connection is not None:
            self._connection.hold()

    def release(self, reason: str) -> None:
        """Drop a reason; after the last, read again."""
        self._holds.discard(reason)
        if not self._holds and self._connection is not None:
            self._connection.release()

    def remember(self, password: str) -> None:
        """Log in with this password from now on."""
        self._own.remember(password)

    def stop(self) -> Deferred[None]:
        """Close the connection, and make no other; fire when it is closed."""
        self._stopping = True
        stopped = self._service.stopService()
        if self._connection is not None and not stopped.called:
            deadline = self._clock.callLater(CLOSE_SECONDS, self._connection.abort)

            def done(result: object) -> None:
                if deadline.active():
                    deadline.cancel()

            _ = stopped.addCallback(done)
        return stopped

    # What the connection calls (`Owner`).

    @property
    def held(self) -> bool:
        """Whether there is a reason to read nothing."""
        return bool(self._holds)

    def connected(self, connection: Connection) -> None:
        """Take note of a connection, not logged in yet."""
        self._connection = connection

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Take note of the login."""
        self._failures = 0
        self._tries_again = True
        self._listener.logged_in(hello, welcome)

    def password(self) -> str | None:
        """Return what to log in with where a password is needed, if it is known."""
        return self._own.to_send()

    def login_refused(self, refused: Refused) -> bool:
        """Take note of a refusal; return whether to try again.

        It ends everything. But who was in, and only has to come again later, tries;
        and so does who can be asked for the password.
        """
        if refused.code in ASKED_AGAIN:
            why_not = self._own.refused(refused)
            if why_not is not None:
                self.give_up(Status.REFUSED, why_not)
            return why_not is None
        if refused.code == SHUTTING_DOWN or (self._tries_again and refused.temporary):
            return True
        self.give_up(
            Status.REFUSED,
            f"{self._user} cannot log in: {refused.text or refused.code}",
        )
        return False

    def happened(self, event: Event) -> None:
        """Tell the listener."""
        self._listener.happened(event)

    def give_up(self, status: Status, reason: str) -> None:
        """Make no more attempts."""
        if not self._stopping:
            self._stopping = True
            _ = self._service.stopService()
            self._listener.ended(status, reason)

    def disconnected(self, reason: str, *, was_in: bool) -> None:
        """Take note of the end of a connection."""
        self._connection = None
        if self._stopping or self._own.wanted:
            return
        if was_in:
            self._listener.lost(reason)
        else:
            self._listener.attempt_failed(reason)

    def _attempt_failed(self, failure: Failure) -> None:
        if failure.check(ValueError):  # no name of a host: no attempt will succeed
            # Later: the service cannot be stopped in the midst of its start.
            why = f"Cannot connect: {in_words(failure)}."
            self._clock.callLater(0, self.give_up, Status.UNREACHABLE, why)
        elif isinstance(failure.value, Rejected):
            rejected = failure.value
            self._clock.callLater(0, self.give_up, rejected.status, str(rejected))
        elif not self._stopping:
            self._listener.attempt_failed(in_words(failure))

    def _delay(self, attempt: int) -> float:
        if self._own.wanted:
            return 0.0
        # The service counts a connection as a success, however its login ends.
        self._failures += 1
        pause = self._policy(self._failures)
        if not self._stopping:
            self._listener.pausing(pause)
        return pause

    def _ready(self) -> Deferred[None]:
        """Fire when an attempt to connect may begin."""
        return self._own.ready().addCallback(lambda _: self._listener.trying())


@implementer(IStreamClientEndpoint)
class _Watched:
    """An endpoint that tells of failed attempts, which `ClientService` does not.

    Each attempt waits until it is `ready`: no server waits for a person.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        ready: Callable[[], Deferred[None]],
        failed: Callable[[Failure], None],
    ) -> None:
        self._endpoint = endpoint
        self._ready = ready
        self._failed = failed

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect (`IStreamClientEndpoint`)."""
        attempt: Deferred[IProtocol] = self._ready().addCallback(
            lambda _: self._endpoint.connect(protocolFactory)
        )

        def failed(failure: Failure) -> Failure:
            if not failure.check(CancelledError, UserError):
                self._failed(failure)
            return failure

        return attempt.addErrback(failed)
