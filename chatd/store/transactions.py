"""What the store is asked for, and told, as functions of a connection; no Twisted here.

All functions run in whatever thread holds the connection, and raise `sqlite3.Error`.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from typing import Any

from chatd.store import queues
from chatd.store.records import (
    AccountChange,
    Amount,
    Arrival,
    Batch,
    Outcome,
    Seen,
    User,
)
from chatd.store.statements import sql

LISTED_SEEN_LAST = 50
"""How many of those who were seen last are listed."""

FOUND_AT_ONCE = 64
"""How many users are looked up with one statement at most."""


def find_user(connection: sqlite3.Connection, key: str) -> User | None:
    """Return the user of that key, with the figures of its queue."""
    return find_users(connection, [key])[0]


def find_users(
    connection: sqlite3.Connection, keys: Sequence[str]
) -> list[User | None]:
    """Return the user of each key, as `find_user` does, in few statements."""
    found: dict[str, User] = {}
    for first in range(0, len(keys), FOUND_AT_ONCE):
        some = keys[first : first + FOUND_AT_ONCE]
        # Each number of places is a statement of its own, and 128 of them are kept.
        places = 1 << (len(some) - 1).bit_length()
        padded = [*some, *[some[-1]] * (places - len(some))]
        statement = sql("find_users").replace("?", ",".join("?" * places))
        rows = connection.execute(statement, padded)
        found.update((row[1], _user(row)) for row in rows)
    return [found.get(key) for key in keys]


def _user(row: Sequence[Any]) -> User:
    id, key, name, messages, size, first, last, first_of_run, last_of_run = row[:9]
    address, password, since, where, disabled = row[9:]
    if messages:
        first = min(filter(None, (first, first_of_run)), default=0)
        last = max(last or 0, last_of_run or 0)
    else:
        first = last = 0
    return User(
        id,
        key,
        key if name == key else name,  # kept as long as the user is: once is enough
        messages,
        size,
        first,
        last,
        address,
        password,
        since,
        where,
        bool(disabled),
    )


def find_share(connection: sqlite3.Connection, target: int, sender: str) -> Amount:
    """Return how much of a receiver's queue is the sender's."""
    row = connection.execute(sql("find_share"), (target, sender)).fetchone()
    return Amount(*row) if row else Amount()


def find_stored_ids(
    connection: sqlite3.Connection, sender: int, id: str
) -> dict[int, tuple[int, bytes]]:
    """Return position and digest of what was stored under an id, by target."""
    rows = connection.execute(sql("find_stored_ids"), (sender, id))
    return {target: (position, digest) for target, position, digest in rows}


def highest_stored_id(connection: sqlite3.Connection, sender: int) -> str:
    """Return the highest id that a sender's messages were stored under, or ``""``."""
    (highest,) = connection.execute(sql("highest_stored_id"), (sender,)).fetchone()
    return highest or ""


def forget_stored_ids(
    connection: sqlite3.Connection, after: int, before: int, until: int, most: int
) -> int | None:
    """Forget ids that are too old, but for those of messages that still wait.

    Looks at `most` ids with positions above `after`, and stops at the first that is
    to be kept for its age: one from the time `before` or later. One from later than
    `until` was stored with a wrong clock, and goes too. Returns the position to go
    on from, None at the end. The caller commits.
    """
    rows = connection.execute(sql("oldest_stored_ids"), (after, most)).fetchall()
    old = []
    for position, time, waits in rows:
        if before <= time <= until:
            rows = []
            break
        if not waits:
            old.append((position,))
    connection.executemany(sql("forget_stored_id"), old)
    return rows[-1][0] if len(rows) == most else None


def names_seen_last(connection: sqlite3.Connection, most: int) -> list[Seen]:
    """Return those who logged in or left last, the latest first."""
    return [Seen(*row) for row in connection.execute(sql("names_seen_last"), (most,))]


def names_by_prefix(
    connection: sqlite3.Connection, prefix: str, most: int, all_users: int
) -> tuple[list[str], int]:
    """Return the first names whose key has the prefix, and how many there are.

    `all_users` is how many the empty prefix stands for: they are not counted here.
    """
    values = {"prefix": prefix, "most": most}
    names = [row[0] for row in connection.execute(sql("names_by_prefix"), values)]
    if len(names) < most:
        return names, len(names)
    if not prefix:
        return names, max(all_users, len(names))
    (count,) = connection.execute(sql("count_by_prefix"), values).fetchone()
    return names, count


def unused_queues(connection: sqlite3.Connection, before: int, most: int) -> list[str]:
    """Return keys of users with a queue who were not seen since `before`."""
    return [row[0] for row in connection.execute(sql("unused_queues"), (before, most))]


def count_users(connection: sqlite3.Connection) -> int:
    """Return how many users there are."""
    (count,) = connection.execute(sql("count_users")).fetchone()
    return int(count)


def set_password(
    connection: sqlite3.Connection,
    user: int,
    before: str | None,
    password: str,
    time: int,
    address: str,
) -> bool:
    """Set a user's password, if it still is the one of `before`; return whether.

    Both are encoded. `time` and `address` are kept of the first one. The caller
    commits.
    """
    values = {
        "user": user,
        "before": before,
        "password": password,
        "time": time,
        "address": address,
    }
    return connection.execute(sql("set_password"), values).rowcount == 1


def account_changes(connection: sqlite3.Connection, after: int) -> list[AccountChange]:
    """Return what was changed behind a number, in order."""
    rows = connection.execute(sql("account_changes"), (after,))
    return [AccountChange(*row) for row in rows]


def find_id_secret(connection: sqlite3.Connection) -> bytes:
    """Return what the ids of messages that were sent without one are derived with."""
    (secret,) = connection.execute(sql("find_id_secret")).fetchone()
    return bytes(secret)


def last_position(connection: sqlite3.Connection) -> int:
    """Return the highest position of what is stored, or was and is known, or 0."""
    (position,) = connection.execute(sql("last_position")).fetchone()
    return int(position)


def last_account_change(connection: sqlite3.Connection) -> int:
    """Return the number of the last change, 0 if there is none."""
    (number,) = connection.execute(sql("last_account_change")).fetchone()
    return int(number)


def write(
    connection: sqlite3.Connection, batch: Batch, lack: str | None = None
) -> Outcome:
    """Write a batch in one transaction; the caller commits.

    With a `lack` of room, in words, nothing that makes the database larger is
    written, neither messages nor new names; the rest is.
    """
    connection.execute("BEGIN IMMEDIATE")
    arrived = [_arrive(connection, each, lack) for each in batch.arrivals]
    _note_seen(connection, batch)
    removed = {
        target: queues.remove(connection, target, upto)
        for target, upto in batch.removals.items()
    }
    if lack is None:
        queues.append(connection, batch.messages)
        connection.executemany(sql("append_stored_id"), batch.ids)
    return Outcome(lack if batch.messages else None, arrived, removed)


def overwrite_log(connection: sqlite3.Connection) -> None:
    """Write something over what a failed transaction has left in the log.

    It need not succeed: written is written, whether it can be synced or not.
    """
    with contextlib.suppress(sqlite3.Error):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(sql("touch"))
        connection.commit()
    if connection.in_transaction:
        connection.rollback()


def _arrive(
    connection: sqlite3.Connection, arrival: Arrival, lack: str | None
) -> tuple[User, bool] | None:
    values = {
        "key": arrival.key,
        "name": arrival.name,
        "address": arrival.address,
        "port": arrival.port,
        "time": arrival.time,
        "password": arrival.password,
        "password_time": arrival.time if arrival.password else None,
        "password_from": arrival.address if arrival.password else None,
    }
    new = connection.execute(sql("arrive_known"), values).rowcount == 0
    if new:
        if lack is not None:
            return None
        connection.execute(sql("arrive_new"), values)
    user = find_user(connection, arrival.key)
    return None if user is None else (user, new)


def _note_seen(connection: sqlite3.Connection, batch: Batch) -> None:
    """Note when users came and left; who did both costs no more than who did one."""
    left = batch.departures
    connection.executemany(
        sql("visit"),
        [
            (each.address, each.port, max(each.time, left.get(user, 0)), user, each.key)
            for user, each in batch.visits.items()
        ],
    )
    connection.executemany(
        sql("depart"),
        [(time, user) for user, time in left.items() if user not in batch.visits],
    )
