"""A database that a daemon may have open, for a program beside it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from chatd.store.migrations import APPLICATION_ID, load, version_of
from chatd.store.opening import StoreError

BUSY_SECONDS: Final = 10.0
"""How long a running daemon's transaction is waited for."""


@contextmanager
def database_beside(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a chatd of this version, which may be running.

    The connection is in autocommit mode. Raises `StoreError`, for what the block does
    with it too.
    """
    if not path.is_file():
        raise StoreError(f"{path} is no file: name the database of chatd with --db.")
    try:
        with closing(
            sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=BUSY_SECONDS,
            )
        ) as connection:
            _check(connection, path)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be used: {error}.") from error


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is no database of chatd.")
    version, known = version_of(connection), len(load())
    if version < known:
        raise StoreError(
            f"{path} is of an older chatd: start this chatd once, which updates it."
        )
    if version > known:
        raise StoreError(f"{path} is of a newer chatd: use the chatctl of that one.")
