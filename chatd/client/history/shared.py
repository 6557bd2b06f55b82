"""A history that is used and not owned: by commands that are soon over.

A chat that runs may own it, and any number of such commands may use it at once: each
transaction is short, and waits for the others.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from chatd.client.history.file import configure, in_plain_words, prepare
from chatd.client.history.index import catch_up
from chatd.client.history.rows import Kept, insert, with_id
from chatd.store.migrations import transaction
from chatd.wire.message import Message
from chatd.wire.names import Name, name_key

WAIT_SECONDS: Final = 30
"""How long a transaction may wait for those of others."""

_RANKS: Final = {"waiting": 1, "stored": 2, "delivered": 3}
"""Statuses only rise; any other is below."""

_WAITING: Final = "SELECT sender FROM messages WHERE status = 'waiting' AND server = ?"
_RAISE: Final = "UPDATE messages SET status = ? WHERE position = ?"


class AnotherText(Exception):
    """An id was used for another text; `earlier` is the message that has it."""

    def __init__(self, earlier: Kept) -> None:
        super().__init__(f"the id {earlier.id} was used for another text")
        self.earlier = earlier


class SharedHistory:
    """A history in use, as far as one server is concerned.

    Its methods block, for `WAIT_SECONDS` at most, and raise `HistoryError`. `notes` are
    lines for the person, on what was done to the file when it was opened.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, server: str, notes: list[str]
    ) -> None:
        self._path = path
        self._connection = connection
        self._server = server
        self.notes = notes

    def earlier(self, sender: str, message_id: str, receiver: str) -> Kept | None:
        """Return the message that was sent under an id; spelling does not matter."""
        with in_plain_words(self._path):
            return self._earlier(sender, message_id, receiver)

    def waiting(self, sender: Name) -> int:
        """Return how many messages of somebody are in the outbox."""
        with in_plain_words(self._path):
            found = self._connection.execute(_WAITING, (self._server,)).fetchall()
        return sum(name_key(name) == sender.key for (name,) in found)

    def append(self, messages: Sequence[Message], status: str) -> int:
        """Keep messages that were sent, all or none; return how many are new.

        With the status ``waiting`` they are in the outbox: a chat that runs, or the
        next, sends them. Of one that is there already the status rises, if it does.
        All is on disk afterwards. Raises `AnotherText`.
        """
        with in_plain_words(self._path), transaction(self._connection):
            new = sum(self._append(each, status) for each in messages)
        # Where no other program ever runs, this one has to do it. All can be found
        # without it.
        with suppress(sqlite3.Error):
            catch_up(self._connection)
        return new

    def _append(self, message: Message, status: str) -> bool:
        earlier = self._earlier(message.sender, message.id, message.target)
        if earlier is None:
            insert(self._connection, self._server, message, "sent", status)
            return True
        if earlier.text != message.text:
            raise AnotherText(earlier)
        if _RANKS.get(status, 0) > _RANKS.get(earlier.status, 0):
            self._connection.execute(_RAISE, (status, earlier.position))
        return False

    def _earlier(self, sender: str, message_id: str, receiver: str) -> Kept | None:
        key = name_key(receiver)
        found = with_id(self._connection, self._server, sender, message_id)
        return next((each for each in found if name_key(each.receiver) == key), None)


@contextmanager
def sharing(path: Path, user: Name, server: str) -> Iterator[SharedHistory]:
    """Make the history at `path` ready, and use it without owning it.

    `server` is as the history has it: host and port. Raises `HistoryError`.
    """
    notes = prepare(path, user)
    path = Path(os.path.realpath(path))
    with in_plain_words(path):
        uri = f"{path.as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # it may be a thread's that does nothing else
        )
    with closing(connection):
        with in_plain_words(path):
            configure(connection)
            connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
        yield SharedHistory(path, connection, server, notes)
