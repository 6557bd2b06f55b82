"""The numbered files in schema/, and how a database is brought up to date with them.

PRAGMA user_version says how many of the files a database has had. A released file is
never edited: what is to change goes into the next one.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, Literal

SCHEMA: Final[Traversable] = files("chatd.store") / "schema"

# PRAGMA application_id of every database of chatd ("chat" in ASCII). Other programs
# use user_version too: without this, a file of theirs could pass for an older one.
APPLICATION_ID: Final = 0x63686174


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the schema folder: the step from `version` - 1 to `version`."""

    version: int
    script: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Run the script and note the version, within the caller's transaction.

        Raises `sqlite3.Error` where a statement fails.
        """
        for statement in statements(self.script):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {self.version}")


def load(folder: Traversable = SCHEMA) -> list[Migration]:
    """Return the migrations in a folder of files such as ``0001_initial.sql``.

    Raises `ValueError`, a mistake of the programmer, if the numbers of its ``.sql``
    files are not 1, 2, 3 and so on.
    """
    found = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    for number, file in enumerate(found, 1):
        if not re.fullmatch(rf"{number:04}_\w+\.sql", file.name):
            raise ValueError(f"{file.name} stands where migration {number:04} should")
    return [
        Migration(number, file.read_text(encoding="utf-8"))
        for number, file in enumerate(found, 1)
    ]


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many migrations the database has had."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Apply the migrations that the database has not had, each in one transaction.

    Raises `sqlite3.Error` where one fails; the database then stands after the one
    before it. The connection's isolation_level must be None.
    """
    for migration in migrations[version_of(connection) :]:
        with transaction(connection):
            migration.apply(connection)


@contextmanager
def transaction(
    connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Iterator[None]:
    """Commit what the block did, or nothing of it if it or the commit fails.

    The connection's isolation_level must be None: sqlite3 would otherwise begin and
    end transactions of its own.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """Split a script, as executescript cannot be used: it commits before it starts."""
    statement = ""
    for piece in re.split("(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    # Blank or a comment, which SQLite ignores; or incomplete, which it refuses.
    yield statement
