"""The store: users and queues in SQLite, through `twisted.enterprise.adbapi`.

One thread writes, so that no write ever finds the database locked by another of ours;
two read, each on a snapshot of what was committed when its query began. A read that is
asked for after a commit was reported sees that commit.

The contract that everything above builds on: the store allots positions, and nothing
ever appears behind a position already read.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar, cast

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.store import queues, transactions
from chatd.store.opening import OpenedDatabase, configure, configure_reader
from chatd.store.records import (
    AccountChange,
    Amount,
    Batch,
    Outcome,
    Seen,
    StoreFailure,
    User,
)
from chatd.store.room import Room
from chatd.wire.block import Row

P = ParamSpec("P")
T = TypeVar("T")

READERS = 2

FORGET_AT_ONCE = 1_000
"""How many ids one transaction forgets: logins and messages wait for it."""


class Store:
    """Users and queues of an opened database.

    Messages and new names are refused once the database has `max_bytes`, or its disk
    less than `min_free` bytes; everything else still works.

    All methods are called in the reactor's thread; the Deferreds fire there. They
    fail with `StoreFailure` where the disk or the database does.
    """

    _log = Logger()

    def __init__(
        self,
        opened: OpenedDatabase,
        reactor: Any,
        *,
        max_bytes: int,
        min_free: int,
    ) -> None:
        self._opened = opened
        # Of the writer's thread.
        self._room = Room(opened.path, max_bytes, min_free)
        self.last_position = opened.last_position
        self.users = opened.users
        self.seen_last = opened.seen_last
        """Who was seen last when the database was opened, the latest first."""
        self.id_secret = opened.id_secret
        self._clock = reactor
        self._sought: list[tuple[str, Deferred[User | None]]] = []
        self._data_version: int | None = None
        self._last_change = opened.last_change
        self._writer = self._pool(reactor, 1, configure)
        self._readers = self._pool(reactor, READERS, configure_reader)

    def _pool(
        self,
        reactor: Any,
        threads: int,
        prepare: Callable[[sqlite3.Connection], None],
    ) -> adbapi.ConnectionPool:
        pool = adbapi.ConnectionPool(
            "sqlite3",
            str(self._opened.path),
            # Transactions are begun by hand, IMMEDIATE where they write.
            isolation_level=None,
            # The pool's connections are closed by the reactor's thread.
            check_same_thread=False,
            cp_min=threads,
            cp_max=threads,
            cp_openfun=prepare,
            cp_reactor=reactor,
        )
        pool.start()
        return pool

    def allot(self, messages: int = 1) -> int:
        """Return the next position: the first of as many as there are messages."""
        first = self.last_position + 1
        self.last_position += messages
        return first

    def find_user(self, key: str) -> Deferred[User | None]:
        """Return the user of that key, with the figures of its queue.

        All that are asked for in one turn of the reactor are one question to a thread:
        to ask costs more than to look up.
        """
        found: Deferred[User | None] = Deferred()
        if not self._sought:
            self._clock.callLater(0, self._find_sought)
        self._sought.append((key, found))
        return found

    def _find_sought(self) -> None:
        sought, self._sought = self._sought, []

        def tell(users: list[User | None]) -> None:
            for (_, found), user in zip(sought, users, strict=True):
                found.callback(user)

        def fail(failure: Failure) -> None:
            for _, found in sought:
                found.errback(failure)

        keys = [key for key, _ in sought]
        _ = self._read(transactions.find_users, keys).addCallbacks(tell, fail)

    def find_share(self, target: int, sender: str) -> Deferred[Amount]:
        """Return how much of a receiver's queue is the sender's.

        It is answered in the order of the commits: after those that it sees, and
        before all others. Whoever keeps the figure from there on is never off.
        """
        return self._ask(self._writer, transactions.find_share, target, sender)

    def page(
        self,
        target: int,
        target_name: str,
        after: int,
        max_bytes: int,
        *,
        as_lines: bool = False,
    ) -> Deferred[list[Row]]:
        """Return the next messages of a queue, in order; empty if there are none.

        There are more of those that are kept together if they become lines.
        """
        return self._read(
            queues.page, target, target_name, after, max_bytes, as_lines=as_lines
        )

    def find_stored_ids(
        self, sender: int, id: str
    ) -> Deferred[dict[int, tuple[int, bytes]]]:
        """Return position and digest of what was stored under an id, by target."""
        return self._read(transactions.find_stored_ids, sender, id)

    def highest_stored_id(self, sender: int) -> Deferred[str]:
        """Return the highest id that a sender's messages were stored under, or ``""``.

        Higher is what `str` says: all others of the sender's ids are below it.
        """
        return self._read(transactions.highest_stored_id, sender)

    async def forget_stored_ids(self, before: int, until: int) -> None:
        """Forget ids from before a time, but for those of messages that still wait.

        Those from later than `until` go too. Both are in milliseconds since
        1970-01-01 UTC. Many take several transactions.
        """
        after: int | None = 0
        while after is not None:
            after = await self._ask(
                self._writer, self._forget_stored_ids, after, before, until
            )

    @staticmethod
    def _forget_stored_ids(
        connection: sqlite3.Connection, after: int, before: int, until: int
    ) -> int | None:
        # Runs in the writer's thread; the pool commits, or rolls back.
        connection.execute("BEGIN IMMEDIATE")
        return transactions.forget_stored_ids(
            connection, after, before, until, FORGET_AT_ONCE
        )

    def set_password(
        self, user: int, before: str | None, password: str, time: int, address: str
    ) -> Deferred[bool]:
        """Set a user's password, if it still is the one of `before`; return whether.

        Both are encoded. `time`, in milliseconds since 1970-01-01 UTC, and `address`
        are kept of the first one.
        """
        return self._ask(
            self._writer, self._set_password, user, before, password, time, address
        )

    @staticmethod
    def _set_password(
        connection: sqlite3.Connection,
        user: int,
        before: str | None,
        password: str,
        time: int,
        address: str,
    ) -> bool:
        # Runs in the writer's thread; the pool commits, or rolls back.
        connection.execute("BEGIN IMMEDIATE")
        return transactions.set_password(
            connection, user, before, password, time, address
        )

    async def account_changes(self) -> list[AccountChange]:
        """Return what was changed by an administrator since this was asked last."""
        changes, users = await self._ask(self._writer, self._account_changes)
        if users is not None:
            self.users = users
        return changes

    def _account_changes(
        self, connection: sqlite3.Connection
    ) -> tuple[list[AccountChange], int | None]:
        # Runs in the writer's thread, whose own commits do not change this number.
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._data_version:
            return [], None
        self._data_version = version
        changes = transactions.account_changes(connection, self._last_change)
        if changes:
            self._last_change = changes[-1].number
        return changes, transactions.count_users(connection)

    def names_seen_last(self, most: int) -> Deferred[list[Seen]]:
        """Return those seen last, the latest first."""
        return self._read(transactions.names_seen_last, most)

    def names_by_prefix(
        self, prefix: str, most: int
    ) -> Deferred[tuple[list[str], int]]:
        """Return the first names whose key has the prefix, and how many there are."""
        return self._read(transactions.names_by_prefix, prefix, most, self.users)

    def unused_queues(self, before: int, most: int) -> Deferred[list[str]]:
        """Return keys of users with a queue who were not seen since `before`.

        `before` is in milliseconds since 1970-01-01 UTC.
        """
        return self._read(transactions.unused_queues, before, most)

    def commit(self, batch: Batch) -> Deferred[Outcome]:
        """Write a batch in one transaction, and return what became of it.

        Fails only if nothing of it was written. A batch whose messages find no room
        is written without them.
        """
        outcome = cast(
            "Deferred[Outcome]", self._writer.runWithConnection(self._commit, batch)
        )
        return outcome.addCallbacks(self._count_new, _in_our_words)

    def _commit(self, pooled: adbapi.Connection, batch: Batch) -> Outcome:
        # Runs in the writer's thread.
        connection = cast(sqlite3.Connection, pooled)
        lack: str | None = None
        if batch.messages or batch.arrivals:
            lack = self._room.lack(connection, batch)
        if lack is None:
            try:
                outcome = transactions.write(connection, batch)
                connection.commit()
                return outcome
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.rollback()
                lack = _reason(error)
                # What failed may be whole in the log, and only its sync failed: then
                # it would be there after a crash, though its senders were told else.
                transactions.overwrite_log(connection)
                self._log.warn(
                    "Writing failed, trying without what is new: {error}", error=error
                )
        return transactions.write(connection, batch, lack)

    def _count_new(self, outcome: Outcome) -> Outcome:
        self.users += sum(1 for each in outcome.arrived if each is not None and each[1])
        return outcome

    def close(self) -> None:
        """Close the database; blocks until what is under way is written."""
        self._writer.close()
        self._readers.close()
        self._opened.lock.release()

    def _read(
        self,
        query: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        return self._ask(self._readers, query, *args, **kwargs)

    def _ask(
        self,
        pool: adbapi.ConnectionPool,
        query: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T]:
        answer = cast("Deferred[T]", pool.runWithConnection(query, *args, **kwargs))
        return answer.addErrback(_in_our_words)


def _in_our_words(failure: Failure) -> NoReturn:
    if isinstance(failure.value, sqlite3.Error):
        raise StoreFailure(str(failure.value)) from failure.value
    failure.raiseException()


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return "disk full" if code == sqlite3.SQLITE_FULL else "disk error"
