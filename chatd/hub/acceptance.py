"""An acceptance: one message that was accepted, until it is known what becomes of it.

It has a place in its receiver's queue from the first moment. It ends on disk, or
delivered without ever having been there, or refused; and whichever it is, its sender's
connection is told exactly once.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from chatd.hub.receiver import Receiver
from chatd.store.records import StoredId
from chatd.wire.answers import Refusal
from chatd.wire.message import Message


class Receipt(Protocol):
    """What becomes of one message to one target; the sender's form implements it.

    It ends with `delivered`, `refused`, or `stored` and perhaps `delivered`.
    """

    wants_delivery: bool
    """Whether `delivered` is of interest after `stored`."""

    def taken(self) -> None:
        """Take note that it was shown to somebody: it can't be refused any more."""

    def stored(self, *, may_be_delivered: bool) -> None:
        """Take note that it is on disk; `delivered` may follow."""

    def delivered(self) -> None:
        """Take note that the receiver has it; never if that takes until a login."""

    def refused(self, refusal: Refusal) -> None:
        """Take note that nothing was sent: nobody has seen it."""


class Silent:
    """A receipt that says nothing, of what was shown to somebody who was there."""

    wants_delivery = False

    def taken(self) -> None:
        """Say nothing."""

    def stored(self, *, may_be_delivered: bool) -> None:
        """Say nothing."""

    def delivered(self) -> None:
        """Say nothing."""

    def refused(self, refusal: Refusal) -> None:
        """Never comes: what was shown is not refused."""


SILENT: Final = Silent()


class Sender(Protocol):
    """The session that sent a message."""

    def settled(self, acceptance: "Acceptance", *, refused: bool) -> None:
        """Count it out: it is on disk, delivered or refused."""

    def settled_again(self, acceptance: "Acceptance", *, refused: bool) -> None:
        """Count out that it was sent again while it was not settled."""

    def failed_before(self, acceptance: "Acceptance") -> bool:
        """Whether a message failed after whose failure this one would be stored."""


class Acceptance:
    """An accepted message; the journal's `Entry`, and the receiver's `Accepted`."""

    count = 1
    parts: Sequence["Acceptance"] | None = None

    __slots__ = (
        "_again",
        "_receipts",
        "delivered",
        "message",
        "receiver",
        "session",
        "shared",
        "shown",
        "stored_id",
        "target",
        "under_way",
    )

    def __init__(
        self, session: Sender, receiver: Receiver, message: Message, receipt: Receipt
    ) -> None:
        self.message = message
        self.target = receiver.id
        self.receiver = receiver
        self.session = session
        self.stored_id: StoredId | None = None
        self.shared = True
        self.shown = False
        self.under_way = False
        self.delivered = False
        self._receipts = [receipt]
        self._again: list[Sender] = []

    def also(self, session: Sender, receipt: Receipt) -> None:
        """Tell another receipt too: a session has sent the message again."""
        self._again.append(session)
        self._receipts.append(receipt)
        if self.shown:
            receipt.taken()

    @property
    def first(self) -> int:
        """The position of the message."""
        return self.message.position

    @property
    def last(self) -> int:
        """The position of the message."""
        return self.message.position

    @property
    def rows(self) -> Sequence[Message]:
        """The message, which is written by itself."""
        return (self.message,)

    @property
    def target_name(self) -> str:
        """The receiver's name as shown."""
        return self.receiver.name

    @property
    def stored_ids(self) -> Sequence[StoredId]:
        """What the message is known by if it is sent again, if it may be."""
        return () if self.stored_id is None else (self.stored_id,)

    def measure(self) -> int:
        """Return 0: its size is exact."""
        return 0

    def shares(self) -> Iterable[tuple[str, int, int]]:
        """Return its sender, and how much it is."""
        return ((self.message.sender, 1, self.message.size),)

    def position_before(self, size: int) -> int:
        """Return its position, or that before it if some bytes of it are missing."""
        return self.message.position - (size > 0)

    def separate(self) -> Sequence["Acceptance"]:
        """Return itself: it is only one message."""
        return (self,)

    def is_from(self, session: object) -> bool:
        """Whether a session has sent it."""
        return self.session is session

    def tell_if_shown(self) -> None:
        """Tell its sender that somebody is shown it, if so."""
        if self.shown:
            for receipt in self._receipts:
                receipt.taken()

    def reconsider(self) -> Refusal | None:
        """Refuse what would overtake an earlier message that failed."""
        if self.session.failed_before(self):
            return Refusal("out-of-order", name=self.receiver.name)
        return None

    def confirm(self) -> bool:
        """Take note that a connection of the receiver has it.

        Returns whether a transaction has it: it may have to be removed again. Else
        it is never written.
        """
        self.delivered = True
        if not self.under_way:
            self.receiver.unstored(self.message)
        for receipt in self._receipts:
            receipt.delivered()
        self._count_out(refused=False)
        return self.under_way

    def settle(self, refusal: Refusal | None) -> None:
        """Tell everybody concerned that the message is on disk, or refused."""
        if refusal is None:
            self.receiver.stored(self.message)
        else:
            self.receiver.unstored(self.message)
        if self.delivered:
            return
        for receipt in self._receipts:
            if refusal is not None:
                receipt.refused(refusal)
            else:
                position, sender = self.message.position, self.message.sender
                self.receiver.tell_stored(position, sender, receipt)
        self._count_out(refused=refusal is not None)

    def _count_out(self, *, refused: bool) -> None:
        self.session.settled(self, refused=refused)
        for session in self._again:
            session.settled_again(self, refused=refused)
