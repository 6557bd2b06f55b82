"""Keyed runs: messages that have ids of their senders', taken and accepted together.

What tells them from other runs (`chatd.hub.run`): their senders are told of each
message, once it is delivered or stored, and whoever sends one of them again must be
known to. What a sender has used is one entry for a whole chunk (`resends.Series`): its
ids rise, so that one of them is found without an entry for each.
"""

from collections.abc import Sequence
from itertools import count
from typing import Protocol, cast

from chatd.hub.acceptance import Acceptance, Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.resends import Part, SenderIds, Series, digest
from chatd.hub.run import Chunk, Run, leave_out
from chatd.store.records import IdRow
from chatd.wire import block
from chatd.wire.answers import Refusal


class KeyedChunk(Chunk, Protocol):
    """A chunk of messages that have ids."""

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

    _object_ends: list[str] | None = None

    @property
    def _keyed(self) -> "list[tuple[KeyedChunk, Part]]":
        return cast("list[tuple[KeyedChunk, Part]]", self.pieces)

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
        if any(each.as_lines for each in self.receiver.deliveries):
            return super().compose()
        self.measure()
        return b""

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
            # From now on its session counts them out one by one.
            leave_out(chunk, texts)
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
