"""What an administrator meets when the daemon opens its database."""

import errno
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chatd.store.opening import (
    OpenedDatabase,
    StoreError,
    configure,
    configure_reader,
    open_database,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


def opened(path: Path) -> OpenedDatabase:
    """Open the database, and give it up again."""
    database = open_database(path)
    database.lock.release()
    return database


def refusal(path: Path) -> str:
    """Return why the database cannot be opened, and check that nobody holds it then."""
    with pytest.raises(StoreError) as caught:
        open_database(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def fill(path: Path) -> None:
    """Register alice and bob, and queue message 7 for bob."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            INSERT INTO users (id, key, name, first_seen, last_seen)
            VALUES (1, 'alice', 'alice', 0, 0), (2, 'bob', 'Bob', 0, 0);
            INSERT INTO offline_messages (position, sender, target, message, time, size)
            VALUES (7, 'alice', 2, 'Hi', 0, 2);
            """
        )


def fill_pages(path: Path) -> None:
    """Register so many users that the table has many pages."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO users (key, name, first_seen, last_seen) VALUES (?, ?, 0, 0)",
            [(f"user{number}", f"User{number}") for number in range(2_000)],
        )


# Creating and opening again -----------------------------------------------------------


def test_a_missing_database_is_created_empty(path: Path) -> None:
    database = opened(path)
    assert database.path == path
    assert (database.users, database.last_position) == (0, 0)
    assert database.notes == []


def test_users_and_messages_are_found_again(path: Path) -> None:
    opened(path)
    fill(path)
    database = opened(path)
    assert (database.users, database.last_position) == (2, 7)
    assert database.notes == []


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch(0o600)
    assert opened(path).users == 0
    fill(path)
    assert opened(path).users == 2


def test_connections_write_ahead_without_asking_for_it(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_opening_leaves_only_the_database_and_its_lock(path: Path) -> None:
    opened(path)
    assert sorted(os.listdir(path.parent)) == ["server.db", "server.db.lock"]


def test_messages_committed_before_a_crash_are_there(path: Path) -> None:
    opened(path)
    died = run(
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1])\n"
        'c.execute("INSERT INTO users (key, name, first_seen, last_seen)"'
        " \" VALUES ('bob', 'bob', 0, 0)\")\n"
        "c.commit()\n"
        "os.kill(os.getpid(), 9)\n",
        path,
    )
    assert died.returncode == -9
    assert path.with_name("server.db-wal").stat().st_size > 0
    assert opened(path).users == 1


def test_a_link_to_the_database_leads_to_the_same_database(
    path: Path, tmp_path: Path
) -> None:
    real = tmp_path / "disk" / "chatd.db"
    real.parent.mkdir()
    path.symlink_to(real)
    database = open_database(path)
    assert database.path == real
    assert f"{real} is in use" in refusal(real)
    database.lock.release()


@pytest.mark.parametrize(
    "name", ["a b", "50%?x#y&z=1", "a\nb", "-", ":memory:", "file:x", "\udcff"]
)
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    opened(path)
    assert opened(path).users == 0
    assert set(os.listdir(tmp_path)) == {name, f"{name}.lock"}


# Who else may read it ----------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_files_are_private_whatever_the_umask(path: Path, mask: int) -> None:
    with umask(mask):
        opened(path)
        with closing(sqlite3.connect(path)) as connection:
            configure(connection)
            connection.execute("DELETE FROM users")
            connection.commit()
            files = sorted(path.parent.iterdir())
            assert [(file.name, mode(file)) for file in files] == [
                ("server.db", 0o600),
                ("server.db-shm", 0o600),
                ("server.db-wal", 0o600),
                ("server.db.lock", 0o600),
            ]


def test_a_database_open_to_others_is_made_private_and_noted(path: Path) -> None:
    opened(path)
    path.chmod(0o664)
    assert opened(path).notes == [
        f"{path} was open to others (mode 664), and is now 600"
    ]
    assert mode(path) == 0o600
    assert opened(path).notes == []


def test_a_log_open_to_others_is_made_private_too(path: Path) -> None:
    opened(path)
    path.chmod(0o644)
    with umask(0o022), closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()
        log, index = path.with_name("server.db-wal"), path.with_name("server.db-shm")
        assert (mode(log), mode(index)) == (0o644, 0o644)
        assert len(opened(path).notes) == 1
        assert (mode(log), mode(index)) == (0o600, 0o600)


def test_a_file_that_is_not_even_ours_keeps_its_mode(path: Path) -> None:
    path.write_text("my diary, and no database " * 100)
    path.chmod(0o644)
    refusal(path)
    assert mode(path) == 0o644


# The lock ----------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from chatd.store.opening import open_database
database = open_database(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_daemon(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the database."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def test_a_second_daemon_is_told_which_process_has_the_database(path: Path) -> None:
    with another_daemon(path) as process:
        assert refusal(path) == (
            f"{path} is in use by another chatd (process {process.pid})."
            " Stop that one, or name another file."
        )


def test_the_database_of_a_killed_daemon_is_free(path: Path) -> None:
    with another_daemon(path) as process:
        process.kill()
        process.wait(timeout=30)
        assert opened(path).users == 0


def test_the_database_is_ours_until_the_lock_is_released(path: Path) -> None:
    database = open_database(path)
    assert f"(process {os.getpid()})" in refusal(path)
    database.lock.release()
    database.lock.release()
    again = open_database(path)
    assert f"(process {os.getpid()})" in refusal(path)
    database.lock.release()
    assert f"(process {os.getpid()})" in refusal(path)
    again.lock.release()


def test_a_holder_whose_number_is_not_known_is_named_without_it(path: Path) -> None:
    database = open_database(path)
    path.with_name("server.db.lock").write_text("")
    assert refusal(path).startswith(f"{path} is in use by another chatd. ")
    database.lock.release()


def test_a_child_process_does_not_keep_the_database(path: Path) -> None:
    database = open_database(path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            database.lock.release()
            assert opened(path).users == 0
        finally:
            child.kill()


def test_a_refused_database_is_not_kept_locked(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    refusal(path)
    path.unlink()
    assert opened(path).users == 0


# Where it cannot be ------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    assert refusal(folder / "server.db") == (
        f"{folder}/server.db cannot be opened: {folder} is no folder, or chatd may not"
        " enter it. Create it, or name another file."
    )


def test_a_file_is_no_folder_for_a_database(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"{file} is no folder" in refusal(file / "server.db")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} is not a file. Name a file for the database."
    )


def test_a_pipe_is_no_database(path: Path) -> None:
    os.mkfifo(path)
    assert refusal(path) == f"{path} is not a file. Name a file for the database."


def test_links_in_a_circle_are_no_database(path: Path) -> None:
    path.symlink_to(path)
    assert refusal(path) == f"{path} is not a file. Name a file for the database."


AS_NOBODY = """
import os, sys
from pathlib import Path
from chatd.store.opening import StoreError, open_database
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    print(*open_database(Path(sys.argv[1])).notes)
except StoreError as error:
    print(error)
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that every user can enter, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_a_folder_that_may_not_be_written_is_named(public_folder: Path) -> None:
    public_folder.chmod(0o555)
    path = public_folder / "server.db"
    assert run(AS_NOBODY, path).stdout == (
        f"{path} cannot be opened: {path}.lock cannot be written (Permission denied)."
        " Let the user that chatd runs as write there.\n"
    )
    assert os.listdir(public_folder) == []


@pytest.mark.parametrize("bits", [0o444, 0o000])
def test_a_database_that_may_not_be_written_is_named(
    public_folder: Path, bits: int
) -> None:
    path = public_folder / "server.db"
    opened(path)
    path.chmod(bits)
    public_folder.chmod(0o777)
    path.with_name("server.db.lock").unlink()
    assert run(AS_NOBODY, path).stdout == (
        f"{path} cannot be read and written (Permission denied)."
        " Let the user that chatd runs as read and write it.\n"
    )


def test_a_database_of_another_user_that_is_open_to_all_is_noted(
    public_folder: Path,
) -> None:
    path = public_folder / "server.db"
    opened(path)
    path.chmod(0o666)
    public_folder.chmod(0o777)
    path.with_name("server.db.lock").unlink()
    found = run(AS_NOBODY, path)
    if os.geteuid() == 0:
        note = (
            "is open to others (mode 666), and belongs to another user, who should"
            " make it 600"
        )
    else:
        note = "was open to others (mode 666), and is now 600"
    assert found.stdout == f"{path} {note}\n"


class OnNetwork(sqlite3.Connection):
    """A connection to a file that cannot be mapped into memory."""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return super().execute(sql.replace("= WAL", "= DELETE"), parameters)


def test_a_place_without_write_ahead_logs_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = partial(sqlite3.connect, factory=OnNetwork)
    monkeypatch.setattr("sqlite3.connect", connect)
    assert refusal(path) == (
        f"{path} cannot have a write-ahead log where it lies."
        " Keep the database on a local disk."
    )


def test_a_lock_that_leads_elsewhere_is_not_followed(
    path: Path, tmp_path: Path
) -> None:
    valuable = tmp_path / "valuable"
    valuable.write_text("keep me")
    path.with_name("server.db.lock").symlink_to(valuable)
    assert f"{path}.lock cannot be written" in refusal(path)
    assert valuable.read_text() == "keep me"


# Damage ------------------------------------------------------------------------------

REPAIR = (
    "Restore it from a backup, or start with an empty one by moving it away,"
    " together with its -wal and -shm files."
)


def test_random_bytes_are_no_database(path: Path) -> None:
    path.write_bytes(bytes(range(1, 256)) * 100)
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} is not a database, or is damaged (file is not a database). {REPAIR}"
    )
    assert path.read_bytes() == content


@pytest.mark.parametrize("pages", [1, 3])
def test_a_truncated_database_is_damaged(path: Path, pages: int) -> None:
    opened(path)
    fill(path)
    os.truncate(path, pages * 4096)
    content = path.read_bytes()
    assert refusal(path) == (
        f"{path} is damaged (database disk image is malformed). {REPAIR}"
    )
    assert path.read_bytes() == content


@pytest.mark.parametrize("size", [2, 50, 100, 511, 1000])
def test_a_database_cut_within_its_first_page_is_damaged(path: Path, size: int) -> None:
    opened(path)
    os.truncate(path, size)
    text = refusal(path)
    assert text.startswith(f"{path} is ")
    assert "damaged" in text
    assert text.endswith(REPAIR)


def test_garbage_among_the_tables_definitions_is_damage(path: Path) -> None:
    opened(path)
    with path.open("r+b") as file:
        start = file.read(4096).index(b"CREATE TABLE users")
        file.seek(start - 20)
        file.write(b"\xff" * 200)
    text = refusal(path)
    assert text.startswith(f"{path} is damaged (")
    assert text.endswith(REPAIR)


def test_garbage_among_the_users_is_damage(path: Path) -> None:
    opened(path)
    fill_pages(path)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(20, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 100)
    assert refusal(path).startswith(f"{path} is damaged (")


def test_a_log_without_its_database_is_not_thrown_away(path: Path) -> None:
    log = path.with_name("server.db-wal")
    log.write_bytes(b"messages that are nowhere else")
    for content in (None, b"", b"S"):
        if content is not None:
            path.write_bytes(content)
        assert refusal(path) == (
            f"{path} is missing or empty, but not its log {log}."
            " Restore the database from a backup, or move the log away too."
        )
        assert log.read_bytes() == b"messages that are nowhere else"


def test_a_database_that_another_program_writes_is_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.store.opening.BUSY_TIMEOUT", 0)
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert refusal(path) == (
            f"{path} is in use by another program (database is locked)."
            " Stop that program, then start chatd again."
        )


def test_what_the_system_refuses_is_said_in_its_words(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: int, exist_ok: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    assert refusal(path) == (
        f"{path} cannot be opened (No space left on device)."
        " See to that, then start chatd again."
    )


def test_a_place_without_locks_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unable)
    assert refusal(path).startswith(f"{path} cannot be opened (No locks available).")


def test_control_characters_of_a_damaged_file_do_not_reach_the_screen(
    path: Path,
) -> None:
    opened(path)
    damaged = path.read_bytes()
    for found, written in [
        (b"tableusersusers", b"tableu\x1b[2\nusers"),
        (b"CREATE TABLE users (", b"CREATE TABLE users )"),
    ]:
        assert damaged.count(found) == 1
        damaged = damaged.replace(found, written)
    path.write_bytes(damaged)
    text = refusal(path)
    assert "malformed database schema (u\ufffd[2\ufffd)" in text
    assert text.isprintable()


def test_an_sqlite_without_strict_tables_is_too_old(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr("sqlite3.sqlite_version", "3.34.1")
    assert refusal(path) == (
        f"{path} cannot be opened: SQLite 3.34.1 is too old. Install 3.37 or newer."
    )
    assert not path.exists()


# Connections -------------------------------------------------------------------------


def pragmas(connection: sqlite3.Connection, *names: str) -> dict[str, object]:
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


def test_a_writer_keeps_references_and_syncs_each_commit(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        configure(connection)
        assert pragmas(
            connection,
            "foreign_keys",
            "synchronous",
            "busy_timeout",
            "journal_size_limit",
            "temp_store",
            "journal_mode",
        ) == {
            "foreign_keys": 1,
            "synchronous": 2,
            "busy_timeout": 5_000,
            "journal_size_limit": 67_108_864,
            "temp_store": 2,
            "journal_mode": "wal",
        }
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(
                "INSERT INTO queue_shares (target, sender, messages, bytes)"
                " VALUES (99, 'alice', 1, 1)"
            )


def test_a_reader_waits_for_others_and_cannot_write(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        configure_reader(connection)
        assert pragmas(connection, "query_only", "busy_timeout") == {
            "query_only": 1,
            "busy_timeout": 5_000,
        }
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM users")


def test_opening_needs_no_twisted() -> None:
    loaded = run(
        "import sys, chatd.store.opening\n"
        "print([name for name in sys.modules if name.startswith('twisted')])"
    )
    assert loaded.stdout == "[]\n"
