"""Searching a history: what is found is what is there, whatever the index knows."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatd.client.history import index as searchindex
from chatd.client.history import search
from chatd.client.history.file import APPLICATION_ID, SCHEMA, prepare, reading
from chatd.client.history.folding import fold
from chatd.client.history.index import catch_up, has_index, indexed_upto
from chatd.client.history.rows import insert
from chatd.client.history.search import EVERYTHING, Wanted, correspondents, find, recent
from chatd.store.migrations import load, transaction
from chatd.wire.message import Message
from chatd.wire.names import name_key, parse_name

HOUR = 3_600_000
BEGIN = 1_795_000_000_000


@dataclass(frozen=True)
class Said:
    """A message as a model has it."""

    position: int
    server: str
    person: str
    text: str
    time: int


@dataclass
class Model:
    """A history, and beside it what should be in it."""

    connection: sqlite3.Connection
    said: dict[int, Said] = field(default_factory=dict)
    count: int = 0

    def say(
        self, text: str, person: str = "bob", server: str = "a", *, sent: bool = False
    ) -> int:
        self.count += 1
        time = BEGIN + self.count * HOUR
        names = ("alice", person) if sent else (person, "alice")
        message = Message(0, str(self.count), *names, text, time, 0)
        direction, status = ("sent", "stored") if sent else ("received", "received")
        position = insert(self.connection, server, message, direction, status)
        assert position is not None
        self.said[position] = Said(position, server, person, text, time)
        return position

    def expected(self, words: str, wanted: Wanted, last: int) -> list[int]:
        found = [
            each.position
            for each in sorted(self.said.values(), key=lambda said: said.position)
            if all(word in fold(each.text) for word in fold(words).split())
            and wanted.server in (None, each.server)
            and (
                wanted.correspondent is None
                or name_key(wanted.correspondent) == name_key(each.person)
            )
            and (wanted.since is None or wanted.since <= each.time)
            and (wanted.until is None or wanted.until >= each.time)
        ]
        return found[-last:]

    def check(self, words: str, wanted: Wanted = EVERYTHING, last: int = 50) -> None:
        found = find(self.connection, words, wanted, last=last)
        expected = self.expected(words, wanted, last)
        assert [each.message.position for each in found] == expected
        for each in found:
            assert each.message.text == self.said[each.message.position].text
        if not words.split():
            kept = recent(self.connection, wanted, last=last)
            assert [each.position for each in kept] == expected


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def model(path: Path) -> Iterator[Model]:
    prepare(path, parse_name("alice"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield Model(connection)


def index_all(connection: sqlite3.Connection) -> None:
    while catch_up(connection):
        pass


def index_words(connection: sqlite3.Connection, words: list[str]) -> list[int]:
    """Return the positions that the index itself names."""
    query = "SELECT rowid FROM messages_search WHERE messages_search MATCH ?"
    asked = searchindex.expression(words)
    return sorted(row[0] for row in connection.execute(query, (asked,)))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all amounts small, so that a few messages meet every case."""
    monkeypatch.setattr(searchindex, "AT_ONCE", 2)
    monkeypatch.setattr(search, "SAMPLE", 2)
    monkeypatch.setattr(search, "COMMON", 2)
    monkeypatch.setattr(search, "LOOKED_THROUGH", 2)


TEXTS = st.text(st.sampled_from("abcä漢 ") | st.sampled_from("B\u0308字-*\"'%\\(:\0\n"))
PEOPLE = st.sampled_from(["bob", "Bob", "Ünal", "ünal", "carol", "a b"])
SERVERS = st.sampled_from(["a", "b"])
SAYING = st.tuples(st.just("say"), TEXTS, PEOPLE, SERVERS, st.booleans())
STEPS = st.one_of(
    SAYING,
    SAYING,
    st.tuples(st.just("index")),
    st.tuples(st.just("index")),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("rewrite"), st.integers(0, 20), TEXTS),
    st.tuples(st.just("move"), st.integers(0, 20)),
    st.tuples(st.just("status")),
)
WANTED = st.builds(
    Wanted,
    st.none() | SERVERS,
    st.none() | PEOPLE,
    st.none() | st.integers(0, 20).map(lambda hours: BEGIN + hours * HOUR),
    st.none() | st.integers(0, 20).map(lambda hours: BEGIN + hours * HOUR),
)


@st.composite
def searches(draw: st.DrawFn, texts: list[str]) -> str:
    """Return words that may be found: most are parts of texts."""
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        text = draw(st.sampled_from([*texts, "zz"]))
        start = draw(st.integers(0, len(text)))
        parts.append(text[start : start + draw(st.integers(1, 6))])
    return " ".join(parts)


@pytest.mark.usefixtures("small")
@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_found_is_what_a_naive_search_finds(data: st.DataObject) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in load(SCHEMA):
            migration.apply(connection)
        model = Model(connection)
        first = data.draw(st.lists(SAYING, min_size=3, max_size=3))
        for step in first + data.draw(st.lists(STEPS, max_size=12)):
            positions = sorted(model.said)
            match step:
                case ("say", str(text), str(person), str(server), bool(sent)):
                    model.say(text, person, server, sent=sent)
                case ("index",):
                    catch_up(connection)
                case ("status",):
                    connection.execute("UPDATE messages SET status = 'delivered'")
                case (what, int(number), *rest) if positions:
                    place = positions[number % len(positions)]
                    change(model, str(what), place, *map(str, rest))
        texts = [each.text for each in model.said.values()]
        for _ in range(3):
            words = data.draw(searches(texts))
            last = data.draw(st.sampled_from([1, 2, 50]))
            model.check(words, data.draw(WANTED), last)
            model.check(words)


def change(model: Model, what: str, place: int, text: str = "") -> None:
    connection, said = model.connection, model.said
    if what == "delete":
        connection.execute("DELETE FROM messages WHERE position = ?", (place,))
        del said[place]
    elif what == "rewrite":
        query = "UPDATE messages SET message = ? WHERE position = ?"
        connection.execute(query, (text, place))
        old = said[place]
        said[place] = Said(place, old.server, old.person, text, old.time)
    elif what == "move":
        to = max(said) + 2
        query = "UPDATE messages SET position = ? WHERE position = ?"
        connection.execute(query, (to, place))
        old = said.pop(place)
        said[to] = Said(to, old.server, old.person, old.text, old.time)


def test_what_was_said_long_ago_is_found_by_the_index(model: Model) -> None:
    positions = [model.say(f"number {number} in a row") for number in range(600)]
    special = model.say('needle "AND" C++ 漢字かな交じり文')
    for number in range(600):
        model.say(f"later {number}")
    index_all(model.connection)
    assert indexed_upto(model.connection) > special
    for words in ("needle", "NEEDLE c++", '"and"', "字かな", "漢字", "字", "+", "C"):
        model.check(words)
        assert special in index_words(model.connection, fold(words).split())
    model.check("number 599")
    model.check("number 59", Wanted(correspondent="BOB"), 3)
    assert len(positions) == 600


def test_what_has_not_come_to_the_index_yet_is_found(model: Model) -> None:
    model.say("first")
    model.check("first")
    assert not catch_up(model.connection)
    assert indexed_upto(model.connection) == 0
    for number in range(searchindex.AT_ONCE):
        model.say(f"number {number}")
    model.check("first")
    assert not catch_up(model.connection)
    assert indexed_upto(model.connection) == searchindex.AT_ONCE
    model.check("first")
    model.check(f"{searchindex.AT_ONCE - 1}")


def test_what_becomes_of_a_message_does_not_touch_the_index(model: Model) -> None:
    for number in range(searchindex.AT_ONCE):
        model.say(f"number {number}", sent=True)
    index_all(model.connection)
    before = model.connection.total_changes
    model.connection.execute("UPDATE messages SET status = 'delivered', sender = 'Al'")
    assert model.connection.total_changes - before == searchindex.AT_ONCE
    count = "SELECT COUNT(*) FROM messages_changed"
    assert model.connection.execute(count).fetchone() == (0,)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_position_that_is_used_again_is_searched_with_its_new_text(
    model: Model, forgotten: bool
) -> None:
    for text in ("one", "two", "two and a half", "three"):
        place = model.say(text)
    index_all(model.connection)
    assert indexed_upto(model.connection) == place
    change(model, "delete", place)
    if forgotten:
        searchindex.take_changes(model.connection)
    assert model.say("another") == place
    for words in ("three", "another"):
        model.check(words)
    for text in ("four", "five", "six"):
        model.say(text)
    index_all(model.connection)
    assert index_words(model.connection, ["three"]) == []
    assert index_words(model.connection, ["another"]) == [place]


@pytest.mark.usefixtures("small")
def test_what_another_program_has_rewritten_is_found_as_it_is_now(model: Model) -> None:
    places = [model.say(text) for text in ("one", "two", "three", "four")]
    index_all(model.connection)
    assert indexed_upto(model.connection) == places[-1]
    change(model, "rewrite", places[0], "first")
    change(model, "rewrite", places[0], "first of all")
    change(model, "move", places[1])
    for indexed in (False, True):
        if indexed:
            searchindex.take_changes(model.connection)
            assert index_words(model.connection, ["one"]) == []
            assert index_words(model.connection, ["first"]) == [places[0]]
        for words in ("one", "two", "first", "all", "four"):
            model.check(words)


def test_what_was_deleted_is_soon_nowhere_in_the_file(model: Model) -> None:
    for number in range(searchindex.AT_ONCE):
        place = model.say(f"number {number}")
    index_all(model.connection)
    assert not catch_up(model.connection)
    change(model, "delete", place)
    assert not catch_up(model.connection)
    assert index_words(model.connection, [str(searchindex.AT_ONCE - 1)]) == []
    count = "SELECT COUNT(*) FROM messages_changed"
    assert model.connection.execute(count).fetchone() == (0,)


def test_a_step_that_fails_leaves_the_index_as_it_was(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(searchindex.AT_ONCE):
        model.say(f"number {number}")

    def fail(text: str) -> str:
        if text.endswith("99"):
            raise MemoryError
        return text

    with monkeypatch.context() as patched:
        patched.setattr(searchindex, "pieces", fail)
        with pytest.raises(MemoryError):
            catch_up(model.connection)
    assert indexed_upto(model.connection) == 0
    assert index_words(model.connection, ["number"]) == []
    index_all(model.connection)
    model.check("number 99")


def test_the_index_is_filled_a_part_at_a_time(model: Model) -> None:
    with transaction(model.connection):
        for number in range(3 * searchindex.AT_ONCE + 1):
            model.say(f"number {number}")
    steps = []
    while catch_up(model.connection):
        steps.append(indexed_upto(model.connection))
    assert steps == [searchindex.AT_ONCE, 2 * searchindex.AT_ONCE]
    assert indexed_upto(model.connection) == 3 * searchindex.AT_ONCE


def test_of_long_messages_fewer_are_put_into_the_index_at_once(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchindex, "SIZE_AT_ONCE", 100)
    with transaction(model.connection):
        for number in range(searchindex.AT_ONCE + 4):
            model.say(f"number {number:03} of thirty letters")
    assert catch_up(model.connection) is True
    assert indexed_upto(model.connection) == 4
    for _ in range(2):
        assert catch_up(model.connection) is False
        assert indexed_upto(model.connection) == 8
    for words in ("number 00", "number 259"):
        model.check(words)


def test_of_long_messages_fewer_changes_are_put_into_the_index_at_once(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [model.say(f"number {number}") for number in range(searchindex.AT_ONCE)]
    index_all(model.connection)
    monkeypatch.setattr(searchindex, "SIZE_AT_ONCE", 100)
    for place in places[:5]:
        change(model, "rewrite", place, "y" * 60)
    count, left = "SELECT COUNT(*) FROM messages_changed", []
    while catch_up(model.connection):
        left += model.connection.execute(count).fetchone()
    assert left == [3, 1]
    assert index_words(model.connection, ["yyy"]) == places[:5]


# With whom ---------------------------------------------------------------------------


def test_those_one_talked_with_are_there_once_the_last_first(model: Model) -> None:
    model.say("1", "Bob", sent=True)
    model.say("2", "carol")
    model.say("3", "dave", "b")
    model.say("4", "bob")
    model.say("5", "Ünal", sent=True)
    model.say("6", "ünal")
    assert correspondents(model.connection, 10) == ["ünal", "bob", "dave", "carol"]
    assert correspondents(model.connection, 2) == ["ünal", "bob"]
    assert correspondents(model.connection, 10, "a") == ["ünal", "bob", "carol"]
    assert correspondents(model.connection, 10, "other") == []


def test_nobody_is_known_to_an_empty_history(model: Model) -> None:
    assert correspondents(model.connection, 10) == []
    assert recent(model.connection) == []
    assert find(model.connection, "a") == []


def test_the_last_with_somebody_are_found_without_looking_at_others(
    model: Model,
) -> None:
    model.say("old", "Carol")
    with transaction(model.connection):
        for number in range(5000):
            model.say(f"number {number}")
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    model.connection.set_progress_handler(count, 100)
    found = recent(model.connection, Wanted(correspondent="carol"))
    model.connection.set_progress_handler(None, 0)
    assert [each.text for each in found] == ["old"]
    assert steps < 100


# Of an older version -----------------------------------------------------------------


def older(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with transaction(connection):
            for migration in load(SCHEMA)[:version]:
                migration.apply(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executemany(
                "INSERT INTO messages (sender, receiver, message, timestamp, server,"
                " id, direction, status) VALUES (?, ?, ?, ?, 'a', ?, ?, ?)",
                [
                    *_old("bob", "Über den Wolken", 1),
                    *_old("carol", "Under the bridge", 2),
                    *_old("Bob", "wolkenlos", 3),
                ],
            )
        connection.execute("PRAGMA journal_mode = WAL")


def _old(sender: str, text: str, number: int) -> Iterator[tuple[object, ...]]:
    time = f"2026-11-22 18:42:{number:02}"
    yield sender, "alice", text, time, str(number), "received", "received"


@pytest.mark.parametrize("version", [1, 2])
def test_one_of_an_older_version_is_searched_as_it_is_and_after_the_migration(
    path: Path, version: int
) -> None:
    older(path, version)
    for ready in (False, True):
        if ready:
            prepare(path, parse_name("alice"))
        with reading(path) as connection:
            assert has_index(connection) == ready
            texts = [each.message.text for each in find(connection, "WOLKEN")]
            assert texts == ["Über den Wolken", "wolkenlos"]
            asked = Wanted("a", "bob", since=1_795_372_921_500)
            (kept,) = recent(connection, asked, last=1)
            assert (kept.text, kept.server, kept.id) == ("wolkenlos", "a", "3")
            assert kept.time == 1_795_372_923_000
            names = ["Bob", "carol"] if ready else []
            assert correspondents(connection, 10) == names


def test_one_of_the_original_program_is_searched_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE messages (sender TEXT, receiver TEXT, message, timestamp)"
        )
        connection.executemany(
            "INSERT INTO messages VALUES (?, ?, ?, ?)",
            [
                ("bob", "alice", "Hi", "2023-11-14 22:13:20"),
                (None, 7, b"a\xff hi", None),
                ("x", "y", "other", "yesterday"),
            ],
        )
        connection.commit()
    with reading(path) as connection:
        first, second = find(connection, "hi")
    assert first.message.time == 1_700_000_000_000
    assert first.spans == [(0, 2)]
    assert (first.message.direction, first.message.server) == ("", "")
    assert (second.message.sender, second.message.receiver) == ("", "7")
    assert (second.message.text, second.message.time) == ("a\ufffd hi", 0)
    assert second.spans == [(3, 5)]


# While others write ------------------------------------------------------------------

# Says messages, and puts them into the index in small steps, until it is killed.
WRITE = """
import sys
from pathlib import Path
from chatd.client.history import index as searchindex
from chatd.client.history.shared import sharing
from chatd.wire.message import Message, new_id
from chatd.wire.names import parse_name
searchindex.AT_ONCE = 3
with sharing(Path(sys.argv[1]), parse_name("alice"), "host:5555") as shared:
    for number in range(1_000_000):
        text = f"number {number} {'needle' if number % 10 == 0 else 'straw'}"
        message = Message(0, new_id(), "alice", "bob", text, 1795000000000, 0)
        shared.append([message], "stored")
        print(number, flush=True)
"""


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Let a process write the history; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.kill()


def needles(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT message FROM messages WHERE message LIKE '%needle%'"
    return [row[0] for row in connection.execute(query)]


def test_what_a_killed_process_has_written_is_found_and_the_index_is_whole(
    path: Path,
) -> None:
    for lines in (7, 31, 58):
        with writing(path) as output:
            for _ in range(lines):
                assert output.readline()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            expected = needles(connection)
            found = [each.message.text for each in find(connection, "needle")]
            assert found == expected[-50:]
            assert len(found) >= lines // 10
            check = "INSERT INTO messages_search (messages_search) VALUES (?)"
            connection.execute(check, ("integrity-check",))


def test_a_search_sees_one_state_while_another_process_fills_the_index(
    path: Path,
) -> None:
    with writing(path) as output, closing(output):
        while int(output.readline() or "-1") < 100:
            pass
        with reading(path) as connection:
            upto = set()
            for _ in range(200):
                texts = [each.message.text for each in find(connection, "needle")]
                numbers = [int(text.split()[1]) for text in texts]
                assert numbers == list(range(0, numbers[-1] + 1, 10))[-50:]
                upto.add(indexed_upto(connection))
    assert len(upto) > 1
