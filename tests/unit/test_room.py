"""The room for what is new: looked for now and then, and never overlooked for long."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatd.store.records import Arrival, Batch
from chatd.store.room import COMMIT_BYTES, LOOK_SECONDS, Room
from chatd.wire.block import Block, Part

MIB = 1024 * 1024
FREE = 100 * MIB
NOTHING = Batch(arrivals=[Arrival("bob", "bob", "192.0.2.1", 1, 1)])


def large(size: int) -> Batch:
    return Batch(messages=[(1, Block(1, "bob", 1, [Part("ann", 1, b"x" * size)]))])


class Disk:
    """A disk, a database on it and a clock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.free = FREE
        self.looks = 0
        self.now = 0.0
        self.connection = connection
        self.room = Room(Path("/server.db"), 10_000 * MIB, 0, lambda: self.now)

    def usage(self, path: Path) -> SimpleNamespace:
        assert path == Path("/")
        self.looks += 1
        return SimpleNamespace(free=self.free)

    def lack(self, batch: Batch = NOTHING) -> str | None:
        return self.room.lack(self.connection, batch)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    with closing(sqlite3.connect(":memory:")) as connection:
        disk = Disk(connection)
        monkeypatch.setattr(shutil, "disk_usage", disk.usage)
        yield disk


def test_it_is_not_looked_again_while_there_is_plenty(disk: Disk) -> None:
    assert [disk.lack() for _ in range(100)] == [None] * 100
    assert disk.looks == 1


def test_what_others_write_is_seen_soon(disk: Disk) -> None:
    assert disk.lack() is None
    disk.free = -1
    disk.now = LOOK_SECONDS
    assert disk.lack() == "disk full"


def test_it_is_looked_again_before_all_that_there_was_may_be_used(disk: Disk) -> None:
    assert disk.lack() is None
    used = 0
    while disk.looks == 1:
        disk.lack(large(MIB))
        used += MIB
    assert used <= FREE // 2
    many = FREE // 2 // COMMIT_BYTES
    disk.looks = 0
    for _ in range(many):
        disk.lack()
    assert disk.looks > 0


def test_where_there_is_none_it_is_looked_each_time(disk: Disk) -> None:
    disk.free = -1
    assert [disk.lack() for _ in range(3)] == ["disk full"] * 3
    assert disk.looks == 3
    disk.free = FREE
    assert disk.lack() is None


def test_a_database_that_has_its_size_is_full_though_the_disk_is_not(
    disk: Disk,
) -> None:
    disk.connection.execute("CREATE TABLE some (x)")
    disk.room = Room(Path("/server.db"), 8192, 0, lambda: disk.now)
    assert disk.lack() == "database full"
    disk.room = Room(Path("/server.db"), 8193, 0, lambda: disk.now)
    assert disk.lack() is None
