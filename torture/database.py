"""The database of a daemon that has ended: whether its figures say what is in it."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_QUEUES: Final = """
    SELECT name, queued_messages, queued_bytes,
           (SELECT count(*) FROM offline_messages WHERE target = users.id),
           (SELECT coalesce(sum(size), 0) FROM offline_messages WHERE target = users.id)
      FROM users
"""

_SHARES: Final = """
    SELECT target, sender,
           sum(kept_messages), sum(kept_bytes), sum(messages), sum(bytes)
      FROM (SELECT target, sender, messages AS kept_messages, bytes AS kept_bytes,
                   0 AS messages, 0 AS bytes
              FROM queue_shares
            UNION ALL
            SELECT target, sender, 0, 0, 1, size FROM offline_messages)
     GROUP BY target, sender
"""


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
    for name, *kept, messages, size in database.execute(_QUEUES):
        if kept != [messages, size]:
            yield f"the queue of {name} is kept as {kept}, and is {[messages, size]}"
    for target, sender, *figures in database.execute(_SHARES):
        if figures[:2] != figures[2:]:
            what = f"the share of {sender} in the queue of user {target}"
            yield f"{what} is kept as {figures[:2]}, and is {figures[2:]}"


def waiting(path: Path) -> dict[str, int]:
    """Return how many messages still wait, by receiver."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(
            database.execute(
                "SELECT name, count(*) FROM offline_messages"
                " JOIN users ON users.id = target GROUP BY name"
            )
        )
    finally:
        database.close()
