"""A session: one connection that is logged in.

It accepts what the connection sends, and counts what of it is not settled yet; a
connection that sends faster than the disk can take is slowed by that count. If the
connection receives, the session has a delivery.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from chatd.clock import WallClock
from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.delivery import Delivery
from chatd.hub.interruptions import Interruptions
from chatd.hub.receiver import Receiver
from chatd.hub.resends import Earlier, Resends, digest
from chatd.journal import Journal
from chatd.limits import Limits
from chatd.store.records import StoredId
from chatd.wire.answers import Refusal
from chatd.wire.message import Message
from chatd.wire.names import Name

NOTHING_STORED: Final[Mapping[int, Earlier]] = {}


class Presence(Protocol):
    """What a session tells the hub."""

    def came(self, receiver: Receiver) -> None:
        """Take note that a user has one more connection that receives."""

    def went(self, receiver: Receiver) -> None:
        """Take note that a user may have one connection less that receives."""

    def left(self, session: "Session") -> None:
        """Take note that a session is closed."""


class Runs(Protocol):
    """What was taken in this turn and is not accepted yet."""

    def accept(self) -> None:
        """Accept it."""


class Pending:
    """What was accepted and is not settled yet, of all sessions together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        """Whether senders should pause."""
        return self._bytes >= self._max_bytes

    def near(self, size: int) -> bool:
        """Whether so many bytes more are too many."""
        return self._bytes + size >= self._max_bytes

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
        since: int,
        *,
        journal: Journal,
        allot: Callable[[], int],
        runs: Runs,
        clock: IReactorTime,
        now: WallClock,
        limits: Limits,
        pending: Pending,
        resends: Resends,
        presence: Presence,
    ) -> None:
        self.receiver = receiver
        self.delivery = delivery
        self.since = since
        """When its login began, by the clock on the wall, in milliseconds."""
        self.on_settled: Callable[[], None] | None = None
        """Called whenever one of this session's messages was settled."""
        self.on_expelled: Callable[[Refusal], None] | None = None
        """Called when an administrator ends the session."""
        self.expelled: Refusal | None = None
        """What `on_expelled` was called with, or would have been."""
        self._journal = journal
        self._allot = allot
        self._runs = runs
        self._now = now
        self._limits = limits
        self.all_pending = pending
        self._resends = resends
        self._presence = presence
        self._pending_messages = 0
        self._pending_bytes = 0
        self.paused = False
        """Whether its connection waits for what was sent to be settled."""
        self._failed: dict[str, int] = {}
        self._interruptions = Interruptions(clock)
        self._all_settled: list[Deferred[None]] = []

    @property
    def name(self) -> str:
        """The user's name as shown."""
        return self.receiver.name

    @cached_property
    def prefix(self) -> bytes:
        """What stands before each of its messages on a text connection."""
        return f"{self.name}: ".encode()

    @property
    def must_pause(self) -> bool:
        """Whether too much of what this session sent is not settled."""
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

    def may_be_stored(self, message_id: str) -> bool:
        """Whether `send` needs what the store knows of an id of this user's."""
        return self._resends.of(self.receiver.id).may_be_stored(message_id)

    def send(
        self,
        target: Receiver,
        text: str,
        message_id: str,
        receipt: Receipt,
        *,
        own_id: bool = False,
        stored: Mapping[int, Earlier] = NOTHING_STORED,
        at_once: bool = False,
    ) -> None:
        """Accept a message, whose `receipt` is told what becomes of it.

        A message with an `own_id`, the sender's, that was accepted before is not sent
        again: its receipt is told what became of the first. `stored` is what the store
        knows of the id, by target. With `at_once` the message is written though it is
        shown to somebody.

        Raises `Refusal`: queue-full, out-of-order, id-used.
        """
        text_digest = None
        if own_id:
            self._interruptions.came(target, message_id)
            text_digest = digest(text)
            known = self._resends.of(self.receiver.id)
            earlier = known.find(message_id, target.id) or stored.get(target.id)
            if earlier is not None:
                earlier.check(text_digest, message_id, target.name)
                self._send_again(target, earlier, receipt)
                return
        self._interruptions.check(target, all_answered=not self._pending_messages)
        size = len(text.encode())
        try:
            target.reserve(self.name, size)
        except Refusal:
            first = message_id if own_id else None
            self._interruptions.begin(target, first, self._allot())
            raise
        message = Message(
            self._allot(),
            message_id,
            self.name,
            target.name,
            text,
            self._now(),
            size,
        )
        acceptance = Acceptance(self, target, message, receipt)
        if text_digest is not None:
            acceptance.stored_id = StoredId(
                message.position,
                self.receiver.id,
                message.id,
                target.id,
                text_digest,
                message.time,
            )
            known.add(
                message.id,
                target.id,
                Earlier(message.position, text_digest, acceptance),
            )
        self._pending_messages += 1
        self._pending_bytes += size
        self.all_pending.add(size)
        target.accept(acceptance)
        acceptance.tell_if_shown()
        self._journal.take(acceptance, at_once=at_once)

    @property
    def interrupted(self) -> bool:
        """Whether messages to somebody may have to be refused, lest they overtake."""
        return bool(self._failed or self._interruptions)

    def places(self, size: int) -> int:
        """Return how many messages it may send before it must pause.

        0 if `size` bytes may be too many: then it has to be seen message by message.
        """
        limits = self._limits
        if self._pending_bytes + size >= limits.pending_bytes or self.all_pending.near(
            size
        ):
            return 0
        return max(0, limits.pending_messages - self._pending_messages)

    def take(self, messages: int, size: int) -> None:
        """Count messages in that a chunk had, and that have their places reserved."""
        self._pending_messages += messages
        self._pending_bytes += size
        self.all_pending.add(size)

    def unreadable(self, target: Name, message_id: str | None) -> Refusal:
        """Return the refusal of a message whose target could not be looked up."""
        self._interruptions.begin(target, message_id, self._allot())
        return Refusal("not-stored", name=target.shown, reason="disk error")

    def _send_again(self, target: Receiver, earlier: Earlier, receipt: Receipt) -> None:
        if earlier.entry is not None:
            # It counts, without its text: there is an answer to be given.
            self._pending_messages += 1
            earlier.entry.also(self, receipt)
        elif earlier.position <= target.delivered:
            receipt.delivered()
        else:
            target.tell_stored(earlier.position, self.name, receipt)

    def forgive(self) -> None:
        """Take messages without ids again to targets of which an earlier one failed.

        Called when every line that was under way at that time has been refused, so
        that messages sent after the error are in order again.
        """
        self._interruptions.forgive()

    def sender_is_told(self, told: bool) -> None:
        """Take note whether what comes was sent with knowledge of what failed.

        It may not have been while answers are not read, or lines are held.
        """
        if told:
            self._interruptions.start_clock()
        else:
            self._interruptions.stop_clock()

    @property
    def has_all_settled(self) -> bool:
        """Whether each message sent is on disk, delivered or refused."""
        self._runs.accept()
        return not self._pending_messages

    def all_settled(self) -> Deferred[None]:
        """Fire when each message sent is on disk, delivered or refused.

        What could be held for some time is written now.
        """
        done: Deferred[None] = Deferred()
        self._runs.accept()
        if self._pending_messages:
            self._all_settled.append(done)
            self._journal.hurry(lambda entry: entry.is_from(self))
        else:
            done.callback(None)
        return done

    def finish(self, *, queued: bool, listening: bool = True) -> Deferred[None]:
        """Deliver no more than what is written, and what was `queued` at login.

        Fires when the peer has all that, or is gone; see `Delivery.finish`.
        """
        if self.delivery is None:
            return succeed(None)
        return self.delivery.finish(queued=queued, listening=listening)

    def expel(self, refusal: Refusal) -> None:
        """End: an administrator has changed the account."""
        self.expelled = refusal
        if self.on_expelled is not None:
            self.on_expelled(refusal)

    def stop_receiving(self) -> None:
        """Deliver nothing more; what the peer may not have stays in the queue."""
        if self.delivery is not None:
            self.delivery.close()
            self._presence.went(self.receiver)

    def close(self) -> None:
        """Leave; what was accepted is still stored or delivered."""
        self.stop_receiving()
        self._presence.left(self)

    # What its acceptances call (`Sender`).

    def settled(self, acceptance: Acceptance, *, refused: bool) -> None:
        """Count a message out that is on disk, delivered or refused."""
        stored_id = acceptance.stored_id
        if stored_id is not None:
            known = self._resends.of(self.receiver.id)
            tell = known.refused if refused else known.settled
            tell(stored_id.id, stored_id.target)
        size = acceptance.message.size
        self._pending_messages -= 1
        self._pending_bytes -= size
        self.all_pending.add(-size)
        self._conclude(acceptance, refused=refused)

    def settled_piece(self, messages: int, size: int) -> None:
        """Count messages out that are on disk or delivered; see `take`."""
        self._pending_messages -= messages
        if size:
            self._pending_bytes -= size
            self.all_pending.add(-size)
        if self.paused or self._all_settled or self.interrupted:
            if not self._pending_messages:
                self._failed.clear()
            self._tell_settled()

    def settled_again(self, acceptance: Acceptance, *, refused: bool) -> None:
        """Count out a message that was sent again while it was not settled."""
        self._pending_messages -= 1
        self._conclude(acceptance, refused=refused)

    def _conclude(self, acceptance: Acceptance, *, refused: bool) -> None:
        stored_id = acceptance.stored_id
        if refused:
            # What was accepted after it and nobody has seen must not overtake it.
            receiver, position = acceptance.receiver, acceptance.message.position
            self._failed[receiver.key] = self._allot()
            message_id = None if stored_id is None else stored_id.id
            self._interruptions.begin(receiver, message_id, position)
        elif self._failed and not self._pending_messages:
            self._failed.clear()
        self._tell_settled()

    def _tell_settled(self) -> None:
        if self.on_settled is not None:
            self.on_settled()
        if not self._pending_messages:
            self._interruptions.answered()
            waiting, self._all_settled = self._all_settled, []
            for each in waiting:
                each.callback(None)

    def failed_before(self, acceptance: Acceptance) -> bool:
        """Whether a message failed after whose failure this one would be stored."""
        failed = self._failed.get(acceptance.receiver.key, 0)
        return acceptance.message.position <= failed
