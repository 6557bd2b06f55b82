"""The core: what is typed is kept and sent, what comes is kept and then shown.

It stands between a front end, a connection and a history, and knows of none of them
how they do it. No line that it hands to the front end has control characters; the text
of a message is as it was sent.
"""

import time
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client.connection.events import (
    Accepted,
    Event,
    Goodbye,
    Hello,
    Incoming,
    Listing,
    Notice,
    PasswordSet,
    Presence,
    Refused,
    Welcome,
)
from chatd.client.frontends.completion import Completions
from chatd.client.frontends.frontend import FrontEnd, Standing
from chatd.client.statuses import Status
from chatd.client.talk.arrivals import Arrivals
from chatd.client.talk.beginning import begin
from chatd.client.talk.greeting import listed
from chatd.client.talk.helptopics import arguments
from chatd.client.talk.input import Input
from chatd.client.talk.keeping import Keeping
from chatd.client.talk.lifetime import Lifetime
from chatd.client.talk.lookups import Lookups
from chatd.client.talk.neighbours import Keeper, Link
from chatd.client.talk.news import News
from chatd.client.talk.outbox import Outbox, Outgoing
from chatd.client.talk.output import Output
from chatd.client.talk.passwordchange import PasswordChange
from chatd.client.talk.people import People
from chatd.client.talk.questions import Questions
from chatd.client.talk.readahead import ROOM, ReadAhead
from chatd.client.talk.receipts import Receipts
from chatd.client.talk.reception import Reception
from chatd.client.talk.requests import Requests
from chatd.client.talk.sending import Sending
from chatd.client.talk.watching import Watching
from chatd.wire.message import Message


class ChatCore:
    """The core of one run of the client (`Core`, and the connection's `Listener`).

    `interactive` says that somebody sits there: then there is a greeting, and a
    connection that was lost is waited for without end. `timeout` is how long the server
    may be out of reach, or refuse what is to be sent, in seconds. `private` says that
    nobody else can read what is sent. `presence` wants it told who comes and goes, of
    those one talks with.
    """

    _log = Logger()

    def __init__(
        self,
        front_end: FrontEnd,
        history: Keeper,
        clock: IReactorTime,
        *,
        user: str,
        server: str,
        interactive: bool,
        timeout: float,
        private: bool = True,
        presence: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.user = user
        self._front_end = front_end
        self._history = history
        self._interactive = interactive
        self._timeout = timeout
        self._private = private
        self._link: Link
        self._output = Output(front_end, interactive=interactive)
        self._keeping = Keeping(self._output)
        self._news = News(
            front_end,
            self._output,
            clock,
            server=server,
            interactive=interactive,
            private=private,
            now=now,
        )
        self._people = People(
            Watching(
                clock,
                self.transmit,
                self._output.notice,
                talked_with_too=presence and interactive,
            ),
            front_end.people_changed,
            interactive=interactive,
        )
        self._input = Input(
            self._output,
            self._people,
            Lookups(history, self._keeping, self._output, self._people),
            self,
            now,
            interactive=interactive,
        )
        self._outbox = Outbox(history, clock, self)
        self._reception = Reception(history, clock, self._output, self._people, self)
        self._sending = Sending(
            self._outbox,
            history,
            Arrivals(history, clock),
            Receipts(clock, self._output),
            self._people,
            self._output,
            front_end,
            self,
            interactive=interactive,
        )
        self._life = Lifetime(
            self._outbox, clock, self, interactive=interactive, timeout=timeout
        )
        self.questions = Questions(self._output, self._life)
        self._change = PasswordChange(self.questions, self._output, self)
        self._requests = Requests(self._life, self.transmit)
        self._read_ahead = ReadAhead(self._has_room)

    async def run(self, link: Link) -> int:
        """Converse until the end; return the exit status."""
        self._link = link
        self._news.is_first_run = await begin(
            self._history, self._reception, self._sending, self._people, self._keeping
        )
        gone = self._front_end.start(self)
        _ = gone.addCallbacks(self._front_end_ended, self._front_end_failed)
        # One of its own: its end may come from within the callbacks of the other.
        finished: Deferred[None] = Deferred()
        _ = gone.addBoth(finished.callback)
        if not self._life.over:
            self._life.wait_for_server()
            link.start()
        status = await self._life.status
        await link.stop()
        await self._history.settled()
        for line in self._outbox.left(self.user):
            self._output.error(line)
        self._front_end.stop()
        await finished
        self._reception.finish()
        await self._history.settled()
        if status == Status.OK and self._keeping.failed:
            return Status.HISTORY
        if status == Status.OK and self._output.failed:
            return Status.NOT_ACCEPTED
        return status

    def interrupt(self, status: int) -> None:
        """End now, whatever is under way, with this status."""
        self._life.end(status)

    # What the front end calls (`Core`).

    def enter(self, text: str) -> None:
        """Take a line that was typed."""
        if self._life.open and not self.questions.take(text):
            self._input.take(text)

    def end_of_input(self) -> None:
        """Leave when all is answered."""
        self._life.leave()

    def typing(self, text: str) -> None:
        """Take note of what is half typed."""
        self._people.typing(text)

    def completions(self) -> Completions:
        """Return the names and the commands that can be completed to."""
        names = self._people.names.known()
        return Completions(names, arguments(names))

    def longest(self) -> int:
        """Return how many bytes a line can have, roughly."""
        return self._input.longest

    def focus(self) -> str:
        """Return to whom every line goes."""
        return self._people.focused

    def destination(self, typed: str) -> str:
        """Return to whom a line would go."""
        return self._people.destination(typed)

    def unread(self) -> list[tuple[str, int]]:
        """Return whose messages are unread."""
        return self._people.unread()

    def standing(self) -> Standing:
        """Return where the conversation stands."""
        return self._news.standing

    def when_room(self) -> Deferred[None]:
        """Fire when another line should be entered, perhaps at once."""
        return self._read_ahead.when_room()

    def hold_incoming(self) -> None:
        """Receive nothing for now."""
        self._link.hold("output")

    def release_incoming(self) -> None:
        """Receive again."""
        self._link.release("output")

    def output_lost(self) -> None:
        """Leave: nothing can be shown."""
        self._output.lost()
        self._life.leave()

    # What the connection calls (`Listener`).

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Greet, and send what has waited."""
        again = self._life.been_online
        self._life.connected()
        self._reception.connected()
        self.user = welcome.user
        self._input.connected(hello)
        self._change.connected(is_open=welcome.is_open)
        self._people.names.remember(*welcome.users, *welcome.online)
        self._people.watching.connected(hello, welcome.user)
        self._news.connected(welcome, again=again)
        self._requests.connected()
        self._outbox.connected()
        self._life.leave_if_done()
        self._read_ahead.offer()

    def happened(self, event: Event) -> None:
        """Act on what the server says."""
        match event:
            case Incoming():
                self._keeping.watch(self._reception.received(event))
            case Accepted():
                self._sending.accepted(event)
            case Refused():
                if not self._sending.refused(event):
                    self._change.refused()
                    self._output.fail(event.text)
            case Presence():
                self._people.watching.happened(event)
            case Listing():
                self._people.names.remember(*event.names)
                self._output.answer(listed(event, self.user))
            case PasswordSet():
                self._change.done()
            case Notice():
                self._output.notice(event.text)
            case Goodbye():
                self._life.goodbye()
            case _:
                pass

    def attempt_failed(self, reason: str) -> None:
        """Say so."""
        self._news.attempt_failed(reason, over=self._life.over)

    def pausing(self, seconds: float) -> None:
        """Take note of the pause before the next attempt."""
        self._news.pausing(seconds)

    def trying(self) -> None:
        """Take note of the next attempt."""
        self._news.trying()

    def lost(self, reason: str) -> None:
        """Say so; what had no answer is sent again."""
        self._outbox.disconnected()
        self._change.lost()
        self._life.lost()
        self._people.watching.lost()
        self._news.lost(reason, over=self._life.over)

    def ended(self, status: Status, reason: str) -> None:
        """Say so, and end."""
        self._output.error(reason)
        self._life.end(status)

    # What the input, its commands and the sending call (`Owner`).

    def send(self, messages: Sequence[Message], number: int) -> None:
        """Keep messages, and send them as soon as there is a connection."""
        self._sending.send(messages, number)

    def ask(self, request: str) -> None:
        """Send a request now, or at the first login; refuse it in between."""
        self._requests.ask(request)

    def change_password(self) -> None:
        """Ask for another password."""
        self._change.begin(interactive=self._interactive, private=self._private)

    @property
    def online(self) -> bool:
        """Whether there is a login."""
        return self._life.online

    def remember(self, password: str) -> None:
        """Log in with this password from now on."""
        self._link.remember(password)

    # What the outbox calls (`Owner`).

    def transmit(self, line: str) -> None:
        """Send a line to the server."""
        self._link.send(line)

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept."""
        self._keeping.keep(keeping)

    def keeping_failed(self, failure: Failure) -> None:
        """Take note that something could not be kept."""
        self._keeping.fail(failure)

    def put_off(self, outgoing: Outgoing, reason: str) -> None:
        """Say that a message will be sent again."""
        self._output.notice(
            f"Trying again to send to {outgoing.message.target}: {reason}"
        )

    def outbox_changed(self) -> None:
        """Let front ends read on, and leave if nothing is left to be done."""
        self._read_ahead.offer()
        self._life.leave_if_done()

    # What the reception calls (`Owner`).

    def acknowledge(self, line: str) -> None:
        """Send an acknowledgement, if there still is a connection."""
        if self._life.online:
            self._link.send(line)

    def hold(self, reason: str) -> None:
        """Receive nothing for a reason."""
        self._link.hold(reason)

    def release(self, reason: str) -> None:
        """Drop a reason."""
        self._link.release(reason)

    # What its lifetime calls (`Owner`).

    def take_leave(self) -> None:
        """Tell the server that nothing follows."""
        self._sending.leave()
        self._link.leave()

    def timed_out(self) -> None:
        """Say so."""
        self._news.timed_out(self._timeout)

    def wind_up(self) -> None:
        """Send nothing any more; say what was to be said, and let no one wait."""
        self._sending.wind_up()
        self._change.stop()
        self._people.watching.lost()
        self._outbox.disconnected()
        self._read_ahead.offer()

    # How much is read.

    def _has_room(self) -> bool:
        if self._interactive or not self._life.open:
            return True
        return len(self._outbox) + len(self._requests) < ROOM

    # The end.

    def _front_end_ended(self, result: None) -> None:
        self.end_of_input()

    def _front_end_failed(self, failure: Failure) -> None:
        self._log.failure("The front end failed", failure=failure)
        self._life.end(Status.NOT_ACCEPTED)
