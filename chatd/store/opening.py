"""Opening the database, once, before the reactor runs: no Twisted here.

The file is claimed, made or recognised, brought up to date and closed again; whoever
works with it opens connections of its own, prepared by `configure`.
"""

import fcntl
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from chatd.store.administration import purge_removed
from chatd.store.legacy import is_original, take_over
from chatd.store.migrations import (
    APPLICATION_ID,
    SCHEMA,
    Migration,
    load,
    migrate,
    version_of,
)
from chatd.store.records import Seen
from chatd.store.transactions import (
    LISTED_SEEN_LAST,
    count_users,
    find_id_secret,
    last_account_change,
    last_position,
    names_seen_last,
)
from chatd.wire.display import neutralise

NEEDED_SQLITE: Final = (3, 37)  # the first with STRICT tables
BUSY_TIMEOUT: Final = 5  # seconds
LEAST_ROOM: Final = 64 * 1024  # what SQLite needs beside a database to open it
JOURNAL_SIZE_LIMIT: Final = 64 * 1024 * 1024

_REPAIR: Final = (
    "Restore it from a backup, or start with an empty one by moving it away,"
    " together with its -wal and -shm files."
)
_STOP_OTHER: Final = "Stop that program, then start chatd again."
_ALLOW: Final = "Let the user that chatd runs as read and write it."

# What is wrong and what to do about it, by SQLite's primary error code.
_TROUBLES: Final = {
    sqlite3.SQLITE_NOTADB: ("is not a database, or is damaged", _REPAIR),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _REPAIR),
    sqlite3.SQLITE_BUSY: ("is in use by another program", _STOP_OTHER),
    sqlite3.SQLITE_LOCKED: ("is in use by another program", _STOP_OTHER),
    sqlite3.SQLITE_FULL: (
        "could not be opened, because the disk is full",
        "Make room, then start chatd again.",
    ),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written",
        "Check the disk, then start chatd again.",
    ),
    sqlite3.SQLITE_READONLY: ("cannot be written", _ALLOW),
    sqlite3.SQLITE_CANTOPEN: ("cannot be read and written", _ALLOW),
}


class StoreError(Exception):
    """The database cannot be used.

    str() is one line for the administrator: what is wrong with which file, and what
    to do.
    """

    def __init__(self, line: str) -> None:
        # SQLite repeats what it finds in a damaged file.
        super().__init__(neutralise(line))


class InUse(StoreError):
    """Another process has claimed the database; `doing` is what it said it does."""

    def __init__(self, line: str, doing: str) -> None:
        super().__init__(line)
        self.doing = doing


class Lock:
    """The claim on a database, held until `release` or the end of the process.

    Raises `InUse` if another process holds it, `StoreError` if there is no file to be
    made in the database's folder, and `OSError` where files cannot be locked. `program`
    is what it names itself in those errors, `doing` a word for those who find it.
    """

    # Not on the database itself: SQLite has POSIX locks there, and those of a process
    # vanish when it closes any descriptor of the file.
    def __init__(self, database: Path, program: str = "chatd", doing: str = "") -> None:
        path = database.with_name(f"{database.name}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"{database} cannot be opened: {path} cannot be written"
                f" ({error.strerror}). Let the user that {program} runs as write there."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.read(file, 40).decode("ascii", "replace")
            holder, _, others_doing = said.strip().partition(" ")
            os.close(file)
            process = f" (process {holder})" if holder.isdecimal() else ""
            raise InUse(
                f"{database} is in use by another {program}{process}."
                " Stop that one, or name another file.",
                others_doing,
            ) from None
        except OSError:  # a file system without locks
            os.close(file)
            raise
        self._file: int | None = file
        with suppress(OSError):
            os.fchmod(file, 0o600)
        self.say(doing)

    def say(self, doing: str = "") -> None:
        """Tell those who find the database in use what is done with it."""
        # Only for the message above: a full disk must not keep chatd from starting.
        if self._file is not None:
            with suppress(OSError):
                said = f"{os.getpid()} {doing}".rstrip()
                os.ftruncate(self._file, 0)
                os.pwrite(self._file, f"{said}\n".encode(), 0)

    def release(self) -> None:
        """Give the claim up; a second call does nothing."""
        # The file stays. Were it removed, somebody who has just opened it and somebody
        # who makes a new one could both hold a lock.
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """A database that is ready, and ours until its lock is released.

    `users` is how many there are, `last_position` the highest of a message that is
    stored, or was and is still known by its id, or 0; `last_change` is the number of
    the last change by an administrator. `seen_last` are those who were seen last, the
    latest first, `id_secret` is what ids are derived with. `notes` are lines for the
    log, on what was done to the database.
    """

    path: Path
    lock: Lock
    users: int
    last_position: int
    last_change: int
    seen_last: list[Seen]
    id_secret: bytes
    notes: list[str]


def open_database(path: Path, schema: Traversable = SCHEMA) -> OpenedDatabase:
    """Make the database at `path` ready; create it if there is none.

    One of an older version, or of the original program, is brought up to date. Raises
    `StoreError` if the file cannot be used; it is then not claimed, and what was in it
    is as before.
    """
    if sqlite3.sqlite_version_info < NEEDED_SQLITE:
        raise StoreError(
            f"{path} cannot be opened: SQLite {sqlite3.sqlite_version} is too old."
            f" Install {'.'.join(map(str, NEEDED_SQLITE))} or newer."
        )
    # Behind symbolic links: SQLite keeps -wal and -shm beside the file itself.
    path = Path(os.path.realpath(path))
    if os.path.lexists(path) and not path.is_file():
        raise StoreError(f"{path} is not a file. Name a file for the database.")
    if not os.path.isdir(path.parent):
        raise StoreError(
            f"{path} cannot be opened: {path.parent} is no folder, or chatd may not"
            " enter it. Create it, or name another file."
        )
    with _in_plain_words(path):
        lock = Lock(path)
        try:
            return _open(path, lock, load(schema))
        except BaseException:
            lock.release()
            raise


def configure(connection: sqlite3.Connection) -> None:
    """Prepare a connection that writes."""
    _wait_for_others(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    # Each commit is on disk before it is reported: messages are promised on it.
    connection.execute("PRAGMA synchronous = FULL")
    # A log that grew behind a long read is cut again.
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}")
    connection.execute("PRAGMA temp_store = MEMORY")
    # Some systems build SQLite to write zeros over all that is removed: that doubles
    # what a drain writes. The log has copies for some time either way.
    connection.execute("PRAGMA secure_delete = FAST")


def configure_reader(connection: sqlite3.Connection) -> None:
    """Prepare a connection that only reads."""
    _wait_for_others(connection)
    connection.execute("PRAGMA query_only = ON")


def _wait_for_others(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")


def _open(path: Path, lock: Lock, migrations: Sequence[Migration]) -> OpenedDatabase:
    _create_if_missing(path)
    modified = _modified(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        _wait_for_others(connection)
        # A migration may rebuild a table that others refer to.
        connection.execute("PRAGMA foreign_keys = OFF")
        original = is_original(connection)
        if original:
            notes = _take_over(connection, path, migrations, modified)
        else:
            _refuse_what_is_not_ours(connection, path, len(migrations))
            migrate(connection, migrations)
            notes = []
        notes += _make_private(path)
        _use_write_ahead_log(connection, path)
        purge_removed(connection)
        users = count_users(connection)
        last_change = last_account_change(connection)
        seen_last = names_seen_last(connection, LISTED_SEEN_LAST)
        id_secret = find_id_secret(connection)
        position = last_position(connection)
    notes = [neutralise(note) for note in notes]
    return OpenedDatabase(
        path, lock, users, position, last_change, seen_last, id_secret, notes
    )


def _create_if_missing(path: Path) -> None:
    log = _beside(path, "-wal")
    # SQLite takes a file of one byte for an empty one too.
    if _size(path) <= 1 and _size(log) > 0:
        # It would remove the log, and with it messages that may be nowhere else.
        raise StoreError(
            f"{path} is missing or empty, but not its log {log}."
            " Restore the database from a backup, or move the log away too."
        )
    if not path.exists():
        path.touch(0o600, exist_ok=False)
        path.chmod(0o600)  # whatever the umask
        return
    try:
        # SQLite would be content with reading it. It has no locks on the file yet
        # that closing it could take away.
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read and written ({error.strerror}). {_ALLOW}"
        ) from error


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _modified(path: Path) -> int:
    """Return when the database was last written, in milliseconds since 1970 UTC."""
    files = [path, _beside(path, "-wal")]
    latest = max(file.stat().st_mtime_ns for file in files if file.exists())
    return max(0, latest // 1_000_000)


def _refuse_what_is_not_ours(
    connection: sqlite3.Connection, path: Path, known: int
) -> None:
    version = version_of(connection)
    table = connection.execute(
        "SELECT name FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'"
    ).fetchone()
    if version == 0 and table is None:
        return  # new and empty
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        holds = f"a table {table[0]!r}" if table else f"the version {version}"
        raise StoreError(
            f"{path} is the database of another program: it has {holds}."
            " Nothing was changed. Name another file."
        )
    if version > known:
        raise StoreError(
            f"{path} was written by a newer chatd: it has version {version}, and this"
            f" chatd knows versions up to {known}. Nothing was changed. Install the"
            " newer chatd, or restore a backup made before the upgrade."
        )


def _make_private(path: Path) -> list[str]:
    """Take the rights of others off the files; return what to tell in the log."""
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        # Those beside it have the mode that the database had when they were made.
        for file in (path, _beside(path, "-wal"), _beside(path, "-shm")):
            if file.exists():
                file.chmod(0o600)
    except PermissionError:
        note = (
            f"{path} is open to others (mode {mode:o}), and belongs to another user,"
            " who should make it 600"
        )
    else:
        note = f"{path} was open to others (mode {mode:o}), and is now 600"
    return [note] if mode & 0o077 else []


def _take_over(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Sequence[Migration],
    modified: int,
) -> list[str]:
    try:
        return take_over(connection, path, migrations, modified, time.time())
    except Exception as error:
        raise StoreError(
            f"{path} was made by the original program, and could not be taken over"
            f" ({error}). It is unchanged. Stop the original program if it runs, and"
            " see that the disk has room for a copy; then start chatd again."
        ) from error


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    # Kept in the file: every later connection uses it too.
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path} cannot have a write-ahead log where it lies."
            " Keep the database on a local disk."
        )


def _is_full(path: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < LEAST_ROOM
    return False


@contextmanager
def _in_plain_words(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a `StoreError`."""
    try:
        yield
    except sqlite3.Error as error:
        # An extended code has the primary one in its lowest byte.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR and _is_full(path):
            # What cannot grow on a full disk fails like what cannot be read.
            code = sqlite3.SQLITE_FULL
        what, todo = _TROUBLES.get(
            code, ("could not be opened, and may be damaged", _REPAIR)
        )
        raise StoreError(f"{path} {what} ({error}). {todo}") from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be opened ({error.strerror})."
            " See to that, then start chatd again."
        ) from error
