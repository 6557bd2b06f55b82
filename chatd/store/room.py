"""The room for what is new: in the database, and on its disk."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chatd.store.records import Batch

LOOK_SECONDS: Final = 0.25
"""How long what was seen holds: others write to the disk, too."""

OVERHEAD: Final = 1024
"""Bytes that a row may take beside its text, in the database and its log."""

COMMIT_BYTES: Final = 64 * 1024
"""What a transaction may take that has only little to write."""


class Room:
    """Says whether something new may be stored.

    Not if the database has `max_bytes`, or its disk less than `min_free` bytes. To look
    takes as long as to write a message, so it is looked only now and then as long as
    there is plenty: once half of what there was may have been used, and after
    `LOOK_SECONDS` in any case. `clock` tells the seconds.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        min_free: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = path.parent
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._clock = clock
        self._left = 0
        self._until = 0.0

    def lack(self, connection: sqlite3.Connection, batch: Batch) -> str | None:
        """Return why what is new in a batch should not be stored, in words, or None."""
        rows = len(batch.messages) + len(batch.arrivals) + len(batch.ids)
        size = sum(row.size for _, row in batch.messages)
        self._left -= COMMIT_BYTES + OVERHEAD * rows + 3 * size
        now = self._clock()
        if self._left > 0 and now < self._until:
            return None
        self._left = 0
        free = shutil.disk_usage(self._folder).free - self._min_free
        if free < 0:
            return "disk full"
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        left = self._max_bytes - (pages - unused) * page_size
        if left <= 0:
            return "database full"
        self._left = min(free, left) // 2
        self._until = now + LOOK_SECONDS
        return None
