"""A history that several processes use at once, and that one of them may own."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted

from chatd.client.history import file as historyfile
from chatd.client.history import index as searchindex
from chatd.client.history.file import (
    APPLICATION_ID,
    SCHEMA,
    open_history,
    prepare,
)
from chatd.client.history.history import History
from chatd.client.history.places import HistoryError
from chatd.client.history.shared import AnotherText, SharedHistory, sharing
from chatd.store.migrations import load, transaction
from chatd.wire.message import Message
from chatd.wire.names import parse_name

ALICE = parse_name("alice")
SERVER = "host:5555"
TIME = 1_795_000_000_123

# Waits for a line, so that all begin at once; then keeps messages, and looks them up.
KEEP = """
import sys
from pathlib import Path
from chatd.client.history.shared import sharing
from chatd.wire.message import Message
from chatd.wire.names import parse_name
path, own, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    with sharing(path, parse_name("alice"), "host:5555") as history:
        text = f"{own} {number}"
        message = Message(0, text, "alice", "bob", text, 1795000000123, 0)
        assert history.append([message], "waiting") == 1
        assert history.earlier("alice", text, "bob").text == text
"""


def sent(
    text: str, message_id: str = "id-1", sender: str = "alice", to: str = "bob"
) -> Message:
    return Message(0, message_id, sender, to, text, TIME, len(text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat_history_alice.db"


def rows(path: Path, what: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {what} FROM messages ORDER BY position"
        return connection.execute(query).fetchall()


def older(path: Path, version: int) -> None:
    """Make a history of an older version, with a message in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with transaction(connection):
            for migration in load(SCHEMA)[:version]:
                migration.apply(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(
                "INSERT INTO messages (sender, receiver, message, timestamp, server,"
                " id, direction, status) VALUES ('bob', 'alice', 'old',"
                " '2026-11-22 18:42:53', '', '1', 'received', 'received')"
            )
        connection.execute("PRAGMA journal_mode = WAL")


def original(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE messages (sender TEXT, receiver TEXT, message TEXT,"
            " timestamp)"
        )
        connection.execute("INSERT INTO messages VALUES ('bob', 'alice', 'old', '')")
        connection.commit()


def run_at_once(path: Path, processes: int, count: int) -> None:
    """Let processes keep messages, all from the same moment on."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", KEEP, str(path), str(number), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    try:
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in running:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in running:
            _, errors = each.communicate(timeout=120)
            assert (each.returncode, errors) == (0, "")
    finally:
        for each in running:
            each.kill()
            each.communicate()


def expected(processes: int, count: int) -> set[str]:
    return {f"{own} {number}" for own in range(processes) for number in range(count)}


@pytest.mark.parametrize("before", ["nothing", "older", "original"])
def test_processes_that_begin_at_once_make_it_ready_once_and_lose_nothing(
    path: Path, before: str
) -> None:
    if before == "older":
        older(path, 1)
    elif before == "original":
        original(path)
    run_at_once(path, 6, 5)
    kept = [str(row[0]) for row in rows(path, "message")]
    assert len(kept) == 30 + (before != "nothing")
    assert set(kept) - {"old"} == expected(6, 5)
    assert len(list(path.parent.glob("*.original-*"))) == (before == "original")


@pytest_twisted.ensureDeferred
async def test_it_can_be_used_beside_a_chat_that_owns_it_and_writes(path: Path) -> None:
    from twisted.internet import reactor, threads

    history = History(open_history(path, ALICE), reactor, SERVER)  # type: ignore[arg-type]
    try:
        working = threads.deferToThread(run_at_once, path, 3, 5)
        for number in range(50):
            message = Message(0, f"{number}", "bob", "alice", f"in {number}", TIME, 0)
            assert await history.received(message)
        await working
    finally:
        history.close()
    kept = [str(row[0]) for row in rows(path, "message")]
    assert [each for each in kept if each.startswith("in ")] == [
        f"in {number}" for number in range(50)
    ]
    assert {each for each in kept if not each.startswith("in ")} == expected(3, 5)


@pytest.fixture
def history(path: Path) -> Iterator[SharedHistory]:
    with sharing(path, ALICE, SERVER) as shared:
        yield shared


def test_what_was_sent_is_found_by_its_id_however_names_are_spelt(
    history: SharedHistory,
) -> None:
    assert history.append([sent("Hi", sender="Alice", to="Ünal")], "stored") == 1
    found = history.earlier("ALICE", "id-1", "u\u0308nal")
    assert found is not None
    assert (found.sender, found.receiver, found.text) == ("Alice", "Ünal", "Hi")
    assert (found.status, found.direction, found.server) == ("stored", "sent", SERVER)
    assert found.time == 1_795_000_000_000
    for other in (
        ("alice", "id-2", "Ünal"),
        ("alice", "id-1", "bob"),
        ("bob", "id-1", "Ünal"),
    ):
        assert history.earlier(*other) is None


def test_it_knows_nothing_of_what_was_sent_to_another_server(
    history: SharedHistory, path: Path
) -> None:
    history.append([sent("Hi")], "stored")
    with sharing(path, ALICE, "other:5555") as other:
        assert other.earlier("alice", "id-1", "bob") is None
        assert other.append([sent("Another")], "stored") == 1


def test_the_same_once_more_is_kept_once_and_its_status_only_rises(
    history: SharedHistory, path: Path
) -> None:
    message = sent("Hi")
    for status, expected_status in (
        ("waiting", "waiting"),
        ("stored", "stored"),
        ("waiting", "stored"),
        ("delivered", "delivered"),
        ("stored", "delivered"),
    ):
        new = history.append([message, sent("Hi", sender="ALICE", to="Bob")], status)
        assert new == (status == "waiting" and expected_status == "waiting")
        assert rows(path, "message, status") == [("Hi", expected_status)]


def test_the_same_id_with_another_text_is_refused_and_nothing_of_it_is_kept(
    history: SharedHistory, path: Path
) -> None:
    history.append([sent("Hi", to="carol")], "stored")
    with pytest.raises(AnotherText) as caught:
        history.append([sent("Other"), sent("Other", to="Carol")], "waiting")
    assert caught.value.earlier.text == "Hi"
    assert rows(path, "message, receiver") == [("Hi", "carol")]
    assert history.append([sent("Other", to="dave")], "waiting") == 1


def test_it_knows_how_many_wait_of_whom(history: SharedHistory) -> None:
    history.append([sent("one"), sent("two", to="carol")], "waiting")
    history.append([sent("three", to="dave")], "stored")
    assert history.waiting(parse_name("ALICE")) == 2
    assert history.waiting(parse_name("bob")) == 0


def test_what_was_refused_before_can_be_accepted_later(
    history: SharedHistory, path: Path
) -> None:
    history.append([sent("Hi")], "refused")
    assert history.append([sent("Hi")], "stored") == 0
    assert rows(path, "status") == [("stored",)]


@pytest_twisted.ensureDeferred
async def test_what_it_leaves_waiting_is_sent_by_the_next_chat(path: Path) -> None:
    from twisted.internet import reactor

    with sharing(path, ALICE, SERVER) as shared:
        shared.append([sent("first", "1"), sent("second", "2", to="carol")], "waiting")
    history = History(open_history(path, ALICE), reactor, SERVER)  # type: ignore[arg-type]
    try:
        waiting = await history.waiting()
        assert [(each.target, each.text) for each in waiting] == [
            ("bob", "first"),
            ("carol", "second"),
        ]
        assert await history.not_shown() == []
    finally:
        history.close()


def test_it_says_what_was_done_to_the_file_and_claims_it_no_longer(path: Path) -> None:
    original(path)
    with sharing(path, ALICE, SERVER) as shared:
        (note,) = shared.notes
        assert "has been taken over" in note
        open_history(path, ALICE).lock.release()
    assert prepare(path, ALICE) == []


def test_one_of_an_older_version_that_a_chat_owns_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historyfile, "CLAIMED_SECONDS", 0.05)
    owner = open_history(path, ALICE)
    path.unlink()
    older(path, 1)
    before = path.read_bytes()
    with pytest.raises(HistoryError) as caught:
        prepare(path, ALICE)
    owner.lock.release()
    assert str(caught.value) == (
        f"{path} is in use by another chat (process {os.getpid()})."
        " Stop that one, or name another file."
    )
    assert path.read_bytes() == before


def test_a_chat_that_starts_waits_for_one_that_makes_the_history_ready(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historyfile, "CLAIMED_SECONDS", 0.05)
    code = """
import sys, time
from pathlib import Path
from chatd.store.opening import Lock
lock = Lock(Path(sys.argv[1]), "chat", "preparing")
print("preparing", flush=True)
sys.stdin.readline()
time.sleep(0.3)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "preparing\n"
        process.stdin.write("end\n")
        process.stdin.flush()
        opened = open_history(path, ALICE)
        assert process.wait(timeout=30) == 0
        opened.lock.release()


def test_what_only_such_commands_write_comes_to_the_index_too(
    history: SharedHistory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "AT_ONCE", 3)
    for number in range(7):
        history.append([sent(str(number), str(number))], "stored")
    with closing(sqlite3.connect(path)) as connection:
        assert searchindex.indexed_upto(connection) == 6


def test_what_cannot_be_written_is_said_in_one_line(
    history: SharedHistory, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON messages"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        other.commit()
    with pytest.raises(HistoryError, match="disk full"):
        history.append([sent("Hi")], "waiting")


def test_a_file_of_another_program_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough" * 50)
    with (
        pytest.raises(HistoryError, match="cannot be used as a history"),
        sharing(path, ALICE, SERVER),
    ):
        pass


def test_a_newer_one_is_refused_and_left_alone(path: Path) -> None:
    prepare(path, ALICE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="newer chat: it has version 99"):
        prepare(path, ALICE)
