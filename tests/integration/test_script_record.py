"""What scripts have sent, in a history on a real disk, with the thread that writes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from chatd.client.history.file import open_history
from chatd.client.history.places import HistoryError
from chatd.client.history.shared import AnotherText, sharing
from chatd.client.script.record import SharedRecord
from chatd.wire.message import Message
from chatd.wire.names import parse_name

ALICE = parse_name("alice")
SERVER = "host:5555"


def message(
    text: str, id: str = "id-1", to: str = "bob", sender: str = "alice"
) -> Message:
    return Message(0, id, sender, to, text, 1_795_000_000_123, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat_history_alice.db"


@pytest.fixture
def record(path: Path) -> Iterator[SharedRecord]:
    with sharing(path, ALICE, SERVER) as shared:
        record = SharedRecord(shared, reactor)
        yield record
        record.close()


def rows(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT sender, receiver, message, status FROM messages ORDER BY position"
        ).fetchall()


@pytest_twisted.ensureDeferred
async def test_what_was_accepted_is_kept_with_the_names_as_the_server_shows_them(
    record: SharedRecord, path: Path
) -> None:
    await record.queue(message("never accepted", "id-0"))
    await record.accepted(message("Hi"), "Alice", "Bob", "stored")
    assert rows(path) == [("Alice", "Bob", "Hi", "stored")]
    await record.accepted(message("Hi"), "Alice", "Bob", "delivered")
    await record.refused(message("refused", "id-2"))
    assert rows(path) == [("Alice", "Bob", "Hi", "delivered")]


@pytest_twisted.ensureDeferred
async def test_many_are_kept_in_the_order_of_the_calls(
    record: SharedRecord, path: Path
) -> None:
    numbers = range(500)
    await gatherResults(
        record.accepted(
            message(f"{number}", f"id-{number}"),
            "alice",
            "bob",
            "stored" if number % 3 else "delivered",
        )
        for number in numbers
    )
    await record.settled()
    assert [row[2] for row in rows(path)] == [f"{number}" for number in numbers]


@pytest_twisted.ensureDeferred
async def test_what_was_sent_before_is_found_however_names_are_spelt(
    record: SharedRecord, path: Path
) -> None:
    await record.accepted(message("Hi"), "Alice", "Bob", "stored")
    asked = [message("Hi", to="BOB"), message("Hi", to="carol"), message("Hi", "id-2")]
    first, *others = await record.earlier(asked)
    assert (first.receiver, first.text, first.status) == ("Bob", "Hi", "stored")
    assert others == [None, None]


@pytest_twisted.ensureDeferred
async def test_what_waits_in_the_outbox_of_a_chat_that_runs_is_settled(
    record: SharedRecord, path: Path
) -> None:
    owner = open_history(path, ALICE)
    with sharing(path, ALICE, SERVER) as shared:
        shared.append([message("Hi")], "waiting")
    await record.accepted(message("Hi"), "Alice", "Bob", "stored")
    assert [row[3] for row in rows(path)] == ["stored"]
    owner.lock.release()


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_kept_fails_and_what_follows_is_kept(
    record: SharedRecord, path: Path
) -> None:
    await record.accepted(message("Hi"), "alice", "bob", "stored")
    with pytest.raises(AnotherText):
        await record.accepted(message("Ho"), "alice", "bob", "stored")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE messages RENAME TO hidden")
        with pytest.raises(HistoryError):
            await record.accepted(message("x", "id-2"), "alice", "bob", "stored")
        with pytest.raises(HistoryError):
            await record.earlier([message("Hi")])
        connection.execute("ALTER TABLE hidden RENAME TO messages")
    await record.accepted(message("y", "id-3"), "alice", "bob", "stored")
    await record.settled()
    assert [row[2] for row in rows(path)] == ["Hi", "y"]
