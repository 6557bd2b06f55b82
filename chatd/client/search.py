"""What ``chat history`` shows: messages of a history, found without a server."""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from chatd.client.historyfile import name_key
from chatd.wire.display import neutralise

_NOT_DELIVERED: Final = ("waiting", "stored", "refused")


def find(
    connection: sqlite3.Connection,
    *,
    correspondent: str | None = None,
    words: str | None = None,
    last: int = 50,
) -> list[str]:
    """Return the lines of the last messages, in their order.

    `correspondent` wants those to or from somebody, `words` those with each of these
    words in their text, in capitals or not.
    """
    connection.create_function("name_key", 1, _key, deterministic=True)
    connection.create_function("folded", 1, _folded, deterministic=True)
    wanted = ["TRUE"]
    values: list[str | int] = []
    if correspondent is not None:
        wanted.append("? IN (name_key(sender), name_key(receiver))")
        values.append(name_key(correspondent))
    for word in (words or "").split():
        wanted.append(r"folded(message) LIKE ? ESCAPE '\'")
        values.append(f"%{_escaped(_folded(word))}%")
    status = "status" if _has_status(connection) else "''"
    cursor = connection.execute(
        f"SELECT sender, receiver, message, timestamp, {status} FROM messages"
        f" WHERE {' AND '.join(wanted)} ORDER BY rowid DESC LIMIT ?",
        (*values, last),
    )
    with closing(cursor):
        found = cursor.fetchall()
    return [line for row in reversed(found) for line in _lines(*map(_text, row))]


def _has_status(connection: sqlite3.Connection) -> bool:
    """Whether it is known what became of messages: the original program kept none."""
    query = "SELECT 1 FROM pragma_table_info('messages') WHERE name = 'status'"
    return connection.execute(query).fetchone() is not None


def _lines(
    sender: str, receiver: str, message: str, time: str, status: str
) -> Iterator[str]:
    state = f" ({status})" if status in _NOT_DELIVERED else ""
    for part in message.split("\n"):
        yield neutralise(f"{time}  {sender} -> {receiver}{state}: {part}")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def _key(name: object) -> str:
    return name_key(_text(name))


def _folded(text: object) -> str:
    return unicodedata.normalize("NFC", _text(text)).casefold()


def _escaped(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return text
