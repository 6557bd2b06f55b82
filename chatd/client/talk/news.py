"""What a person is told of the connection: in lines, and where it stands."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from chatd.client.connection.events import Welcome
from chatd.client.frontends.frontend import FrontEnd, Phase, Standing
from chatd.client.talk.greeting import first_greeting, greeting
from chatd.client.talk.output import Output


class News:
    """Tells what becomes of the connection to a server, and each reason once.

    `interactive` says that somebody sits there, who is greeted; `private` that nobody
    else can read what is sent. `now` returns the time in seconds since 1970.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        output: Output,
        clock: IReactorTime,
        *,
        server: str,
        interactive: bool,
        private: bool,
        now: Callable[[], float],
    ) -> None:
        self._front_end = front_end
        self._output = output
        self._clock = clock
        self._server = server
        self._interactive = interactive
        self._private = private
        self._now = now
        self._lost: int | None = None
        self._reason = "it does not answer"
        self._told_reason: str | None = None
        self.is_first_run = False
        """Whether nothing was ever said here: then the greeting explains more."""
        self.standing = Standing(Phase.CONNECTING, server)

    def connected(self, welcome: Welcome, *, again: bool) -> None:
        """Greet, or say that there is a connection again."""
        self._told_reason = None
        self._stand(Phase.CONNECTED)
        if self._lost is not None:
            self._front_end.away(self._lost)
            self._lost = None
        if again:
            self._output.notice(f"Connected to {self._server} again.")
        elif self._interactive:
            greet = first_greeting if self.is_first_run else greeting
            for line in greet(welcome, private=self._private):
                self._output.notice(line)

    def attempt_failed(self, reason: str, *, over: bool) -> None:
        """Say so, once for each reason, unless it is over."""
        self._reason = reason
        if reason != self._told_reason and not over:
            self._told_reason = reason
            self._output.notice(
                f"Cannot reach {self._server} ({reason}); trying again."
            )

    def lost(self, reason: str, *, over: bool) -> None:
        """Say so, unless it is over."""
        self._reason = self._told_reason = reason
        self._lost = self._lost or int(self._now() * 1000)
        self._stand(Phase.CONNECTING)
        if not over:
            self._output.notice(
                f"The connection to {self._server} was lost ({reason}); trying again."
            )

    def pausing(self, seconds: float) -> None:
        """Take note that the next attempt follows in so many seconds."""
        self._stand(Phase.PAUSING, self._clock.seconds() + seconds)

    def trying(self) -> None:
        """Take note that an attempt begins."""
        self._stand(Phase.CONNECTING)

    def timed_out(self, timeout: float) -> None:
        """Say that the server could not be reached in so many seconds."""
        self._output.error(
            f"Could not reach {self._server} within {timeout:g} s ({self._reason})."
        )

    def _stand(self, phase: Phase, next_attempt: float | None = None) -> None:
        self.standing = Standing(phase, self._server, next_attempt)
        self._front_end.standing_changed()
