"""What an administrator changes, in a database that a store has open."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_twisted
from harm import ESCAPES, HARMFUL
from twisted.internet import reactor

from chatd.control.main import main
from chatd.store import administration
from chatd.store.administration import NameTaken, NoSuchUser
from chatd.store.opening import open_database
from chatd.store.records import AccountChange, Arrival, Batch
from chatd.store.store import Store
from chatd.wire.display import neutralise
from chatd.wire.message import Message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


@dataclass
class Opened:
    """Opens a database again and again, and closes it at the end."""

    path: Path
    now: Store | None = None

    def again(self) -> Store:
        self.close()
        self.now = Store(
            open_database(self.path),
            reactor,  # type: ignore[arg-type]
            max_bytes=10**9,
            min_free=0,
        )
        return self.now

    def close(self) -> None:
        if self.now is not None:
            self.now.close()
            self.now = None


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    opened = Opened(path)
    yield opened
    opened.close()


@pytest.fixture
def store(opened: Opened) -> Store:
    return opened.again()


@pytest.fixture
def connection(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def message(position: int, sender: str, target: str) -> Message:
    return Message(position, f"id{position}", sender, target, "Hi", 0, 2)


async def arrive(store: Store, *names: str) -> list[int]:
    arrivals = [Arrival(name, name, "192.0.2.1", 1000, 1) for name in names]
    outcome = await store.commit(Batch(arrivals=arrivals))
    return [each[0].id for each in outcome.arrived if each is not None]


@pytest_twisted.ensureDeferred
async def test_a_store_learns_what_was_changed_and_of_nothing_that_it_did_itself(
    store: Store, connection: sqlite3.Connection
) -> None:
    (alice,) = await arrive(store, "alice")
    assert await store.account_changes() == []
    administration.set_disabled(connection, "alice", lambda: 7, disabled=True)
    administration.add_user(connection, "bob", "Bob", None, lambda: 5)
    bob = connection.execute("SELECT id FROM users WHERE key = 'bob'").fetchone()[0]
    changes = await store.account_changes()
    assert [(each.user, each.kind) for each in changes] == [
        (alice, "changed"),
        (bob, "added"),
    ]
    assert store.users == 2
    await arrive(store, "carol")
    assert await store.account_changes() == []
    administration.remove_user(connection, "bob", lambda: 7)
    (change,) = await store.account_changes()
    assert change == AccountChange(changes[-1].number + 1, bob, 7, "removed")
    assert store.users == 2


@pytest_twisted.ensureDeferred
async def test_a_change_has_the_time_at_which_nobody_else_could_write_any_more(
    store: Store, connection: sqlite3.Connection
) -> None:
    """Else who logs in while `chatctl` waits seems to have come after the change."""
    await arrive(store, "alice")
    alone: list[bool] = []

    def now() -> int:
        alone.append(connection.in_transaction)
        return 7

    administration.set_password(connection, "alice", "hash", now)
    administration.set_disabled(connection, "alice", now, disabled=True)
    administration.remove_user(connection, "alice", now)
    administration.add_user(connection, "alice", "alice", None, now)
    assert alone == [True] * 4


@pytest_twisted.ensureDeferred
async def test_what_was_changed_while_no_store_was_open_is_no_news(
    opened: Opened, store: Store, connection: sqlite3.Connection
) -> None:
    await arrive(store, "alice")
    administration.set_disabled(connection, "alice", lambda: 7, disabled=True)
    again = opened.again()
    assert await again.account_changes() == []
    user = await again.find_user("alice")
    assert user is not None
    assert user.disabled


@pytest_twisted.ensureDeferred
async def test_a_message_on_its_way_to_a_removed_user_fails_nobody_elses(
    opened: Opened, store: Store, connection: sqlite3.Connection
) -> None:
    alice, bob = await arrive(store, "alice", "bob")
    administration.remove_user(connection, "alice", lambda: 7)
    batch = Batch(
        messages=[(alice, message(1, "bob", "alice")), (bob, message(2, "bob", "bob"))],
        departures={alice: 5},
    )
    outcome = await store.commit(batch)
    assert outcome.refused is None
    assert len(await store.page(bob, "bob", 0, 1000)) == 1
    await store.commit(Batch(removals={alice: 1}))
    # The name is another user's from now on.
    (again,) = await arrive(store, "alice")
    assert again != alice
    assert await store.page(again, "alice", 0, 1000) == []
    assert await store.names_by_prefix("", 10) == (["alice", "bob"], 2)
    assert sorted(each.name for each in await store.names_seen_last(10)) == [
        "alice",
        "bob",
    ]
    assert opened.again().users == 2
    rows = connection.execute("SELECT id FROM users ORDER BY id").fetchall()
    assert rows == [(bob,), (again,)]
    for table in ("removed_users", "queue_shares", "stored_ids"):
        found = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        assert found == ((1,) if table == "queue_shares" else (0,)), table


@pytest_twisted.ensureDeferred
async def test_a_password_is_set_only_if_it_is_still_the_one_that_was_known(
    store: Store,
) -> None:
    (alice,) = await arrive(store, "alice")
    assert await store.set_password(alice, None, "first", 10, "192.0.2.1")
    assert not await store.set_password(alice, None, "stolen", 20, "192.0.2.2")
    assert await store.set_password(alice, "first", "second", 30, "192.0.2.3")
    user = await store.find_user("alice")
    assert user is not None
    assert (user.password, user.password_time, user.password_from) == (
        "second",
        10,
        "192.0.2.1",
    )


@pytest_twisted.ensureDeferred
async def test_users_are_listed_with_what_an_administrator_wants_to_know(
    store: Store, connection: sqlite3.Connection
) -> None:
    _, bob = await arrive(store, "alice", "bob")
    await store.commit(Batch(messages=[(bob, message(1, "alice", "bob"))]))
    administration.set_password(connection, "bob", "hash", lambda: 77)
    administration.set_disabled(connection, "alice", lambda: 7, disabled=True)
    found = administration.accounts(connection)
    assert [
        (each.name, each.has_password, each.disabled, each.queued_messages)
        for each in found
    ] == [("alice", False, True, 0), ("bob", True, False, 1)]
    assert found[1].password_from == administration.BY_ADMINISTRATOR
    administration.set_password(connection, "bob", None, lambda: 78)
    assert not administration.accounts(connection)[1].has_password


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_done_changes_nothing(
    store: Store, connection: sqlite3.Connection
) -> None:
    await arrive(store, "alice")
    before = list(connection.iterdump())
    with pytest.raises(NameTaken):
        administration.add_user(connection, "alice", "Alice", None, lambda: 5)
    for change in (
        lambda: administration.set_password(connection, "zed", "hash", lambda: 5),
        lambda: administration.set_disabled(
            connection, "zed", lambda: 7, disabled=True
        ),
        lambda: administration.remove_user(connection, "zed", lambda: 7),
    ):
        with pytest.raises(NoSuchUser):
            change()
    assert list(connection.iterdump()) == before


@pytest_twisted.ensureDeferred
async def test_no_escape_sequence_reaches_an_administrators_terminal(
    store: Store,
    connection: sqlite3.Connection,
    path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await arrive(store, "alice")
    # As it may have come from a database of the original program.
    connection.execute("UPDATE users SET address = ?", (f"a{ESCAPES}",))

    def printed(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main(arguments)
        output, errors = capsys.readouterr()
        assert not HARMFUL.search(output + errors)
        return output + errors

    typed = ESCAPES.replace("\0", "")  # which no argument can have
    database = ("user", "--db", str(path))
    assert f"  a{neutralise(ESCAPES)}  " in printed(*database, "list")
    complaints = [
        printed(*database, "add", f"a{typed}"),
        printed(*database, "disable", typed),
        printed(*database, f"x{typed}"),
        printed("user", "--db", f"{path}{typed}", "list"),
        printed("certificate", f"a{typed}"),
        printed("certificate", "--key", f"{path}/{typed}", "localhost"),
    ]
    for each in complaints:
        assert each.startswith("chatctl: ")
        assert each.count("\n") == 1
