"""The real store: a database file, adbapi's threads, SQLite's locks."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from chatd.store import opening, transactions
from chatd.store.opening import open_database
from chatd.store.records import Amount, Arrival, Batch, StoreFailure, User
from chatd.store.store import Store
from chatd.wire.message import Message

MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[MakeStore]:
    """Return a function that opens a store; all are closed at the end."""
    from twisted.internet import reactor

    stores: list[Store] = []

    def make(max_bytes: int = 1 << 30, min_free: int = 0) -> Store:
        opened = open_database(tmp_path / "server.db")
        store = Store(opened, reactor, max_bytes=max_bytes, min_free=min_free)
        stores.append(store)
        return store

    yield make
    if stores:
        stores[-1].close()


def arrival(name: str) -> Arrival:
    return Arrival(name, name, "127.0.0.1", 5555, 1_000)


def message(store: Store, text: str, sender: str = "alice") -> Message:
    return Message(store.allot(), "id", sender, "bob", text, 1_000, len(text))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(connection: Any, statement: str) -> None:
    """Run a statement in a thread of the store's."""
    connection.execute(statement)


async def registered(store: Store, name: str) -> User:
    outcome = await store.commit(Batch(arrivals=[arrival(name)]))
    arrived = outcome.arrived[0]
    assert arrived is not None
    return arrived[0]


@pytest_twisted.ensureDeferred
async def test_a_read_after_a_commit_was_reported_sees_it(
    make_store: MakeStore,
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    for number in range(200):
        each = message(store, str(number))
        await store.commit(Batch(messages=[(bob.id, each)]))
        assert await store.page(bob.id, "bob", each.position - 1, 1 << 20) == [each]


@pytest_twisted.ensureDeferred
async def test_messages_and_figures_outlive_the_process(make_store: MakeStore) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    sent = [message(store, text) for text in ("one", "two", "three")]
    await store.commit(Batch(messages=[(bob.id, each) for each in sent]))
    store.close()

    again = make_store()
    found = await again.find_user("bob")
    assert found == User(
        bob.id,
        "bob",
        "bob",
        3,
        11,
        sent[0].position,
        sent[-1].position,
        "127.0.0.1",
    )
    assert await again.find_share(bob.id, "alice") == Amount(3, 11)
    assert await again.page(bob.id, "bob", 0, 1 << 20) == sent
    assert again.allot() == sent[-1].position + 1
    assert again.users == 1


@pytest_twisted.ensureDeferred
async def test_a_page_ends_after_its_bytes(make_store: MakeStore) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    sent = [message(store, "x" * 100) for _ in range(10)]
    await store.commit(Batch(messages=[(bob.id, each) for each in sent]))
    assert await store.page(bob.id, "bob", 0, 250) == sent[:3]
    assert await store.page(bob.id, "bob", sent[2].position, 1 << 20) == sent[3:]


@pytest_twisted.ensureDeferred
async def test_what_is_delivered_leaves_the_queue_and_its_figures(
    make_store: MakeStore,
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    sent = [message(store, "12345", each) for each in ("alice", "carol", "alice")]
    await store.commit(Batch(messages=[(bob.id, each) for each in sent]))
    outcome = await store.commit(Batch(removals={bob.id: sent[1].position}))
    assert {(each.sender, each.messages) for each in outcome.removed[bob.id]} == {
        ("alice", 1),
        ("carol", 1),
    }
    found = await store.find_user("bob")
    assert found is not None
    assert (found.queued_messages, found.queued_bytes) == (1, 5)
    assert await store.find_share(bob.id, "carol") == Amount()


@pytest_twisted.ensureDeferred
async def test_another_process_that_writes_never_locks_it_out(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    other = subprocess.Popen(  # noqa: ASYNC220
        [
            sys.executable,
            "-c",
            "import sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n"
            "for n in range(300):\n"
            "    c.execute('BEGIN IMMEDIATE')\n"
            "    c.execute('UPDATE users SET port = ?', (n,))\n"
            "    c.execute('COMMIT')\n",
            str(tmp_path / "server.db"),
        ]
    )
    while other.poll() is None:
        commits = [
            store.commit(Batch(messages=[(bob.id, message(store, "x"))]))
            for _ in range(5)
        ]
        reads = [store.find_user("bob") for _ in range(5)]
        results = await DeferredList([*commits, *reads], consumeErrors=True)
        assert all(succeeded for succeeded, _ in results)
    assert other.returncode == 0


@pytest_twisted.ensureDeferred
async def test_a_full_database_refuses_what_is_new_and_nothing_else(
    make_store: MakeStore,
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    kept = message(store, "kept")
    await store.commit(Batch(messages=[(bob.id, kept)]))
    store.close()

    full = make_store(max_bytes=1)
    outcome = await full.commit(
        Batch(
            arrivals=[arrival("bob"), arrival("carol")],
            messages=[(bob.id, message(full, "refused"))],
        )
    )
    assert outcome.refused == "database full"
    known, new = outcome.arrived
    assert known is not None
    assert known[0].queued_messages == 1
    assert new is None
    await full.commit(Batch(removals={bob.id: kept.position}))
    assert await full.page(bob.id, "bob", 0, 1 << 20) == []


@pytest_twisted.ensureDeferred
async def test_a_disk_with_too_little_room_is_called_full(
    make_store: MakeStore,
) -> None:
    store = make_store(min_free=1 << 60)
    outcome = await store.commit(Batch(arrivals=[arrival("bob")]))
    assert outcome.arrived == [None]


@pytest_twisted.ensureDeferred
async def test_a_failing_database_is_reported_in_the_stores_own_words(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    with sqlite3.connect(tmp_path / "server.db") as connection:
        connection.execute("DROP TABLE queue_shares")
    connection.close()
    with pytest.raises(StoreFailure, match="no such table"):
        await store.find_share(1, "alice")


# Readers and the writer --------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_no_message_ever_appears_behind_one_that_was_read(
    make_store: MakeStore,
) -> None:
    """Pages are read while messages are written: what a page ends with is its end."""
    store = make_store()
    bob = await registered(store, "bob")
    sent = [message(store, str(number)) for number in range(600)]
    commits = [
        store.commit(Batch(messages=[(bob.id, each) for each in sent[at : at + 3]]))
        for at in range(0, len(sent), 3)
    ]
    read: list[Message] = []
    while len(read) < len(sent):
        after = read[-1].position if read else 0
        pages = await gatherResults(
            [store.page(bob.id, "bob", after, 1 << 20) for _ in range(3)]
        )
        assert all(page == sent[len(read) : len(read) + len(page)] for page in pages), (
            "a page has a gap"
        )
        read += max(pages, key=len)
    await gatherResults(commits)
    assert read == sent


@pytest_twisted.ensureDeferred
async def test_a_share_is_answered_in_the_order_of_the_commits(
    make_store: MakeStore,
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    answers: list[object] = []
    messages = [message(store, "12345") for _ in range(50)]
    asked: list[Deferred[Any]] = []
    for number, each in enumerate(messages, 1):
        commit = store.commit(Batch(messages=[(bob.id, each)]))
        commit.addCallback(lambda _, number=number: answers.append(number))
        share = store.find_share(bob.id, "alice")
        share.addCallback(lambda share: answers.append((share.messages, share.bytes)))
        asked += [commit, share]
    removal = store.commit(Batch(removals={bob.id: messages[-1].position}))
    share = store.find_share(bob.id, "alice").addCallback(answers.append)
    await gatherResults([*asked, removal, share])
    expected: list[object] = []
    for number in range(1, 51):
        expected += [number, (number, 5 * number)]
    assert answers == [*expected, Amount()]


# Full and locked ----------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_disk_that_fills_up_while_it_is_written_refuses_what_is_new(
    make_store: MakeStore,
) -> None:
    """SQLite itself finds no room: what goes with the messages is written all the same.

    The bound on the number of pages is of one connection: the disk of nobody else is
    filled by it.
    """
    store = make_store()
    bob = await registered(store, "bob")
    kept = message(store, "kept")
    await store.commit(Batch(messages=[(bob.id, kept)]))
    await store._writer.runWithConnection(run, "PRAGMA max_page_count = 1")
    large = message(store, "x" * 1_000_000)
    outcome = await store.commit(
        Batch(
            arrivals=[arrival("bob"), arrival("carol")],
            departures={bob.id: 2_000},
            removals={bob.id: kept.position},
            messages=[(bob.id, large)],
        )
    )
    assert outcome.refused == "disk full"
    assert outcome.arrived[0] is not None
    assert outcome.arrived[1] is None
    assert [each.messages for each in outcome.removed[bob.id]] == [1]
    assert await store.page(bob.id, "bob", 0, 1 << 20) == []
    assert await store.find_user("carol") is None
    found = await store.find_user("bob")
    assert found is not None
    assert (found.queued_messages, found.queued_bytes) == (0, 0)

    await store._writer.runWithConnection(run, "PRAGMA max_page_count = 1073741823")
    again = message(store, "x" * 1_000_000)
    outcome = await store.commit(Batch(messages=[(bob.id, again)]))
    assert outcome.refused is None
    assert await store.page(bob.id, "bob", 0, 1 << 20) == [again]


@pytest_twisted.ensureDeferred
async def test_a_database_that_another_program_locks_fails_and_then_works_again(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_TIMEOUT", 0.05)
    store = make_store()
    bob = await registered(store, "bob")
    other = sqlite3.connect(tmp_path / "server.db", isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailure, match="database is locked"):
            await store.commit(Batch(messages=[(bob.id, message(store, "refused"))]))
        # Who only reads is not locked out.
        assert await store.find_user("bob") is not None
        other.execute("ROLLBACK")
    each = message(store, "kept")
    await store.commit(Batch(messages=[(bob.id, each)]))
    assert await store.page(bob.id, "bob", 0, 1 << 20) == [each]


# Closing ------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_what_is_under_way_when_it_closes_is_written_and_answered(
    make_store: MakeStore,
) -> None:
    store = make_store()
    bob = await registered(store, "bob")
    sent = [message(store, str(number)) for number in range(20)]
    commits = [store.commit(Batch(messages=[(bob.id, each)])) for each in sent]
    store.close()
    outcomes = await gatherResults(commits)
    assert [outcome.refused for outcome in outcomes] == [None] * 20
    again = make_store()
    assert await again.page(bob.id, "bob", 0, 1 << 20) == sent


@pytest_twisted.ensureDeferred
async def test_a_closed_database_is_one_file_and_free_for_another(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    await registered(store, "bob")
    with pytest.raises(opening.StoreError, match="in use by another chatd"):
        open_database(tmp_path / "server.db")
    store.close()
    assert files(tmp_path) == ["server.db", "server.db.lock"]
    again = make_store()
    assert await again.find_user("bob") is not None


# Upgrading ----------------------------------------------------------------------------

REPLACED = """
import shutil
from pathlib import Path
from chatd.store import statements

assert Path.cwd() in Path(statements.__file__).parents
names = [file.stem for file in Path("chatd/store/queries").iterdir()]
shutil.rmtree("chatd")
assert len(names) > 30 and all(map(statements.sql, names))
"""


def test_an_upgrade_takes_no_statement_from_a_daemon_that_runs(tmp_path: Path) -> None:
    package = Path(opening.__file__).parents[1]
    shutil.copytree(package, tmp_path / "chatd")
    subprocess.run([sys.executable, "-c", REPLACED], cwd=tmp_path, check=True)


@pytest_twisted.ensureDeferred
async def test_users_who_are_looked_up_in_one_turn_are_each_the_right_one(
    make_store: MakeStore,
) -> None:
    store = make_store()
    users = {name: await registered(store, name) for name in ("alice", "bob", "carol")}
    await store.commit(Batch(messages=[(users["bob"].id, message(store, "hi"))]))
    asked = ["carol", "zed", "alice", "carol", "bob"]
    found = await gatherResults([store.find_user(name) for name in asked])
    assert found[:4] == [users["carol"], None, users["alice"], users["carol"]]
    assert found[4] == await store.find_user("bob")
    assert found[4].queued_messages == 1


@pytest_twisted.ensureDeferred
async def test_a_failing_disk_fails_each_who_looks_up_in_one_turn(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    store = make_store()
    monkeypatch.setattr(transactions, "find_users", broken)
    looks = [store.find_user(name) for name in ("alice", "bob")]
    for each in looks:
        with pytest.raises(StoreFailure):
            await each


@pytest_twisted.ensureDeferred
async def test_who_came_and_left_is_noted_once_and_not_of_who_was_removed(
    make_store: MakeStore,
) -> None:
    store = make_store()
    alice, bob = await registered(store, "alice"), await registered(store, "bob")
    visits = {
        alice.id: replace(arrival("alice"), address="192.0.2.7", time=2_000),
        bob.id: replace(arrival("freed"), address="192.0.2.8", time=9_000),
    }
    await store.commit(Batch(visits=visits, departures={alice.id: 3_000}))
    again = await store.find_user("alice")
    assert again is not None
    assert again.address == "192.0.2.7"
    assert [(each.name, each.time) for each in await store.names_seen_last(2)] == [
        ("alice", 3_000),
        ("bob", 1_000),
    ]
