"""A session: one connection that is logged in.

It accepts what the connection sends, and counts what of it is not settled yet; a
connection that sends faster than the disk can take is slowed by that count. If the
connection receives, the session has a delivery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from chatd.clock import WallClock
from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.delivery import Delivery
from chatd.hub.interruptions import Interruptions
from chatd.hub.pending import Pending
from chatd.hub.receiver import Receiver
from chatd.hub.resends import Earlier, Resends, SenderIds, digest
from chatd.journal import Journal
from chatd.limits import Limits
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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a hub have in common."""

    journal: Journal
    allot: Callable[[], int]
    runs: Runs
    clock: IReactorTime
    now: WallClock
    limits: Limits
    pending: Pending
    resends: Resends
    presence: Presence


class Owner(Protocol):
    """The connection's form, as its session sees it."""

    def settled(self) -> None:
        """Take note that one of the session's messages was settled."""

    def expelled(self, refusal: Refusal) -> None:
        """Take note that an administrator ends the session."""


@dataclass(slots=True, eq=False, repr=False)
class Session:
    """What a logged-in connection can do. Closed exactly once, by its connection."""

    receiver: Receiver
    delivery: Delivery | None
    since: int
    """When its login began, by the clock on the wall, in milliseconds."""
    _with: Surroundings
    owner: Owner | None = None
    """Who is told of what happens to the session."""
    expelled: Refusal | None = None
    """Why an administrator has ended it."""
    paused: bool = False
    """Whether its connection waits for what was sent to be settled."""
    _prefix: bytes = b""
    pending_messages: int = 0
    """How many of its messages are not settled: runs count theirs out here."""
    _pending_bytes: int = 0
    _told: bool = True
    _failed: dict[str, int] | None = None
    _interruptions: Interruptions | None = None
    _all_settled: Sequence[Deferred[None]] = ()

    @property
    def name(self) -> str:
        """The user's name as shown."""
        return self.receiver.name

    @property
    def prefix(self) -> bytes:
        """What stands before each of its messages on a text connection."""
        if not self._prefix:
            self._prefix = f"{self.name}: ".encode()
        return self._prefix

    @property
    def all_pending(self) -> Pending:
        """What all sessions together have sent that is not settled."""
        return self._with.pending

    @property
    def must_pause(self) -> bool:
        """Whether too much of what this session sent is not settled."""
        return (
            self.pending_messages >= self._with.limits.pending_messages
            or self._pending_bytes >= self._with.limits.pending_bytes
        )

    def start(self) -> Deferred[None] | None:
        """Come online; messages may be written before this returns.

        Fires when the first page of the queue is written, or will come later; there is
        nothing to wait for if the queue is empty.
        """
        if self.delivery is None:
            return None
        begun = self.delivery.start()
        self._with.presence.came(self.receiver)
        return begun

    @property
    def ids(self) -> SenderIds:
        """The ids that the user has used."""
        return self._with.resends.of(self.receiver.id)

    def may_be_stored(self, message_id: str) -> bool:
        """Whether `send` needs what the store knows of an id of this user's."""
        return self.ids.may_be_stored(message_id)

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
        self._with.runs.accept()
        data = text.encode()
        known = self.ids if own_id else None
        if known is not None:
            if self._interruptions is not None:
                self._interruptions.came(target, message_id)
            earlier = known.find(message_id, target.id) or stored.get(target.id)
            if earlier is not None:
                earlier.check(data, message_id, target.name)
                self._send_again(target, earlier, receipt)
                return
        if self._interruptions is not None:
            all_answered = not self.pending_messages
            self._interruptions.check(target, all_answered=all_answered)
        size = len(data)
        try:
            target.reserve(self.name, size)
        except Refusal:
            first = message_id if own_id else None
            self._interrupt(target, first, self._with.allot())
            raise
        message = Message(
            self._with.allot(),
            message_id,
            self.name,
            target.name,
            text,
            self._with.now(),
            size,
        )
        acceptance = Acceptance(self, target, message, receipt)
        if known is not None:
            known.add_accepted(acceptance, self.receiver.id, digest(data))
        self.pending_messages += 1
        self._pending_bytes += size
        self._with.pending.add(size)
        target.accept(acceptance)
        acceptance.tell_if_shown()
        self._with.journal.take(acceptance, at_once=at_once)

    @property
    def interrupted(self) -> bool:
        """Whether messages to somebody may have to be refused, lest they overtake."""
        return bool(self._failed) or (
            self._interruptions is not None and bool(self._interruptions.targets)
        )

    def places(self, size: int) -> int:
        """Return how many messages it may send before it must pause.

        0 if `size` bytes may be too many: then it has to be seen message by message.
        """
        limits = self._with.limits
        places = limits.pending_messages - self.pending_messages
        if (
            places <= 0
            or self._pending_bytes + size >= limits.pending_bytes
            or self._with.pending.near(size)
        ):
            return 0
        return places

    def take(self, messages: int, size: int) -> bool:
        """Count messages in that a chunk had, and that have their places reserved.

        Returns whether the sender should pause.
        """
        self.pending_messages += messages
        self._pending_bytes += size
        pending = self._with.pending
        pending.add(size)
        return self.must_pause or pending.full

    def unreadable(self, target: Name, message_id: str | None) -> Refusal:
        """Return the refusal of a message whose target could not be looked up."""
        self._interrupt(target, message_id, self._with.allot())
        return Refusal("not-stored", name=target.shown, reason="disk error")

    def _send_again(self, target: Receiver, earlier: Earlier, receipt: Receipt) -> None:
        if earlier.entry is not None:
            # It counts, without its text: there is an answer to be given.
            self.pending_messages += 1
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
        if self._interruptions is not None:
            self._interruptions.forgive()

    def sender_is_told(self, told: bool) -> None:
        """Take note whether what comes was sent with knowledge of what failed.

        It may not have been while answers are not read, or lines are held.
        """
        self._told = told
        if self._interruptions is not None:
            self._interruptions.sender_is_told(told)

    def _interrupt(
        self, target: Receiver | Name, message_id: str | None, position: int
    ) -> None:
        if self._interruptions is None:
            self._interruptions = Interruptions(self._with.clock)
            self._interruptions.sender_is_told(self._told)
        self._interruptions.begin(target, message_id, position)

    async def all_settled(self) -> None:
        """Return when each message sent is on disk, delivered or refused.

        What could be held for some time is written now.
        """
        self._with.runs.accept()
        if self.pending_messages:
            done: Deferred[None] = Deferred()
            self._all_settled = [*self._all_settled, done]
            self._with.journal.hurry(lambda entry: entry.is_from(self))
            await done

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
        if self.owner is not None:
            self.owner.expelled(refusal)

    def stop_receiving(self) -> None:
        """Deliver nothing more; what the peer may not have stays in the queue."""
        if self.delivery is not None:
            self.delivery.close()
            self._with.presence.went(self.receiver)

    def close(self) -> None:
        """Leave; what was accepted is still stored or delivered."""
        self.stop_receiving()
        self._with.presence.left(self)

    # What its acceptances call (`Sender`).

    def settled(self, acceptance: Acceptance, *, refused: bool) -> None:
        """Count a message out that is on disk, delivered or refused."""
        stored_id = acceptance.stored_id
        if stored_id is not None:
            tell = self.ids.refused if refused else self.ids.settled
            tell(stored_id.id, stored_id.target)
        size = acceptance.message.size
        self.pending_messages -= 1
        self._pending_bytes -= size
        self._with.pending.add(-size)
        self._conclude(acceptance, refused=refused)

    def settled_chunk(self, size: int) -> None:
        """Take note that some of a chunk is settled; count its bytes out with the last.

        See `take`.
        """
        self._pending_bytes -= size
        self._with.pending.add(-size)
        if self.paused or self._all_settled or self.interrupted:
            if not self.pending_messages:
                self._failed = None
            self._tell_settled()

    def settled_again(self, acceptance: Acceptance, *, refused: bool) -> None:
        """Count out a message that was sent again while it was not settled."""
        self.pending_messages -= 1
        self._conclude(acceptance, refused=refused)

    def _conclude(self, acceptance: Acceptance, *, refused: bool) -> None:
        stored_id = acceptance.stored_id
        if refused:
            # What was taken in this turn is under way as well: now it is accepted, too.
            self._with.runs.accept()
            # What was accepted after it and nobody has seen must not overtake it.
            receiver, position = acceptance.receiver, acceptance.message.position
            if self._failed is None:
                self._failed = {}
            self._failed[receiver.key] = self._with.allot()
            message_id = None if stored_id is None else stored_id.id
            self._interrupt(receiver, message_id, position)
        elif self._failed and not self.pending_messages:
            self._failed = None
        self._tell_settled()

    def _tell_settled(self) -> None:
        if self.owner is not None:
            self.owner.settled()
        if not self.pending_messages:
            if self._interruptions is not None:
                self._interruptions.answered()
            waiting, self._all_settled = self._all_settled, ()
            for each in waiting:
                each.callback(None)

    def failed_before(self, acceptance: Acceptance) -> bool:
        """Whether a message failed after whose failure this one would be stored."""
        failed = (self._failed or {}).get(acceptance.receiver.key, 0)
        return acceptance.message.position <= failed
