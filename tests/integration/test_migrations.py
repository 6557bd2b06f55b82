"""Databases of older, newer and other programs."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chatd.store import migrations
from chatd.store.opening import OpenedDatabase, StoreError, open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    """Return a schema folder with today's files, to which a test adds others."""
    folder = tmp_path / "schema"
    shutil.copytree(str(migrations.SCHEMA), folder)
    return folder


def opened(path: Path, schema: Path | None = None) -> OpenedDatabase:
    database = open_database(path, schema) if schema else open_database(path)
    database.lock.release()
    return database


def refusal(path: Path, schema: Path | None = None) -> str:
    with pytest.raises(StoreError) as caught:
        opened(path, schema)
    text = str(caught.value)
    assert "\n" not in text
    return text


SECRET = r"(?<=^INSERT INTO \"id_secret\" VALUES\(X')[0-9A-F]{32}"


def dump(path: Path) -> list[str]:
    """Return all that is in a database, with its version, but for what is random."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        lines = [re.sub(SECRET, "", line) for line in connection.iterdump()]
        return [f"version {version}", *lines]


# The files ---------------------------------------------------------------------------


def test_the_shipped_migrations_are_numbered_without_gaps() -> None:
    versions = [migration.version for migration in migrations.load()]
    assert versions == list(range(1, len(versions) + 1))
    assert versions


KNOWN = len(migrations.load())


def next_file(schema: Path, name: str, behind: int) -> Path:
    """Return the file of a migration so many behind those that there are."""
    return schema / f"{KNOWN + behind:04}_{name}.sql"


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["0002_more.sql"], "0002_more.sql"),
        (["0001_initial.sql", "0003_more.sql"], "0003_more.sql"),
        (["0001_initial.sql", "0001_other.sql"], "0001_other.sql"),
        (["0001_initial.sql", "2_more.sql"], "2_more.sql"),
        (["0000_nothing.sql", "0001_initial.sql"], "0000_nothing.sql"),
        (["0001.sql"], "0001.sql"),
    ],
)
def test_a_file_out_of_the_row_is_a_mistake_of_the_programmer(
    tmp_path: Path, names: list[str], wrong: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"^{wrong} stands where migration "):
        migrations.load(tmp_path)


def test_files_that_are_no_sql_are_left_alone(schema: Path) -> None:
    (schema / "README.md").touch()
    assert [migration.version for migration in migrations.load(schema)] == list(
        range(1, KNOWN + 1)
    )


# Up to date --------------------------------------------------------------------------


def test_an_older_database_gets_what_it_lacks_and_keeps_the_rest(
    path: Path, schema: Path
) -> None:
    opened(path, schema)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO users (key, name, first_seen, last_seen)"
            " VALUES ('bob', 'Bob', 0, 0)"
        )
    next_file(schema, "color", 1).write_text(
        "-- A comment; with a semicolon.\n"
        "ALTER TABLE users ADD color TEXT NOT NULL DEFAULT 'a;b';\n"
        "CREATE TRIGGER one AFTER INSERT ON users BEGIN\n"
        "    UPDATE users SET color = ';';\n"
        "    UPDATE users SET color = 'c';\n"
        "END;\n"
        "-- The end\n"
    )
    next_file(schema, "index", 2).write_text("CREATE INDEX colors ON users (color)")
    assert opened(path, schema).users == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, color FROM users").fetchall() == [
            ("Bob", "a;b")
        ]
        assert connection.execute("PRAGMA user_version").fetchone() == (KNOWN + 2,)


def test_an_upgraded_database_is_the_same_as_a_new_one(
    path: Path, schema: Path, tmp_path: Path
) -> None:
    opened(path, schema)
    next_file(schema, "more", 1).write_text("CREATE TABLE more (x TEXT) STRICT;")
    opened(path, schema)
    new = tmp_path / "new.db"
    opened(new, schema)
    assert dump(path) == dump(new)


def test_opening_again_changes_nothing(path: Path) -> None:
    opened(path)
    content = path.read_bytes()
    opened(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "last",
    [
        "INSERT INTO users (key) VALUES ('x');",
        "CREATE TABLE more (x TEXT);",
        "CREATE TABLE unfinished (x TEXT",
        "SELECT 1; nonsense",
    ],
)
def test_a_failing_migration_leaves_nothing_behind(
    path: Path, schema: Path, last: str
) -> None:
    opened(path, schema)
    before = dump(path)
    next_file(schema, "broken", 1).write_text(
        f"CREATE TABLE more (x TEXT);\nDROP TABLE queue_shares;\n{last}"
    )
    assert f"{path} could not be opened" in refusal(path, schema)
    assert dump(path) == before
    next_file(schema, "broken", 1).unlink()
    assert opened(path, schema).users == 0


def test_the_migrations_before_a_failing_one_hold(path: Path, schema: Path) -> None:
    next_file(schema, "good", 1).write_text("CREATE TABLE more (x TEXT);")
    next_file(schema, "broken", 2).write_text("DROP TABLE more; nonsense;")
    refusal(path, schema)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (KNOWN + 1,)
        assert connection.execute("SELECT * FROM more").fetchall() == []
    next_file(schema, "broken", 2).write_text("DROP TABLE more;")
    assert opened(path, schema).users == 0


KILLED = """
import os, sqlite3, sys
from pathlib import Path

connect = sqlite3.connect

def watch(text):
    if sys.argv[2] in text:
        os.kill(os.getpid(), 9)

def watched(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(watch)
    return connection

sqlite3.connect = watched
from chatd.store.opening import open_database
open_database(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "statement",
    [
        "BEGIN IMMEDIATE",
        "CREATE TABLE queue_shares",
        "PRAGMA user_version = 1",
        "COMMIT",
        "PRAGMA journal_mode = WAL",
        "SELECT COUNT(*) FROM users",
    ],
)
def test_a_creation_that_was_killed_is_done_by_the_next_start(
    path: Path, tmp_path: Path, statement: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, path, statement], timeout=30, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    opened(path)
    new = tmp_path / "new.db"
    opened(new)
    assert dump(path) == dump(new)


# Not for us --------------------------------------------------------------------------


def test_a_newer_database_is_refused_with_both_versions(path: Path) -> None:
    opened(path)
    known = len(migrations.load())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 77")
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} was written by a newer chatd: it has version 77, and this chatd knows"
        f" versions up to {known}. Nothing was changed. Install the newer chatd, or"
        " restore a backup made before the upgrade."
    )
    assert path.read_bytes() == content


@pytest.mark.parametrize("version", [0, 1, 77])
def test_the_database_of_another_program_is_refused_untouched(
    path: Path, version: int
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute(f"PRAGMA user_version = {version}")
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} is the database of another program: it has a table 'bookmarks'."
        " Nothing was changed. Name another file."
    )
    assert path.read_bytes() == content


def test_another_programs_users_are_not_taken_for_the_originals(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (username, ip, port)")
        connection.execute("CREATE TABLE offline_messages (id, subject)")
    assert "it has a table 'users'" in refusal(path)


def test_an_empty_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 5")
    assert "it has the version 5" in refusal(path)


def test_a_strange_table_name_does_not_break_the_line(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "a\n\x1b[31mb" (x)')
    assert r"it has a table 'a\n\x1b[31mb'" in refusal(path)
