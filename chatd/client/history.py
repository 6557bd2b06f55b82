"""The history: every message sent or received, on disk before anything is said of it.

One thread writes. What is to be kept while it writes forms the next transaction, so
that a burst of messages costs a few commits and not one each; the answers come in the
order of the calls.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from chatd.client.historyfile import OpenedHistory, configure
from chatd.client.historyrows import insert
from chatd.client.historytime import milliseconds
from chatd.store.migrations import transaction
from chatd.wire.message import Message

T = TypeVar("T")

_EARLIER: Final = (
    "SELECT position, direction, message FROM messages"
    " WHERE server = ? AND sender = ? AND id = ? AND receiver = ?"
)
_WAITING: Final = (
    "SELECT position, id, sender, receiver, message, timestamp FROM messages"
    " WHERE status = 'waiting' AND server = ? ORDER BY position"
)
_SETTLE: Final = (
    "UPDATE OR REPLACE messages SET status = ?, sender = ?, receiver = ?"
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


@dataclass(slots=True)
class _Change:
    """Something to be done in the next transaction, and who waits for it."""

    make: Callable[[sqlite3.Connection], Any]
    done: Deferred[Any]


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
        self._next: list[_Change] = []
        self._writing = False
        self._waiting: list[Deferred[None]] = []
        self.commits = 0
        """How many transactions there were."""
        self._pool = adbapi.ConnectionPool(
            "sqlite3",
            str(opened.path),
            isolation_level=None,  # transactions are begun by hand
            check_same_thread=False,  # the reactor's thread closes the connection
            cp_min=1,
            cp_max=1,
            cp_openfun=configure,
            cp_reactor=reactor,
        )
        self._pool.start()

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
        server = self._server

        def keep(connection: sqlite3.Connection) -> bool:
            insert(connection, server, message, "sent", "waiting")
            return True

        return self._do(keep)

    def waiting(self) -> Deferred[list[Message]]:
        """Return what is to be sent, in the order in which it was kept."""
        return self._find(_WAITING)

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
        row = (status, sender, receiver, self._server, message.id, message.target)
        return self._do(lambda connection: bool(connection.execute(_SETTLE, row)))

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        """Keep that a message sent was delivered; True."""
        key = (self._server, sender, message_id, receiver)
        return self._do(lambda connection: bool(connection.execute(_DELIVERED, key)))

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept, and said to be."""
        done: Deferred[None] = Deferred()
        if self._writing:
            self._waiting.append(done)
        else:
            done.callback(None)
        return done

    def close(self) -> None:
        """Close the history; blocks until what is under way is written."""
        self._pool.close()
        self._opened.lock.release()

    def _find(self, query: str) -> Deferred[list[Message]]:
        def find(pooled: adbapi.Connection) -> list[Message]:
            connection = cast(sqlite3.Connection, pooled)
            rows = connection.execute(query, (self._server,)).fetchall()
            return [
                Message(place, id, sender, receiver, text, milliseconds(when), 0)
                for place, id, sender, receiver, text, when in rows
            ]

        found = self._pool.runWithConnection(find)
        return cast("Deferred[list[Message]]", found)

    def _do(self, make: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self._next.append(_Change(make, done))
        self._write()
        return done

    def _write(self) -> None:
        if self._writing:
            return
        if not self._next:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            return
        self._writing = True
        self.commits += 1
        changes, self._next = self._next, []

        def written(results: list[Any]) -> None:
            for change, result in zip(changes, results, strict=True):
                change.done.callback(result)

        def failed(failure: Failure) -> None:
            for change in changes:
                change.done.errback(failure)

        def go_on(result: object) -> None:
            self._writing = False
            self._write()

        outcome = cast(
            "Deferred[list[Any]]", self._pool.runWithConnection(_make, changes)
        )
        _ = outcome.addCallbacks(written, failed).addBoth(go_on)


def _make(pooled: adbapi.Connection, changes: list[_Change]) -> list[Any]:
    # Runs in the thread that writes.
    connection = cast(sqlite3.Connection, pooled)
    with transaction(connection):
        return [change.make(connection) for change in changes]
