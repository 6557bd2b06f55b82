"""A receiver: one user, while anything goes to it.

It is in memory while the user is connected or anything is on its way to its queue, and
some time longer. The queue itself is in the store; here are its figures, and the
deliveries, one for each connection that receives.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from chatd.backlog import Backlog
from chatd.limits import Limits
from chatd.store.records import Amount, Removed, User
from chatd.wire.message import Message


class Removals(Protocol):
    """What a receiver needs of the journal."""

    def remove(
        self,
        user: int,
        upto: int,
        on_removed: Callable[[int, Sequence[Removed]], None],
    ) -> None:
        """Take a user's messages up to a position from its queue."""


class Connection(Protocol):
    """What a receiver needs of the delivery to one of its connections."""

    @property
    def live(self) -> bool:
        """Whether each message is written to it as soon as that is stored."""

    @property
    def draining(self) -> bool:
        """Whether it takes messages from the queue, or is past its end."""

    def offer(self, message: Message) -> None:
        """Write a message that was just stored, if live."""

    def another_confirmed(self) -> None:
        """Take note that some connection got further."""

    def another_left(self) -> None:
        """Take note that a connection has gone."""


class Receiver:
    """One user's queue and connections.

    `committed` is the position of the last message on disk, `delivered` that of the
    last one that some connection is known to have.
    """

    def __init__(self, user: User, removals: Removals, limits: Limits) -> None:
        self.id = user.id
        self.key = user.key
        self.name = user.name
        self.backlog = Backlog(
            user.name, limits, Amount(user.queued_messages, user.queued_bytes)
        )
        self.committed = user.last_position
        self.delivered = 0
        self.deliveries: list[Connection] = []
        self.connections = 0
        """Connections under this name, those that only send included."""
        self.lookers = 0
        """Senders that are about to send to it, and still look something up."""
        self._removals = removals
        self._pending = 0
        self._removing = False
        self._watches: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def online(self) -> bool:
        """Whether the user has a connection that receives."""
        return bool(self.deliveries)

    @property
    def undelivered(self) -> int:
        """How many messages no connection is known to have.

        Those that one has are in the queue a little longer.
        """
        return self.backlog.stored if self.delivered < self.committed else 0

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting this object."""
        return not (self.connections or self.lookers or self._pending or self._removing)

    def accept(self, sender: str, size: int) -> None:
        """Keep a place in the queue. Raises `Refusal`: queue-full."""
        self.backlog.reserve(sender, size)
        self._pending += 1

    def refused(self, message: Message) -> None:
        """Give back the place of an accepted message that could not be stored."""
        self._pending -= 1
        self.backlog.release(message.sender, 1, message.size)

    def stored(self, message: Message) -> None:
        """Take note that a message is on disk, and write it to live connections."""
        self._pending -= 1
        self.backlog.stored += 1
        self.committed = message.position
        for delivery in self.deliveries:
            delivery.offer(message)

    def confirm(self, position: int) -> None:
        """Take note that a connection has every message up to a position.

        They leave the queue, and the other connections need not have them.
        """
        if position <= self.delivered:
            return
        self.delivered = position
        self._removing = True
        self._removals.remove(self.id, position, self._removed)
        while self._watches and self._watches[0][0] <= position:
            self._watches.popleft()[1]()
        for delivery in list(self.deliveries):
            delivery.another_confirmed()

    def watch(self, position: int, delivered: Callable[[], None]) -> None:
        """Call back when the message at a position is confirmed.

        Positions must rise from call to call. Never called if the messages stay in
        the queue; forgotten when the last connection goes.
        """
        self._watches.append((position, delivered))

    def joined(self, delivery: Connection) -> None:
        """Add a connection that receives."""
        self.deliveries.append(delivery)

    def left(self, delivery: Connection) -> None:
        """Take a connection away; another may have to go on where it stopped."""
        self.deliveries.remove(delivery)
        if not self.deliveries:
            self._watches.clear()
        for other in list(self.deliveries):
            other.another_left()

    def _removed(self, upto: int, removed: Sequence[Removed]) -> None:
        self._removing = upto < self.delivered
        for each in removed:
            self.backlog.release(each.sender, each.messages, each.size)
            self.backlog.stored -= each.messages
