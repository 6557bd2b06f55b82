"""Runs: messages to one receiver that were taken in one turn of the reactor, together.

Most of what a message costs is not the message. It has a place reserved, a position, a
time, it is entered where it waits to be settled, written to a connection, held, found
delivered and counted out; and all that is the same for the messages next to it. So
messages that a faster path has taken from whole chunks of lines, and that nothing is
special about, are kept in *runs* until the turn is over: one run for each receiver,
made of *pieces*, one for each sender and chunk. A run is then accepted as one: its
messages have consecutive positions and one time, are one write to each live connection,
one entry in the journal, and are settled by one acknowledgement.

A run has the outside of an acceptance as long as the same happens to all of it. When it
does not (a part is acknowledged, shown or refused, or ids are needed), the run is taken
apart into the acceptances that it stands for, and everything goes on as if it had been
those from the beginning. So nothing that can happen to messages is told twice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from twisted.internet.interfaces import IReactorTime

from chatd.clock import WallClock
from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.session import Session
from chatd.journal import Journal
from chatd.store.records import StoredId
from chatd.wire.answers import Refusal
from chatd.wire.block import Block, Part


class Chunk(Protocol):
    """Lines of one connection that were taken at once; the sender's form has them.

    `size` is what its session has counted in for it, in bytes, and `left` how many
    pieces of it are not settled.
    """

    session: Session
    size: int
    left: int

    def expect(self, receiver: Receiver, texts: Sequence[bytes]) -> "Fate":
        """Take note that these texts of it are shown to nobody yet.

        Asked in the order of the chunks, and for each receiver once.
        """


class Fate(Protocol):
    """What becomes of those messages of a chunk, to one receiver."""

    def stored(self) -> None:
        """Take note that all are on disk."""

    def delivered(self) -> None:
        """Take note that a receiver has them all."""

    def receipts(self) -> Sequence[Receipt]:
        """Return what is to be told of each, instead of this."""


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


Piece: TypeAlias = tuple[Chunk, list[bytes]]
"""A chunk, and the texts that it has for one receiver.

They are in UTF-8, have no line feed and nothing that a screen should not get.
"""


Routes: TypeAlias = Callable[[bytes], Receiver | None]
"""Returns to whom a target leads, None if that is not known here."""


class Run:
    """Messages to one receiver, accepted together.

    It is the journal's `Entry` and the receiver's `Accepted`, for all its messages.
    """

    __slots__ = (
        "_block",
        "_fates",
        "chunk",
        "count",
        "delivered",
        "first",
        "parts",
        "pieces",
        "receiver",
        "room",
        "shared",
        "shown",
        "size",
        "target",
        "time",
        "under_way",
    )

    stored_id: StoredId | None = None
    parts: Sequence[Acceptance] | None
    """The acceptances that stand for it, once it was taken apart."""

    def __init__(self, receiver: Receiver, room: int) -> None:
        self.receiver = receiver
        self.room = room
        self.target = receiver.id
        self.pieces: list[Piece] = []
        self.chunk: Chunk | None = None
        self.count = 0
        self.size = 0
        self.first = 0
        self.time = 0
        self.shared = False
        self.shown = False
        self.under_way = False
        self.delivered = False
        self.parts = None
        self._fates: Sequence[Fate] = ()
        self._block: Block | None = None

    def expect(self) -> None:
        """Have the senders hold back their later answers: it is shown to nobody yet."""
        self._fates = [
            chunk.expect(self.receiver, texts) for chunk, texts in self.pieces
        ]

    @property
    def last(self) -> int:
        """The position of the last message."""
        return self.first + self.count - 1

    @property
    def target_name(self) -> str:
        """The receiver's name as shown."""
        return self.receiver.name

    @property
    def row(self) -> Block:
        """The messages, as they are written to disk; made when that is asked first."""
        if self._block is None:
            parts = [
                Part(chunk.session.name, len(texts), b"\n".join(texts))
                for chunk, texts in self.pieces
            ]
            self._block = Block(self.first, self.receiver.name, self.time, parts)
        return self._block

    def lines(self) -> bytes:
        """Return the lines that show the messages to a person."""
        parts: list[bytes] = []
        for chunk, texts in self.pieces:
            prefix = chunk.session.prefix
            parts += (prefix, (b"\n" + prefix).join(texts), b"\n")
        return b"".join(parts)

    def measure(self) -> None:
        """Find out the `size`: it is 0 until then."""
        self.size = sum(sum(map(len, texts)) for _, texts in self.pieces)

    def shares(self) -> Iterable[tuple[str, int, int]]:
        """Return for each sender how many messages and bytes are its."""
        for chunk, texts in self.pieces:
            yield chunk.session.name, len(texts), sum(map(len, texts))

    def position_before(self, size: int) -> int:
        """Return the position of the last message before the last bytes of `lines`.

        That before the first, if not even that one is whole.
        """
        position = self.last
        for chunk, texts in reversed(self.pieces):
            more = len(chunk.session.prefix) + 1
            for text in reversed(texts):
                if size <= 0:
                    return position
                size -= more + len(text)
                position -= 1
        return position

    def separate(self) -> Sequence[Acceptance]:
        """Take it apart: from here on each message stands for itself."""
        if self.parts is None:
            self.parts = self._separate()
            self.receiver.separated(self, self.parts)
        return self.parts

    def _separate(self) -> Sequence[Acceptance]:
        parts: list[Acceptance] = []
        messages = iter(self.row.messages())
        receipts = iter([each for fate in self._fates for each in fate.receipts()])
        for chunk, texts in self.pieces:
            for _ in texts:
                receipt = next(receipts, SILENT)
                message = next(messages)
                part = Acceptance(chunk.session, self.receiver, message, receipt)
                part.shown = self.shown
                part.under_way = self.under_way
                parts.append(part)
            # From now on its session counts them out one by one.
            chunk.size -= sum(map(len, texts))
            _settle_piece(chunk, 0)
        return parts

    def is_from(self, session: object) -> bool:
        """Whether a session has sent some of it."""
        return any(chunk.session is session for chunk, _ in self.pieces)

    def reconsider(self) -> Refusal | None:
        """Nothing can be said of it as a whole (`Entry`)."""
        raise NotImplementedError

    def confirm(self) -> bool:
        """Take note that a connection of the receiver has all of it.

        Returns whether a transaction has it.
        """
        self.delivered = True
        if not self.under_way:
            self.receiver.unstored_run(self)
        for fate in self._fates:
            fate.delivered()
        self._count_out()
        return self.under_way

    def settle(self, refusal: Refusal | None) -> None:
        """Tell everybody concerned that all of it is on disk, or refused."""
        if refusal is not None:
            # Each sender has to know which of its messages failed first.
            for part in self.separate():
                part.settle(refusal)
            return
        self.receiver.stored_run(self)
        if self.delivered:
            return
        for fate in self._fates:
            fate.stored()
        self._count_out()

    def _count_out(self) -> None:
        for chunk, texts in self.pieces:
            _settle_piece(chunk, len(texts))


def _settle_piece(chunk: Chunk, messages: int) -> None:
    # The bytes are counted out with the last of them.
    chunk.left -= 1
    chunk.session.settled_piece(messages, 0 if chunk.left else chunk.size)


class Runs:
    """What was taken in this turn and is not accepted yet."""

    def __init__(
        self,
        journal: Journal,
        allot: Callable[[int], int],
        clock: IReactorTime,
        now: WallClock,
    ) -> None:
        self._journal = journal
        self._allot = allot
        self._clock = clock
        self._now = now
        self._runs: dict[Receiver, Run] = {}
        self._sessions: set[Session] = set()

    def add(
        self, chunk: Chunk, groups: Mapping[bytes, list[bytes]], routes: Routes
    ) -> bytes | None:
        """Add a chunk, whose texts are grouped by target.

        Returns the first target for which that cannot be done, or of which a text is
        empty. Then nothing is added: the lines from there on are for somebody else.
        """
        session = chunk.session
        if session in self._sessions:
            # The answers to its chunks have an order.
            self.accept()
        runs, sender = self._runs, session.name
        if not runs:
            self._clock.callLater(0, self.accept)
        for target, texts in groups.items():
            receiver = routes(target)
            if receiver is None or b"" in texts:
                self._withdraw(chunk)
                return target
            run = runs.get(receiver)
            if run is None:
                run = runs[receiver] = Run(receiver, receiver.backlog.unshared_room())
            count = run.count + len(texts)
            if (
                count > run.room
                or run.chunk is chunk
                or not receiver.backlog.knows(sender)
            ):
                self._withdraw(chunk)
                return target
            run.count = count
            run.chunk = chunk
            run.pieces.append((chunk, texts))
        self._sessions.add(session)
        return None

    def _withdraw(self, chunk: Chunk) -> None:
        for receiver, run in list(self._runs.items()):
            if run.chunk is chunk:
                run.count -= len(run.pieces.pop()[1])
                run.chunk = run.pieces[-1][0] if run.pieces else None
            if not run.pieces:
                del self._runs[receiver]

    def accept(self) -> None:
        """Accept everything: write what can be shown, the rest goes to the disk.

        Called before anything else of a sender is taken, and at the end of the turn.
        """
        if not self._runs:
            return
        runs, self._runs = self._runs, {}
        self._sessions.clear()
        time = self._now()
        divided, unseen = [], []
        for receiver, run in runs.items():
            run.first = self._allot(run.count)
            run.time = time
            if not receiver.accept_run(run):
                divided.append(run)
            if not run.shown:
                unseen.append(run)
        for run in unseen:
            run.expect()
        for run in divided:
            for part in run.separate():
                run.receiver.accept(part)
                part.tell_if_shown()
        for run in runs.values():
            self._journal.take(run)
