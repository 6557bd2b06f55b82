"""The client's history with a million messages: searching, and keeping more."""

import os
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path

from chatd.client.history.file import APPLICATION_ID, SCHEMA, configure, prepare
from chatd.client.history.index import catch_up, is_behind
from chatd.client.history.rows import insert
from chatd.client.history.search import Wanted, correspondents, find, recent
from chatd.store.migrations import load, transaction
from chatd.wire.message import Message, new_id
from chatd.wire.names import parse_name
from harness.figures import percentile
from harness.phrases import Phrases
from harness.samples import Sample
from peers.base import Peer
from peers.chatd import Chatd
from rows.base import Bench, Row

MESSAGES = 1_000_000
QUICK_MESSAGES = 3_000
PEOPLE = 500
LAST = 50
TIMES = 15
SERVER = "127.0.0.1:5555"
WITHOUT_INDEX = 2
"""The version of a history that had no index yet."""


class Searches(Row):
    """Each search with several words of its kind, and as it was before the index."""

    name = "history"
    title = "Searching the history of `chat`, a million messages"
    goal = "200 ms each"
    figures = ("p50 ms", "worst ms", "without the index p50 ms")
    note = (
        f"The last {LAST} messages that fit, {TIMES} searches of each kind with a word"
        " of its own each. Without the index every message is looked at, by LIKE, as"
        " chat did before; once for each kind."
    )
    most_rounds = 1
    warms_up = False

    def fits(self, peer: Peer) -> bool:
        """Return whether it is chatd, whose client has the history."""
        return type(peer) is Chatd

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure each kind of search."""
        phrases = Phrases()
        path = bench.folder / "history.db"
        build(path, phrases, QUICK_MESSAGES if bench.quick else MESSAGES)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for kind, searched in _kinds(phrases).items():
                taken = [
                    _seconds(lambda: find(connection, words, last=LAST))  # noqa: B023
                    for words in searched
                ]
                before = [_seconds(lambda: _by_like(connection, searched[0]))]  # noqa: B023
                yield self._sample(kind, taken, before)
            names = [_name(number * PEOPLE // TIMES) for number in range(TIMES)]
            taken = [
                _seconds(lambda: recent(connection, Wanted(None, name), last=LAST))  # noqa: B023
                for name in names
            ]
            yield self._sample("the last with somebody", taken)
            taken = [
                _seconds(lambda: find(connection, words, Wanted(None, names[0])))  # noqa: B023
                for words in _kinds(phrases)["a rare word"]
            ]
            yield self._sample("a rare word, with somebody", taken)
            taken = [_seconds(lambda: correspondents(connection, 100)) for _ in names]
            yield self._sample("with whom one talked, 100 names", taken)

    def _sample(
        self, kind: str, taken: Sequence[float], before: Sequence[float] = ()
    ) -> Sample:
        figures = {
            "p50 ms": percentile(taken, 50) * 1e3,
            "worst ms": max(taken) * 1e3,
        }
        if before:
            figures["without the index p50 ms"] = percentile(before, 50) * 1e3
        return Sample(self.name, kind, figures)


class Keeping(Row):
    """What it costs to keep messages, with the index and without."""

    name = "history-keeping"
    title = "Keeping messages in the history of `chat`"
    goal = "the same with and without the index for a message alone"
    figures = (
        *("p50 ms alone", "p99 ms alone", "us in groups of 100"),
        *("p50 ms to index 256", "worst ms to index 256", "bytes a message"),
    )
    note = (
        "On disk, synced. Messages come to the index some time after they are kept, 256"
        " at once: a message that is to be kept just then waits for that. The time in"
        " groups has it all."
    )
    most_rounds = 1
    warms_up = False

    def fits(self, peer: Peer) -> bool:
        """Return whether it is chatd, whose client has the history."""
        return type(peer) is Chatd

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure a history of this version, and one of before, in turn."""
        alone, groups = (20, 10) if bench.quick else (300, 300)
        with ExitStack() as closing_all:
            histories = [
                closing_all.enter_context(Kept(kind, bench.folder, has_index=has_index))
                for kind, has_index in (("with the index", True), ("without", False))
            ]
            for _ in range(alone):
                for each in histories:
                    each.alone.append(_seconds(partial(each.keep, 1)))
            for _ in range(groups):
                for each in histories:
                    each.keep_group()
            for each in histories:
                yield Sample(self.name, each.kind, each.figures())


class Kept:
    """A history to which messages are added, and how long that took, in seconds."""

    def __init__(self, kind: str, folder: Path, *, has_index: bool) -> None:
        self.kind = kind
        self.alone: list[float] = []
        self._grouped: list[float] = []
        self._indexing: list[float] = []
        self._has_index = has_index
        self._path = folder / f"keeping{has_index:d}.db"
        self._phrases = Phrases()
        self._numbers = count()
        _make(self._path, has_index=has_index)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        configure(self._connection)

    def __enter__(self) -> "Kept":
        """Return itself."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Close the file."""
        self._connection.close()

    def keep(self, messages: int) -> None:
        """Keep messages in one transaction."""
        with transaction(self._connection):
            for _ in range(messages):
                _keep(self._connection, self._phrases, next(self._numbers))

    def keep_group(self) -> None:
        """Keep a hundred messages, and put into the index what has to be."""
        begun = time.perf_counter()
        self.keep(100)
        while self._has_index and is_behind(self._connection):
            self._indexing.append(_seconds(partial(catch_up, self._connection)))
        self._grouped.append(time.perf_counter() - begun)

    def figures(self) -> dict[str, float]:
        """Return what was measured."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        figures = {
            "p50 ms alone": percentile(self.alone, 50) * 1e3,
            "p99 ms alone": percentile(self.alone, 99) * 1e3,
            "us in groups of 100": sum(self._grouped) / len(self._grouped) / 100 * 1e6,
            "bytes a message": os.path.getsize(self._path) / next(self._numbers),
        }
        if self._indexing:
            figures["p50 ms to index 256"] = percentile(self._indexing, 50) * 1e3
            figures["worst ms to index 256"] = max(self._indexing) * 1e3
        return figures


def build(path: Path, phrases: Phrases, messages: int) -> None:
    """Make a history with so many messages, all of them in the index."""
    _make(path, has_index=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # What is not finished is not used: it need not survive a crash.
        connection.execute("PRAGMA synchronous = OFF")
        with transaction(connection):
            for number in range(messages):
                _keep(connection, phrases, number)
        while catch_up(connection):
            pass
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _make(path: Path, *, has_index: bool) -> None:
    if has_index:
        prepare(path, parse_name("alice"))
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load(SCHEMA)[:WITHOUT_INDEX]:
            migration.apply(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")


def _keep(connection: sqlite3.Connection, phrases: Phrases, number: int) -> None:
    other = _name(phrases.number(PEOPLE))
    sent = number % 2 == 0
    names = ("alice", other) if sent else (other, "alice")
    milliseconds = 1_700_000_000_000 + number * 60_000
    message = Message(0, new_id(), *names, phrases.text(), milliseconds, 0)
    if sent:
        insert(connection, SERVER, message, "sent", "delivered")
    else:
        insert(connection, SERVER, message, "received", "received")


def _kinds(phrases: Phrases) -> dict[str, Sequence[str]]:
    """Return what is searched for, by kind."""
    words, characters = phrases.words, phrases.characters
    rare = words[-TIMES * 1000 :: 1000]
    middling = words[1000 : 1000 + TIMES]
    return {
        "a common word": words[:TIMES],
        "a rare word": rare,
        "a word that is nowhere": [f"{word}qx" for word in rare],
        "two words": [
            f"{one} {other}" for one, other in zip(words, middling, strict=False)
        ],
        "a part of a word": [word[1:-1] for word in rare if len(word) > 5],
        "two letters": [word[:2] for word in middling],
        "two Chinese characters": [
            characters[number] + characters[number + 1] for number in range(TIMES)
        ],
        "a rare Chinese character": characters[-TIMES:],
    }


def _by_like(connection: sqlite3.Connection, words: str) -> list[tuple[int]]:
    """Search as chat did before."""
    connection.create_function("folded", 1, _folded, deterministic=True)
    terms = [_folded(word) for word in words.split()]
    wanted = " AND ".join(r"folded(message) LIKE ? ESCAPE '\'" for _ in terms)
    return connection.execute(
        f"SELECT position FROM messages WHERE {wanted} ORDER BY rowid DESC LIMIT ?",
        (*(f"%{term}%" for term in terms), LAST),
    ).fetchall()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _seconds(search: Callable[[], object]) -> float:
    begun = time.perf_counter()
    search()
    return time.perf_counter() - begun


def _name(number: int) -> str:
    return f"u{number:03}"
