"""Databases with many users, made without a daemon."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from chatd.store.opening import open_database
from chatd.store.statements import sql

YEAR: Final = 365 * 24 * 3600 * 1000
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
NAME_LENGTH: Final = 7
NAMES: Final = len(LETTERS) ** NAME_LENGTH


def name_of(number: int) -> str:
    """Return the name of a user: each number its own, in no alphabetical order."""
    # The factor has no divisor in common with NAMES, so no two numbers meet.
    value = number * 2_654_435_761 % NAMES
    name = ""
    for _ in range(NAME_LENGTH):
        value, letter = divmod(value, len(LETTERS))
        name = LETTERS[letter] + name
    return name


def build(path: Path, users: int) -> float:
    """Make a database that knows so many users; return the seconds it took."""
    begun = time.perf_counter()
    now = int(time.time() * 1000)
    opened = open_database(path)
    opened.lock.release()
    rows = (
        {
            "key": name_of(number),
            "name": name_of(number),
            "password": None,
            "password_time": None,
            "password_from": None,
            "address": "192.0.2.1",
            "port": 40000,
            "time": now - YEAR + number * 2_654_435_761 % YEAR,
        }
        for number in range(users)
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # What is not finished is not used: it need not survive a crash.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")
        connection.execute("BEGIN")
        connection.executemany(sql("arrive_new"), rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - begun
