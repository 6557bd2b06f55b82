"""The database of a daemon that has ended: whether its figures say what is in it."""

import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Shares: TypeAlias = dict[tuple[int, str], list[int]]
"""How many messages, and bytes, a receiver has of a sender."""


def wrong_figures(path: Path) -> list[str]:
    """Return what is wrong in a database that nobody uses.

    A copy is looked at, with its log: what is left for the next start stays as it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        for each in path.parent.glob(f"{path.name}*"):
            if each.suffix != ".lock":
                shutil.copy(each, folder)
        database = sqlite3.connect(Path(folder, path.name))
        try:
            return list(_wrong(database))
        except sqlite3.Error as error:
            return [f"the database cannot be read: {error}"]
        finally:
            database.close()


def _wrong(database: sqlite3.Connection) -> Iterator[str]:
    (sound,) = database.execute("PRAGMA integrity_check").fetchone()
    if sound != "ok":
        yield f"integrity_check: {sound}"
    shares = _shares(database)
    users = database.execute(
        "SELECT id, name, queued_messages, queued_bytes FROM users"
    )
    for user, name, *kept in users:
        own = [each for (target, _), each in shares.items() if target == user]
        figures = [sum(each[0] for each in own), sum(each[1] for each in own)]
        if kept != figures:
            yield f"the queue of {name} is kept as {kept}, and is {figures}"
    rows = database.execute("SELECT target, sender, messages, bytes FROM queue_shares")
    kept_shares = {(target, sender): kept for target, sender, *kept in rows}
    for key in sorted({*shares, *kept_shares}):
        kept, figures = kept_shares.get(key, [0, 0]), shares.get(key, [0, 0])
        if kept != figures:
            target, sender = key
            what = f"the share of {sender} in the queue of user {target}"
            yield f"{what} is kept as {kept}, and is {figures}"


def _shares(database: sqlite3.Connection) -> Shares:
    """Count what is there, in rows of one message and in rows of several."""
    shares: Shares = defaultdict(lambda: [0, 0])
    for target, sender, size in database.execute(
        "SELECT target, sender, size FROM offline_messages"
    ):
        _add(shares, target, sender, 1, size)
    for target, first, last, senders, messages in database.execute(
        "SELECT target, first, last, senders, messages FROM offline_runs"
    ):
        texts = messages.split(b"\n")
        if len(texts) != last - first + 1:
            _add(shares, target, "(a run of another length than its texts)", 1, 0)
        for line in senders.split("\n"):
            sender, count, _ = line.split(" ")
            own, texts = texts[: int(count)], texts[int(count) :]
            _add(shares, target, sender, len(own), sum(map(len, own)))
    return shares


def _add(shares: Shares, target: int, sender: str, messages: int, size: int) -> None:
    share = shares[target, sender]
    share[0] += messages
    share[1] += size


def waiting(path: Path) -> dict[str, int]:
    """Return how many messages still wait, by receiver."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(
            database.execute(
                "SELECT name, sum(messages) FROM ("
                " SELECT target, 1 AS messages FROM offline_messages"
                " UNION ALL SELECT target, last - first + 1 FROM offline_runs"
                ") JOIN users ON users.id = target GROUP BY name"
            )
        )
    finally:
        database.close()
