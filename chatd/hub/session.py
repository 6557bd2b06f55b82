"""A session: one connection that is logged in.

It accepts what the connection sends, and counts what of it is not on disk yet; a
connection that sends faster than the disk can take is slowed by that count. If the
connection receives, the session has a delivery.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from chatd.hub.delivery import Delivery
from chatd.hub.receiver import Receiver
from chatd.journal import Journal
from chatd.limits import Limits
from chatd.wire.answers import Refusal
from chatd.wire.message import Message, new_id


class Receipt(Protocol):
    """What becomes of one message to one target; the sender's form implements it."""

    wants_delivery: bool
    """Whether `delivered` is of interest."""

    def stored(self, *, may_be_delivered: bool) -> None:
        """Take note that it is on disk; `delivered` may follow."""

    def delivered(self) -> None:
        """Take note that the receiver has it; never if that takes until a login."""

    def refused(self, refusal: Refusal) -> None:
        """Take note that nothing was sent: nobody has seen it."""


class Presence(Protocol):
    """What a session tells the hub."""

    def came(self, receiver: Receiver) -> None:
        """Take note that a user has one more connection that receives."""

    def went(self, receiver: Receiver) -> None:
        """Take note that a user may have one connection less that receives."""

    def left(self, receiver: Receiver) -> None:
        """Take note that a user has one connection less."""


class Pending:
    """What was accepted and is not on disk yet, of all sessions together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        """Whether senders should pause."""
        return self._bytes >= self._max_bytes

    def add(self, size: int) -> None:
        """Count a message's bytes; a negative size takes them away."""
        self._bytes += size
        if self._waiting and self._bytes <= self._max_bytes // 2:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each()

    def call_when_room(self, resume: Callable[[], None]) -> None:
        """Call back once half of the bound is free again."""
        self._waiting.append(resume)


class Session:
    """What a logged-in connection can do. Closed exactly once, by its connection."""

    def __init__(
        self,
        receiver: Receiver,
        delivery: Delivery | None,
        *,
        journal: Journal,
        allot: Callable[[], int],
        clock: IReactorTime,
        limits: Limits,
        pending: Pending,
        presence: Presence,
    ) -> None:
        self.receiver = receiver
        self.delivery = delivery
        self.on_settled: Callable[[], None] | None = None
        """Called whenever one of this session's messages was settled."""
        self._journal = journal
        self._allot = allot
        self._clock = clock
        self._limits = limits
        self._all_pending = pending
        self._presence = presence
        self._pending_messages = 0
        self._pending_bytes = 0
        self._failed: dict[str, int] = {}
        self._interrupted: set[str] = set()

    @property
    def name(self) -> str:
        """The user's name as shown."""
        return self.receiver.name

    @property
    def must_pause(self) -> bool:
        """Whether too much of what this session sent awaits a commit."""
        return (
            self._pending_messages >= self._limits.pending_messages
            or self._pending_bytes >= self._limits.pending_bytes
        )

    def start(self) -> Deferred[None]:
        """Come online; messages may be written before this returns.

        Fires when the first page of the queue is written, or will come later.
        """
        if self.delivery is None:
            return succeed(None)
        begun = self.delivery.start()
        self._presence.came(self.receiver)
        return begun

    def send(
        self, target: Receiver, text: str, message_id: str | None, receipt: Receipt
    ) -> None:
        """Accept a message, whose `receipt` is told what becomes of it.

        Raises `Refusal`: queue-full, out-of-order.
        """
        if target.key in self._interrupted:
            raise Refusal("out-of-order", name=target.name)
        size = len(text.encode())
        try:
            target.accept(self.name, size)
        except Refusal:
            self._interrupted.add(target.key)
            raise
        message = Message(
            self._allot(),
            message_id or new_id(),
            self.name,
            target.name,
            text,
            int(self._clock.seconds() * 1000),
            size,
        )
        self._pending_messages += 1
        self._pending_bytes += size
        self._all_pending.add(size)
        self._journal.append(Acceptance(self, target, message, receipt))

    def forgive(self) -> None:
        """Take messages again to targets of which an earlier one failed.

        Called when every line that was under way at that time has been refused, so
        that messages sent after the error are in order again.
        """
        self._interrupted.clear()

    def finish(self, *, queued: bool) -> Deferred[None]:
        """Deliver no more than what is written, and what was `queued` at login.

        Fires when the peer has acknowledged all that, or is gone.
        """
        if self.delivery is None:
            return succeed(None)
        return self.delivery.finish(queued=queued)

    def stop_receiving(self) -> None:
        """Deliver nothing more; what the peer may not have stays in the queue."""
        if self.delivery is not None:
            self.delivery.close()
            self._presence.went(self.receiver)

    def close(self) -> None:
        """Leave; what was accepted is still stored."""
        self.stop_receiving()
        self._presence.left(self.receiver)

    def settled(self, acceptance: "Acceptance", refusal: Refusal | None) -> None:
        """Count a message out that is on disk, or refused."""
        size = acceptance.message.size
        self._pending_messages -= 1
        self._pending_bytes -= size
        self._all_pending.add(-size)
        if refusal is not None:
            # What was accepted after it and is not settled must not overtake it.
            key = acceptance.receiver.key
            self._failed[key] = self._allot()
            self._interrupted.add(key)
        elif self._failed and not self._pending_messages:
            self._failed.clear()
        if self.on_settled is not None:
            self.on_settled()

    def failed_before(self, acceptance: "Acceptance") -> bool:
        """Whether a message failed after whose failure this one would be stored."""
        failed = self._failed.get(acceptance.receiver.key, 0)
        return acceptance.message.position <= failed


class Acceptance:
    """An accepted message on its way to the disk; the journal's `Entry`."""

    __slots__ = ("_receipt", "_session", "message", "receiver", "target")

    def __init__(
        self, session: Session, receiver: Receiver, message: Message, receipt: Receipt
    ) -> None:
        self.message = message
        self.target = receiver.id
        self.receiver = receiver
        self._session = session
        self._receipt = receipt

    def reconsider(self) -> Refusal | None:
        """Refuse what would overtake an earlier message that failed."""
        if self._session.failed_before(self):
            return Refusal("out-of-order", name=self.receiver.name)
        return None

    def settle(self, refusal: Refusal | None) -> None:
        """Tell everybody concerned that the message is on disk, or refused."""
        if refusal is not None:
            self.receiver.refused(self.message)
            self._receipt.refused(refusal)
        else:
            self._tell_stored()
        self._session.settled(self, refusal)

    def _tell_stored(self) -> None:
        receiver, receipt = self.receiver, self._receipt
        receiver.stored(self.message)
        live = receipt.wants_delivery and any(each.live for each in receiver.deliveries)
        receipt.stored(may_be_delivered=live)
        if live:
            receiver.watch(self.message.position, receipt.delivered)
