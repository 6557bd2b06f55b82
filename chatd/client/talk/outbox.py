"""The outbox: what was typed, until the server has answered for it.

A message is on disk before it is sent. It is sent again, under its id, until the server
has accepted or refused it: after a lost connection, after a temporary refusal, and when
the client is started again. The messages to one target are sent in the order in which
they were typed, whatever happened to each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chatd.client.connection import events
from chatd.client.connection.events import Accepted, Refused
from chatd.wire.message import Message
from chatd.wire.names import name_key

WINDOW: Final = 256
"""How many messages may be without an answer at once."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""How long a target that was refused for a time is left alone: longer each time."""


class Keeper(Protocol):
    """What the outbox needs of a history: `history.history.History` has it."""

    def queue(self, message: Message) -> Deferred[bool]:
        """Keep a message that is to be sent."""

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        """Keep that the server has accepted a message."""

    def refused(self, message: Message) -> Deferred[bool]:
        """Keep that the server has refused a message for good."""


class Owner(Protocol):
    """Who is told what becomes of the messages."""

    def transmit(self, line: str) -> None:
        """Send a line to the server."""

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept, which may fail."""

    def keeping_failed(self, failure: Failure) -> None:
        """Take note that a message could not be kept; it is sent all the same."""

    def put_off(self, outgoing: "Outgoing", reason: str) -> None:
        """Take note that a message will be sent again, some time."""

    def outbox_changed(self) -> None:
        """Take note that an answer came, or that something can be sent."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message to one target; `number` is that of the line it was typed in, or 0.

    `ready` is whether it may be sent: it is `kept`, on disk, or could not be.
    `under_way` is whether it was sent on this connection and has no answer yet, and
    `unsure` whether it was sent on any, so that nobody knows what became of it.
    `refusal` is what the server said when it refused it for the time being.
    """

    message: Message
    number: int
    ready: bool = False
    kept: bool = False
    under_way: bool = False
    unsure: bool = False
    refusal: str | None = None
    key: tuple[str, str] = field(init=False)
    """What the server's answer names it by: the id, and the target in any spelling."""

    def __post_init__(self) -> None:
        self.key = key_of(self.message.id, self.message.target)


@dataclass(slots=True)
class _Target:
    """What is known of one target.

    It is `failing` from a temporary refusal on until it is time to try again and all
    that went to it before has its answer: one of those may have been accepted. `told`
    is whether the user knows that something is put off.
    """

    under_way: int = 0
    failing: bool = False
    told: bool = False
    timer: IDelayedCall | None = None
    pause: float = FIRST_PAUSE_SECONDS

    def try_again(self) -> bool:
        """Whether it is failing no longer."""
        if self.failing and self.timer is None and not self.under_way:
            self.failing = False
        return not self.failing


class Outbox:
    """The messages that have no final answer.

    With `at_once` the server is asked to bring each to disk at once.
    """

    def __init__(
        self,
        keeper: Keeper,
        clock: IReactorTime,
        owner: Owner,
        *,
        at_once: bool = False,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._owner = owner
        self._at_once = at_once
        self._online = False
        self._entries: dict[tuple[str, str], Outgoing] = {}
        self._targets: dict[str, _Target] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def kept(self) -> int:
        """How many of them are on disk, and are there when the client starts again."""
        return sum(each.kept for each in self._entries.values())

    def left(self, user: str) -> list[str]:
        """Return what to tell a user of them at the end, as lines."""
        lines = []
        if lost := len(self) - self.kept:
            lines.append(f"{counted(lost)} not sent, and not kept either.")
        if self.kept:
            lines.append(
                f"{counted(self.kept)} not sent, and kept: chat sends what is kept when"
                f" it runs again as {user}."
            )
        return lines

    @property
    def stuck(self) -> bool:
        """Whether all that is left waits for a target that was refused for a time."""
        return all(
            each.ready and not each.under_way and self._target(each).failing
            for each in self._entries.values()
        )

    def unanswered(self) -> list[Outgoing]:
        """Return all of them, in the order in which they were put."""
        return list(self._entries.values())

    def find(self, message_id: str) -> list[Outgoing]:
        """Return what was sent under an id and has no answer."""
        return [each for key, each in self._entries.items() if key[0] == message_id]

    def load(self, messages: Iterable[Message]) -> list[Message]:
        """Take what is kept already, and send it; return what was not known before."""
        new = []
        for message in messages:
            outgoing = Outgoing(message, 0, ready=True, kept=True)
            if outgoing.key not in self._entries:
                self._entries[outgoing.key] = outgoing
                new.append(message)
        self._send_what_can_be()
        return new

    def put(self, messages: Sequence[Message], number: int) -> None:
        """Keep messages, and send them."""
        for message in messages:
            outgoing = Outgoing(message, number)
            self._entries[outgoing.key] = outgoing
            # In the order of the calls: what is kept has nothing before it that is not.
            keeping = self._keeper.queue(message)
            _ = keeping.addCallbacks(
                self._kept, self._not_kept, (outgoing,), {}, (outgoing,), {}
            )

    def connected(self) -> None:
        """Send all there is, the earliest first."""
        self._online = True
        self._send_what_can_be()

    def disconnected(self) -> None:
        """Wait: what had no answer is to be sent again."""
        self._online = False
        for outgoing in self._entries.values():
            outgoing.under_way = False
        targets, self._targets = self._targets, {}
        for target in targets.values():
            if target.timer is not None:
                target.timer.cancel()

    def accepted(self, event: Accepted, user: str) -> Outgoing | None:
        """Take an answer; return what it is about, if that was not known before.

        `user` is the sender's name as the server shows it.
        """
        outgoing = self._entries.pop(key_of(event.id, event.to), None)
        if outgoing is None:
            return None
        message = outgoing.message
        self._owner.keep(self._keeper.accepted(message, user, event.to, event.status))
        target = self._target(outgoing)
        if not target.failing:
            target.pause = FIRST_PAUSE_SECONDS
        self._answered(outgoing)
        return outgoing

    def refused(self, event: Refused) -> list[Outgoing]:
        """Take an error; return what it answers for good."""
        if event.id is None:
            return []
        if event.to is None:
            found = self.find(event.id)
        else:
            one = self._entries.get(key_of(event.id, event.to))
            found = [] if one is None else [one]
        if event.temporary:
            for outgoing in found:
                outgoing.unsure, outgoing.refusal = False, event.text
                self._put_off(outgoing, event)
            return []
        for outgoing in found:
            del self._entries[outgoing.key]
            self._owner.keep(self._keeper.refused(outgoing.message))
            self._answered(outgoing)
        return found

    def _kept(self, result: object, outgoing: Outgoing) -> None:
        outgoing.kept = True
        self._is_ready(outgoing)

    def _not_kept(self, failure: Failure, outgoing: Outgoing) -> None:
        self._owner.keeping_failed(failure)
        self._is_ready(outgoing)

    def _is_ready(self, outgoing: Outgoing) -> None:
        outgoing.ready = True
        self._send_what_can_be()
        self._owner.outbox_changed()

    def _put_off(self, outgoing: Outgoing, event: Refused) -> None:
        target = self._target(outgoing)
        if not target.failing:
            if not target.told:
                target.told = True
                self._owner.put_off(outgoing, event.text)
            target.failing = True
            target.timer = self._clock.callLater(
                target.pause, self._pause_is_over, target
            )
            target.pause = min(2 * target.pause, LONGEST_PAUSE_SECONDS)
        self._answered(outgoing)

    def _pause_is_over(self, target: _Target) -> None:
        target.timer = None
        self._send_what_can_be()

    def _answered(self, outgoing: Outgoing) -> None:
        if outgoing.under_way:
            outgoing.under_way = False
            self._target(outgoing).under_way -= 1
        self._send_what_can_be()
        self._owner.outbox_changed()

    def _target(self, outgoing: Outgoing) -> _Target:
        return self._targets.setdefault(outgoing.key[1], _Target())

    def _send_what_can_be(self) -> None:
        if not self._online:
            return
        room = WINDOW - sum(each.under_way for each in self._targets.values())
        for outgoing in list(self._entries.values()):
            if room <= 0 or not outgoing.ready:
                break
            target = self._target(outgoing)
            if not outgoing.under_way and target.try_again():
                outgoing.under_way = outgoing.unsure = True
                target.under_way += 1
                room -= 1
                message = outgoing.message
                self._owner.transmit(
                    events.send(
                        [message.target],
                        message.text,
                        message.id,
                        at_once=self._at_once,
                    )
                )
        if not self._entries:
            self._targets.clear()


def key_of(message_id: str, target: str) -> tuple[str, str]:
    """Return what tells a message apart: its id, and its target in any spelling."""
    return message_id, name_key(target)


def counted(messages: int) -> str:
    """Return a number of messages in words."""
    return "1 message" if messages == 1 else f"{messages} messages"
