"""The file that a history is kept in, and how it is opened.

It is claimed, made or recognised, and brought up to date before the reactor runs; no
Twisted here. One that the original program has written is copied aside and taken over.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from chatd.client.history.places import HistoryError
from chatd.client.history.times import milliseconds_or_none, timestamp
from chatd.store.legacy import copy_aside
from chatd.store.migrations import Migration, load, transaction, version_of
from chatd.store.opening import InUse, Lock, StoreError
from chatd.wire.display import neutralise
from chatd.wire.names import Name, name_key

SCHEMA: Final = files("chatd.client.history") / "schema"

APPLICATION_ID: Final = 0x63686C67
"""PRAGMA application_id of every history ("chlg" in ASCII)."""

BUSY_SECONDS: Final = 5

CLAIMED_SECONDS: Final = 0.5
"""How long a history may be claimed until it counts as in use by another chat."""

PREPARING_SECONDS: Final = 60.0
"""How long another process may take to make a history ready."""

LARGE_BYTES: Final = 50_000_000
"""How large a history is that takes seconds to be brought up to date."""

_PREPARING: Final = "preparing"
_AGAIN_SECONDS: Final = 0.02

_ORIGINAL: Final = {"sender", "receiver", "message", "timestamp"}


class HistoryInUse(HistoryError):
    """Another chat owns the history."""


@dataclass(frozen=True, slots=True)
class OpenedHistory:
    """A history that is ready, and ours until its lock is released.

    `notes` are lines for the person, on what was done to the file.
    """

    path: Path
    lock: Lock
    notes: list[str]


def open_history(
    path: Path, user: Name, tell: Callable[[str], None] = lambda line: None
) -> OpenedHistory:
    """Make the history at `path` ready; create it if there is none.

    If that will take a while, `tell` is called with a line before. Raises
    `HistoryError` if it cannot be used: it is then not claimed, and what was in it is
    as before.
    """
    # Behind symbolic links: SQLite keeps -wal and -shm beside the file itself.
    path = Path(os.path.realpath(path))
    with in_plain_words(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _claim(path)
        try:
            opened = _open(path, lock, user, load(SCHEMA), tell)
        except BaseException:
            lock.release()
            raise
        lock.say()
        return opened


def prepare(path: Path, user: Name) -> list[str]:
    """Make the history at `path` ready as `open_history` does, without claiming it.

    Another chat may own it, and several processes may do this at once. Returns lines
    for the person, on what was done to the file. Raises `HistoryError`.
    """
    with in_plain_words(path):
        if _is_ready(Path(os.path.realpath(path))):
            return []
    opened = open_history(path, user)
    opened.lock.release()
    return opened.notes


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a history to read it, whoever owns it.

    One of the original program can be read too. Raises `HistoryError`.
    """
    with in_plain_words(path):
        if not path.is_file():
            raise HistoryError(f"There is no history at {path}.")
        uri = f"{Path(os.path.realpath(path)).as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = _decoded
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            if not _is_original(connection):
                _refuse_what_is_not_ours(connection, path, len(load(SCHEMA)))
                if not version_of(connection):
                    raise HistoryError(f"{path} is empty.")
            yield connection


def configure(connection: sqlite3.Connection) -> None:
    """Prepare a connection that writes."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    # A message is shown only once it is on disk.
    connection.execute("PRAGMA synchronous = FULL")


def _claim(path: Path) -> Lock:
    """Claim a history; wait for those who hold it to make it ready only."""
    begun = time.monotonic()
    while True:
        try:
            return Lock(path, program="chat", doing=_PREPARING)
        except InUse as in_use:
            # What the file says may still be from who held it last.
            waited = time.monotonic() - begun
            preparing = in_use.doing == _PREPARING
            if waited > (PREPARING_SECONDS if preparing else CLAIMED_SECONDS):
                raise
        time.sleep(_AGAIN_SECONDS)


def _is_ready(path: Path) -> bool:
    """Whether a history is there, of this version, for any number of processes."""
    if not path.is_file():
        return False
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        configure(connection)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        version = version_of(connection)
    known = len(load(SCHEMA))
    return (application, mode, version) == (APPLICATION_ID, "wal", known)


def _open(
    path: Path,
    lock: Lock,
    user: Name,
    migrations: Sequence[Migration],
    tell: Callable[[str], None],
) -> OpenedHistory:
    if not path.exists():
        path.touch(0o600, exist_ok=False)
    modified = path.stat().st_mtime
    path.chmod(0o600)
    notes = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        configure(connection)
        if version_of(connection) < len(migrations) and _size(path) > LARGE_BYTES:
            tell("The history is being brought up to date; that may take a minute.")
        if _is_original(connection):
            copy = _take_over(connection, path, user, migrations, modified)
            notes.append(
                f"{path} was made by the original program, and has been taken over;"
                f" a copy of it is kept at {copy}."
            )
        else:
            _refuse_what_is_not_ours(connection, path, len(migrations))
            for migration in migrations[version_of(connection) :]:
                with transaction(connection):
                    _apply(connection, migration)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise HistoryError(
                f"{path} cannot have a write-ahead log where it lies."
                " Name a file on a local disk with --history."
            )
    os.utime(path)  # used now: see `histories`
    return OpenedHistory(path, lock, [neutralise(note) for note in notes])


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    migration.apply(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _is_original(connection: sqlite3.Connection) -> bool:
    return version_of(connection) == 0 and _columns(connection) >= _ORIGINAL


def _columns(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info('messages')")
    return {name.lower() for (name,) in rows}


def _refuse_what_is_not_ours(
    connection: sqlite3.Connection, path: Path, known: int
) -> None:
    version = version_of(connection)
    table = connection.execute("SELECT name FROM sqlite_schema").fetchone()
    if version == 0 and table is None:
        return  # new and empty
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise HistoryError(
            f"{path} is no history: another program has made it. Nothing was changed."
            " Name another file with --history."
        )
    if version > known:
        raise HistoryError(
            f"{path} was written by a newer chat: it has version {version}, and this"
            f" one knows versions up to {known}. Install the newer one."
        )


def _take_over(
    connection: sqlite3.Connection,
    path: Path,
    user: Name,
    migrations: Sequence[Migration],
    modified: float,
) -> Path:
    """Turn a history of the original program into ours; return where its copy is.

    All in one transaction: whatever is raised, the file is then as before.
    """
    copy: Path | None = None
    connection.text_factory = _decoded
    try:
        # Nobody else can write from the first read on without failing this; and SQLite
        # copies no database whose transaction has written: hence DEFERRED.
        with transaction(connection, "DEFERRED"):
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            copy = copy_aside(connection, path, time.time())
            connection.execute("ALTER TABLE messages RENAME TO original_messages")
            _apply(connection, migrations[0])
            rows = connection.execute(
                "SELECT sender, receiver, message, timestamp FROM original_messages"
                " ORDER BY rowid"
            )
            connection.executemany(
                "INSERT INTO messages (sender, receiver, message, timestamp, server,"
                " id, direction, status) VALUES (?, ?, ?, ?, '', ?, ?, ?)",
                _original_messages(rows, user, modified),
            )
            connection.execute("DROP TABLE original_messages")
            for migration in migrations[1:]:
                _apply(connection, migration)
    except BaseException:
        if copy is not None:
            copy.unlink(missing_ok=True)
        raise
    return copy


def _original_messages(
    rows: sqlite3.Cursor, user: Name, modified: float
) -> Iterator[tuple[str, str, str, str, str, str, str]]:
    # Of one whose time cannot be read, it is when the file was last written.
    for number, (sender, receiver, message, moment) in enumerate(rows, 1):
        when = milliseconds_or_none(_text(moment))
        sent = _text(sender) == user.shown or name_key(_text(sender)) == user.key
        yield (
            _text(sender),
            _text(receiver),
            _text(message),
            timestamp(int(modified) * 1000 if when is None else when),
            f"original-{number}",
            "sent" if sent else "received",
            "unknown" if sent else "received",
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return _decoded(value) if isinstance(value, bytes) else str(value)


def _decoded(data: bytes) -> str:
    return data.decode(errors="replace")


def _size(path: Path) -> int:
    """Return how many bytes a database has, with its log."""
    log = path.with_name(f"{path.name}-wal")
    return sum(file.stat().st_size for file in (path, log) if file.exists())


@contextmanager
def in_plain_words(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a `HistoryError`."""
    advice = "See to that, or name another file with --history."
    try:
        yield
    except InUse as error:
        raise HistoryInUse(str(error)) from error
    except StoreError as error:
        raise HistoryError(str(error)) from error
    except sqlite3.Error as error:
        raise HistoryError(
            f"{path} cannot be used as a history ({error}). {advice}"
        ) from error
    except OSError as error:
        where = error.filename or path
        raise HistoryError(
            f"{path} cannot be used as a history ({where}: {error.strerror}). {advice}"
        ) from error
