"""The text form: a person at nc or telnet, or a script."""

from array import array
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from chatd.hub.accepted import AcceptedRun
from chatd.hub.receiver import Receiver
from chatd.hub.session import Session
from chatd.server import bulk
from chatd.server.answers import Slot, encoded
from chatd.server.commands import COMMANDS
from chatd.server.connection import Connection
from chatd.server.dialog import Cancelled, Dialog
from chatd.server.speaking import SpeakingForm
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.block import Block
from chatd.wire.display import neutralise
from chatd.wire.message import Message
from chatd.wire.names import Name

CONFIRM_SECONDS: Final = 0.2
"""How long ``Delivered to`` is waited for before ``Stored for`` is said."""


class TextForm(SpeakingForm):
    """A connection that is logged in and speaks text.

    `confirm` is whether every message gets an answer.
    """

    __slots__ = ("_dialog", "confirm")

    takes_chunks = bulk.ENABLED

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.confirm = False
        self._dialog: Dialog | None = None

    async def log_in(self, name: Name, password: str | None, *, receive: bool) -> None:
        """Log in, say who there is, and begin to deliver. Raises `Refusal`."""
        entrance = await self.open_session(name, password, receive=receive)
        session, users, online = entrance.session, entrance.users, entrance.online
        lines = [text.welcome(session.name, new=entrance.new)]
        if receive:
            lines += (
                text.book(users.names, text.more_listed_by("/users", users.more)),
                text.online(online.names, text.more_listed_by("/who", online.more)),
            )
            if entrance.remark is not None:
                lines.append(entrance.remark)
            lines.append(text.HINT)
            lines += self._backlog(session)
        self.answers.say(*lines)
        await self.start_session(session)

    def line(self, line: str) -> Deferred[None] | None:
        """Take a message or a command."""
        if self.leaving:
            return None
        if self._dialog is not None and self._dialog.awaits_answer:
            return self._dialog.answer(line)
        request = text.parse_line(line, self.connection.owner.limits.message)
        if isinstance(request, text.Command):
            command = COMMANDS.get(request.name)
            if command is None:
                raise Refusal("unknown-command", command=request.name[:32])
            return command.run(self, request.argument)
        if isinstance(request, text.Send):
            return self.send(request.targets, request.text, "", self._receipt)
        return None

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Take plain messages at once; return how many bytes, and lines, they are."""
        if self.confirm or self.leaving:
            return bulk.NOTHING
        if self._dialog is not None and self._dialog.awaits_answer:
            return bulk.NOTHING
        return bulk.take(self, chunk, most)

    def end(self) -> None:
        """Leave: nothing more will be asked, nor answered."""
        self._end_dialog()
        super().end()

    def close(self) -> None:
        """Log out."""
        self._end_dialog()
        super().close()

    def _end_dialog(self) -> None:
        dialog, self._dialog = self._dialog, None
        if dialog is not None:
            dialog.close()

    def begin_dialog(self, talk: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Ask the person something; fires when it was asked, or is over."""
        self._dialog = Dialog(self)
        return self._dialog.begin(talk)

    async def ask(self, question: str) -> str:
        """Ask something in a dialog, and return the answer. Raises `Cancelled`."""
        if self._dialog is None:
            raise Cancelled
        return await self._dialog.ask(question)

    def question(self, text: str) -> None:
        """Ask, and show no more of what is typed, where that can be done."""
        self.answers.say(text)
        self.connection.write(self.connection.telnet.hide_input())

    def answered(self) -> None:
        """Show again what is typed."""
        self.connection.write(self.connection.telnet.show_input())

    def refusal_line(self, refusal: Refusal) -> str:
        """Return the refusal's text."""
        return neutralise(refusal.text)

    def goodbye_line(self) -> str:
        """Return ``Goodbye.``."""
        return text.GOODBYE

    def progress(self, acknowledged: int) -> None:
        """Tell the delivery what the peer's machine has."""
        if self.session is not None and self.session.delivery is not None:
            self.session.delivery.acknowledged(acknowledged)

    def deliver(self, messages: Sequence[Message], *, queued: bool) -> Sequence[int]:
        """Write messages, each line with its sender; a mark is the bytes so far."""
        written = self.connection.outlet.written
        marks, pieces = [], []
        for message in messages:
            piece = encoded(text.message_lines(message, queued=queued))
            written += len(piece)
            marks.append(written)
            pieces.append(piece)
        self.connection.write(b"".join(pieces))
        return marks

    def deliver_block(self, block: Block, *, queued: bool) -> tuple[int, "array[int]"]:
        """Write messages that are kept together; the mark is the bytes so far."""
        lines, lengths = text.block_lines(block, queued=queued)
        outlet = self.connection.outlet
        outlet.write(lines)
        return outlet.written, lengths

    def bytes_for(self, run: AcceptedRun) -> int:
        """Return how many bytes of text it has."""
        return run.size

    def write_run(self, run: AcceptedRun, lines: bytes) -> int:
        """Write messages that were just accepted; the mark is the bytes so far."""
        outlet = self.connection.outlet
        outlet.write(lines)
        return outlet.written

    def notice(self, text: str) -> None:
        """Write the line as it is."""
        self.write_lines([text])

    def _backlog(self, session: Session) -> Sequence[str]:
        delivery, count = session.delivery, session.receiver.undelivered
        if delivery is None or count == 0:
            return ()
        if not delivery.must_wait:
            return (text.backlog(count),)
        return (text.backlog_elsewhere(count),) if delivery.elsewhere else ()

    def _receipt(self, name: Name, receiver: Receiver | None) -> "TextReceipt":
        return TextReceipt(self, self.answers.slot(), receiver)


class TextReceipt:
    """What becomes of a message that a line sent: at most one line of answer."""

    __slots__ = (
        "_connected",
        "_deadline",
        "_form",
        "_late",
        "_receiver",
        "_slot",
        "wants_delivery",
    )

    def __init__(self, form: TextForm, slot: Slot, receiver: Receiver | None) -> None:
        self.wants_delivery = form.confirm
        self._form = form
        self._slot = slot
        self._receiver = receiver
        # What counts is whether the user was there when the line was taken.
        self._connected = receiver is not None and receiver.online
        self._deadline = form.connection.owner.clock.seconds() + CONFIRM_SECONDS
        self._late: IDelayedCall | None = None

    def taken(self) -> None:
        """Hold back no answer for what is silent: it is shown, so it will be safe."""
        if not self.wants_delivery and self._connected:
            self._slot.resolve()

    def stored(self, *, may_be_delivered: bool) -> None:
        """Answer for a user who was offline, and for whoever asked for it."""
        if self.wants_delivery and may_be_delivered:
            clock = self._form.connection.owner.clock
            self._late = clock.callLater(
                max(0, self._deadline - clock.seconds()), self._confirm, delivered=False
            )
        elif self.wants_delivery:
            self._confirm(delivered=False)
        elif self._connected or self._receiver is None:
            self._slot.resolve()
        else:
            self._slot.resolve(text.stored_offline(self._receiver.name))

    def delivered(self) -> None:
        """Confirm, unless it is too late for that."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        if self.wants_delivery or not self._connected:
            self._confirm(delivered=True)
        else:
            self._slot.resolve()

    def refused(self, refusal: Refusal) -> None:
        """Answer with the refusal."""
        self._form.connection.log_refusal(refusal)
        self._slot.resolve(self._form.refusal_line(refusal))

    def _confirm(self, *, delivered: bool) -> None:
        if self._receiver is not None:
            name = self._receiver.name
            self._slot.resolve(text.confirmed(name, delivered=delivered))
