"""Opening a database that the original program has written."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chatd.store import legacy, migrations
from chatd.store.opening import OpenedDatabase, StoreError, open_database

# As declared by the original.
TABLES = """
CREATE TABLE users (username TEXT PRIMARY KEY, ip TEXT, port INTEGER);
CREATE TABLE offline_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT, target TEXT, message TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP
);
"""

# When the file was last written, in seconds and as chatd keeps times.
WRITTEN = 1_700_000_000.5
WRITTEN_MS = 1_700_000_000_500

User = tuple[object, object, object]
Message = tuple[object, object, object, object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


def write_original(
    path: Path,
    users: Iterable[User] = (),
    messages: Iterable[Message] = (),
    tables: str = TABLES,
) -> None:
    """Write a database of the original: users, and messages as they were sent."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(tables)
        connection.executemany(
            "INSERT INTO users (username, ip, port) VALUES (?, ?, ?)", users
        )
        connection.executemany(
            "INSERT INTO offline_messages (sender, target, message, timestamp)"
            " VALUES (?, ?, ?, ?)",
            messages,
        )
        connection.commit()
    path.chmod(0o644)
    os.utime(path, (WRITTEN, WRITTEN))


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


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def queue(path: Path, key: str) -> list[tuple[object, ...]]:
    """Return sender and text of what waits for a user, in order."""
    return rows(
        path,
        "SELECT sender, message FROM offline_messages"
        " JOIN users ON users.id = offline_messages.target"
        f" WHERE key = '{key}' ORDER BY position",
    )


def names(path: Path) -> list[tuple[object, ...]]:
    return rows(path, "SELECT key, name FROM users ORDER BY id")


def copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob("server.db.original*"))


def schema_of(path: Path) -> set[tuple[object, ...]]:
    # SQLite keeps the counter of AUTOINCREMENT, and lets nobody drop it.
    return set(
        rows(
            path,
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
            " WHERE name <> 'sqlite_sequence'",
        )
    )


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


# What is taken over ------------------------------------------------------------------


def test_users_and_their_queues_are_taken_over(path: Path) -> None:
    write_original(
        path,
        [("alice", "10.0.0.1", 4000), ("Bob", "10.0.0.2", 4001)],
        [
            ("alice", "Bob", "Hey there!", "2023-11-14 22:13:20"),
            ("Bob", "alice", "Grüße", "2023-11-14 22:13:21"),
            ("alice", "Bob", "Are you there?", "2023-11-14 22:13:22"),
        ],
    )
    database = opened(path)
    assert (database.users, database.last_position) == (2, 3)
    assert rows(
        path,
        "SELECT id, key, name, address, port, first_seen, last_seen,"
        " queued_messages, queued_bytes FROM users ORDER BY id",
    ) == [
        (1, "alice", "alice", "10.0.0.1", 4000, WRITTEN_MS, WRITTEN_MS, 1, 7),
        (2, "bob", "Bob", "10.0.0.2", 4001, WRITTEN_MS, WRITTEN_MS, 2, 24),
    ]
    assert rows(
        path,
        "SELECT position, id, sender, target, message, time, size"
        " FROM offline_messages ORDER BY position",
    ) == [
        (1, None, "alice", 2, "Hey there!", 1_700_000_000_000, 10),
        (2, None, "Bob", 1, "Grüße", 1_700_000_001_000, 7),
        (3, None, "alice", 2, "Are you there?", 1_700_000_002_000, 14),
    ]
    assert rows(
        path,
        "SELECT target, sender, messages, bytes FROM queue_shares ORDER BY target",
    ) == [(1, "Bob", 1, 7), (2, "alice", 2, 24)]


def test_an_original_without_users_is_taken_over(path: Path) -> None:
    write_original(path)
    database = opened(path)
    assert (database.users, database.last_position) == (0, 0)


def test_the_log_says_where_the_copy_is(path: Path) -> None:
    write_original(path, [("alice", "10.0.0.1", 4000)])
    database = opened(path)
    (copy,) = copies(path)
    assert database.notes == [
        f"{path} was made by the original program, and has been taken over;"
        f" a copy of it is kept at {copy}",
        f"{path} was open to others (mode 644), and is now 600",
    ]


def test_it_is_taken_over_once(path: Path) -> None:
    write_original(path, [("alice", "10.0.0.1", 4000)])
    opened(path)
    assert opened(path).notes == []
    assert len(copies(path)) == 1


def test_the_result_is_like_a_new_database(path: Path, tmp_path: Path) -> None:
    write_original(
        path,
        [("alice", "10.0.0.1", 4000)],
        [("alice", "alice", "Hi", None)],
        TABLES + "CREATE INDEX by_target ON offline_messages (target);",
    )
    opened(path)
    new = tmp_path / "new.db"
    opened(new)
    assert schema_of(path) == schema_of(new)
    for pragma in ("user_version", "application_id", "journal_mode"):
        assert rows(path, f"PRAGMA {pragma}") == rows(new, f"PRAGMA {pragma}")
    assert rows(path, "PRAGMA foreign_key_check") == []
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_later_migrations_are_applied_to_what_was_taken_over(
    path: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema"
    shutil.copytree(str(migrations.SCHEMA), schema)
    (schema / f"{len(migrations.load()) + 1:04}_color.sql").write_text(
        "ALTER TABLE users ADD color TEXT; UPDATE users SET color = name || '!';"
    )
    write_original(path, [("alice", "10.0.0.1", 4000)])
    opened(path, schema)
    assert rows(path, "SELECT color FROM users") == [("alice!",)]
    assert rows(path, "PRAGMA user_version") == [(len(migrations.load()) + 1,)]


def test_messages_stand_in_the_order_of_their_old_ids(path: Path) -> None:
    write_original(path, [("bob", None, None)])
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO offline_messages (id, sender, target, message, timestamp)"
            " VALUES (?, 'alice', 'bob', ?, '2023-11-14 22:13:20')",
            [(900, "third"), (7, "first"), (50, "second")],
        )
        connection.commit()
    assert opened(path).last_position == 3
    assert queue(path, "bob") == [
        ("alice", "first"),
        ("alice", "second"),
        ("alice", "third"),
    ]


def test_columns_are_known_by_name_whatever_their_order_and_type(path: Path) -> None:
    write_original(
        path,
        [("bob", "10.0.0.2", "4001")],
        [("alice", "bob", "Hi", 1_700_000_000)],
        """
        CREATE TABLE "Users" (PORT, extra BLOB, ip, Username NOT NULL UNIQUE);
        CREATE TABLE offline_messages (
            Timestamp REAL, message BLOB, target, sender, id INTEGER
        );
        """,
    )
    opened(path)
    assert rows(path, "SELECT name, address, port FROM users") == [
        ("bob", "10.0.0.2", 4001)
    ]
    assert rows(path, "SELECT message, time FROM offline_messages") == [
        ("Hi", 1_700_000_000_000)
    ]


def test_a_table_that_the_original_did_not_have_stays(path: Path) -> None:
    write_original(path, tables=TABLES + "CREATE TABLE rooms AS SELECT 'ops' AS name;")
    opened(path)
    assert rows(path, "SELECT name FROM rooms") == [("ops",)]


@pytest.mark.parametrize("name", ["50%?x#y&z=1", "a\nb", "\udcff"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_original(path, [("alice", None, None)])
    database = opened(path)
    assert database.users == 1
    assert "\n" not in database.notes[0]
    database.notes[0].encode()


# Names -------------------------------------------------------------------------------


def test_a_name_that_cannot_be_one_is_adapted_and_noted(path: Path) -> None:
    write_original(
        path,
        [("Bob Smith", "10.0.0.2", 4001), ("alice", None, None)],
        [("Bob Smith", "alice", "Hi", None), ("alice", "Bob Smith", "Hello", None)],
    )
    assert "'Bob Smith' is now 'Bob_Smith'" in opened(path).notes
    assert names(path) == [("bob_smith", "Bob_Smith"), ("alice", "alice")]
    assert queue(path, "alice") == [("Bob_Smith", "Hi")]
    assert queue(path, "bob_smith") == [("alice", "Hello")]


def test_names_that_are_now_one_keep_their_own_queues(path: Path) -> None:
    write_original(
        path,
        [("bob", None, None), ("Bob", None, None), ("BOB", None, None)],
        [
            ("Bob", "bob", "to bob", None),
            ("BOB", "Bob", "to Bob", None),
            ("bob", "BOB", "to BOB", None),
        ],
    )
    notes = opened(path).notes
    assert "'Bob' is now 'Bob.2'" in notes
    assert "'BOB' is now 'BOB.3'" in notes
    assert queue(path, "bob") == [("Bob.2", "to bob")]
    assert queue(path, "bob.2") == [("BOB.3", "to Bob")]
    assert queue(path, "bob.3") == [("bob", "to BOB")]


def test_a_name_that_can_stay_is_not_taken_by_an_adapted_one(path: Path) -> None:
    write_original(path, [("Bob Smith", None, None), ("bob_smith", None, None)])
    assert "'Bob Smith' is now 'Bob_Smith.2'" in opened(path).notes
    assert names(path) == [("bob_smith.2", "Bob_Smith.2"), ("bob_smith", "bob_smith")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "user"),
        (None, "user"),
        ("server", "server.2"),
        ("a-b", "a_b"),
        (" alice ", "alice"),
        (7, "7"),
        (b"bob", "bob"),
        ("bob\x00rest", "bob_rest"),
        ("\x1b[31m", "31m"),
        ("x" * 40, "x" * 32),
        ("Zoë", "Zoë"),
    ],
)
def test_every_odd_name_gets_a_good_one(path: Path, old: object, new: str) -> None:
    tables = TABLES.replace("username TEXT PRIMARY KEY", "username")
    write_original(path, [(old, None, None)], [("al", old, "Hi", None)], tables)
    notes = opened(path).notes
    assert rows(path, "SELECT name, queued_messages FROM users") == [(new, 1)]
    assert [note for note in notes if "\n" in note or "\x1b" in note] == []


def test_a_user_that_stands_twice_is_one(path: Path) -> None:
    tables = TABLES.replace(" PRIMARY KEY,", ",", 1)
    write_original(path, [("bob", "10.0.0.1", 1), ("bob", "10.0.0.2", 2)], (), tables)
    assert opened(path).users == 1
    assert rows(path, "SELECT name, address, port FROM users") == [
        ("bob", "10.0.0.2", 2)
    ]


def test_names_differ_by_case_even_where_the_original_compared_without(
    path: Path,
) -> None:
    tables = TABLES.replace("target TEXT", "target TEXT COLLATE NOCASE").replace(
        "sender TEXT", "sender TEXT COLLATE NOCASE"
    )
    messages = [("al", "bob", "1", None), ("AL", "BOB", "2", None)]
    write_original(path, (), messages, tables)
    assert opened(path).users == 2
    assert queue(path, "bob") == [("al", "1")]
    assert queue(path, "bob.2") == [("AL.2", "2")]


def test_a_receiver_that_nobody_registered_becomes_a_user(path: Path) -> None:
    write_original(path, (), [("alice", "zed", "Hi", None)])
    assert opened(path).users == 1
    assert rows(
        path, "SELECT name, address, port, first_seen, queued_messages FROM users"
    ) == [("zed", None, None, WRITTEN_MS, 1)]


def test_a_sender_that_nobody_registered_stays_none_of_the_users(path: Path) -> None:
    write_original(
        path,
        [("alice", None, None)],
        [("Ghost", "alice", "boo", None), ("ALICE", "alice", "not me", None)],
    )
    assert opened(path).users == 1
    assert queue(path, "alice") == [("Ghost", "boo"), ("ALICE.2", "not me")]


@pytest.mark.parametrize(
    ("ip", "port", "kept"),
    [
        (None, None, (None, None)),
        ("", "", (None, None)),
        ("::1", "4000", ("::1", 4000)),
        (b"10.0.0.1", b"4000", ("10.0.0.1", 4000)),
        (7, 70_000, ("7", None)),
        ("host", -1, ("host", None)),
        ("host", "none", ("host", None)),
        ("host", 2**62, ("host", None)),
        ("host", 1.5, ("host", None)),
    ],
)
def test_an_odd_address_is_kept_and_an_odd_port_is_not(
    path: Path, ip: object, port: object, kept: tuple[object, object]
) -> None:
    write_original(path, [("bob", ip, port)])
    opened(path)
    assert rows(path, "SELECT address, port FROM users") == [kept]


# Messages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (None, ""),
        ("", ""),
        ("before\x00after", "before\x00after"),
        ("two\nlines\r\n", "two\nlines\r\n"),
        ("\U0001f600", "\U0001f600"),
        (b"blob \xff", "blob \ufffd"),
        (42, "42"),
        (1.5, "1.5"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_every_message_is_kept_as_text(path: Path, message: object, kept: str) -> None:
    tables = TABLES.replace("message TEXT", "message")
    write_original(path, (), [("alice", "bob", message, None)], tables)
    opened(path)
    size = len(kept.encode())
    assert rows(path, "SELECT message, size FROM offline_messages") == [(kept, size)]
    assert rows(path, "SELECT queued_bytes FROM users") == [(size,)]
    assert rows(path, "SELECT bytes FROM queue_shares") == [(size,)]


def test_text_that_is_not_utf8_is_kept_as_far_as_it_is(path: Path) -> None:
    write_original(path, [("bob", None, None)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO offline_messages (sender, target, message)"
            " VALUES ('alice', 'bob', CAST(x'4869ff' AS TEXT))"
        )
        connection.commit()
    opened(path)
    assert queue(path, "bob") == [("alice", "Hi\ufffd")]


def test_an_original_in_utf16_is_taken_over(path: Path) -> None:
    write_original(
        path,
        [("Zoë", None, None)],
        [("Zoë", "Zoë", "Grüße", None)],
        'PRAGMA encoding = "UTF-16le";' + TABLES,
    )
    opened(path)
    assert queue(path, "zoë") == [("Zoë", "Grüße")]
    assert rows(path, "SELECT size FROM offline_messages") == [(7,)]


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14 22:13:20.123456", 1_700_000_000_123),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        ("2023-11-14", 1_699_920_000_000),
        (" 2023-11-14 22:13:20\n", 1_700_000_000_000),
        (b"2023-11-14 22:13:20", 1_700_000_000_000),
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.123, 1_700_000_000_123),
        ("1700000000", 1_700_000_000_000),
        ("1700000000.123", 1_700_000_000_123),
        (0, 0),
        (None, WRITTEN_MS),
        ("", WRITTEN_MS),
        ("yesterday", WRITTEN_MS),
        ("2023-02-30 10:00:00", WRITTEN_MS),
        ("1500-01-01 00:00:00", WRITTEN_MS),
        ("0001-01-01T00:00:00+14:00", WRITTEN_MS),
        (-5, WRITTEN_MS),
        (2**62, WRITTEN_MS),
        (1e300, WRITTEN_MS),
        (float("inf"), WRITTEN_MS),
        ("nan", WRITTEN_MS),
        ("9" * 400, WRITTEN_MS),
        ("9" * 5_000, WRITTEN_MS),
        (b"\xff", WRITTEN_MS),
    ],
)
def test_a_time_is_read_in_any_usual_form_or_is_the_files(
    path: Path, timestamp: object, time: int
) -> None:
    tables = TABLES.replace("timestamp DATETIME", "timestamp BLOB")
    write_original(path, (), [("alice", "bob", "Hi", timestamp)], tables)
    opened(path)
    assert rows(path, "SELECT time FROM offline_messages") == [(time,)]


# The copy ----------------------------------------------------------------------------


def test_the_copy_is_the_original_and_private(path: Path) -> None:
    write_original(path, [("Bob Smith", "10.0.0.2", 1)], [("a", "b", "Hi", None)])
    before = dump(path)
    began = datetime.now(UTC).replace(microsecond=0)
    opened(path)
    ended = datetime.now(UTC)
    (copy,) = copies(path)
    assert dump(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    stamp = datetime.strptime(copy.name, "server.db.original-%Y%m%d-%H%M%S")
    assert began <= stamp.replace(tzinfo=UTC) <= ended
    assert set(os.listdir(path.parent)) == {"server.db", "server.db.lock", copy.name}


def test_the_copy_has_what_was_only_in_the_originals_log(path: Path) -> None:
    write_original(path, tables="PRAGMA journal_mode = WAL;" + TABLES)
    crash = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1])\n"
        "c.execute(\"INSERT INTO users VALUES ('late', '10.0.0.9', 9)\")\n"
        "c.commit()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", crash, path], timeout=30, check=False)
    assert path.with_name("server.db-wal").stat().st_size > 0
    os.utime(path.with_name("server.db-wal"), (WRITTEN + 60, WRITTEN + 60))
    opened(path)
    (copy,) = copies(path)
    alone = path.parent / "elsewhere" / "copy.db"
    alone.parent.mkdir()
    alone.write_bytes(copy.read_bytes())
    assert rows(alone, "SELECT username FROM users") == [("late",)]
    assert os.listdir(alone.parent) == ["copy.db"]
    assert rows(path, "SELECT name, last_seen FROM users") == [
        ("late", WRITTEN_MS + 60_000)
    ]


def test_a_copy_replaces_no_other(path: Path) -> None:
    write_original(path, [("alice", None, None)])
    with closing(sqlite3.connect(path)) as connection:
        made = [legacy.copy_aside(connection, path, 0) for _ in range(3)]
    assert [copy.name for copy in made] == [
        "server.db.original-19700101-000000",
        "server.db.original-19700101-000000-2",
        "server.db.original-19700101-000000-3",
    ]
    assert copies(path) == made


# When it fails -----------------------------------------------------------------------


def test_a_failure_leaves_the_original_and_nothing_else(
    path: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema"
    shutil.copytree(str(migrations.SCHEMA), schema)
    (schema / f"{len(migrations.load()) + 1:04}_broken.sql").write_text("nonsense;")
    write_original(path, [("alice", None, None)], [("a", "alice", "Hi", None)])
    content = path.read_bytes()
    assert refusal(path, schema) == (
        f"{path} was made by the original program, and could not be taken over"
        ' (near "nonsense": syntax error). It is unchanged. Stop the original program'
        " if it runs, and see that the disk has room for a copy; then start chatd"
        " again."
    )
    assert path.read_bytes() == content
    assert copies(path) == []
    assert opened(path).users == 1


def test_a_mistake_of_ours_leaves_the_original_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text: str, taken: Callable[[str], bool]) -> None:
        raise AssertionError("no name is free")

    monkeypatch.setattr(legacy, "adapted_name", fail)
    write_original(path, [("Bob Smith", None, None)])
    content = path.read_bytes()
    assert "(no name is free). It is unchanged." in refusal(path)
    assert path.read_bytes() == content
    assert copies(path) == []


def test_a_copy_that_cannot_be_made_leaves_the_original(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    write_original(path, [("alice", None, None)])
    content = path.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    text = refusal(path)
    assert "No space left on device" in text
    assert "It is unchanged." in text
    assert path.read_bytes() == content
    assert copies(path) == []


def test_an_original_that_is_still_written_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.store.opening.BUSY_TIMEOUT", 0)
    write_original(path, [("alice", None, None)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO users VALUES ('bob', NULL, NULL)")
        assert "(database is locked). It is unchanged." in refusal(path)
        connection.commit()
    assert copies(path) == []
    assert opened(path).users == 2


def test_a_damaged_original_is_left_alone(path: Path) -> None:
    messages = [("a", "alice", "x" * 1_000, None)] * 100
    write_original(path, [("alice", None, None)], messages)
    with path.open("r+b") as file:
        file.seek(4096 * 12)
        file.write(b"\xff" * 4096)
    content = path.read_bytes()
    assert "(database disk image is malformed). It is unchanged." in refusal(path)
    assert path.read_bytes() == content
    assert copies(path) == []


# Killed ------------------------------------------------------------------------------

# Opens the database, and is killed just before it runs the given statement for the
# given time. The small cache makes SQLite write to the file before the commit.
KILLED = """
import os, sqlite3, sys
from pathlib import Path

path, statement, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
connect = sqlite3.connect

def watch(text):
    global times
    if statement in text:
        times -= 1
        if times == 0:
            os.kill(os.getpid(), 9)

def watched(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.execute("PRAGMA cache_size = 5")
    connection.set_trace_callback(watch)
    return connection

sqlite3.connect = watched
from chatd.store.opening import open_database
open_database(Path(path))
"""

MOMENTS = [
    ("BEGIN DEFERRED", 1),
    ("PRAGMA journal_mode = DELETE", 1),
    ("DROP TABLE users", 1),
    ("DROP TABLE offline_messages", 1),
    ("CREATE TABLE users", 1),
    ("PRAGMA user_version = 1", 1),
    ("INSERT INTO users", 1),
    ("INSERT INTO users", 3),
    ("INSERT INTO offline_messages", 1),
    ("INSERT INTO offline_messages", 150),
    ("INSERT INTO queue_shares", 1),
    ("UPDATE users", 1),
    ("COMMIT", 1),
    ("PRAGMA journal_mode = WAL", 1),
    ("SELECT COUNT(*) FROM users", 1),
]


@pytest.mark.parametrize(("statement", "times"), MOMENTS)
def test_killed_at_any_point_the_next_start_loses_nothing(
    path: Path, statement: str, times: int
) -> None:
    messages = [("Bob Smith", "alice", f"{n} {'x' * 1_000}", 1) for n in range(200)]
    users = [(name, "10.0.0.1", 1) for name in ("alice", "Bob Smith", "carol")]
    write_original(path, users, messages)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, path, statement, str(times)],
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"")

    assert opened(path).users == 3
    assert queue(path, "alice") == [("Bob_Smith", text) for _, _, text, _ in messages]
    assert rows(path, "SELECT key, queued_messages FROM users ORDER BY id") == [
        ("alice", 200),
        ("bob_smith", 0),
        ("carol", 0),
    ]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # No half-made copy is left.
    for copy in copies(path):
        assert rows(copy, "SELECT COUNT(*) FROM offline_messages") == [(200,)]
        assert copy.suffix != ".partial"


def test_a_kill_leaves_the_original_with_its_journal(path: Path) -> None:
    messages = [("a", "b", "x" * 1_000, 1)] * 200
    write_original(path, (), messages)
    before = dump(path)
    subprocess.run(
        [sys.executable, "-c", KILLED, path, "COMMIT", "1"], timeout=30, check=False
    )
    assert path.with_name("server.db-journal").stat().st_size > 0
    assert dump(path) == before
