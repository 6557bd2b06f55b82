"""What an administrator changes, beside a running chatd or without one.

Each function is one transaction on a connection of its own, in autocommit mode, and
notes what it did, and when, for the daemon to act upon. `now` is asked once nobody else
writes: whom the daemon has let in meanwhile came before the change. Times are
milliseconds since 1970-01-01 UTC. All raise `sqlite3.Error`.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from chatd.store.migrations import statements, transaction
from chatd.store.records import ChangeKind
from chatd.store.statements import sql
from chatd.store.transactions import find_user

Now: TypeAlias = Callable[[], int]

BY_ADMINISTRATOR = "the administrator"
"""What stands for an address where a password was set by `chatctl`."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user as an administrator sees it; times are milliseconds since 1970-01-01 UTC.

    `password_time` and `password_from` are of the first password, if there is one.
    """

    name: str
    has_password: bool
    password_time: int | None
    password_from: str | None
    disabled: bool
    first_seen: int
    last_seen: int
    address: str | None
    queued_messages: int
    queued_bytes: int


class NoSuchUser(Exception):
    """Nobody has that name."""


class NameTaken(Exception):
    """Somebody has that name already."""


def accounts(connection: sqlite3.Connection) -> list[Account]:
    """Return all users, in the order of their names."""
    rows = connection.execute(sql("list_users"))
    return [
        Account(name, bool(password), when, where, bool(disabled), *rest)
        for name, password, when, where, disabled, *rest in rows
    ]


def add_user(
    connection: sqlite3.Connection,
    key: str,
    name: str,
    password: str | None,
    now: Now,
) -> None:
    """Register a name; `password` is encoded. Raises `NameTaken`."""
    with transaction(connection):
        if find_user(connection, key) is not None:
            raise NameTaken
        time = now()
        values = {
            "key": key,
            "name": name,
            "password": password,
            "time": time,
            "address": None if password is None else BY_ADMINISTRATOR,
        }
        cursor = connection.execute(sql("add_user"), values)
        assert cursor.lastrowid is not None
        _note(connection, cursor.lastrowid, time, "added")


def set_password(
    connection: sqlite3.Connection, key: str, password: str | None, now: Now
) -> None:
    """Set a user's password, encoded, or take it away. Raises `NoSuchUser`."""
    with transaction(connection):
        user, time = _find(connection, key), now()
        values = {
            "user": user,
            "password": password,
            "time": None if password is None else time,
            "address": None if password is None else BY_ADMINISTRATOR,
        }
        connection.execute(sql("administer_password"), values)
        _note(connection, user, time, "changed")


def set_disabled(
    connection: sqlite3.Connection, key: str, now: Now, *, disabled: bool
) -> None:
    """Let a user log in no more, or again. Raises `NoSuchUser`."""
    with transaction(connection):
        user = _find(connection, key)
        connection.execute(sql("set_disabled"), (disabled, user))
        _note(connection, user, now(), "changed")


def remove_user(connection: sqlite3.Connection, key: str, now: Now) -> int:
    """Free a name, and drop what waits for it; return how many messages that was.

    Raises `NoSuchUser`.
    """
    with transaction(connection):
        user = find_user(connection, key)
        if user is None:
            raise NoSuchUser
        for statement in (
            "drop_messages",
            "drop_runs",
            "drop_shares",
            "free_name",
            "note_removed",
        ):
            connection.execute(sql(statement), (user.id,))
        _note(connection, user.id, now(), "removed")
    return user.queued_messages


def purge_removed(connection: sqlite3.Connection) -> None:
    """Delete removed users and whatever is still there of them.

    No daemon may be running: it may have something on its way to one.
    """
    (some,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM removed_users)"
    ).fetchone()
    if some:
        with transaction(connection):
            for statement in statements(sql("purge_removed")):
                connection.execute(statement)


def _find(connection: sqlite3.Connection, key: str) -> int:
    user = find_user(connection, key)
    if user is None:
        raise NoSuchUser
    return user.id


def _note(
    connection: sqlite3.Connection, user: int, time: int, change: ChangeKind
) -> None:
    connection.execute(sql("note_account_change"), (user, time, change))
