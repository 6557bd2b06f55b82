"""What a chat that runs asks of its history: searches, and what others have left."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from chatd.client.history import index as searchindex
from chatd.client.history import search
from chatd.client.history.file import open_history
from chatd.client.history.history import History
from chatd.client.history.index import indexed_upto
from chatd.client.history.search import Wanted
from chatd.client.history.shared import sharing
from chatd.wire.message import Message
from chatd.wire.names import parse_name

ALICE = parse_name("alice")
SERVER = "host:5555"
TIME = 1_795_000_000_123


def received(text: str, sender: str = "bob") -> Message:
    return Message(0, text, sender, "alice", text, TIME, len(text))


def sent(text: str, to: str = "bob", sender: str = "alice") -> Message:
    return Message(0, text, sender, to, text, TIME, len(text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat_history_alice.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    from twisted.internet import reactor

    history = History(open_history(path, ALICE), reactor, SERVER)  # type: ignore[arg-type]
    yield history
    history.close()


def pause() -> Deferred[None]:
    from twisted.internet import reactor

    return deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]


async def until_indexed(path: Path, place: int) -> None:
    """Wait until the index knows of all messages up to a place, 20 s at most."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for _ in range(2000):
            if indexed_upto(connection) >= place:
                return
            await pause()
    pytest.fail("the index is never filled")


@pytest_twisted.ensureDeferred
async def test_what_was_kept_is_found_with_where_it_stands(history: History) -> None:
    await history.received(received("Über den Wolken"))
    await history.queue(sent("ueber", "carol"))
    await history.received(received("Wolkenlos", "Carol"))
    first, second = await history.search("wolken")
    assert (first.message.sender, first.message.text) == ("bob", "Über den Wolken")
    assert first.message.time == 1_795_000_000_000
    assert (first.spans, second.spans) == ([(9, 15)], [(0, 6)])
    assert [each.text for each in await history.recent(last=2)] == [
        "ueber",
        "Wolkenlos",
    ]
    with_carol = await history.recent(Wanted(correspondent="CAROL"))
    assert [(each.text, each.status) for each in with_carol] == [
        ("ueber", "waiting"),
        ("Wolkenlos", "received"),
    ]
    assert await history.correspondents(10) == ["Carol", "bob"]


@pytest_twisted.ensureDeferred
async def test_messages_come_to_the_index_while_nothing_else_is_to_be_done(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "AT_ONCE", 10)
    texts = [f"number {number}" for number in range(95)]
    await gatherResults([history.received(received(text)) for text in texts])
    commits = history.commits
    await until_indexed(path, 90)
    assert history.commits == commits
    (found,) = await history.search("number 94")
    assert found.message.text == "number 94"
    (found,) = await history.search("NUMBER 7", last=1)
    assert found.message.text == "number 87"


@pytest_twisted.ensureDeferred
async def test_one_that_was_there_when_the_history_was_opened_is_indexed_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twisted.internet import reactor

    monkeypatch.setattr(searchindex, "AT_ONCE", 3)
    with sharing(path, ALICE, SERVER) as shared:
        shared.append([sent(str(number)) for number in range(9)], "stored")
    history = History(open_history(path, ALICE), reactor, SERVER)  # type: ignore[arg-type]
    try:
        await until_indexed(path, 9)
    finally:
        history.close()


@pytest_twisted.ensureDeferred
async def test_messages_are_kept_while_a_search_goes_on(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history.received(received("first"))
    searching, go_on = threading.Event(), threading.Event()
    fold = search.fold

    def slow(text: str) -> str:
        searching.set()
        assert go_on.wait(30)
        return fold(text)

    monkeypatch.setattr(search, "fold", slow)
    found = history.search("first")
    while not searching.is_set():
        await pause()
    try:
        assert await history.received(received("second"))
        assert not found.called
    finally:
        go_on.set()
    assert [each.message.text for each in await found] == ["first"]


@pytest_twisted.ensureDeferred
async def test_a_search_that_fails_says_so_and_the_next_may_succeed(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history.received(received("first"))

    def fail(text: str) -> str:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(search, "fold", fail)
        with pytest.raises(sqlite3.OperationalError):
            await history.search("first")
    assert len(await history.search("first")) == 1


@pytest_twisted.ensureDeferred
async def test_an_index_that_is_damaged_keeps_no_message_from_being_kept(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "AT_ONCE", 2)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE messages_search")
        other.commit()
    for number in range(6):
        assert await history.received(received(str(number)))
        await pause()
    assert len(await history.recent()) == 6


@pytest_twisted.ensureDeferred
async def test_a_row_in_the_way_of_an_accepted_message_leaves_the_index_too(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "AT_ONCE", 2)
    typed = sent("both", to="ALICE")
    await history.queue(typed)
    await history.received(Message(0, "both", "alice", "alice", "both", TIME, 4))
    await until_indexed(path, 2)
    await history.accepted(typed, "alice", "alice", "stored")
    (found,) = await history.search("both")
    assert (found.message.direction, found.message.status) == ("sent", "stored")
    assert found.message.receiver == "alice"


# What others leave -------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_another_program_leaves_in_the_outbox_arrives_once(
    history: History, path: Path
) -> None:
    await history.queue(sent("own, before"))
    assert [each.text for each in await history.waiting()] == ["own, before"]
    assert await history.arrived() == []
    with sharing(path, ALICE, SERVER) as shared:
        await history.queue(sent("own, meanwhile"))
        shared.append([sent("left", "carol")], "waiting")
        shared.append([sent("said already")], "stored")
        await history.queue(sent("own, after"))
        arrived = await history.arrived()
        assert [(each.text, each.target) for each in arrived] == [("left", "carol")]
        assert await history.arrived() == []
        shared.append([sent("another")], "waiting")
        await history.accepted(arrived[0], "alice", "carol", "stored")
        assert [each.text for each in await history.arrived()] == ["another"]
    assert await history.arrived() == []


@pytest_twisted.ensureDeferred
async def test_what_is_for_another_server_does_not_arrive(
    history: History, path: Path
) -> None:
    await history.waiting()
    with sharing(path, ALICE, "other:5555") as shared:
        shared.append([sent("left")], "waiting")
    assert await history.arrived() == []


@pytest_twisted.ensureDeferred
async def test_what_the_chat_itself_writes_is_no_reason_to_look(
    history: History, path: Path
) -> None:
    await history.waiting()
    for number in range(5):
        await history.queue(sent(str(number)))
        assert await history.arrived() == []
    for message in await history.waiting():
        await history.accepted(message, "alice", "bob", "delivered")
    assert await history.arrived() == []
