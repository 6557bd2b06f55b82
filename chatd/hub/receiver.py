"""A receiver: one user, while anything goes to it.

It is in memory while the user is connected or anything is on its way to its queue, and
some time longer. The queue itself is in the store; here are its figures, what was
accepted and is neither on disk nor delivered, and the deliveries, one for each
connection that receives.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from chatd.backlog import Backlog
from chatd.hub.accepted import Accepted, AcceptedMessage, AcceptedRun
from chatd.hub.queues import Queues
from chatd.hub.recent import Recent
from chatd.hub.watches import Informed, Watches
from chatd.store.records import Amount, Removed, User
from chatd.wire.block import Row
from chatd.wire.message import Message

AT_ONCE: Final = 64 * 1024
"""How many bytes of text are tried to be delivered before anything else is done.

More does not fit into what a system keeps for a connection.
"""

NOTHING: Final[dict[int, Accepted]] = {}
"""The same for all for whom nothing is on its way; an empty one each has 64 bytes."""


class Connection(Protocol):
    """What a receiver needs of the delivery to one of its connections."""

    @property
    def as_lines(self) -> bool:
        """Whether it is a person's: its machine acknowledges what is written to it."""

    @property
    def live(self) -> bool:
        """Whether each message is written to it as soon as that is accepted."""

    @property
    def draining(self) -> bool:
        """Whether it takes messages from the queue, or is past its end."""

    @property
    def writing(self) -> bool:
        """Whether it is written what is accepted now."""

    def offer(self, entry: AcceptedMessage) -> None:
        """Write a message that was just accepted, if live."""

    def has_room_for(self, run: AcceptedRun) -> bool:
        """Whether a whole run can be written."""

    @property
    def near(self) -> bool:
        """Whether it may have what is accepted now before anything else is done."""

    def deliver_at_once(self, run: AcceptedRun, lines: bytes) -> bool:
        """Write a run to a `near` peer; return whether it has it already."""

    def write_run(self, run: AcceptedRun, lines: bytes) -> None:
        """Write a run that was just accepted, for which there is room."""

    def more_stored(self) -> None:
        """Take note that the queue has grown."""

    def another_confirmed(self) -> None:
        """Take note that some connection got further."""

    def another_took_over(self) -> None:
        """Take note that a connection drains the queue in another's place."""

    def another_left(self) -> None:
        """Take note that a connection has gone."""


class Receiver:
    """One user's queue and connections.

    `committed` is the position of the last message on disk, `shown` that of the last
    one that was written to a connection, `delivered` that of the last one that some
    connection is known to have. `now` is the highest position allotted so far.
    """

    __slots__ = (
        "_pending",
        "_queues",
        "_recent",
        "_removing",
        "_unsettled",
        "_watches",
        "backlog",
        "committed",
        "connections",
        "delivered",
        "deliveries",
        "id",
        "key",
        "lookers",
        "name",
        "shown",
    )

    def __init__(self, user: User, queues: Queues, now: int) -> None:
        self.id = user.id
        self.key = user.key
        self.name = user.name
        queued = Amount(user.queued_messages, user.queued_bytes)
        self.backlog = Backlog(user.name, queues.limits, queued)
        # What is in the queue no more was delivered.
        self.delivered = user.first_position - 1 if user.queued_messages else now
        self.committed = max(user.last_position, self.delivered)
        self.shown = self.delivered
        self.deliveries: Sequence[Connection] = ()
        self.connections = 0
        """Connections under this name, those that only send included."""
        self.lookers = 0
        """Senders that are about to send to it, and still look something up."""
        self._queues = queues
        self._recent: Recent | None = None
        self._pending = 0
        # The position up to which messages are being taken from the queue, or 0.
        self._removing = 0
        self._unsettled = NOTHING
        self._watches: Watches | None = None

    @property
    def online(self) -> bool:
        """Whether the user has a connection that receives."""
        return bool(self.deliveries)

    @property
    def undelivered(self) -> int:
        """How many messages on disk no connection is known to have.

        Those that one has are in the queue a little longer.
        """
        return self.backlog.stored if self.delivered < self.committed else 0

    @property
    def under_way(self) -> int:
        """The position up to which all is stored, or was shown to somebody."""
        return max(self.committed, self.shown)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting this object."""
        return not (self.connections or self.lookers or self._pending or self._removing)

    def reserve(self, sender: str, size: int) -> None:
        """Keep a place in the queue. Raises `Refusal`: queue-full."""
        if self.backlog.share_matters:
            for each in self._unsettled.values():
                self._share(each)
        self.backlog.reserve(sender, size)
        self._pending += 1

    def accept(self, entry: AcceptedMessage) -> None:
        """Take a message that has a place, and write it to live connections."""
        self._keep(entry)
        for delivery in self.deliveries:
            delivery.offer(entry)

    def accept_run(self, run: AcceptedRun) -> bool:
        """Take messages for which there is room, and write them to live connections.

        Returns false, and takes only their places, if one cannot be written all.
        """
        lines = b""
        if self.deliveries:
            lines = run.compose()
            nearest = self._nearest
            if nearest is not None and run.size <= AT_ONCE:
                run.shown = True
                self.shown = run.last
                if nearest.deliver_at_once(run, lines):
                    self.delivered = run.last
                    run.delivered = True
                    return True
        else:
            run.measure()
        self._pending += run.count
        self.backlog.reserve_unshared(run.count, run.size)
        if run.shown:
            self._keep(run)
            return True
        writing: list[Connection] = []
        for delivery in self.deliveries:
            if delivery.writing:
                if not delivery.has_room_for(run):
                    return False
                writing.append(delivery)
        self._keep(run)
        if writing:
            run.shown = True
            self.shown = run.last
            for delivery in writing:
                delivery.write_run(run, lines)
            run.written()
        return True

    def _keep(self, entry: Accepted) -> None:
        if self._unsettled is NOTHING:
            self._unsettled = {}
        self._unsettled[entry.first] = entry

    @property
    def _nearest(self) -> Connection | None:
        """What may be written to at once: nothing is anywhere on its way to it."""
        deliveries = self.deliveries
        if self._unsettled or self._watches or self.backlog.stored:
            return None
        return deliveries[0] if len(deliveries) == 1 and deliveries[0].near else None

    def separated(self, run: AcceptedRun, parts: Sequence[AcceptedMessage]) -> None:
        """Keep the parts of a run in its stead."""
        self._share(run)
        if self._unsettled.get(run.first) is run:
            entries = list(self._unsettled.values())
            at = entries.index(run)
            entries[at : at + 1] = parts
            self._unsettled = {each.first: each for each in entries}

    def unsettled_after(self, position: int) -> list[AcceptedMessage]:
        """Return what is accepted, and not known to be on disk or delivered.

        In the order of acceptance, from behind a position on.
        """
        entries = [each for each in self._unsettled.values() if each.last > position]
        messages = [message for each in entries for message in each.separate()]
        return [each for each in messages if each.first > position]

    def unstored(self, message: Message) -> None:
        """Give back the place of a message that will not be on disk."""
        self._unsettled.pop(message.position, None)
        self._pending -= 1
        self.backlog.release(message.sender, 1, message.size)

    def unstored_run(self, run: AcceptedRun) -> None:
        """Give back the places of messages that will not be on disk."""
        self._unsettled.pop(run.first, None)
        self._pending -= run.count
        if not run.shared:
            self.backlog.release_unshared(run.count, run.size)
            return
        for share in run.shares():
            self.backlog.release(*share)

    def stored_run(self, run: AcceptedRun) -> None:
        """Take note that messages are on disk."""
        self._unsettled.pop(run.first, None)
        self._share(run)
        self._pending -= run.count
        self.backlog.stored += run.count
        self.committed = run.last
        if self._recent is not None and not all(map(self._recent.add, run.rows)):
            self._forget_recent()
        for delivery in self.deliveries:
            delivery.more_stored()

    def stored(self, message: Message) -> None:
        """Take note that a message is on disk."""
        self._unsettled.pop(message.position, None)
        self._pending -= 1
        self.backlog.stored += 1
        self.committed = message.position
        if self._recent is not None and not self._recent.add(message):
            self._forget_recent()
        for delivery in self.deliveries:
            delivery.more_stored()

    def keep_recent(self, after: int) -> None:
        """Keep what is stored from now on in memory too, as far as there is room.

        Up to the position `after` a connection has been given everything.
        """
        if self._recent is None:
            after = max(after, self.committed)
            queues = self._queues
            self._recent = Recent(after, queues.limits.recent_bytes, queues.recent_room)

    def recent_page(
        self, after: int, max_bytes: int, *, as_lines: bool
    ) -> list[Row] | None:
        """Return the next messages behind a position, None if only the store has them.

        In order, and empty if there are none.
        """
        if self._recent is None:
            return None
        return self._recent.page(after, max_bytes, as_lines=as_lines)

    def caught_up(self) -> None:
        """Take note that a delivery needs nothing more of what is in the queue."""
        if all(each.live or not each.draining for each in self.deliveries):
            self._forget_recent()

    def _forget_recent(self) -> None:
        if self._recent is not None:
            self._recent.clear()
            self._recent = None

    def confirm(self, position: int, by: Connection | None = None) -> None:
        """Take note that a connection has every message up to a position.

        They leave the queue, and the other connections need not have them: each but the
        one that it is known `by` is told.
        """
        if position <= self.delivered:
            return
        self.delivered = position
        on_disk = self.backlog.stored > 0
        # One by one: what a sender is told may let lines be taken that waited, and one
        # of them acknowledge more: the rest of these among it.
        while self._unsettled:
            entry = next(iter(self._unsettled.values()))
            if entry.last > position:
                if entry.first > position:
                    break
                entry.separate()
                continue
            del self._unsettled[entry.first]
            on_disk |= entry.confirm()
        else:
            self._unsettled = NOTHING
        if on_disk:
            self._removing = position
            self._queues.removals.remove(self.id, position, self._removed)
        if self._watches is not None:
            self._watches.tell(position)
        if self.deliveries != (by,):
            for delivery in [each for each in self.deliveries if each is not by]:
                delivery.another_confirmed()

    def confirm_part(self, last: int, missing: int) -> None:
        """Take note that a connection has a run but for the last bytes of its lines.

        `last` is the position that the run ends with; it may be no run any more.
        """
        for entry in self._unsettled.values():
            if entry.last == last:
                self.confirm(entry.position_before(missing))
                return

    def _share(self, entry: Accepted) -> None:
        """Count what is accepted to its senders' parts of the queue, if it is not."""
        if not entry.shared:
            entry.shared = True
            self.backlog.release_unshared(0, entry.measure())
            for share in entry.shares():
                self.backlog.share(*share)

    def tell_stored(self, position: int, sender: str, receipt: Informed) -> None:
        """Tell that a sender's message is stored, and later that it came.

        The latter never if the messages stay in the queue: those who wait for it are
        forgotten when the last connection goes. Nor if too many wait.
        """
        room = self._queues.watch_room.has_room(sender)
        may_be_delivered = receipt.wants_delivery and self.online and room
        receipt.stored(may_be_delivered=may_be_delivered)
        if may_be_delivered:
            if self._watches is None:
                self._watches = Watches(self._queues.watch_room)
            self._watches.add(position, sender, receipt.delivered)

    def joined(self, delivery: Connection) -> None:
        """Add a connection that receives."""
        self.deliveries = (*self.deliveries, delivery)

    def took_over(self, delivery: Connection) -> None:
        """Take note that a connection drains the queue in another's place."""
        for other in self.deliveries:
            if other is not delivery:
                other.another_took_over()

    def left(self, delivery: Connection) -> None:
        """Take a connection away; another may have to go on where it stopped."""
        self.deliveries = tuple(
            each for each in self.deliveries if each is not delivery
        )
        self.caught_up()
        if not self.deliveries and self._watches is not None:
            self._watches.clear()
            self._watches = None
        for other in self.deliveries:
            other.another_left()

    def _removed(self, upto: int, removed: Sequence[Removed]) -> None:
        # What was delivered since, and never written, is not to be removed.
        if upto >= self._removing:
            self._removing = 0
        for each in removed:
            self.backlog.release(each.sender, each.messages, each.size)
            self.backlog.stored -= each.messages
