"""The core: what is typed goes to the server, what comes is kept and then shown.

It stands between a front end, a connection and a history, and knows of none of them
how they do it. Nothing it hands to the front end has control characters.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

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
from chatd.client.statuses import Status
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.display import neutralise
from chatd.wire.message import Message, new_id
from chatd.wire.names import BadName, parse_name

ROOM: Final = 256
"""How many lines may await their answers before front ends should read no further."""

MOST_UNKEPT: Final = 1000
"""How many messages may wait for the disk before no more are received."""

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

_OWN_COMMANDS: Final = ("/help", "/quit")  # they need no server

_EXCERPT: Final = 60


class Link(Protocol):
    """What the core needs of a connection: `chatd.client.connection.Link` has it."""

    def start(self) -> None:
        """Connect, and tell the core what comes of it."""

    def send(self, line: str) -> None:
        """Send a line; only while logged in."""

    def leave(self) -> None:
        """Say that nothing follows; only while logged in."""

    def hold(self, reason: str) -> None:
        """Read nothing for a reason."""

    def release(self, reason: str) -> None:
        """Drop a reason."""

    def stop(self) -> Deferred[None]:
        """Close the connection for good."""


class Keeper(Protocol):
    """What the core needs of a history: `chatd.client.history.History` has it."""

    def received(self, message: Message) -> Deferred[bool]:
        """Keep a message; return whether it is to be shown."""

    def sent(self, message: Message, status: str) -> Deferred[bool]:
        """Keep a message that the server has accepted."""

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        """Keep that a message sent was delivered."""

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept."""


@dataclass(slots=True)
class _Sent:
    """A message on its way; `targets` has those without an answer, by their keys."""

    id: str
    typed: str
    text: str
    time: int
    number: int
    targets: dict[str, str]


class ChatCore:
    """The core of one run of the client (`Core`, and the connection's `Listener`).

    `interactive` says that somebody sits there: then there is a greeting, what is typed
    without a connection is refused rather than kept waiting, and a connection that was
    lost is waited for without end. `timeout` is how long the server may be out of
    reach, in seconds.
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
        self._online = False
        self._been_online = False
        self._failed = False
        self._history_failed = False
        self._max_line = MAX_LINE
        self._max_message = MAX_MESSAGE
        self._number = 0
        self._held: list[tuple[int, str]] = []
        self._awaited: dict[str, _Sent] = {}
        self._late: dict[tuple[str, str], IDelayedCall] = {}
        self._names: dict[str, None] = {}
        self._unkept = 0
        self._waiting: list[Deferred[None]] = []
        self._deadline: IDelayedCall | None = None
        self._reason = "it does not answer"
        self._told_reason: str | None = None

    async def run(self, link: Link) -> int:
        """Converse until the end; return the exit status."""
        self._link = link
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
        self._front_end.stop()
        await finished
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
        if self._leaving or self._ending:
            return
        if self._online or text.partition(" ")[0] in _OWN_COMMANDS:
            self._take(self._number, text)
        elif not self._been_online:
            self._held.append((self._number, text))
        elif text:
            self._fail(f"Not connected. Not sent: {_excerpt(text)}", self._number)

    def end_of_input(self) -> None:
        """Leave when all is answered."""
        if self._leaving or self._ending:
            return
        self._leaving = True
        if self._online:
            self._link.leave()
        elif self._been_online:
            self._end(Status.OK)
        elif self._interactive and not self._held:
            self._end(Status.UNREACHABLE)

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
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._told_reason = None
        self._online = True
        self.user = welcome.user
        self._max_line = hello.max_line or MAX_LINE
        self._max_message = hello.max_message or MAX_MESSAGE
        self._remember(*welcome.users, *welcome.online)
        if self._been_online:
            self._notice(f"Connected to {self._server} again.")
        elif self._interactive:
            self._greet(welcome)
        self._been_online = True
        held, self._held = self._held, []
        for number, line in held:
            self._take(number, line)
        if self._leaving:
            self._link.leave()
        self._offer_room()

    def happened(self, event: Event) -> None:
        """Act on what the server says."""
        match event:
            case Incoming():
                self._received(event)
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
                self._give_up_awaited("The server said goodbye without an answer")
                self._end(Status.OK)
            case _:
                pass

    def attempt_failed(self, reason: str) -> None:
        """Say so, once for each reason."""
        self._reason = reason
        if reason != self._told_reason and not self._ending:
            self._told_reason = reason
            self._notice(f"Cannot reach {self._server} ({reason}); trying again.")

    def lost(self, reason: str) -> None:
        """Say so, and what may be lost with it."""
        self._online = False
        self._reason = self._told_reason = reason
        self._give_up_awaited(f"The connection was lost ({reason}) before the answer")
        if self._leaving:
            self._end(Status.OK)
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
                self._send(number, line, parsed)
            elif parsed is not None:
                self._obey(parsed)
        except Refusal as refusal:
            self._fail(refusal.text, number)

    def _send(self, number: int, line: str, parsed: text.Send) -> None:
        targets = {each.key: each.shown for each in parsed.targets}
        message_id = new_id()
        request = events.send(list(targets.values()), parsed.text, message_id)
        if len(request.encode()) > self._max_line:
            raise Refusal("too-long", limit=self._max_line)
        now = int(self._now() * 1000)
        self._awaited[message_id] = _Sent(
            message_id, line, parsed.text, now, number, targets
        )
        self._link.send(request)

    def _obey(self, command: text.Command) -> None:
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
        sent = self._answered(event.id, event.to)
        late = self._late.pop((event.id, event.to), None)
        if late is not None:
            late.cancel()
        if sent is None:
            if event.status == "delivered":
                self._keep(self._history.delivered(self.user, event.id, event.to))
            return
        self._remember(event.to)
        message = Message(0, sent.id, self.user, event.to, sent.text, sent.time, 0)
        self._keep(self._history.sent(message, event.status))
        if self._interactive and event.status == "stored":
            self._late[event.id, event.to] = self._clock.callLater(
                STORED_SECONDS, self._tell_stored, event.id, event.to
            )

    def _tell_stored(self, message_id: str, to: str) -> None:
        del self._late[message_id, to]
        self._answer(f"Stored for {to}.")

    def _refused(self, event: Refused) -> None:
        if event.id is None:
            self._fail(event.text)
            return
        sent = self._awaited.get(event.id)
        number = 0 if sent is None else sent.number
        if event.to is not None:
            self._answered(event.id, event.to)
        elif sent is not None:
            del self._awaited[event.id]
            self._offer_room()
        self._fail(event.text, number)

    def _answered(self, message_id: str, to: str) -> _Sent | None:
        """Return what was answered for the first time, if it was."""
        sent = self._awaited.get(message_id)
        if sent is None:
            return None
        if sent.targets.pop(_key(to), None) is None:
            return None
        if not sent.targets:
            del self._awaited[message_id]
            self._offer_room()
        return sent

    def _give_up_awaited(self, why: str) -> None:
        awaited, self._awaited = self._awaited, {}
        for sent in awaited.values():
            whom = ", ".join(sent.targets.values())
            self._fail(
                f"{why}: it is not known whether {whom} gets"
                f" this: {_excerpt(sent.typed)}",
                sent.number,
            )

    # What comes.

    def _received(self, event: Incoming) -> None:
        self._remember(event.message.sender)
        self._unkept += 1
        if self._unkept == MOST_UNKEPT:
            self._link.hold("history")

        def show(wanted: bool) -> None:
            if wanted:
                for line in text.message_lines(event.message, queued=event.queued):
                    self._show(Kind.MESSAGE, line)

        def failed(failure: Failure) -> None:
            # To lose it altogether would be worse.
            show(True)
            self._tell_history_failed(failure)

        def kept(result: object) -> None:
            self._unkept -= 1
            if self._unkept == MOST_UNKEPT // 2:
                self._link.release("history")

        keeping = self._history.received(event.message).addCallbacks(show, failed)
        self._watch(keeping.addBoth(kept))

    def _keep(self, keeping: Deferred[bool]) -> None:
        self._watch(keeping.addCallbacks(lambda _: None, self._tell_history_failed))

    def _watch(self, work: Deferred[None]) -> None:
        _ = work.addErrback(
            lambda failure: self._log.failure("Keeping a message", failure=failure)
        )

    def _tell_history_failed(self, failure: Failure) -> None:
        if not self._history_failed:
            self._history_failed = True
            self._show(
                Kind.ERROR,
                f"The history cannot be written ({failure.getErrorMessage()}):"
                " messages are shown, and not kept.",
            )

    # What is shown.

    def _greet(self, welcome: Welcome) -> None:
        more = text.more_listed_by
        self._notice(text.welcome(welcome.user, new=welcome.new))
        self._notice(text.book(welcome.users, more("/users", welcome.more_users)))
        self._notice(text.online(welcome.online, more("/who", welcome.more_online)))
        self._notice(text.HINT)
        if welcome.queued:
            self._notice(text.backlog(welcome.queued))

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
        if not self._been_online:
            return len(self._held) < ROOM
        return self._online and len(self._awaited) < ROOM

    def _offer_room(self) -> None:
        while self._waiting and self._has_room:
            self._waiting.pop(0).callback(None)

    def _await_server(self) -> None:
        self._deadline = self._clock.callLater(self._timeout, self._too_late)

    def _too_late(self) -> None:
        unsent = " Nothing was sent." if self._held else ""
        self._show(
            Kind.ERROR,
            f"Could not reach {self._server} within {self._timeout:g} s"
            f" ({self._reason}).{unsent}",
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
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._offer_room()
        self._ended.callback(status)


def _key(name: str) -> str:
    try:
        return parse_name(name, reserved_too=True).key
    except BadName:
        return name


def _excerpt(line: str) -> str:
    line = neutralise(line)
    return f"{line[:_EXCERPT]}..." if len(line) > _EXCERPT else line
