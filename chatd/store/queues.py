"""Queues, as rows: what is added to them, read from them and taken away.

Messages that were accepted together are one row, as long as they go together, others
one each; the order is that of their positions, over both kinds. All functions run in
whatever thread holds the connection, and raise `sqlite3.Error`.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final

from chatd.store.records import Amount, Removed
from chatd.store.statements import sql
from chatd.wire.block import Block, Part, Row, page_of
from chatd.wire.message import Message

PAGE_MESSAGES = 250
"""Few, since nobody else has a turn while they are written."""

ROW_BYTES: Final = 64 * 1024
"""What one row may have of messages that are kept together.

A row is read, and written when some of it is taken away, as a whole.
"""

_last = attrgetter("last")


def page(
    connection: sqlite3.Connection,
    target: int,
    target_name: str,
    after: int,
    max_bytes: int,
    as_lines: bool = False,
) -> list[Row]:
    """Return the next messages of a queue, in order; empty if there are none.

    A page ends after `PAGE_MESSAGES`, or with the message that brings its weight
    to `max_bytes`, whichever comes first. Where they are to become lines, those that
    are kept together count as one.
    """
    values = (target, after, PAGE_MESSAGES)
    with (
        closing(connection.execute(sql("page"), values)) as messages,
        closing(connection.execute(sql("page_of_runs"), values)) as runs,
    ):
        rows = merge(
            _messages(messages, target_name), _runs(runs, target_name), key=_last
        )
        return page_of(rows, after, max_bytes, PAGE_MESSAGES, as_lines=as_lines)


def _messages(cursor: sqlite3.Cursor, target: str) -> Iterator[Row]:
    for position, id, sender, text, time, size in cursor:
        yield Message(position, id or "", sender, target, text, time, size)


def _runs(cursor: sqlite3.Cursor, target: str) -> Iterator[Row]:
    for first, time, senders, texts, ids in cursor:
        yield Block(first, target, time, _parts(senders, texts, ids))


def append(connection: sqlite3.Connection, rows: Sequence[tuple[int, Row]]) -> None:
    """Add what was accepted, and count it in: pairs of the receiver's id and that."""
    messages, runs = [], []
    added: defaultdict[int, defaultdict[str, Amount]]
    added = defaultdict(lambda: defaultdict(Amount))
    for target, row in rows:
        if isinstance(row, Message):
            added[target][row.sender].add(1, row.size)
            messages.append(
                (
                    row.position,
                    row.id or None,
                    row.sender,
                    target,
                    row.text,
                    row.time,
                    row.size,
                )
            )
            continue
        for part in row.parts:
            added[target][part.sender].add(part.messages, part.size)
        for each in row.pieces(ROW_BYTES):
            runs.append((each.last, each.first, target, each.time, *_values(each)))
    connection.executemany(sql("append"), messages)
    connection.executemany(sql("append_run"), runs)
    for target, shares in added.items():
        _change_queue(connection, target, _by_sender(shares), 1)


def remove(connection: sqlite3.Connection, target: int, upto: int) -> Sequence[Removed]:
    """Take what is up to a position from a queue; return what that was, by sender."""
    taken: defaultdict[str, Amount] = defaultdict(Amount)
    rows = connection.execute(sql("delivered_by_sender"), (target, upto)).fetchall()
    for sender, messages, size in rows:
        taken[sender].add(messages, size)
    if rows:
        connection.execute(sql("remove"), (target, upto))
    whole = connection.execute(sql("delivered_runs"), (target, upto)).fetchall()
    for (senders,) in whole:
        for sender, messages, size in _shares(senders):
            taken[sender].add(messages, size)
    if whole:
        connection.execute(sql("remove_runs"), (target, upto))
    for part in _shorten(connection, target, upto):
        taken[part.sender].add(part.messages, part.size)
    removed = _by_sender(taken)
    if removed:
        _change_queue(connection, target, removed, -1)
        connection.executemany(
            sql("drop_empty_shares"), [(target, each.sender) for each in removed]
        )
    return removed


def _shorten(connection: sqlite3.Connection, target: int, upto: int) -> Sequence[Part]:
    """Take the first messages from a row of which others still wait, if there is one.

    Those that go as a whole are gone.
    """
    row = connection.execute(sql("page_of_runs"), (target, upto, 1)).fetchone()
    if row is None or row[0] > upto:
        return ()
    first, time, *values = row
    gone, rest = Block(first, "", time, _parts(*values)).cut(upto - first + 1)
    connection.execute(sql("change_run"), (rest.first, *_values(rest), rest.last))
    return gone.parts


def _values(block: Block) -> tuple[str, bytes, str | None]:
    """Return a block's messages as three columns have them."""
    senders = [f"{part.sender} {part.messages} {part.size}" for part in block.parts]
    ids = "\n".join([part.ids for part in block.parts if part.ids])
    texts = b"\n".join([part.texts for part in block.parts])
    return "\n".join(senders), texts, ids or None


def _shares(senders: str) -> Iterator[tuple[str, int, int]]:
    for line in senders.split("\n"):
        sender, messages, size = line.split(" ")
        yield sender, int(messages), int(size)


def _parts(senders: str, texts: bytes, ids: str | None) -> list[Part]:
    parts, begin = [], 0
    left = iter(ids.split("\n") if ids else ())
    for sender, messages, size in _shares(senders):
        end = begin + size + messages - 1
        own = "\n".join(islice(left, messages))
        parts.append(Part(sender, messages, texts[begin:end], own))
        begin = end + 1
    return parts


def _by_sender(shares: Mapping[str, Amount]) -> list[Removed]:
    return [
        Removed(sender, share.messages, share.bytes) for sender, share in shares.items()
    ]


def _change_queue(
    connection: sqlite3.Connection, target: int, changes: Iterable[Removed], sign: int
) -> None:
    """Bring the kept figures of a queue in step with its rows."""
    rows = [
        (sign * each.messages, sign * each.size, target, each.sender)
        for each in changes
    ]
    messages = sum(row[0] for row in rows)
    size = sum(row[1] for row in rows)
    connection.execute(sql("change_queue"), (messages, size, target))
    connection.executemany(sql("change_share"), rows)
