"""Every SQL statement of the store, as functions of a connection; no Twisted here.

The statements lie in queries/*.sql, one a file. All functions run in whatever thread
holds the connection, and raise `sqlite3.Error`.
"""

import contextlib
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from chatd.store.records import (
    AccountChange,
    Amount,
    Arrival,
    Batch,
    Outcome,
    Removed,
    Seen,
    User,
)
from chatd.wire.message import Message

PAGE_MESSAGES = 250
"""Few, since nobody else has a turn while they are written."""


LISTED_SEEN_LAST = 50
"""How many of those who were seen last are listed."""

_STATEMENTS: Final = {
    file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
    for file in (resources.files(__package__) / "queries").iterdir()
    if file.name.endswith(".sql")
}
"""All of them now: an upgrade replaces the files under a daemon that runs."""


def sql(name: str) -> str:
    """Return the statement in queries/`name`.sql."""
    return _STATEMENTS[name]


def find_user(connection: sqlite3.Connection, key: str) -> User | None:
    """Return the user of that key, with the figures of its queue."""
    row = connection.execute(sql("find_user"), (key,)).fetchone()
    return None if row is None else _user(*row)


def find_users(
    connection: sqlite3.Connection, keys: Sequence[str]
) -> list[User | None]:
    """Return the user of each key, as `find_user` does, in one statement."""
    places = ",".join("?" * len(keys))
    rows = connection.execute(sql("find_users").replace("?", places), keys)
    found = {row[1]: _user(*row) for row in rows}
    return [found.get(key) for key in keys]


def _user(
    id: int,
    key: str,
    name: str,
    messages: int,
    size: int,
    first: int | None,
    last: int | None,
    address: str | None,
    password: str | None,
    since: int | None,
    where: str | None,
    disabled: int,
) -> User:
    return User(
        id,
        key,
        name,
        messages,
        size,
        first or 0,
        last or 0,
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


def page(
    connection: sqlite3.Connection,
    target: int,
    target_name: str,
    after: int,
    max_bytes: int,
) -> list[Message]:
    """Return the next messages of a queue, in order; empty if there are none.

    A page ends after `PAGE_MESSAGES`, or with the message that brings its weight
    to `max_bytes`, whichever comes first.
    """
    cursor = connection.execute(sql("page"), (target, after, PAGE_MESSAGES))
    messages: list[Message] = []
    room = max_bytes
    for position, id, sender, text, time, size in cursor:
        message = Message(position, id or "", sender, target_name, text, time, size)
        messages.append(message)
        room -= message.weight
        if room <= 0:
            break
    cursor.close()
    return messages


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
        target: _remove(connection, target, upto)
        for target, upto in batch.removals.items()
    }
    if lack is None:
        _append(connection, batch.messages)
        connection.executemany(
            sql("append_stored_id"),
            [
                (
                    each.position,
                    each.sender,
                    each.id,
                    each.target,
                    each.digest,
                    each.time,
                )
                for each in batch.ids
            ],
        )
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


def lack_of_room(
    connection: sqlite3.Connection, path: Path, max_bytes: int, min_free: int
) -> str | None:
    """Return why nothing more should be stored, in words, or None."""
    if shutil.disk_usage(path.parent).free < min_free:
        return "disk full"
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return "database full" if (pages - unused) * page_size >= max_bytes else None


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


def _remove(
    connection: sqlite3.Connection, target: int, upto: int
) -> Sequence[Removed]:
    rows = connection.execute(sql("delivered_by_sender"), (target, upto)).fetchall()
    removed = [Removed(*row) for row in rows]
    if removed:
        connection.execute(sql("remove"), (target, upto))
        _change_queue(connection, target, removed, -1)
        connection.executemany(
            sql("drop_empty_shares"), [(target, each.sender) for each in removed]
        )
    return removed


def _append(
    connection: sqlite3.Connection, messages: Sequence[tuple[int, Message]]
) -> None:
    connection.executemany(
        sql("append"),
        [
            (
                each.position,
                each.id,
                each.sender,
                target,
                each.text,
                each.time,
                each.size,
            )
            for target, each in messages
        ],
    )
    added: defaultdict[int, defaultdict[str, Amount]]
    added = defaultdict(lambda: defaultdict(Amount))
    for target, each in messages:
        added[target][each.sender].add(1, each.size)
    for target, shares in added.items():
        changes = [
            Removed(sender, share.messages, share.bytes)
            for sender, share in shares.items()
        ]
        _change_queue(connection, target, changes, 1)


def _change_queue(
    connection: sqlite3.Connection, target: int, changes: Iterable[Removed], sign: int
) -> None:
    """Bring the kept figures of a queue in step with its rows."""
    rows = [
        (sign * each.messages, sign * each.size, target, each.sender)
        for each in changes
    ]
    messages = sum(row[0] for row in rows)
    size = sum(row[1] for row in rows)
    connection.execute(sql("change_queue"), (messages, size, target))
    connection.executemany(sql("change_share"), rows)
