"""Taking over a ``server.db`` of the original program.

A copy is put aside, and the new tables are filled from it: all in one transaction of
the database itself, so that a crash leaves either the original or the finished work.

What the original kept had no rules. Names are adapted to ours, and what cannot be read
is replaced, but no user and no message is left out.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from chatd.store.migrations import Migration, transaction
from chatd.wire.names import BadName, Name, adapted_name, parse_name

# The original's tables and their columns. Only the names are relied on: the types of
# columns bind nobody in SQLite.
TABLES: Final = {
    "users": {"username", "ip", "port"},
    "offline_messages": {"id", "sender", "target", "message", "timestamp"},
}

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
MAX_PORT: Final = 65_535

Value = None | int | float | str | bytes
"""What SQLite may hand out, whatever type a column was declared with."""


def is_original(connection: sqlite3.Connection) -> bool:
    """Return whether the database was written by the original program."""
    return all(
        columns <= _columns(connection, table) for table, columns in TABLES.items()
    )


def take_over(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Sequence[Migration],
    modified: int,
    now: float,
) -> list[str]:
    """Turn the original's database into ours, and return what to tell in the log.

    `path` is the connection's file; the connection's isolation_level must be None.
    Users count as seen, and messages without a readable time as sent, at `modified`
    (milliseconds since 1970-01-01 UTC); `now` (seconds) names the copy.

    Whatever is raised, `sqlite3.Error` and `OSError` above all: the database is then
    as before.
    """
    copy: Path | None = None
    try:
        with transaction(connection, "DEFERRED"):
            # From this read on nobody else can write without failing this transaction,
            # so the copy is what is taken over. SQLite makes no copy of a database
            # once its own transaction has written: hence DEFERRED.
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            copy = copy_aside(connection, path, now)
            with closing(_open_copy(copy)) as original:
                names = _fill(connection, original, migrations, modified)
    except BaseException:
        if copy is not None:
            _discard(copy, connection)
        raise
    renamed = [
        f"{old!r} is now {name.shown!r}"
        for old, name in names.items()
        if old != name.shown
    ]
    return [
        f"{path} was made by the original program, and has been taken over;"
        f" a copy of it is kept at {copy}",
        *renamed,
    ]


def copy_aside(connection: sqlite3.Connection, path: Path, now: float) -> Path:
    """Copy the database to a file beside it, durably, and return the copy's path.

    The copy is private (mode 600) and complete: it holds what a write-ahead log held.
    It never replaces another. Raises `sqlite3.Error` and `OSError`, leaving nothing.
    """
    partial = path.with_name(f"{path.name}.original.partial")
    partial.unlink(missing_ok=True)  # one that a crash has left
    copy = _unused_name(path, now)
    try:
        partial.touch(0o600, exist_ok=False)
        with closing(sqlite3.connect(partial)) as target:
            connection.backup(target)
            # One file that needs no other, whatever the original's journal was.
            target.execute("PRAGMA journal_mode = DELETE")
        _sync(partial)
        partial.rename(copy)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
        raise
    return copy


def _unused_name(path: Path, now: float) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    copy = first = path.with_name(f"{path.name}.original-{stamp}")
    number = 1
    while copy.exists():
        number += 1
        copy = first.with_name(f"{first.name}-{number}")
    return copy


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _discard(copy: Path, connection: sqlite3.Connection) -> None:
    """Remove a copy that is not needed, as the database itself is still the original.

    Otherwise a daemon that fails and is started again and again would fill the disk.
    """
    with suppress(sqlite3.Error, OSError):
        if is_original(connection):
            copy.unlink()


def _open_copy(copy: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)
    # The default refuses text that is not UTF-8.
    connection.text_factory = lambda data: data.decode(errors="replace")
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {name.lower() for (name,) in rows}


def _fill(
    connection: sqlite3.Connection,
    original: sqlite3.Connection,
    migrations: Sequence[Migration],
    modified: int,
) -> dict[str, Name]:
    """Replace the original's tables by ours, filled; return every old name's new one.

    `connection` is in a transaction; `original` is open on the copy.
    """
    for table in TABLES:
        connection.execute(f"DROP TABLE {table}")
    # The statements here are for the first version of the schema. What they write is
    # brought up to date by the later migrations, as in any other database.
    migrations[0].apply(connection)

    addresses = {
        _text(username): (_address(ip), _port(port))
        for username, ip, port in original.execute(
            "SELECT username, ip, port FROM users"
        )
    }
    # A receiver nobody registered becomes a user, or its messages would be lost; a
    # sender only needs a name that is nobody else's.
    owners = dict.fromkeys([*addresses, *_distinct(original, "target")])
    names = _new_names([*owners, *_distinct(original, "sender")])
    ids = {old: id for id, old in enumerate(owners, 1)}

    for old, id in ids.items():
        name, (address, port) = names[old], addresses.get(old, (None, None))
        connection.execute(
            "INSERT INTO users (id, key, name, address, port, first_seen, last_seen)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, name.key, name.shown, address, port, modified, modified),
        )
    connection.executemany(
        "INSERT INTO offline_messages (sender, target, message, time, size)"
        " VALUES (?, ?, ?, ?, ?)",
        _messages(original, names, ids, modified),
    )
    connection.execute(
        "INSERT INTO queue_shares (target, sender, messages, bytes)"
        " SELECT target, sender, COUNT(*), SUM(size) FROM offline_messages"
        " GROUP BY target, sender"
    )
    connection.execute(
        "UPDATE users SET queued_messages = queue.messages, queued_bytes = queue.bytes"
        " FROM (SELECT target, SUM(messages) AS messages, SUM(bytes) AS bytes"
        " FROM queue_shares GROUP BY target) AS queue"
        " WHERE users.id = queue.target"
    )

    for migration in migrations[1:]:
        migration.apply(connection)
    return names


def _distinct(original: sqlite3.Connection, column: str) -> list[str]:
    # The column's own collation may take two names for one.
    rows = original.execute(
        f"SELECT {column} FROM offline_messages"
        f" GROUP BY {column} COLLATE BINARY ORDER BY MIN(id)"
    )
    return [_text(value) for (value,) in rows]


def _new_names(olds: Iterable[str]) -> dict[str, Name]:
    """Return a name for each old one; no two old ones get names that are one to us.

    Those that can stay stay: they are named before those that have to be adapted.
    """
    names: dict[str, Name] = {}
    taken: set[str] = set()
    to_adapt: list[str] = []
    for old in dict.fromkeys(olds):
        try:
            name = parse_name(old)
        except BadName:
            to_adapt.append(old)
            continue
        if name.key in taken:
            to_adapt.append(old)
            continue
        names[old] = name
        taken.add(name.key)
    for old in to_adapt:
        names[old] = adapted_name(old, taken.__contains__)
        taken.add(names[old].key)
    return names


def _messages(
    original: sqlite3.Connection,
    names: dict[str, Name],
    ids: dict[str, int],
    modified: int,
) -> Iterator[tuple[str, int, str, int, int]]:
    """Yield the new rows, one by one: a queue may be larger than the memory."""
    rows = original.execute(
        "SELECT sender, target, message, timestamp FROM offline_messages ORDER BY id"
    )
    for sender, target, message, timestamp in rows:
        text = _text(message)
        yield (
            names[_text(sender)].shown,
            ids[_text(target)],
            text,
            _milliseconds(timestamp, modified),
            len(text.encode()),
        )


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _address(value: Value) -> str | None:
    return _text(value) or None


def _port(value: Value) -> int | None:
    try:
        port = int(_text(value))
    except ValueError:
        return None
    return port if 0 <= port <= MAX_PORT else None


def _milliseconds(value: Value, otherwise: int) -> int:
    """Return the time in milliseconds since 1970-01-01 UTC, if `value` is one.

    Numbers are seconds since then; text is a number, or a date and time in any ISO
    form, in UTC where it does not say.
    """
    text = _text(value).strip()
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
            milliseconds = round(float(text) * 1000)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            milliseconds = (moment - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return otherwise
    return milliseconds if 0 <= milliseconds <= LATEST else otherwise
