"""Queues in a database file: messages by themselves, and such that stay together."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chatd.store import administration, migrations, queues, transactions
from chatd.store.opening import OpenedDatabase, configure, open_database
from chatd.store.records import Arrival, Batch
from chatd.wire.block import Block, Part, Row, each_message
from chatd.wire.message import DerivedIds, Message

NAMES = ("ann", "bob")
SENDERS = st.sampled_from(["ann", "cleo"])
TEXTS = st.sampled_from(["x", "é", "Hi there", "-", " "])
PARTS = st.lists(
    st.tuples(SENDERS, st.lists(TEXTS, min_size=1, max_size=4)), min_size=1, max_size=3
)


def block_of(
    first: int, target: str, senders: list[tuple[str, list[str]]], time: int = 7
) -> Block:
    parts, ids = [], count(first)
    for sender, texts in senders:
        # Each second block has ids.
        own = [f"id{next(ids)}" for _ in texts] if first % 2 else []
        parts.append(
            Part(sender, len(texts), "\n".join(texts).encode(), "\n".join(own))
        )
    return Block(first, target, time, parts)


@contextmanager
def opened(path: Path) -> Iterator[tuple[sqlite3.Connection, OpenedDatabase]]:
    """Open a database as a starting daemon does, with one connection that writes."""
    database = open_database(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        configure(connection)
        yield connection, database
    database.lock.release()


def write(connection: sqlite3.Connection, batch: Batch) -> Any:
    outcome = transactions.write(connection, batch)
    connection.commit()
    return outcome


def figures(rows: list[Message]) -> dict[str, tuple[int, int]]:
    """Return how many messages, and bytes, there are of each sender."""
    found: dict[str, tuple[int, int]] = {}
    for each in rows:
        count, size = found.get(each.sender, (0, 0))
        found[each.sender] = (count + 1, size + each.size)
    return found


class Queues(RuleBasedStateMachine):
    """Two users' queues, against a list of messages each."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._path = Path(self._folder.name, "server.db")
        self._patches = [
            patch.object(queues, "PAGE_MESSAGES", 4),
            patch.object(queues, "ROW_BYTES", 16),
        ]
        for each in self._patches:
            each.start()
        self._opening = opened(self._path)
        self.connection, _ = self._opening.__enter__()
        self.position = 0
        self.expected: dict[str, list[Message]] = {name: [] for name in NAMES}
        self.users: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        arrivals = [Arrival(name, name, "192.0.2.1", 1, 1) for name in NAMES]
        for arrived in write(self.connection, Batch(arrivals=arrivals)).arrived:
            self.users[arrived[0].name] = arrived[0].id

    @rule(
        batch=st.lists(
            st.tuples(
                st.sampled_from(NAMES), PARTS | TEXTS, st.sampled_from(["", "own"])
            ),
            min_size=1,
            max_size=4,
        )
    )
    def store(self, batch: list[tuple[str, Any, str]]) -> None:
        rows: list[tuple[int, Row]] = []
        for target, what, id in batch:
            first = self.position + 1
            row: Row
            if isinstance(what, str):
                size = len(what.encode())
                row = Message(first, id, "cleo", target, f"{what}", 7, size)
            else:
                row = block_of(first, target, what)
            self.position = row.last
            rows.append((self.users[target], row))
            self.expected[target] += each_message([row])
        write(self.connection, Batch(messages=rows))

    @rule(name=st.sampled_from(NAMES), part=st.floats(0, 1), beyond=st.booleans())
    def deliver(self, name: str, part: float, beyond: bool) -> None:
        queue = self.expected[name]
        count = round(part * len(queue))
        upto = queue[count - 1].position if count else 0
        if beyond and count == len(queue):
            upto = self.position
        outcome = write(self.connection, Batch(removals={self.users[name]: upto}))
        removed = {
            each.sender: (each.messages, each.size)
            for each in outcome.removed[self.users[name]]
        }
        assert removed == figures(queue[:count])
        self.expected[name] = queue[count:]

    @rule(
        name=st.sampled_from(NAMES),
        part=st.floats(0, 1),
        max_bytes=st.sampled_from([1, 9, 30, 1_000]),
        as_lines=st.booleans(),
    )
    def drain(self, name: str, part: float, max_bytes: int, as_lines: bool) -> None:
        queue = self.expected[name]
        left = queue[round(part * len(queue)) :]
        after = left[0].position - 1 if left else self.position
        came: list[Message] = []
        while page := queues.page(
            self.connection, self.users[name], name, after, max_bytes, as_lines
        ):
            came += each_message(page)
            after = came[-1].position
        assert came == left

    @rule()
    def open_again(self) -> None:
        self._opening.__exit__(None, None, None)
        self._opening = opened(self._path)
        self.connection, database = self._opening.__enter__()
        waiting = [each.position for queue in self.expected.values() for each in queue]
        assert database.last_position == max(waiting, default=0)

    @invariant()
    def the_figures_are_those_of_the_messages(self) -> None:
        for name, target in self.users.items():
            queue = self.expected[name]
            user = transactions.find_user(self.connection, name)
            assert user is not None
            assert user.queued_messages == len(queue)
            assert user.queued_bytes == sum(each.size for each in queue)
            assert user.first_position == (queue[0].position if queue else 0)
            assert user.last_position == (queue[-1].position if queue else 0)
            for sender, share in figures(queue).items():
                found = transactions.find_share(self.connection, target, sender)
                assert (found.messages, found.bytes) == share
            (shares,) = self.connection.execute(
                "SELECT COUNT(*) FROM queue_shares WHERE target = ?", (target,)
            ).fetchone()
            assert shares == len(figures(queue))

    def teardown(self) -> None:
        self._opening.__exit__(None, None, None)
        for each in self._patches:
            each.stop()
        self._folder.cleanup()


@pytest.mark.slow
def test_both_kinds_are_one_queue_in_any_course_of_events() -> None:
    run_state_machine_as_test(
        Queues, settings=settings(max_examples=40, stateful_step_count=20)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


def new_user(connection: sqlite3.Connection, name: str) -> int:
    arrival = Arrival(name, name, "192.0.2.1", 1, 1)
    user: int = write(connection, Batch(arrivals=[arrival])).arrived[0][0].id
    return user


def test_a_long_run_is_kept_in_rows_that_can_be_read_by_themselves(
    path: Path,
) -> None:
    with opened(path) as (connection, _):
        bob = new_user(connection, "bob")
        many = block_of(1, "bob", [("ann", ["x" * 64] * 3_000), ("cleo", ["y"] * 9)])
        write(connection, Batch(messages=[(bob, many)]))
        sizes = connection.execute("SELECT LENGTH(messages) FROM offline_runs")
        assert [size <= queues.ROW_BYTES for (size,) in sizes] == [True] * 3
        page = queues.page(connection, bob, "bob", 0, 1 << 20, as_lines=True)
        assert each_message(page) == many.messages()


def test_a_removed_user_s_messages_go_whichever_way_they_are_kept(path: Path) -> None:
    with opened(path) as (connection, _):
        bob = new_user(connection, "bob")
        single = Message(1, "", "ann", "bob", "Hi", 7, 2)
        both = [(bob, single), (bob, block_of(2, "bob", [("ann", ["a", "b"])]))]
        write(connection, Batch(messages=both))
        assert administration.remove_user(connection, "bob", lambda: 1) == 3
        # What was on its way when it was removed comes to nobody.
        late = block_of(4, "bob", [("ann", ["c"])])
        write(connection, Batch(messages=[(bob, late)]))
    with opened(path) as (connection, _):
        for table in ("users", "offline_messages", "offline_runs", "queue_shares"):
            count = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
            assert count == (0,), table


def test_a_queue_of_the_version_before_goes_on_in_this_one(
    path: Path, tmp_path: Path
) -> None:
    """What waited keeps its ids; what had none gets one, the same from now on."""
    before = migrations.load()[:3]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrations.migrate(connection, before)
        connection.execute(
            "INSERT INTO users (key, name, first_seen, last_seen, queued_messages,"
            " queued_bytes) VALUES ('bob', 'Bob', 0, 0, 2, 4)"
        )
        connection.execute(
            "INSERT INTO offline_messages (position, id, sender, target, message, time,"
            " size) VALUES (5, 'own', 'ann', 1, 'Hi', 7, 2),"
            " (8, NULL, 'ann', 1, 'Ho', 7, 2)"
        )
        connection.execute("INSERT INTO queue_shares VALUES (1, 'ann', 2, 4)")
    old = [
        Message(5, "own", "ann", "Bob", "Hi", 7, 2),
        Message(8, "", "ann", "Bob", "Ho", 7, 2),
    ]
    new = block_of(9, "Bob", [("ann", ["a", "b"])])
    with opened(path) as (connection, database):
        assert database.last_position == 8
        write(connection, Batch(messages=[(1, new)]))
        ids = DerivedIds(database.id_secret)
        page = each_message(queues.page(connection, 1, "Bob", 0, 1 << 20))
        assert page == [*old, *new.messages()]
        first = [ids.of(each) for each in page]
        assert first[0] == "own"
        assert len(set(first)) == 4
    with opened(path) as (connection, database):
        ids = DerivedIds(database.id_secret)
        assert [ids.of(each) for each in page] == first
        write(connection, Batch(removals={1: 9}))
        user = transactions.find_user(connection, "bob")
        assert user is not None
        assert (user.queued_messages, user.queued_bytes) == (1, 1)
        assert (user.first_position, user.last_position) == (10, 10)
