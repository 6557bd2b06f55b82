"""What the text and the JSON form have in common once somebody is logged in.

A form is also the `Peer` of its session's delivery.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from chatd import background
from chatd.hub.acceptance import Receipt
from chatd.hub.gate import Gate
from chatd.hub.hub import Hub, Unreadable
from chatd.hub.receiver import Receiver
from chatd.hub.resends import Earlier
from chatd.hub.session import NOTHING_STORED, Session
from chatd.notes import Notes
from chatd.server.answers import Answers, encoded
from chatd.server.connection import Connection
from chatd.server.entrance import Entrance, remark_on
from chatd.server.language import Language
from chatd.wire.answers import Refusal
from chatd.wire.names import Name

_log = Logger()
_notes = Notes("chatd.server.speaking")

LISTED_AT_LOGIN: Final = 50
LISTED_ON_REQUEST: Final = 200

CROWDED_ANSWERS: Final = 16 * 1024
"""Bytes of answers that may be unread while memory is short."""

STOP_SECONDS: Final = 1.0
"""How long a stop waits for a receiver to acknowledge what was written to it."""


class SpeakingForm(Language):
    """A form that answers in order, and pauses whoever is too fast."""

    __slots__ = (
        "_crowded",
        "_held",
        "_unread_answers",
        "_waiting_for_room",
        "answers",
        "connection",
        "leaving",
        "session",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers = Answers(self)
        self.session: Session | None = None
        self._unread_answers = 0
        self._held = False
        self._crowded = False
        self._waiting_for_room = False
        self.leaving = False
        """Whether the client has said that it sends no more."""

    # What the connection calls (`Form`).

    def refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal; what follows the leaving has no answer."""
        if not self.leaving:
            self.answers.say(self.refusal_line(refusal))

    def end(self) -> None:
        """Leave: nothing more will be asked.

        After a cut nobody knows what else was sent, so nothing is promised.
        """
        self.leave(goodbye=not self.connection.cut)

    def idle(self) -> None:
        """Forget that messages failed: all that were under way are refused."""
        if self.session is not None:
            self.session.forgive()

    def held(self) -> None:
        """Take what comes meanwhile for sent without knowledge of what failed."""
        self._held = True
        self._judge_what_is_known()

    def released(self) -> None:
        """Take lines again; those that waited were sent some time ago."""
        self._held = False
        self._judge_what_is_known()

    def stop(self) -> Deferred[None]:
        """Say that the server stops, after everything sent is answered."""
        return Deferred.fromCoroutine(self._stop())

    def disconnected(self) -> None:
        """Receive nothing more; lines may still come."""
        if self.session is not None:
            self.session.stop_receiving()

    def close(self) -> None:
        """Log out."""
        session, self.session = self.session, None
        if session is not None:
            _notes.info(
                "{name} left from {origin}",
                name=session.name,
                origin=self.connection.origin,
            )
            session.owner = None
            session.close()
        self.answers.close()

    # What the delivery calls (`Peer`).

    @property
    def outstanding(self) -> int:
        """How many bytes written the other end's machine has not acknowledged."""
        return self.connection.outlet.outstanding

    @property
    def crowded(self) -> bool:
        """Whether all connections together hold too much that was not read."""
        return self.connection.outlet.traffic.crowded

    @property
    def near(self) -> bool:
        """Whether its machine acknowledges at once, and no program has to."""
        return not self.acknowledges and self.connection.outlet.near

    def send_now(self, lines: bytes) -> tuple[int, bool]:
        """Write lines; return how much was written, and whether its machine has all."""
        outlet = self.connection.outlet
        arrived = outlet.send_now(lines)
        return outlet.written, arrived

    def drained(self) -> Deferred[None]:
        """Fire when what was written has left this process, or the connection."""
        return self.connection.outlet.drained()

    # What the session calls (`Owner`).

    def settled(self) -> None:
        """Take further lines, if few enough messages are not settled yet."""
        if self.session is not None and not self.session.must_pause:
            self.session.paused = False
            self.connection.release("commits")
        if self.connection.at_rest:
            self.idle()

    def expelled(self, refusal: Refusal) -> None:
        """Close: an administrator has changed the account."""
        self.connection.dismiss(refusal)

    # What subclasses use.

    @property
    def hub(self) -> Hub:
        """Where users and messages are."""
        return self.connection.owner.hub

    @property
    def gate(self) -> Gate:
        """What lets connections in."""
        return self.connection.owner.gate

    async def open_session(
        self, name: Name, password: str | None, *, receive: bool
    ) -> Entrance:
        """Log in, and become the connection's form; the session is not started yet.

        Raises `Refusal`.
        """
        origin = self.connection.origin
        found = await self.gate.login(name, origin, self if receive else None, password)
        session = found.session
        try:
            users = self.hub.users()
            if self.connection.closed:
                limit = self.connection.owner.limits.login_time
                raise Refusal("login-timeout", limit=limit)
            if session.expelled is not None:
                raise session.expelled
        except BaseException:
            session.close()
            raise
        self.session = session
        session.owner = self
        self.connection.become(self)
        self.connection.logged_in()
        _notes.info(
            "{name} logged in from {origin}{how}",
            name=session.name,
            origin=origin,
            how=", a new name" if found.new else "",
        )
        online = self.hub.online(LISTED_AT_LOGIN, session.receiver.key)
        is_open = self.gate.may_be_protected(found)
        remark = remark_on(self.gate, found, origin)
        return Entrance(session, found.new, users, online, is_open, remark)

    async def start_session(self, session: Session) -> None:
        """Begin to deliver, and return when the first queued messages are written.

        Without a reader nothing is delivered: only what was sent still counts.
        """
        if not self.connection.alive or self.connection.closed:
            return
        begun = session.start()
        if begun is not None:
            await begun

    def send(
        self,
        names: Sequence[Name],
        text: str,
        message_id: str,
        receipt_for: Callable[[Name, Receiver | None], Receipt],
        *,
        own_id: bool = False,
        at_once: bool = False,
    ) -> Deferred[None] | None:
        """Send a text to each of the names, and have a receipt for each told.

        The receipts are asked for in the order of the names; that for a name that
        nobody has is refused at once. `own_id` says that the id is the sender's own,
        `at_once` that the message is to be on disk soon. Returns a Deferred if the
        store must be asked.
        """
        session = self.session
        if session is None:
            raise Refusal("not-logged-in")

        def accept(
            receivers: Sequence[Receiver | None],
            stored: Mapping[int, Earlier] = NOTHING_STORED,
        ) -> None:
            for name, receiver in zip(names, receivers, strict=True):
                receipt = receipt_for(name, receiver)
                try:
                    if receiver is None:
                        raise Refusal("unknown-user", name=name.shown)
                    session.send(
                        receiver,
                        text,
                        message_id,
                        receipt,
                        stored=stored,
                        own_id=own_id,
                        at_once=at_once,
                    )
                except Refusal as refusal:
                    receipt.refused(refusal)
            self.pause_for_commits(session)

        unknown_id = own_id and session.may_be_stored(message_id)
        known = None if unknown_id else self.hub.known(names, session.name)
        if known is not None:
            accept(known)
            return None

        async def look_up_and_accept() -> None:
            stored = NOTHING_STORED
            try:
                if unknown_id:
                    stored = await self.hub.sent_before(session.receiver, message_id)
                receivers = await self.hub.find(names, session.name)
            except Unreadable:
                for name in names:
                    refusal = session.unreadable(name, message_id if own_id else None)
                    receipt_for(name, None).refused(refusal)
            else:
                accept(receivers, stored)

        return Deferred.fromCoroutine(look_up_and_accept())

    def leave(self, *, goodbye: bool = True) -> None:
        """Say goodbye once all that was sent is safe, and close."""
        if not self.leaving:
            self.leaving = True
            background.start(self._leave(goodbye), _log, "Leaving failed")

    async def _leave(self, goodbye: bool) -> None:
        session = self.session
        if session is not None:
            listening = not self.connection.input_ended
            await session.finish(queued=True, listening=listening)
            await session.all_settled()
        await self.answers.all_given()
        if not self.connection.closed:
            if goodbye:
                self.answers.say(self.goodbye_line())
            self.connection.hang_up()

    async def _stop(self) -> None:
        if self.session is not None:
            await self.session.all_settled()
        await self.answers.all_given()
        if self.session is not None:
            # What was written and acknowledged need not come again at the next login.
            written = self.session.finish(queued=False, listening=False)
            with contextlib.suppress(TimeoutError):
                await written.addTimeout(STOP_SECONDS, self.connection.owner.clock)
        self.answers.say(self.refusal_line(Refusal("shutting-down")))

    def pause_for_commits(self, session: Session) -> None:
        """Take no further lines while too much of what was sent is not settled."""
        if session.must_pause:
            session.paused = True
            self.connection.hold("commits")
        if session.all_pending.full and not self._waiting_for_room:
            self._waiting_for_room = True
            self.connection.hold("commits of all")
            session.all_pending.call_when_room(self._resume_with_room)

    def _resume_with_room(self) -> None:
        self._waiting_for_room = False
        self.connection.release("commits of all")

    # What the answers call (`Writer`).

    def write_answers(self, lines: list[str]) -> None:
        """Write answers, and count them until they are read."""
        first = not self._unread_answers
        self._unread_answers += self.write_lines(lines)
        if first:
            self._judge_what_is_known()
            self.connection.outlet.call_when_drained(self._answers_read)
        self.answers_held(0)

    def answers_held(self, held: int) -> None:
        """Take no lines while too much is not read, or `held` back by a late answer."""
        limits = self.connection.owner.limits
        limit = CROWDED_ANSWERS if self.crowded else limits.unread_answers
        if self._unread_answers + held > limit:
            self._crowded = True
            self.connection.hold("answers")

    def _answers_read(self) -> None:
        self._unread_answers = 0
        self._judge_what_is_known()
        if self._crowded:
            self._crowded = False
            self.connection.release("answers")

    def _judge_what_is_known(self) -> None:
        if self.session is not None:
            told = not (self._held or self._unread_answers)
            self.session.sender_is_told(told)

    def write_lines(self, lines: Sequence[str]) -> int:
        """Write lines; return how many bytes they are."""
        data = encoded(lines)
        self.connection.write(data)
        return len(data)
