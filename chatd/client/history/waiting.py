"""The rows of the outbox: what waits to be sent, whoever has put it there.

For a thread that writes a history, and knows what it has put there itself.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from chatd.client.history.index import highest_position
from chatd.client.history.times import milliseconds_or_none
from chatd.store.migrations import transaction
from chatd.wire.message import Message

COLUMNS: Final = "position, id, sender, receiver, message, timestamp"
"""What `messages_of` makes messages of."""

_WAITING: Final = (
    f"SELECT {COLUMNS} FROM messages"
    " WHERE status = 'waiting' AND server = ? ORDER BY position"
)
_ARRIVED: Final = (
    f"SELECT {COLUMNS} FROM messages"
    " WHERE status = 'waiting' AND server = ? AND position > ? ORDER BY position"
)


def messages_of(rows: Iterable[tuple[int, str, str, str, str, str]]) -> list[Message]:
    """Return messages of rows; their positions are their places in the history."""
    return [
        Message(place, id, sender, receiver, text, milliseconds_or_none(when) or 0, 0)
        for place, id, sender, receiver, text, when in rows
    ]


class WaitingRows:
    """What one server's outbox has, and what others have put there."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._version: int | None = None
        self._upto = 0
        self.own: set[str] = set()
        """The ids of what this program has put there since it was last looked at."""

    def load(self, connection: sqlite3.Connection) -> list[Message]:
        """Return all that is waiting."""
        with transaction(connection, "DEFERRED"):
            self._look(connection)
            return messages_of(connection.execute(_WAITING, (self._server,)))

    def arrived(self, connection: sqlite3.Connection) -> list[Message]:
        """Return what is waiting that others have put there since the last time."""
        before, own = (self._version, self._upto), set(self.own)
        with transaction(connection, "DEFERRED"):
            self._look(connection)
            if before[0] in (None, self._version):
                return []
            found = messages_of(connection.execute(_ARRIVED, (self._server, before[1])))
        return [each for each in found if each.id not in own]

    def _look(self, connection: sqlite3.Connection) -> None:
        # In this order: the version is then that of the file as it is read from here.
        self._upto = highest_position(connection)
        (self._version,) = connection.execute("PRAGMA data_version").fetchone()
        self.own.clear()
