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

from chatd.clock import WallClock
from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.session import Session
from chatd.journal import Journal
from chatd.store.records import StoredId
from chatd.turn import Turn
from chatd.wire.answers import Refusal
from chatd.wire.block import Block, Part


class Chunk(Protocol):
    """Lines of one connection that were taken at once; the sender's form has them.

    `count` and `size` are what its session has counted in for it, in messages and
    bytes, and `left` how many pieces of it are not settled.
    """

    session: Session
    count: int
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

    # For what most runs never need to have another value.
    stored_id: StoredId | None = None
    parts: Sequence[Acceptance] | None = None
    """The acceptances that stand for it, once it was taken apart."""
    shared = False
    shown = False
    under_way = False
    delivered = False
    count = 0
    size = 0
    first = 0
    last = 0
    time = 0
    chunk: Chunk | None = None
    _fates: Sequence[Fate] = ()
    _block: Block | None = None

    def __init__(self, receiver: Receiver, room: int) -> None:
        self.receiver = receiver
        self.room = room
        self.target = receiver.id
        self.pieces: list[Piece] = []

    def expect(self) -> None:
        """Have the senders hold back their later answers: it is shown to nobody yet."""
        self._fates = [
            chunk.expect(self.receiver, texts) for chunk, texts in self.pieces
        ]

    def place(self, first: int, time: int) -> None:
        """Give it its positions, from the first on, and its time."""
        self.first = first
        self.last = first + self.count - 1
        self.time = time

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

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person; find out the `size`."""
        parts: list[bytes] = []
        around = 0
        for chunk, texts in self.pieces:
            session = chunk.session
            prefix = session.prefix
            if len(texts) == 1:
                parts += (prefix, texts[0], b"\n")
                around += len(prefix) + 1
            else:
                parts += (prefix, session.next_prefix.join(texts), b"\n")
                around += (len(prefix) + 1) * len(texts)
        lines = b"".join(parts)
        self.size = len(lines) - around
        return lines

    def measure(self) -> None:
        """Find out the `size`: it is 0 until then."""
        self.size = sum(sum(map(len, texts)) for _, texts in self.pieces)

    def shares(self) -> Iterable[tuple[str, int, int]]:
        """Return for each sender how many messages and bytes are its."""
        for chunk, texts in self.pieces:
            yield chunk.session.name, len(texts), sum(map(len, texts))

    def position_before(self, size: int) -> int:
        """Return the position of the last message before the last bytes of its lines.

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
            chunk.count -= len(texts)
            chunk.size -= sum(map(len, texts))
            chunk.left -= 1
            if not chunk.left:
                chunk.session.settled_chunk(chunk.count, chunk.size)
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
        self.count_out()
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
        self.count_out()

    def count_out(self) -> None:
        """Tell the senders' sessions that it is on disk or delivered."""
        for chunk, _ in self.pieces:
            chunk.left -= 1
            if not chunk.left:
                chunk.session.settled_chunk(chunk.count, chunk.size)


class Runs:
    """What was taken in this turn and is not accepted yet."""

    def __init__(
        self,
        journal: Journal,
        allot: Callable[[int], int],
        turn: Turn,
        now: WallClock,
    ) -> None:
        self._journal = journal
        self._allot = allot
        self._turn = turn
        self._now = now
        # Also by what was written in a line to send to them, in this turn.
        self._runs: dict[Receiver, Run] = {}
        self._by_target: dict[bytes, Run] = {}
        self._sessions: set[Session] = set()
        self._accepted: list[Run] = []

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
        if not self._runs:
            self._turn.at_end(self._end_turn)
        by_target = self._by_target
        for target, texts in groups.items():
            run = by_target.get(target)
            if run is None:
                receiver = routes(target)
                if receiver is None:
                    self._withdraw(chunk)
                    return target
                run = by_target[target] = self._run_for(receiver)
            count = run.count + len(texts)
            if (
                count > run.room
                or run.chunk is chunk
                or b"" in texts
                or not run.receiver.backlog.knows(session.name)
            ):
                self._withdraw(chunk)
                return target
            run.count = count
            run.chunk = chunk
            run.pieces.append((chunk, texts))
        self._sessions.add(session)
        return None

    def _run_for(self, receiver: Receiver) -> Run:
        run = self._runs.get(receiver)
        if run is None:
            run = self._runs[receiver] = Run(receiver, receiver.backlog.unshared_room())
        return run

    def _withdraw(self, chunk: Chunk) -> None:
        for run in self._runs.values():
            if run.chunk is chunk:
                run.count -= len(run.pieces.pop()[1])
                run.chunk = run.pieces[-1][0] if run.pieces else None

    def accept(self) -> None:
        """Accept everything: write what can be shown, the rest goes to the disk.

        Called before anything else of a sender is taken.
        """
        if self._runs:
            self._accept()
        if self._accepted:
            self._hand_over()

    def _end_turn(self) -> None:
        if self._runs:
            self._accept()
            # When it is sent: what is acknowledged at once need not be held.
            self._turn.at_end(self._hand_over)

    def _accept(self) -> None:
        runs, self._runs = self._runs, {}
        self._by_target.clear()
        self._sessions.clear()
        time = self._now()
        divided, unseen, arrived = [], [], []
        for receiver, run in runs.items():
            if not run.pieces:
                continue
            run.place(self._allot(run.count), time)
            if not receiver.accept_run(run):
                divided.append(run)
            if run.delivered:
                arrived.append(run)
                continue
            if not run.shown:
                unseen.append(run)
            self._accepted.append(run)
        for run in unseen:
            run.expect()
        for run in divided:
            for part in run.separate():
                run.receiver.accept(part)
                part.tell_if_shown()
        # Last: who is told may send more, and everything else comes before that.
        for run in arrived:
            run.count_out()

    def _hand_over(self) -> None:
        """Give the journal what is not delivered by now, in the order of acceptance."""
        accepted, self._accepted = self._accepted, []
        for run in accepted:
            if not run.delivered:
                self._journal.take(run)
