"""The core: what is typed is kept and sent, what comes is kept and then shown.

It stands between a front end, a connection and a history, and knows of none of them
how they do it. Nothing it hands to the front end has control characters.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client import events
from chatd.client.events import (
    Accepted,
    Event,
    Goodbye,
    Hello,
    Incoming,
    Listing,
    Notice,
    Refused,
    Welcome,
)
from chatd.client.frontend import MAX_TYPED, FrontEnd, Kind, Line
from chatd.client.greeting import greeting
from chatd.client.historyfile import name_key
from chatd.client.neighbours import Keeper, Link
from chatd.client.outbox import Outbox, Outgoing
from chatd.client.reception import Reception
from chatd.client.statuses import Status
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.display import neutralise
from chatd.wire.message import Message, new_id

ROOM: Final = 256
"""How many messages may await answers before front ends should read no further."""

STORED_SECONDS: Final = 1.0
"""How long a stored message may take to be delivered before a person is told."""

MOST_NAMES: Final = 10_000
"""How many names are remembered for completion."""

MAX_LINE: Final = 131_072
MAX_MESSAGE: Final = 12_288
"""Limits of a server that does not tell its own."""

COMMANDS: Final = {
    "/who [prefix]": "lists who is online",
    "/users [prefix]": "lists all users",
    "/help": "lists the commands",
    "/quit": "leaves, once everything sent is safe",
}
"""How each command is typed, and what it does."""

_SERVERS_COMMANDS: Final = ("/who", "/users")


class ChatCore:
    """The core of one run of the client (`Core`, and the connection's `Listener`).

    `interactive` says that somebody sits there: then there is a greeting, and a
    connection that was lost is waited for without end. `timeout` is how long the server
    may be out of reach, or refuse what is to be sent, in seconds.
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
        now: Callable[[], float] = time.time,
    ) -> None:
        self.user = user
        self._front_end = front_end
        self._history = history
        self._clock = clock
        self._server = server
        self._interactive = interactive
        self._timeout = timeout
        self._now = now
        self._link: Link
        self._ended: Deferred[int] = Deferred()
        self._ending = False
        self._leaving = False
        self._given_up = False
        self._online = False
        self._been_online = False
        self._failed = False
        self._history_failed = False
        self._max_line = MAX_LINE
        self._max_message = MAX_MESSAGE
        self._number = 0
        self._held: list[text.Command] = []
        self._outbox = Outbox(history, clock, self)
        self._reception = Reception(history, clock, self)
        self._late: dict[tuple[str, str], IDelayedCall] = {}
        self._names: dict[str, None] = {}
        self._waiting: list[Deferred[None]] = []
        self._deadline: IDelayedCall | None = None
        self._reason = "it does not answer"
        self._told_reason: str | None = None

    async def run(self, link: Link) -> int:
        """Converse until the end; return the exit status."""
        self._link = link
        await self._load()
        gone = self._front_end.start(self)
        _ = gone.addCallbacks(self._front_end_ended, self._front_end_failed)
        # One of its own: its end may come from within the callbacks of the other.
        finished: Deferred[None] = Deferred()
        _ = gone.addBoth(finished.callback)
        if not self._ending:
            self._await_server()
            link.start()
        status = await self._ended
        await link.stop()
        await self._history.settled()
        self._tell_what_is_left()
        self._front_end.stop()
        await finished
        self._reception.finish()
        await self._history.settled()
        if status == Status.OK and self._history_failed:
            return Status.HISTORY
        if status == Status.OK and self._failed:
            return Status.NOT_ACCEPTED
        return status

    def interrupt(self, status: int) -> None:
        """End now, whatever is under way, with this status."""
        self._end(status)

    # What the front end calls (`Core`).

    def enter(self, text: str) -> None:
        """Take a line that was typed."""
        self._number += 1
        if not (self._leaving or self._ending):
            self._take(self._number, text)

    def end_of_input(self) -> None:
        """Leave when all is answered."""
        if self._leaving or self._ending:
            return
        self._leaving = True
        if self._online:
            self._leave_when_possible()
        elif self._interactive and not self._been_online:
            self._end(Status.UNREACHABLE)
        elif self._interactive or (self._been_online and not self._outbox):
            self._end_without_the_rest(Status.UNREACHABLE)

    def completions(self) -> tuple[list[str], list[str]]:
        """Return the names and the commands that can be completed to."""
        return sorted(self._names), [each.partition(" ")[0] for each in COMMANDS]

    def when_room(self) -> Deferred[None]:
        """Fire when another line should be entered, perhaps at once."""
        if self._has_room:
            return succeed(None)
        room: Deferred[None] = Deferred()
        self._waiting.append(room)
        return room

    def hold_incoming(self) -> None:
        """Receive nothing for now."""
        self._link.hold("output")

    def release_incoming(self) -> None:
        """Receive again."""
        self._link.release("output")

    def output_lost(self) -> None:
        """Leave: nothing can be shown."""
        self._failed = True
        self.end_of_input()

    # What the connection calls (`Listener`).

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Greet, and send what has waited."""
        self._cancel_deadline()
        self._told_reason = None
        self._online = True
        self._reception.connected()
        self.user = welcome.user
        self._max_line = hello.max_line or MAX_LINE
        self._max_message = hello.max_message or MAX_MESSAGE
        self._remember(*welcome.users, *welcome.online)
        if self._been_online:
            self._notice(f"Connected to {self._server} again.")
        elif self._interactive:
            for line in greeting(welcome):
                self._notice(line)
        self._been_online = True
        held, self._held = self._held, []
        for command in held:
            self._obey(command)
        self._outbox.connected()
        self._leave_when_possible()
        self._offer_room()

    def happened(self, event: Event) -> None:
        """Act on what the server says."""
        match event:
            case Incoming():
                self._remember(event.message.sender)
                self._watch(self._reception.received(event))
            case Accepted():
                self._accepted(event)
            case Refused():
                self._refused(event)
            case Listing("who"):
                self._remember(*event.names)
                others = [each for each in event.names if each != self.user]
                self._answer(text.online(others, text.more_by_prefix(event.more)))
            case Listing():
                self._remember(*event.names)
                self._answer(text.book(event.names, text.more_by_prefix(event.more)))
            case Notice():
                self._notice(event.text)
            case Goodbye() if self._leaving:
                self._end_without_the_rest(Status.NOT_ACCEPTED)
            case _:
                pass

    def attempt_failed(self, reason: str) -> None:
        """Say so, once for each reason."""
        self._reason = reason
        if reason != self._told_reason and not self._ending:
            self._told_reason = reason
            self._notice(f"Cannot reach {self._server} ({reason}); trying again.")

    def lost(self, reason: str) -> None:
        """Say so; what had no answer is sent again."""
        self._online = False
        self._reason = self._told_reason = reason
        self._outbox.disconnected()
        if self._leaving and (self._interactive or self._given_up or not self._outbox):
            self._end_without_the_rest(Status.UNREACHABLE)
            return
        self._notice(
            f"The connection to {self._server} was lost ({reason}); trying again."
        )
        if not self._interactive:
            self._await_server()

    def ended(self, status: Status, reason: str) -> None:
        """Say so, and end."""
        self._show(Kind.ERROR, reason)
        self._end(status)

    # What is typed.

    def _take(self, number: int, line: str) -> None:
        try:
            size = len(line.encode(errors="surrogateescape"))
            if size > MAX_TYPED:
                raise Refusal("too-long", limit=self._max_line)
            try:
                line.encode()
            except UnicodeEncodeError:
                raise Refusal("not-utf8") from None
            parsed = text.parse_line(line, self._max_message)
            if isinstance(parsed, text.Send):
                self._send(number, parsed)
            elif parsed is not None:
                self._obey(parsed)
        except Refusal as refusal:
            self._fail(refusal.text, number)

    def _send(self, number: int, parsed: text.Send) -> None:
        targets = [each.shown for each in parsed.targets]
        message_id = new_id()
        request = events.send(targets, parsed.text, message_id)
        if len(request.encode()) > self._max_line:
            raise Refusal("too-long", limit=self._max_line)
        now = int(self._now() * 1000)
        messages = [
            Message(0, message_id, self.user, target, parsed.text, now, 0)
            for target in targets
        ]
        self._outbox.put(messages, number)
        if self._interactive and not self._online:
            self._answer(
                f"Not connected yet: the message to {', '.join(targets)} is kept, and"
                " sent when there is a connection."
            )

    def _obey(self, command: text.Command) -> None:
        if not self._online and command.name in _SERVERS_COMMANDS:
            if self._been_online:
                raise Refusal("not-logged-in")
            self._held.append(command)
            return
        match command.name:
            case "/who" | "/users":
                self._link.send(events.listing(command.name[1:], command.argument))
            case "/help":
                width = max(map(len, COMMANDS))
                self._answer(
                    "<target>-<message> sends a message;"
                    " a,b-<message> sends it to several."
                )
                for usage, meaning in COMMANDS.items():
                    self._answer(f"  {usage:{width}}   {meaning}")
            case "/quit":
                self.end_of_input()
            case unknown:
                raise Refusal("unknown-command", command=unknown[:32])

    # What becomes of it.

    def _accepted(self, event: Accepted) -> None:
        late = self._late.pop((event.id, event.to), None)
        if late is not None:
            late.cancel()
        if self._outbox.accepted(event, self.user) is None:
            if event.status == "delivered":
                self.keep(self._history.delivered(self.user, event.id, event.to))
            return
        self._remember(event.to)
        if self._interactive and event.status == "stored":
            self._late[event.id, event.to] = self._clock.callLater(
                STORED_SECONDS, self._tell_stored, event.id, event.to
            )

    def _tell_stored(self, message_id: str, to: str) -> None:
        del self._late[message_id, to]
        self._answer(f"Stored for {to}.")

    def _refused(self, event: Refused) -> None:
        about = self._outbox.find(event.id) if event.id is not None else []
        if not about:
            self._fail(event.text)
        elif refused := self._outbox.refused(event):
            self._fail(event.text, refused[0].number)

    # What the outbox calls (`Owner`).

    def transmit(self, line: str) -> None:
        """Send a line to the server."""
        self._link.send(line)

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept."""
        self._watch(keeping.addCallbacks(lambda _: None, self.keeping_failed))

    def put_off(self, outgoing: Outgoing, reason: str) -> None:
        """Say that a message will be sent again."""
        self._notice(f"Trying again to send to {outgoing.message.target}: {reason}")

    def outbox_changed(self) -> None:
        """Let front ends read on, and leave if nothing is left to be done."""
        self._offer_room()
        self._leave_when_possible()

    # What the reception calls (`Owner`).

    def show_message(self, line: str) -> None:
        """Show a line of a message."""
        self._show(Kind.MESSAGE, line)

    def acknowledge(self, line: str) -> None:
        """Send an acknowledgement, if there still is a connection."""
        if self._online:
            self._link.send(line)

    def hold(self, reason: str) -> None:
        """Receive nothing for a reason."""
        self._link.hold(reason)

    def release(self, reason: str) -> None:
        """Drop a reason."""
        self._link.release(reason)

    # What is kept.

    async def _load(self) -> None:
        """Show and send what an earlier run has left."""
        try:
            await self._reception.load()
            kept = await self._history.waiting()
        except sqlite3.Error:
            self.keeping_failed(Failure())
            return
        own = name_key(self.user)
        waiting = [each for each in kept if name_key(each.sender) == own]
        self._outbox.load(waiting)
        if waiting:
            self._notice(f"{_messages(len(waiting))} kept from before will be sent.")

    def _watch(self, work: Deferred[None]) -> None:
        _ = work.addErrback(
            lambda failure: self._log.failure("Keeping a message", failure=failure)
        )

    def keeping_failed(self, failure: Failure) -> None:
        """Say, once, that nothing is kept; messages are sent and shown all the same."""
        if not self._history_failed:
            self._history_failed = True
            self._show(
                Kind.ERROR,
                f"The history cannot be written ({failure.getErrorMessage()}):"
                " messages are sent and shown, and not kept.",
            )

    # What is shown.

    def _answer(self, line: str) -> None:
        self._show(Kind.ANSWER, line)

    def _notice(self, line: str) -> None:
        self._show(Kind.NOTICE, line)

    def _fail(self, line: str, number: int = 0) -> None:
        """Show an error; with the number of its line, where nobody has typed it."""
        self._failed = True
        where = f"line {number}: " if number and not self._interactive else ""
        self._show(Kind.ERROR, where + line)

    def _show(self, kind: Kind, line: str) -> None:
        self._front_end.show(Line(kind, neutralise(line)))

    def _remember(self, *names: str) -> None:
        for name in names:
            if len(self._names) < MOST_NAMES:
                self._names[name] = None

    # The end.

    @property
    def _has_room(self) -> bool:
        if self._interactive or self._ending or self._leaving:
            return True
        return len(self._outbox) + len(self._held) < ROOM

    def _offer_room(self) -> None:
        while self._waiting and self._has_room:
            self._waiting.pop(0).callback(None)

    def _leave_when_possible(self) -> None:
        """Leave once nothing has to be sent, or could be sent for a long time."""
        if not (self._leaving and self._online) or self._ending:
            return
        if not self._outbox:
            self._cancel_deadline()
            self._link.leave()
        elif self._outbox.stuck and self._interactive:
            self._link.leave()
        elif self._deadline is None or not self._deadline.active():
            self._deadline = self._clock.callLater(self._timeout, self._give_up)

    def _give_up(self) -> None:
        self._given_up = True
        if self._online:
            self._link.leave()

    def _end_without_the_rest(self, status: Status) -> None:
        """End; with this status if something was not sent."""
        self._end(status if self._outbox else Status.OK)

    def _await_server(self) -> None:
        self._cancel_deadline()
        self._deadline = self._clock.callLater(self._timeout, self._too_late)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _too_late(self) -> None:
        self._show(
            Kind.ERROR,
            f"Could not reach {self._server} within {self._timeout:g} s"
            f" ({self._reason}).",
        )
        self._end(Status.UNREACHABLE)

    def _front_end_ended(self, result: None) -> None:
        self.end_of_input()

    def _front_end_failed(self, failure: Failure) -> None:
        self._log.failure("The front end failed", failure=failure)
        self._end(Status.NOT_ACCEPTED)

    def _end(self, status: int) -> None:
        if self._ending:
            return
        self._ending = True
        self._online = False
        late, self._late = self._late, {}
        for (_, to), call in late.items():
            call.cancel()
            self._answer(f"Stored for {to}.")
        self._cancel_deadline()
        self._outbox.disconnected()
        self._offer_room()
        self._ended.callback(status)

    def _tell_what_is_left(self) -> None:
        kept = self._outbox.kept
        if lost := len(self._outbox) - kept:
            self._show(Kind.ERROR, f"{_messages(lost)} not sent, and not kept either.")
        if kept:
            self._show(
                Kind.ERROR,
                f"{_messages(kept)} not sent, and kept: chat sends what is kept when"
                f" it runs again as {self.user}.",
            )


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
