"""Limits that only a running daemon can show: files, the database, time."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon

pytestmark = pytest.mark.slow


def open_files(daemon: "Daemon") -> int:
    """Return how many files a daemon may open."""
    limits = Path(f"/proc/{daemon.process.pid}/limits").read_text(encoding="utf-8")
    found = re.search(r"^Max open files +(\d+)", limits, re.M)
    assert found
    return int(found[1])


def with_files(option: str, number: int) -> list[str]:
    """Return a command that runs another with a limit of open files."""
    return ["sh", "-c", f'ulimit {option} {number}; exec "$@"', "sh"]


def test_it_may_open_as_many_files_as_there_may_be_connections(
    start_daemon: "StartDaemon",
) -> None:
    daemon = start_daemon("--max-connections", "300", under=with_files("-Sn", 100))
    assert 300 < open_files(daemon) < 400
    assert "files may be open" not in daemon.log()


@pytest.mark.measured
def test_it_says_so_if_it_may_not_open_as_many_files(
    start_daemon: "StartDaemon",
) -> None:
    daemon = start_daemon("--max-connections", "300", under=with_files("-n", 200))
    assert open_files(daemon) == 200
    assert "Only 200 files may be open: fewer connections than the 300" in daemon.log()


def queue_for_bob(start_daemon: "StartDaemon", connect: "Connect") -> None:
    """Leave a database behind in which one message waits for bob."""
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    alice = connect(daemon, "alice")
    alice.send("bob-1")
    alice.expect("Message stored.\n")
    assert alice.leave() == "Goodbye.\n"
    daemon.stop()


def test_a_database_as_large_as_it_may_be_takes_nothing_more(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    queue_for_bob(start_daemon, connect)

    daemon = start_daemon("--max-database", "1")

    alice = connect(daemon, "alice")
    alice.send("bob-2")
    assert alice.expect("\n") == (
        "Could not store the message to 'bob' (database full)."
        " Nothing was sent; try again later.\n"
    )
    carol = connect(daemon)
    carol.send("carol")
    assert "Could not register the name 'carol'" in carol.expect("\n")
    bob = connect(daemon)
    bob.send("bob")
    bob.expect("You have 1 offline message:\nalice: 1 (")


@pytest.mark.parametrize(("age", "dropped"), [("366", True), ("364", False)])
def test_the_queue_of_a_name_that_nobody_used_for_so_long_is_dropped(
    age: str,
    dropped: bool,
    start_daemon: "StartDaemon",
    connect: "Connect",
    home: Path,
) -> None:
    queue_for_bob(start_daemon, connect)
    with closing(sqlite3.connect(home / "server.db")) as database, database:
        database.execute(
            "UPDATE users SET last_seen = last_seen - ? WHERE key = 'bob'",
            (int(age) * 86_400_000,),
        )

    daemon = start_daemon("--expire", "365d")
    if dropped:
        daemon.wait_for_log("Dropping the queue of bob, unused: 1 messages")

    said = connect(daemon, "bob").leave()
    assert ("alice: 1 (" in said) is not dropped
