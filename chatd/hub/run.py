"""Runs: messages to one receiver that were taken in one turn of the reactor, together.

Most of what a message costs is not the message. It has a place reserved, a position, a
time, it is entered where it waits to be settled, written to a connection, held, found
delivered and counted out; and all that is the same for the messages next to it. So
messages that a faster path has taken from whole chunks of lines, and that nothing is
special about, are kept in *runs* until the turn is over: one run for each receiver.
It consists of *pieces*, one for each sender and chunk. A run is then accepted as one:
its messages have consecutive positions and one time, are one write to each live
connection, one entry in the journal, and are settled by one acknowledgement.

A run has the outside of an acceptance as long as the same happens to all of it. When it
does not (a part is acknowledged, shown or refused, or ids are needed), the run is taken
apart into the acceptances that it stands for, and everything goes on as if it had been
those from the beginning. So nothing that can happen to messages is told twice.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Protocol, TypeAlias

from chatd.hub.acceptance import SILENT, Acceptance, Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.session import Session
from chatd.store.records import IdRow
from chatd.wire.answers import Refusal
from chatd.wire.block import Block, Part, Row
from chatd.wire.message import Message

Routes: TypeAlias = Callable[[bytes], Receiver | None]
"""Returns to whom a target leads, None if that is not known here."""


class Chunk(Protocol):
    """Lines of one connection that were taken at once; the sender's form has them."""

    session: Session

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


Piece: TypeAlias = tuple[Chunk, list[bytes]]
"""A chunk, and the texts that it has for one receiver.

They are in UTF-8, have no line feed and nothing that a screen should not get.
"""


class Run:
    """Messages to one receiver, accepted together.

    It is the journal's `Entry` and the receiver's `Accepted`, for all its messages.
    """

    # For what most runs never need to have another value.
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
    receiver: Receiver
    target: int
    """The receiver's number."""
    room = 0
    """How many messages have room in the queue, whoever sends them."""
    _fates: Sequence[Fate] = ()
    _block: Block | None = None

    @property
    def pieces(self) -> Sequence[Piece]:
        """Whose messages it consists of, in their order."""
        raise NotImplementedError

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
    def stored_ids(self) -> Sequence[IdRow]:
        """Nothing: no message of it can be sent again."""
        return ()

    @property
    def rows(self) -> Sequence[Row]:
        """The messages, as they are written to disk: together."""
        return (self._block_of_all,)

    @property
    def _block_of_all(self) -> Block:
        if self._block is None:
            parts = [
                Part(chunk.session.name, len(texts), b"\n".join(texts))
                for chunk, texts in self.pieces
            ]
            self._block = Block(self.first, self.receiver.name, self.time, parts)
        return self._block

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person; find out the `size`."""
        raise NotImplementedError

    def object_ends(self) -> Sequence[str] | None:
        """Nothing is at hand: programs are shown the messages of the `rows`."""
        return None

    def written(self) -> None:
        """Nothing was made that is kept."""

    def sizes(self) -> Iterable[int]:
        """Return how many bytes of text each message has."""
        return chain.from_iterable(map(len, texts) for _, texts in self.pieces)

    def measure(self) -> int:
        """Find out the exact `size`; return by how much it was counted too large."""
        counted, self.size = self.size, sum(self.sizes())
        return counted - self.size

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
        messages = iter(self._block_of_all.messages())
        receipts = iter([each for fate in self._fates for each in fate.receipts()])
        for chunk, texts in self.pieces:
            for _ in texts:
                receipt = next(receipts, SILENT)
                parts.append(self.part(chunk, next(messages), receipt))
            self._leave_out(chunk, texts)
        return parts

    def part(self, chunk: Chunk, message: Message, receipt: Receipt) -> Acceptance:
        """Return what stands for one of its messages from now on."""
        part = Acceptance(chunk.session, self.receiver, message, receipt)
        part.shown = self.shown
        part.under_way = self.under_way
        return part

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
        if refusal is not None and self.delivered:
            self.receiver.unstored_run(self)
            return
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

    def arrived(self) -> None:
        """Take note that a connection had it before anything was kept of it."""
        self._count_out()

    def _leave_out(self, chunk: Chunk, texts: Sequence[bytes]) -> None:
        """Leave it to the session of a chunk to count these texts out one by one."""
        raise NotImplementedError

    def _count_out(self) -> None:
        """Count out what is on disk, or has been delivered."""
        raise NotImplementedError
