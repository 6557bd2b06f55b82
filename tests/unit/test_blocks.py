"""Blocks: the same as the messages that they stand for, however they are divided."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from chatd.wire import text
from chatd.wire.block import Block, Part, Row, each_message, page_of
from chatd.wire.message import Message

texts = st.sampled_from(["x", "Hi there", "é", "a-b", " ", "\t", "y" * 20])
parts = st.lists(
    st.tuples(st.sampled_from(["ann", "Bén"]), st.lists(texts, min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
)


def id_of(first: int, position: int) -> str:
    """Return the id of a message in a block: each second block has some."""
    return f"id{position}" if first % 2 else ""


def block_of(first: int, senders: list[tuple[str, list[str]]]) -> Block:
    parts, position = [], first
    for sender, some in senders:
        ids = [id_of(first, at) for at in range(position, position + len(some))]
        known_by = "\n".join(ids) if any(ids) else ""
        parts.append(Part(sender, len(some), "\n".join(some).encode(), known_by))
        position += len(some)
    return Block(first, "bob", 1_795_000_000_123, parts)


blocks = st.builds(block_of, st.integers(1, 9), parts)


def messages_of(first: int, senders: list[tuple[str, list[str]]]) -> list[Message]:
    each = [(sender, text) for sender, some in senders for text in some]
    return [
        Message(
            position,
            id_of(first, position),
            sender,
            "bob",
            body,
            1_795_000_000_123,
            len(body.encode()),
        )
        for position, (sender, body) in enumerate(each, first)
    ]


@given(first=st.integers(1, 9), senders=parts)
def test_it_has_each_message_as_it_was_sent(
    first: int, senders: list[tuple[str, list[str]]]
) -> None:
    block, messages = block_of(first, senders), messages_of(first, senders)
    assert block.messages() == messages
    assert (block.first, block.last) == (messages[0].position, messages[-1].position)
    assert block.count == len(messages)
    assert block.size == block.weight == sum(each.size for each in messages)


@given(block=blocks, queued=st.booleans())
def test_its_lines_are_those_of_its_messages(block: Block, queued: bool) -> None:
    lines, lengths = text.block_lines(block, queued=queued)
    expected = [
        f"{line}\n".encode()
        for message in block.messages()
        for line in text.message_lines(message, queued=queued)
    ]
    assert lines == b"".join(expected)
    assert list(lengths) == list(map(len, expected))


@given(block=blocks, data=st.data())
def test_it_is_cut_anywhere_without_a_loss(block: Block, data: st.DataObject) -> None:
    at = data.draw(st.integers(block.first, block.last))
    head = block.upto(at)
    assert head.messages() == block.messages()[: at - block.first + 1]
    if at < block.last:
        assert block.after(at).messages() == block.messages()[at - block.first + 1 :]
    assert block.after(block.first - 1) is block


@given(block=blocks, size=st.integers(0, 60))
def test_its_pieces_are_it_together_and_no_larger_than_asked(
    block: Block, size: int
) -> None:
    pieces = block.pieces(size)
    whole = list(chain.from_iterable(piece.messages() for piece in pieces))
    assert whole == block.messages()
    assert all(piece.count == 1 or piece.size <= size for piece in pieces)


@given(
    kinds=st.lists(parts | texts, min_size=1, max_size=5),
    after=st.integers(0, 30),
    max_bytes=st.integers(1, 60),
    most=st.integers(1, 5),
    as_lines=st.booleans(),
)
def test_pages_one_after_another_are_all_that_is_behind_a_position(
    kinds: list[str | list[tuple[str, list[str]]]],
    after: int,
    max_bytes: int,
    most: int,
    as_lines: bool,
) -> None:
    rows: list[Row] = []
    position = 1
    for kind in kinds:
        if isinstance(kind, str):
            rows += messages_of(position, [("ann", [kind])])
        else:
            rows.append(block_of(position, kind))
        position = rows[-1].last + 1
    expected = [each for each in each_message(rows) if each.position > after]
    came: list[Message] = []
    while page := page_of(
        [row for row in rows if row.last > after],
        after,
        max_bytes,
        most,
        as_lines=as_lines,
    ):
        assert len(page) <= most
        messages = each_message(page)
        assert as_lines or len(messages) <= most
        # What it ends with may be too much: else nothing large would ever come.
        assert sum(row.weight for row in page[:-1]) < max_bytes
        came += messages
        after = page[-1].last
    assert came == expected
