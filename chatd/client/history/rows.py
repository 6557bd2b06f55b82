"""The rows of a history: what is known of a message, and how it is written.

Functions on a connection, for whoever has one, within the caller's transaction.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chatd.client.history.times import milliseconds_or_none, timestamp
from chatd.wire.message import Message
from chatd.wire.names import name_key

COLUMNS: Final = (
    "position, sender, receiver, message, timestamp, direction, status, id, server"
)
"""What a `Kept` is made of, in its order."""

_INSERT: Final = (
    "INSERT INTO messages"
    " (sender, receiver, message, timestamp, server, id, direction, status, shown)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (server, sender, id, receiver) DO NOTHING"
)
_SENDERS: Final = (
    # The index is entered once for each of them: there may be a million messages.
    "WITH RECURSIVE senders (name) AS ("
    " SELECT MIN(sender) FROM messages WHERE server = ?1"
    " UNION ALL SELECT (SELECT MIN(sender) FROM messages"
    " WHERE server = ?1 AND sender > name) FROM senders WHERE name IS NOT NULL)"
    " SELECT name FROM senders WHERE name IS NOT NULL"
)
_BY_ID: Final = (
    f"SELECT {COLUMNS} FROM messages WHERE server = ? AND sender = ? AND id = ?"
    " ORDER BY position"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as the history has it.

    `position` rises with the order in which they were kept; `time` is in milliseconds
    since 1970-01-01 UTC, 0 if it cannot be read; `direction` is ``sent`` or
    ``received``; `server` is as it was connected to, empty in what the original program
    has left.
    """

    position: int
    sender: str
    receiver: str
    text: str
    time: int
    direction: str
    status: str
    id: str
    server: str


def kept(row: tuple[int, str, str, str, str, str, str, str, str]) -> Kept:
    """Return what a row of `COLUMNS` says."""
    position, sender, receiver, text, time, *others = row
    when = milliseconds_or_none(time) or 0
    return Kept(position, sender, receiver, text, when, *others)


def insert(
    connection: sqlite3.Connection,
    server: str,
    message: Message,
    direction: str,
    status: str,
    *,
    shown: bool = True,
) -> int | None:
    """Write a message; return its position, or None if one with its key is there.

    The key is server, sender, id and receiver.
    """
    inserted = connection.execute(
        _INSERT,
        (
            message.sender,
            message.target,
            message.text,
            timestamp(message.time),
            server,
            message.id,
            direction,
            status,
            shown,
        ),
    )
    return inserted.lastrowid if inserted.rowcount else None


def with_id(
    connection: sqlite3.Connection, server: str, sender: str, message_id: str
) -> Iterator[Kept]:
    """Return what somebody, however spelt, has sent under an id, one a receiver."""
    key = name_key(sender)
    for (name,) in connection.execute(_SENDERS, (server,)).fetchall():
        if name_key(name) == key:
            yield from map(kept, connection.execute(_BY_ID, (server, name, message_id)))
