"""Keyed runs: messages that have ids of their senders', taken and accepted together.

What tells them from other runs (`chatd.hub.run`): their senders are told of each
message, once it is delivered or stored, and whoever sends one of them again must be
known to. What a sender has used is one entry for a whole chunk (`resends.Series`): its
ids rise, so that one of them is found without an entry for each.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Protocol, cast

from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.resends import Part, SenderIds, Series, digest
from chatd.hub.run import Chunk, Piece, Routes, Run
from chatd.hub.session import Session
from chatd.store.records import IdRow
from chatd.wire import block
from chatd.wire.answers import Refusal


class KeyedChunk(Chunk, Protocol):
    """A chunk of messages that have ids.

    `count` is how many messages it has, `size` how many bytes its session has counted
    in for it, and `left` how many pieces of it are not settled.
    """

    count: int
    size: int
    left: int
    ids: SenderIds
    """All that are known of the sender."""
    series: Series
    """Those of this chunk."""

    def object_ends(self, receiver: Receiver, texts: Part, time: int) -> list[str]:
        """Return lines that show messages, each from behind its number on."""

    def stored(self, receiver: Receiver, numbers: Sequence[int]) -> None:
        """Take note that messages are on disk, and will not be delivered soon."""

    def delivered(self, receiver: Receiver, numbers: Sequence[int]) -> None:
        """Take note that a receiver has messages."""

    def receipt(self, receiver: Receiver, number: int) -> Receipt:
        """Return what is to be told of one message, instead of this."""


class KeyedRun(Run):
    """Messages to one receiver that have ids, accepted together."""

    chunk: KeyedChunk | None = None
    """That of its last piece."""
    _object_ends: list[str] | None = None

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.target = receiver.id
        self._pieces: list[Piece] = []

    @property
    def pieces(self) -> Sequence[Piece]:
        """Whose messages it consists of, in their order."""
        return self._pieces

    def add(self, chunk: KeyedChunk, texts: list[bytes]) -> None:
        """Add a piece."""
        self.count += len(texts)
        self.chunk = chunk
        self._pieces.append((chunk, texts))

    def withdraw(self) -> None:
        """Take the last piece away."""
        _, texts = self._pieces.pop()
        self.count -= len(texts)
        self.chunk = self._keyed[-1][0] if self._pieces else None

    @property
    def _keyed(self) -> "list[tuple[KeyedChunk, Part]]":
        return cast("list[tuple[KeyedChunk, Part]]", self._pieces)

    def place(self, first: int, time: int) -> None:
        """Give it its positions, from the first on, and its time."""
        super().place(first, time)
        for _, texts in self._keyed:
            texts.begin(self, self.target)

    def expect(self) -> None:
        """Nothing: each message is answered, whether it is shown or not."""

    @property
    def stored_ids(self) -> Sequence[IdRow]:
        """What they are known by if they are sent again."""
        positions, target, time = count(self.first), self.target, self.time
        found: list[IdRow] = []
        for chunk, texts in self._keyed:
            sender, all_ids = chunk.session.receiver.id, chunk.series.ids
            ids = [all_ids[number] for number in texts.numbers]
            # The ids come first: what ends it takes nothing of the positions.
            rows = zip(ids, positions, map(digest, texts), strict=False)
            found += [(at, sender, id, target, sign, time) for id, at, sign in rows]
        return found

    @property
    def _block_of_all(self) -> block.Block:
        if self._block is None:
            parts = []
            for chunk, texts in self._keyed:
                ids = "\n".join([chunk.series.ids[each] for each in texts.numbers])
                joined = b"\n".join(texts)
                parts.append(block.Part(chunk.session.name, len(texts), joined, ids))
            self._block = block.Block(self.first, self.receiver.name, self.time, parts)
        return self._block

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person; find out the `size`.

        There are none if no connection of the receiver is a person's.
        """
        self.measure()
        if not any(each.as_lines for each in self.receiver.deliveries):
            return b""
        parts: list[bytes] = []
        for chunk, texts in self._pieces:
            prefix = chunk.session.prefix
            parts += (prefix, (b"\n" + prefix).join(texts), b"\n")
        return b"".join(parts)

    def object_ends(self) -> Sequence[str]:
        """Return the lines that show them to a program, each from behind its number on.

        Made once, until it is `written`.
        """
        if self._object_ends is None:
            self._object_ends = []
            for chunk, texts in self._keyed:
                self._object_ends += chunk.object_ends(self.receiver, texts, self.time)
        return self._object_ends

    def written(self) -> None:
        """Let go of what was made to be written."""
        self._object_ends = None

    def separate(self) -> Sequence[Acceptance]:
        """Take it apart: from here on each message stands for itself."""
        parts = super().separate()
        # What is known of their ids outlives it.
        self._forget_texts()
        return parts

    def _separate(self) -> Sequence[Acceptance]:
        parts: list[Acceptance] = []
        messages = iter(self._block_of_all.messages())
        for chunk, texts in self._keyed:
            chunk.ids.take_apart(chunk.series, texts)
            sender = chunk.session.receiver.id
            for number, text in zip(texts.numbers, texts, strict=True):
                receipt = chunk.receipt(self.receiver, number)
                part = self.part(chunk, next(messages), receipt)
                chunk.ids.add_accepted(part, sender, digest(text))
                parts.append(part)
            self._leave_out(chunk, texts)
        return parts

    def confirm(self) -> bool:
        """Take note that a connection of the receiver has all of it.

        Returns whether a transaction has it.
        """
        self.delivered = True
        if not self.under_way:
            self.receiver.unstored_run(self)
        self.arrived()
        return self.under_way

    def arrived(self) -> None:
        """Tell the senders that a connection has it."""
        self._settle_parts()
        for chunk, texts in self._keyed:
            chunk.delivered(self.receiver, texts.numbers)
        self._count_out()
        if not self.under_way:
            self._forget_texts()

    def settle(self, refusal: Refusal | None) -> None:
        """Tell everybody concerned that all of it is on disk, or refused."""
        if self.delivered:
            super().settle(refusal)
            self._forget_texts()
        elif refusal is not None:
            super().settle(refusal)
        else:
            self.receiver.stored_run(self)
            self._settle_parts()
            for chunk, texts in self._keyed:
                if self.receiver.online:
                    self._tell_stored(chunk, texts)
                else:
                    chunk.stored(self.receiver, texts.numbers)
            self._count_out()
            self._forget_texts()

    def _settle_parts(self) -> None:
        """Let it be found by its positions from now on."""
        position = self.first
        for chunk, texts in self._keyed:
            texts.first, texts.run = position, None
            position += len(texts)
            series = chunk.series
            series.left -= 1
            if not series.left:
                chunk.ids.settled_series()

    def _forget_texts(self) -> None:
        for _, texts in self.pieces:
            texts.clear()

    def _tell_stored(self, chunk: KeyedChunk, part: Part) -> None:
        """Tell of each message that it may be delivered after all."""
        for position, number in enumerate(part.numbers, part.first):
            receipt = chunk.receipt(self.receiver, number)
            self.receiver.tell_stored(position, chunk.session.name, receipt)

    def _leave_out(self, chunk: Chunk, texts: Sequence[bytes]) -> None:
        keyed = cast("KeyedChunk", chunk)
        keyed.size -= sum(map(len, texts))
        keyed.session.pending_messages += len(texts)
        _settle_piece(keyed, len(texts))

    def _count_out(self) -> None:
        for chunk, texts in self._keyed:
            _settle_piece(chunk, len(texts))


def _settle_piece(chunk: KeyedChunk, messages: int) -> None:
    session = chunk.session
    session.pending_messages -= messages
    chunk.left -= 1
    # The bytes are counted out with the last of them.
    if not chunk.left:
        session.settled_chunk(chunk.size)
    elif session.paused or session.interrupted:
        session.settled_chunk(0)


class KeyedBatch:
    """Messages with ids that are gathered until they are accepted."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._sessions: set[Session] = set()
        self._runs: dict[Receiver, KeyedRun] = {}
        # By what was written to send to them.
        self._by_target: dict[bytes, KeyedRun] = {}

    def takes(self, session: Session) -> bool:
        """Whether messages of a session can be gathered with the others."""
        # The answers to its chunks have an order.
        return session not in self._sessions

    def add(
        self, chunk: KeyedChunk, groups: Mapping[bytes, list[bytes]]
    ) -> bytes | None:
        """Add a chunk, whose texts are grouped by target.

        Returns the first target for which that cannot be done, or of which a text is
        empty. Then nothing is added: the messages from there on are for somebody else.
        """
        session = chunk.session
        for target, texts in groups.items():
            run = self._by_target.get(target)
            if run is None:
                receiver = self._routes(target)
                if receiver is None:
                    self._withdraw(chunk)
                    return target
                run = self._by_target[target] = self._run_for(receiver)
            if (
                run.count + len(texts) > run.room
                or run.chunk is chunk
                or b"" in texts
                or not run.receiver.backlog.knows(session.name)
            ):
                self._withdraw(chunk)
                return target
            run.add(chunk, texts)
        self._sessions.add(session)
        return None

    def close(self) -> Sequence[KeyedRun]:
        """Return what was gathered; nothing is added any more."""
        return [each for each in self._runs.values() if each.count]

    def _run_for(self, receiver: Receiver) -> KeyedRun:
        run = self._runs.get(receiver)
        if run is None:
            run = self._runs[receiver] = KeyedRun(receiver)
            run.room = receiver.backlog.unshared_room()
        return run

    def _withdraw(self, chunk: KeyedChunk) -> None:
        for run in self._runs.values():
            if run.chunk is chunk:
                run.withdraw()
