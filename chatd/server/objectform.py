"""The JSON form: programs, and the bundled client."""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from chatd import __version__
from chatd.hub.accepted import AcceptedRun
from chatd.hub.presence import Watcher
from chatd.hub.receiver import Receiver
from chatd.server import bulk, objectbulk
from chatd.server.connection import Connection
from chatd.server.speaking import CROWDED_ANSWERS, LISTED_ON_REQUEST, SpeakingForm
from chatd.wire import objectlines, objects
from chatd.wire.answers import Refusal
from chatd.wire.block import each_message
from chatd.wire.message import Message, new_id
from chatd.wire.names import MAX_NAME_LENGTH, BadName, Name, parse_name
from chatd.wire.text import MAX_TARGETS, backlog_elsewhere

MOST_OF_A_BYTE: Final = 6
MOST_OF_A_MESSAGE: Final = 1024
MOST_OF_A_NUMBER: Final = 64
"""Bytes at most that are written: for one of a text, and for what is around it."""

UNSENT_PRESENCE: Final = 64 * 1024
"""Bytes that may be written and not sent before it waits who is online."""

NAMES_A_TURN: Final = MAX_TARGETS
"""How many names to watch are parsed before others have their turn.

They count as one line: a message may have as many.
"""


class ObjectForm(SpeakingForm):
    """A connection that speaks JSON, before and after its login."""

    __slots__ = ("_bad_names", "_sequence", "_watcher")

    acknowledges = True
    takes_chunks = bulk.ENABLED

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._sequence = 0
        self._bad_names = 0
        self._watcher: Watcher | None = None
        limits = connection.owner.limits
        connection.MAX_LENGTH = limits.json_line
        shown = {
            "line": limits.json_line,
            "message": limits.message,
            "name": MAX_NAME_LENGTH,
            "targets": MAX_TARGETS,
            "watched": limits.watched,
        }
        # The empty line ends the prompt: a reader discards everything up to it.
        self.answers.say("", objects.hello(__version__, shown))

    def line(self, line: str) -> Deferred[None] | None:
        """Take a request."""
        if not line:
            return None
        try:
            request = objects.parse_request(line, self.connection.owner.limits.message)
        except objects.RequestRefusal as refused:
            if not self.leaving:
                self.connection.log_refusal(refused.refusal)
                self.answers.say(objects.error(refused.refusal, refused.id))
            return None
        if self.leaving and not isinstance(request, objects.Ack):
            return None
        return self._answer(request)

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Take plain messages and acknowledgements; return their bytes and lines."""
        if self.leaving:
            return 0, 0
        size, lines, last = objectbulk.take(self, chunk, most, self._sequence)
        if last:
            self._acknowledge(last)
        return size, lines

    def leave(self, *, goodbye: bool = True) -> None:
        """Tell no more who is online, and leave."""
        self._end_watch()
        super().leave(goodbye=goodbye)

    def disconnected(self) -> None:
        """Receive nothing more."""
        self._end_watch()
        super().disconnected()

    def close(self) -> None:
        """Log out."""
        self._end_watch()
        super().close()

    def refusal_line(self, refusal: Refusal) -> str:
        """Return an ``error``."""
        return objects.error(refusal)

    def goodbye_line(self) -> str:
        """Return a ``goodbye``."""
        return objects.goodbye()

    def progress(self, acknowledged: int) -> None:
        """Nothing follows from what its machine has: the program says what it has."""

    def deliver(self, messages: Sequence[Message], *, queued: bool) -> Sequence[int]:
        """Write messages, counted from 1; a mark is the message's number."""
        first, id_of = self._sequence + 1, self.hub.ids.of
        self._sequence += len(messages)
        self.write_lines(
            [
                objects.message(sequence, message, id_of(message), queued=queued)
                for sequence, message in enumerate(messages, first)
            ]
        )
        return range(first, self._sequence + 1)

    def bytes_for(self, run: AcceptedRun) -> int:
        """Return how many bytes a run may take at most."""
        ends = run.object_ends()
        if ends is None:
            return run.size * MOST_OF_A_BYTE + run.count * MOST_OF_A_MESSAGE
        return sum(map(len, ends)) + run.count * MOST_OF_A_NUMBER

    def write_run(self, run: AcceptedRun, lines: bytes) -> int:
        """Write messages that were just accepted, counted like all others."""
        ends = run.object_ends()
        if ends is None:
            return self.deliver(each_message(run.rows), queued=False)[-1]
        first = self._sequence + 1
        self._sequence += run.count
        self.connection.write(objectlines.messages(first, ends))
        return self._sequence

    def notice(self, text: str) -> None:
        """Write a ``notice``."""
        self.write_lines([objects.notice(text)])

    # What its watcher calls (`Audience`).

    @property
    def congested(self) -> bool:
        """Whether so much is written and not sent that more has to wait."""
        most = CROWDED_ANSWERS if self.crowded else UNSENT_PRESENCE
        return self.connection.outlet.unsent > most

    def present(self, states: Sequence[tuple[str, bool]]) -> None:
        """Write a ``presence`` of each user."""
        self.write_lines(
            [objects.presence(user, online=online) for user, online in states]
        )

    def call_when_drained(self, call: Callable[[], object]) -> None:
        """Call back when all that was written is sent, or the connection is lost."""
        self.connection.outlet.call_when_drained(call)

    def _answer(self, request: objects.Request) -> Deferred[None] | None:
        match request:
            case objects.Login():
                return Deferred.fromCoroutine(self._log_in(request))
            case objects.SendObject():
                return self._send(request)
            case objects.Ack():
                self._acknowledge(request.seq)
            case objects.Who():
                self._check_logged_in()
                found = self.hub.online_by_prefix(request.prefix, LISTED_ON_REQUEST, "")
                self.answers.say(objects.names("who", found.names, found.more))
            case objects.Users():
                self._check_logged_in()
                return Deferred.fromCoroutine(self._users(request.prefix))
            case objects.Watch():
                self._check_logged_in()
                return Deferred.fromCoroutine(self._watch(request.names))
            case objects.Password():
                return Deferred.fromCoroutine(self._set_password(request))
            case objects.Ping():
                self.answers.say(objects.pong())
            case objects.Quit():
                self.leave()
        return None

    def _check_logged_in(self) -> None:
        if self.session is None:
            raise Refusal("not-logged-in")

    async def _log_in(self, request: objects.Login) -> None:
        if self.session is not None:
            raise Refusal("already-logged-in", name=self.session.name)
        try:
            name = parse_name(request.user)
            entrance = await self.open_session(
                name, request.password, receive=request.receive
            )
        except BadName as bad:
            self._refuse_login(Refusal("bad-name", reason=str(bad)))
            return
        except Refusal as refusal:
            self._refuse_login(refusal)
            return
        session, users, online = entrance.session, entrance.users, entrance.online
        waits = session.delivery is None or session.delivery.must_wait
        self.answers.say(
            objects.welcome(
                session.name,
                new=entrance.new,
                is_open=entrance.is_open,
                users=users.names,
                more_users=users.more,
                online=online.names,
                more_online=online.more,
                queued=0 if waits else session.receiver.undelivered,
            )
        )
        if entrance.remark is not None and not entrance.is_open:
            self.answers.say(objects.notice(entrance.remark))
        if session.delivery is not None and session.delivery.elsewhere:
            count = session.receiver.backlog.stored
            self.answers.say(objects.notice(backlog_elsewhere(count)))
        await self.start_session(session)

    async def _watch(self, given: Sequence[str]) -> None:
        owner, watchers = self.connection.owner, self.hub.watchers
        if len(given) > owner.limits.watched:
            reason = f"it has more than {owner.limits.watched} names"
            raise Refusal("bad-field", field="names", reason=reason)
        more_lines = (len(given) - 1) // NAMES_A_TURN
        if more_lines > 0:
            self.connection.hold_for(more_lines / owner.limits.line_rate, "names")
        names: dict[str, str] = {}
        for first in range(0, len(given), NAMES_A_TURN):
            if first:
                await deferLater(owner.clock, 0)
            some = objects.watched(given[first : first + NAMES_A_TURN])
            # A double is where it stood first.
            names = {**names, **await watchers.shown(some)}
        session = self.session
        if session is None or not self.connection.alive:
            return
        if self._watcher is None:
            self._watcher = Watcher(watchers, self, session.receiver.key)
        self._watcher.watch(names)
        if not names:
            self._watcher = None

    def _end_watch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.end()

    async def _set_password(self, request: objects.Password) -> None:
        if self.session is None:
            raise Refusal("not-logged-in")
        await self.gate.set_password(
            self.session, self.connection.origin, request.old, request.new
        )
        self.answers.say(objects.password_set())

    def _refuse_login(self, refusal: Refusal) -> None:
        self.connection.refuse(refusal)
        self._bad_names += 1
        limit = self.connection.owner.limits.bad_names
        if self._bad_names >= limit:
            self.connection.dismiss(Refusal("too-many-bad-names", limit=limit))

    def _send(self, request: objects.SendObject) -> Deferred[None] | None:
        message_id = request.id or new_id()

        def receipt(name: Name, receiver: Receiver | None) -> ObjectReceipt:
            shown = name.shown if receiver is None else receiver.name
            return ObjectReceipt(self, message_id, shown)

        try:
            return self.send(
                request.to,
                request.text,
                message_id,
                receipt,
                own_id=request.id is not None,
                at_once=request.at_once,
            )
        except Refusal as refusal:
            self.connection.log_refusal(refusal)
            self.answers.say(objects.error(refusal, message_id))
            return None

    def _acknowledge(self, sequence: int) -> None:
        self._check_logged_in()
        if sequence > self._sequence:
            reason = f"the last message had {self._sequence}"
            raise Refusal("bad-field", field="seq", reason=reason)
        if self.session is not None and self.session.delivery is not None:
            self.session.delivery.acknowledged(sequence)

    async def _users(self, prefix: str) -> None:
        found = await self.hub.users_by_prefix(prefix, LISTED_ON_REQUEST)
        self.answers.say(objects.names("users", found.names, found.more))


class ObjectReceipt:
    """What becomes of a message: ``accepted``, perhaps twice, or an ``error``."""

    __slots__ = ("_form", "_id", "_slot", "_to")

    wants_delivery = True

    def __init__(self, form: ObjectForm, message_id: str, to: str) -> None:
        self._form = form
        self._id = message_id
        self._to = to
        self._slot = form.answers.slot()

    def taken(self) -> None:
        """Wait for what becomes of it."""

    def stored(self, *, may_be_delivered: bool) -> None:
        """Say that the message is on disk."""
        self._slot.resolve(objects.accepted(self._id, self._to, "stored"))

    def delivered(self) -> None:
        """Say that the receiver has it."""
        line = objects.accepted(self._id, self._to, "delivered")
        if self._slot.lines is None:
            self._slot.resolve(line)
        elif not self._form.connection.closed:
            self._form.answers.say(line)

    def refused(self, refusal: Refusal) -> None:
        """Say why nothing was sent."""
        self._form.connection.log_refusal(refusal)
        self._slot.resolve(objects.error(refusal, self._id, self._to))
