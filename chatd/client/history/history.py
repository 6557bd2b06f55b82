"""The history: every message sent or received, on disk before anything is said of it.

One thread writes. What is to be kept while it writes forms the next transaction, so
that a burst of messages costs a few commits and not one each; the answers come in the
order of the calls. While there is nothing to be kept, it puts into the index what is
not there yet, a part at a time. Another thread searches meanwhile.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFromThreads,
    IReactorTime,
)

from chatd.client.history.batches import Batches
from chatd.client.history.file import OpenedHistory, configure
from chatd.client.history.index import catch_up
from chatd.client.history.rows import Kept, insert
from chatd.client.history.search import (
    EVERYTHING,
    Found,
    Wanted,
    correspondents,
    find,
    recent,
)
from chatd.client.history.waiting import WaitingRows, messages_of
from chatd.store.migrations import transaction
from chatd.wire.message import Message

T = TypeVar("T")

INDEX_SECONDS: Final = 0.05
"""The pause before some messages are put into the index: others have the processor."""

_EARLIER: Final = (
    "SELECT position, direction, message FROM messages"
    " WHERE server = ? AND sender = ? AND id = ? AND receiver = ?"
)
_IN_THE_WAY: Final = (
    # Not by UPDATE OR REPLACE, which no trigger would notice.
    "DELETE FROM messages WHERE server = ?1 AND sender = ?2 AND id = ?3"
    " AND receiver = ?4 AND EXISTS (SELECT 1 FROM messages AS settled"
    " WHERE settled.status = 'waiting' AND settled.server = ?1 AND settled.id = ?3"
    " AND settled.receiver = ?5 AND settled.position <> messages.position)"
)
_SETTLE: Final = (
    "UPDATE messages SET status = ?, sender = ?, receiver = ?"
    " WHERE server = ? AND id = ? AND receiver = ? AND status = 'waiting'"
)
_NOT_SHOWN: Final = (
    "SELECT position, id, sender, receiver, message, timestamp FROM messages"
    " WHERE shown = 0 AND server = ? ORDER BY position"
)
_SHOWN: Final = (
    "UPDATE messages SET shown = 1 WHERE shown = 0 AND server = ? AND position <= ?"
)
_DELIVERED: Final = (
    "UPDATE messages SET status = 'delivered' WHERE server = ? AND sender = ?"
    " AND id = ? AND receiver = ? AND direction = 'sent'"
)


_Change = Callable[[sqlite3.Connection], Any]


class History:
    """The history of an opened file, as far as one server is concerned.

    All methods are called in the reactor's thread, and the Deferreds fire there; they
    fail with `sqlite3.Error`.
    """

    def __init__(
        self, opened: OpenedHistory, reactor: IReactorFromThreads, server: str
    ) -> None:
        self._opened = opened
        self._server = server
        self._closed = False
        self._changes = Batches(self._write)
        self._clock = cast(IReactorTime, reactor)
        self._indexing: IDelayedCall | None = None
        self._searching: list[sqlite3.Connection] = []
        self._waiting_rows = WaitingRows(server)
        self._pool = _pool(opened.path, reactor, configure)
        self._readers = _pool(opened.path, reactor, self._configure_reader)
        self._index_later()

    def received(self, message: Message) -> Deferred[int]:
        """Keep a message; return its place in the history, 0 if it is not to be shown.

        It is not if it is kept already: then it was shown, or is at the next start.
        Places rise in the order of the calls.
        """
        server = self._server
        key = (self._server, message.sender, message.id, message.target)

        def keep(connection: sqlite3.Connection) -> int:
            place = insert(
                connection, server, message, "received", "received", shown=False
            )
            if place is not None:
                return place
            earlier = connection.execute(_EARLIER, key).fetchone()
            place, direction, text = cast(tuple[int, str, str], earlier)
            # One to oneself is kept as sent.
            again = direction == "received" and text == message.text
            return 0 if again else place

        return self._do(keep)

    def shown(self, upto: int) -> Deferred[bool]:
        """Keep that what was received up to a place has been shown; True."""
        key = (self._server, upto)
        return self._do(lambda connection: bool(connection.execute(_SHOWN, key)))

    def not_shown(self) -> Deferred[list[Message]]:
        """Return what was kept by an earlier run, and perhaps not shown by it.

        The positions of messages are their places in the history.
        """
        return self._find(_NOT_SHOWN)

    def queue(self, message: Message) -> Deferred[bool]:
        """Keep a message that is to be sent; True."""
        server, rows = self._server, self._waiting_rows

        def keep(connection: sqlite3.Connection) -> bool:
            insert(connection, server, message, "sent", "waiting")
            rows.own.add(message.id)
            return True

        return self._do(keep)

    def waiting(self) -> Deferred[list[Message]]:
        """Return what is to be sent, in the order in which it was kept."""
        return self._in_thread(self._pool, self._waiting_rows.load)

    def arrived(self) -> Deferred[list[Message]]:
        """Return what other programs have left to be sent since `waiting`; each once.

        It costs next to nothing if no other program has written anything.
        """
        return self._in_thread(self._pool, self._waiting_rows.arrived)

    def recent(
        self, wanted: Wanted = EVERYTHING, last: int = 50
    ) -> Deferred[list[Kept]]:
        """Return the last messages, as `chatd.client.history.search.recent` does."""
        return self._in_thread(
            self._readers, lambda connection: recent(connection, wanted, last=last)
        )

    def search(
        self, words: str, wanted: Wanted = EVERYTHING, last: int = 50
    ) -> Deferred[list[Found]]:
        """Return the last messages with some words, as `search.find` does.

        Nothing that is to be kept waits for it.
        """
        return self._in_thread(
            self._readers, lambda connection: find(connection, words, wanted, last=last)
        )

    def correspondents(self, limit: int) -> Deferred[list[str]]:
        """Return with whom one talked on this server, the last first."""
        server = self._server
        return self._in_thread(
            self._readers, lambda connection: correspondents(connection, limit, server)
        )

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        """Keep that the server has accepted a message; True.

        `sender` and `receiver` are the names as the server shows them.
        """
        return self._settle(message, status, sender, receiver)

    def refused(self, message: Message) -> Deferred[bool]:
        """Keep that the server has refused a message for good; True."""
        return self._settle(message, "refused", message.sender, message.target)

    def _settle(
        self, message: Message, status: str, sender: str, receiver: str
    ) -> Deferred[bool]:
        key = (self._server, sender, message.id, receiver, message.target)
        row = (status, sender, receiver, self._server, message.id, message.target)

        def settle(connection: sqlite3.Connection) -> bool:
            connection.execute(_IN_THE_WAY, key)
            connection.execute(_SETTLE, row)
            return True

        return self._do(settle)

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        """Keep that a message sent was delivered; True."""
        key = (self._server, sender, message_id, receiver)
        return self._do(lambda connection: bool(connection.execute(_DELIVERED, key)))

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept, and said to be."""
        return self._changes.settled()

    @property
    def commits(self) -> int:
        """How many transactions there were."""
        return self._changes.written

    def close(self) -> None:
        """Close the history; blocks until what is under way is written."""
        if self._indexing is not None:
            self._indexing.cancel()
            self._indexing = None
        self._closed = True
        for connection in self._searching:
            connection.interrupt()
        self._readers.close()
        self._pool.close()
        self._opened.lock.release()

    def _find(self, query: str) -> Deferred[list[Message]]:
        server = self._server
        return self._in_thread(
            self._pool,
            lambda connection: messages_of(connection.execute(query, (server,))),
        )

    def _in_thread(
        self, pool: adbapi.ConnectionPool, work: Callable[[sqlite3.Connection], T]
    ) -> Deferred[T]:
        return cast("Deferred[T]", pool.runWithConnection(work))

    def _configure_reader(self, connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA query_only = ON")
        self._searching.append(connection)

    def _do(self, make: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        return self._changes.add(make)

    def _write(self, changes: Sequence[_Change]) -> Deferred[list[Any]]:
        """Make changes in a transaction, in the thread that writes."""

        def make(connection: sqlite3.Connection) -> list[Any]:
            with transaction(connection):
                return [change(connection) for change in changes]

        def over(result: T) -> T:
            self._index_later()
            return result

        return self._in_thread(self._pool, make).addBoth(over)

    def _index_later(self) -> None:
        """Put messages into the index soon, if there are many that are not in it."""
        if self._indexing is None and not self._closed:
            self._indexing = self._clock.callLater(INDEX_SECONDS, self._index)

    def _index(self) -> None:
        self._indexing = None

        def indexed(more: bool) -> None:
            if more:
                self._index_later()

        # It is all the same to those who search: they look through the rest.
        work = self._in_thread(self._pool, catch_up)
        _ = work.addCallbacks(indexed, lambda failure: failure.trap(sqlite3.Error))


def _pool(
    path: Path,
    reactor: IReactorFromThreads,
    prepare: Callable[[sqlite3.Connection], None],
) -> adbapi.ConnectionPool:
    """Return a pool of one thread, which is started when there is something to do."""
    pool = adbapi.ConnectionPool(
        "sqlite3",
        str(path),
        isolation_level=None,  # transactions are begun by hand
        check_same_thread=False,  # the reactor's thread closes the connection
        cp_min=0,
        cp_max=1,
        cp_openfun=prepare,
        cp_reactor=reactor,
    )
    pool.start()
    return pool
