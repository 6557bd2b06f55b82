"""Blocks: messages to one receiver that stay together, as bytes.

What people send in quantity is short and alike. An object for each of them, a row, a
decoding, all that costs many times what the message itself does. Messages that were
accepted together need none of it as long as they go to people: their texts lie one
behind the other, and to show them is to replace what lies between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple, TypeAlias

from chatd.wire.message import Message


class Part(NamedTuple):
    """What one sender has of a block: texts in UTF-8, with a line feed between.

    None has a line feed itself, nor anything that a screen should not get. So are the
    `ids`, where the messages have ids of their own.
    """

    sender: str
    messages: int
    texts: bytes
    ids: str = ""

    @property
    def size(self) -> int:
        """The bytes of the texts."""
        return len(self.texts) - self.messages + 1

    def cut(self, count: int) -> tuple["Part", "Part"]:
        """Return the first messages, and the others: there are some of both."""
        *_, rest = self.texts.split(b"\n", count)
        head = self.texts[: -len(rest) - 1]
        ids = self.ids.split("\n") if self.ids else []
        head_ids, rest_ids = "\n".join(ids[:count]), "\n".join(ids[count:])
        return (
            Part(self.sender, count, head, head_ids),
            Part(self.sender, self.messages - count, rest, rest_ids),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Messages with consecutive positions and one time; all have own ids, or none.

    `first` is the position of the first one, `target` and `time` as in `Message`.
    """

    first: int
    target: str
    time: int
    parts: Sequence[Part]

    @property
    def count(self) -> int:
        """How many messages it is."""
        return sum(part.messages for part in self.parts)

    @property
    def last(self) -> int:
        """The position of the last message."""
        return self.first + self.count - 1

    @property
    def size(self) -> int:
        """The bytes of all texts."""
        return sum(part.size for part in self.parts)

    @property
    def weight(self) -> int:
        """What it may take on a text connection, as in `Message`."""
        return self.size

    def messages(self) -> list[Message]:
        """Return each message by itself."""
        position, messages = self.first, []
        for sender, count, texts, ids in self.parts:
            known_by = ids.split("\n") if ids else repeat("", count)
            for text, id in zip(texts.split(b"\n"), known_by, strict=True):
                messages.append(
                    Message(
                        position,
                        id,
                        sender,
                        self.target,
                        text.decode(),
                        self.time,
                        len(text),
                    )
                )
                position += 1
        return messages

    def cut(self, count: int) -> tuple["Block", "Block"]:
        """Return the first messages, and the others: there are some of both."""
        head: list[Part] = []
        tail = list(self.parts)
        left = count
        while left:
            part = tail.pop(0)
            if part.messages > left:
                part, rest = part.cut(left)
                tail.insert(0, rest)
            head.append(part)
            left -= part.messages
        return (
            Block(self.first, self.target, self.time, head),
            Block(self.first + count, self.target, self.time, tail),
        )

    def after(self, position: int) -> "Block":
        """Return the messages behind a position, of which there is one at least."""
        if position < self.first:
            return self
        return self.cut(position - self.first + 1)[1]

    def upto(self, position: int) -> "Block":
        """Return the messages up to a position, of which there is one at least."""
        if position >= self.last:
            return self
        return self.cut(position - self.first + 1)[0]

    def beginning(self, size: int) -> "Block":
        """Return the first messages, as many as have some `size` bytes; one at least.

        It is as many whole messages as fit, or the first one.
        """
        count = 0
        for part in self.parts:
            if len(part.texts) > size:
                count += part.texts.count(b"\n", 0, max(0, size) + 1)
                break
            count += part.messages
            size -= len(part.texts)
        return self.upto(self.first + max(count, 1) - 1)

    def pieces(self, size: int) -> list["Block"]:
        """Return blocks that are it together, of some `size` bytes each."""
        pieces: list[Block] = []
        rest = self
        while True:
            piece = rest.beginning(size)
            pieces.append(piece)
            if piece is rest:
                return pieces
            rest = rest.after(piece.last)


Row: TypeAlias = Message | Block
"""What a queue consists of."""


def each_message(rows: Iterable[Row]) -> list[Message]:
    """Return each message of rows by itself."""
    messages: list[Message] = []
    for row in rows:
        if isinstance(row, Block):
            messages += row.messages()
        else:
            messages.append(row)
    return messages


def page_of(
    rows: Iterable[Row], after: int, max_bytes: int, most: int, *, as_lines: bool
) -> list[Row]:
    """Return the first of the rows, behind a position.

    A page ends with the message that brings its weight to `max_bytes`, or after `most`
    messages. Where they become lines a block counts as one, whatever it has, and is not
    divided but for its bytes.
    """
    page: list[Row] = []
    for each in rows:
        row = each
        if isinstance(row, Block):
            row = row.after(after)
            if row.weight > max_bytes:
                if page:
                    break
                row = row.beginning(max_bytes)
            if not as_lines:
                row = row.upto(row.first + most - 1)
        page.append(row)
        most -= 1 if as_lines else row.count
        max_bytes -= row.weight
        # Behind what was divided its rest comes first.
        if max_bytes <= 0 or most <= 0 or row.last < each.last:
            break
    return page
