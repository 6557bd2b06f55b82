"""The history: every message sent or received, on disk before anything is said of it.

One thread writes. What is to be kept while it writes forms the next transaction, so
that a burst of messages costs a few commits and not one each; the answers come in the
order of the calls.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from chatd.client.historyfile import OpenedHistory, configure, timestamp
from chatd.store.migrations import transaction
from chatd.wire.message import Message

_INSERT: Final = (
    "INSERT INTO messages"
    " (sender, receiver, message, timestamp, server, id, direction, status)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server, sender, id, receiver) DO "
)
_RECEIVED: Final = _INSERT + "NOTHING"
# A message to oneself may have been received before it was said to be stored.
_SENT: Final = _INSERT + "UPDATE SET status = excluded.status WHERE direction = 'sent'"
_EARLIER: Final = (
    "SELECT position, direction, message FROM messages"
    " WHERE server = ? AND sender = ? AND id = ? AND receiver = ?"
)
_DELIVERED: Final = (
    "UPDATE messages SET status = 'delivered' WHERE server = ? AND sender = ?"
    " AND id = ? AND receiver = ? AND direction = 'sent'"
)


@dataclass(slots=True)
class _Change:
    """Something to be done in the next transaction, and who waits for it."""

    make: Callable[[sqlite3.Connection], bool]
    done: Deferred[bool]


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

    def received(self, message: Message) -> Deferred[bool]:
        """Keep a message; return whether it is to be shown.

        It is not if it came a second time since the history was opened. One that was
        kept earlier may not have been shown then, and is.
        """
        row = self._row(message, "received", "received")
        key = (self._server, message.sender, message.id, message.target)

        def keep(connection: sqlite3.Connection) -> bool:
            if connection.execute(_RECEIVED, row).rowcount:
                return True
            position, direction, text = connection.execute(_EARLIER, key).fetchone()
            again = direction == "received" and text == message.text
            return not (again and position > self._opened.last)

        return self._do(keep)

    def sent(self, message: Message, status: str) -> Deferred[bool]:
        """Keep a message that the server has accepted; True."""
        row = self._row(message, "sent", status)
        return self._do(lambda connection: bool(connection.execute(_SENT, row)))

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

    def _row(self, message: Message, direction: str, status: str) -> tuple[Any, ...]:
        return (
            message.sender,
            message.target,
            message.text,
            timestamp(message.time),
            self._server,
            message.id,
            direction,
            status,
        )

    def _do(self, make: Callable[[sqlite3.Connection], bool]) -> Deferred[bool]:
        change = _Change(make, Deferred())
        self._next.append(change)
        self._write()
        return change.done

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

        def written(results: list[bool]) -> None:
            for change, result in zip(changes, results, strict=True):
                change.done.callback(result)

        def failed(failure: Failure) -> None:
            for change in changes:
                change.done.errback(failure)

        def go_on(result: object) -> None:
            self._writing = False
            self._write()

        outcome = cast(
            "Deferred[list[bool]]", self._pool.runWithConnection(_make, changes)
        )
        _ = outcome.addCallbacks(written, failed).addBoth(go_on)


def _make(pooled: adbapi.Connection, changes: list[_Change]) -> list[bool]:
    # Runs in the thread that writes.
    connection = cast(sqlite3.Connection, pooled)
    with transaction(connection):
        return [change.make(connection) for change in changes]
