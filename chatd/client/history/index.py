"""The index for searches in a history: how it is filled, and asked.

It has the pieces of each message's words. A word is in a message only if all pieces of
three of its characters are, and one of fewer only if it begins one of them: words end
in pieces of two and of one. Characters that the tokenizer would take for the end of a
piece stand in it as one and the same. So the index names all messages that have a word,
and some that have not.

What is written here is relied on by histories that exist: other pieces need a
migration that empties the index.
"""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from chatd.client.history.folding import fold
from chatd.store.migrations import transaction

AT_ONCE: Final = 256
"""How many messages are put into the index by one transaction, if they are short."""

SIZE_AT_ONCE: Final = 64 * 1024
"""After how many characters a transaction puts no other message into the index.

Others wait for it, those who keep messages among them.
"""

PIECE: Final = 3
"""How many characters a piece has, but at the end of words."""

_MOST_PIECES: Final = 24

# What the tokenizer would divide at, but for what words are divided at.
_DIVIDES: Final = re.compile(r"[^a-z0-9\x80-\U0010ffff\s]")
_STAND_IN: Final = "\u00b7"

_UPTO: Final = "SELECT upto FROM messages_searchable"
_CHANGED: Final = "SELECT position, indexed FROM messages_changed LIMIT ?"
_NEXT: Final = (
    "SELECT position, message FROM messages WHERE position > ? ORDER BY position"
    " LIMIT ?"
)
_ADD: Final = "INSERT INTO messages_search (rowid, pieces) VALUES (?, ?)"
_REMOVE: Final = (
    "INSERT INTO messages_search (messages_search, rowid, pieces)"
    " VALUES ('delete', ?, ?)"
)


def has_index(connection: sqlite3.Connection) -> bool:
    """Whether a history has the index: older ones have not."""
    query = "SELECT 1 FROM sqlite_schema WHERE name = 'messages_searchable'"
    return connection.execute(query).fetchone() is not None


def indexed_upto(connection: sqlite3.Connection) -> int:
    """Return the highest position that the index knows of."""
    (upto,) = connection.execute(_UPTO).fetchone()
    return int(upto)


def highest_position(connection: sqlite3.Connection) -> int:
    """Return the position of the last message, or 0."""
    query = "SELECT COALESCE(MAX(position), 0) FROM messages"
    (highest,) = connection.execute(query).fetchone()
    return int(highest)


def is_behind(connection: sqlite3.Connection) -> bool:
    """Whether there is enough to be done for the index.

    Many messages that are not in it are; so is one that was changed, or deleted,
    perhaps to be forgotten.
    """
    if highest_position(connection) - indexed_upto(connection) >= AT_ONCE:
        return True
    query = "SELECT EXISTS (SELECT 1 FROM messages_changed)"
    return bool(connection.execute(query).fetchone()[0])


def catch_up(connection: sqlite3.Connection) -> bool:
    """Put some messages into the index, if `is_behind`; whether it still is.

    In a transaction of its own. The connection's isolation_level must be None.
    """
    if not is_behind(connection):
        return False
    with transaction(connection):
        take_changes(connection)
        after = indexed_upto(connection)
        new = _some(connection.execute(_NEXT, (after, AT_ONCE)).fetchall())
        _add(connection, new)
        if new:
            upto = (new[-1][0],)
            connection.execute("UPDATE messages_searchable SET upto = ?", upto)
    return is_behind(connection)


def take_changes(connection: sqlite3.Connection) -> None:
    """Put into the index what was changed in messages that it knows, or much of it."""
    size = 0
    for position, indexed in connection.execute(_CHANGED, (AT_ONCE,)).fetchall():
        if size >= SIZE_AT_ONCE:
            break
        if indexed is not None:
            connection.execute(_REMOVE, (position, pieces(indexed)))
            size += len(indexed)
        query = "SELECT position, message FROM messages WHERE position = ?"
        rows = connection.execute(query, (position,)).fetchall()
        _add(connection, rows)
        size += sum(len(text) for _, text in rows)
        delete = "DELETE FROM messages_changed WHERE position = ?"
        connection.execute(delete, (position,))


def expression(words: Iterable[str]) -> str:
    """Return what to ask the index for, to get all messages with these folded words."""
    asked = [piece for word in words for piece in _asked(_DIVIDES.sub(_STAND_IN, word))]
    return " AND ".join(dict.fromkeys(asked[:_MOST_PIECES]))


def pieces(text: str) -> str:
    """Return what the index has of a text."""
    words = _DIVIDES.sub(_STAND_IN, fold(text)).split()
    return " ".join(
        {word[at : at + PIECE] for word in words for at in range(len(word))}
    )


def _asked(word: str) -> list[str]:
    if len(word) < PIECE:
        return [f'"{word}"*']
    last = len(word) - PIECE
    return [f'"{word[at : at + PIECE]}"' for at in (*range(0, last, PIECE), last)]


def _some(rows: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the first messages, one at least, up to `SIZE_AT_ONCE`."""
    some, size = [], 0
    for position, text in rows:
        some.append((position, text))
        size += len(text)
        if size >= SIZE_AT_ONCE:
            break
    return some


def _add(connection: sqlite3.Connection, rows: Sequence[tuple[int, str]]) -> None:
    connection.executemany(_ADD, ((place, pieces(text)) for place, text in rows))
