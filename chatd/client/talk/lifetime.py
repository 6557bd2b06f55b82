"""How long a run of the client goes on, and with which status it ends.

It ends once nothing more is typed and all that was typed has its answer. Who sits at a
terminal may also leave while there is no connection, or while all that is left was
refused for a time. A pipe waits for these as long as the timeout says; for a connection
that was lost a person waits without end.
"""

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.client.statuses import Status


class Work(Protocol):
    """What has no final answer yet: `chatd.client.talk.outbox.Outbox`."""

    def __len__(self) -> int:
        """How many messages there are."""

    @property
    def stuck(self) -> bool:
        """Whether all of them wait for targets that were refused for a time."""


class Owner(Protocol):
    """Who lives that long."""

    def take_leave(self) -> None:
        """Tell the server that nothing follows; only while logged in."""

    def timed_out(self) -> None:
        """Say that the server was not reached in time; the end follows."""

    def wind_up(self) -> None:
        """Stop what is under way: this is the end."""


class Lifetime:
    """Decides when to leave and when to end; `status` fires then.

    There is one deadline at a time: without a connection, for the next one; with one,
    for what is left to be sent when leaving.
    """

    def __init__(
        self,
        work: Work,
        clock: IReactorTime,
        owner: Owner,
        *,
        interactive: bool,
        timeout: float,
    ) -> None:
        self.online = False
        self.been_online = False
        self.leaving = False
        self.over = False
        self.status: Deferred[int] = Deferred()
        self._work = work
        self._clock = clock
        self._owner = owner
        self._interactive = interactive
        self._timeout = timeout
        self._given_up = False
        self._deadline: IDelayedCall | None = None

    @property
    def open(self) -> bool:
        """Whether what is typed is still taken."""
        return not (self.leaving or self.over)

    def wait_for_server(self) -> None:
        """End unless there is a login in time."""
        self._cancel_deadline()
        self._deadline = self._clock.callLater(self._timeout, self._too_late)

    def wait_for_person(self) -> bool:
        """Let a person take their time; return whether it has to be resumed."""
        waiting = self._deadline is not None and self._deadline.active()
        self._cancel_deadline()
        return waiting

    def connected(self) -> None:
        """Take note of a login."""
        self._cancel_deadline()
        self.online = self.been_online = True

    def lost(self) -> None:
        """Wait for the next connection, or end."""
        self.online = False
        if self.leaving and (self._interactive or self._given_up or not self._work):
            self._end_without_the_rest(Status.UNREACHABLE)
        elif not self._interactive:
            self.wait_for_server()

    def leave(self) -> None:
        """Leave when all is answered, or at once where nobody waits for that."""
        if not self.open:
            return
        self.leaving = True
        if self.online:
            self.leave_if_done()
        elif self._interactive and not self.been_online:
            self.end(Status.UNREACHABLE)
        elif self._interactive or (self.been_online and not self._work):
            self._end_without_the_rest(Status.UNREACHABLE)

    def leave_if_done(self) -> None:
        """Leave once nothing has to be sent, or could be sent for a long time."""
        if not (self.leaving and self.online) or self.over:
            return
        if not self._work:
            self._cancel_deadline()
            self._owner.take_leave()
        elif self._work.stuck and self._interactive:
            self._owner.take_leave()
        elif self._deadline is None or not self._deadline.active():
            self._deadline = self._clock.callLater(self._timeout, self._give_up)

    def goodbye(self) -> None:
        """End, if the server has said this to one who leaves."""
        if self.leaving:
            self._end_without_the_rest(Status.NOT_ACCEPTED)

    def end(self, status: int) -> None:
        """End now, whatever is under way; the first status counts."""
        if self.over:
            return
        self.over = True
        self.online = False
        self._cancel_deadline()
        self._owner.wind_up()
        self.status.callback(status)

    def _end_without_the_rest(self, status: Status) -> None:
        """End; with this status if something was not sent."""
        self.end(status if self._work else Status.OK)

    def _too_late(self) -> None:
        self._owner.timed_out()
        self.end(Status.UNREACHABLE)

    def _give_up(self) -> None:
        self._given_up = True
        if self.online:
            self._owner.take_leave()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
