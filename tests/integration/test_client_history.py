"""The history on a real disk, with its thread: kept, opened, taken over, shown."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import platformdirs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.client.history import file as historyfile
from chatd.client.history.file import OpenedHistory, open_history, reading
from chatd.client.history.history import History
from chatd.client.history.places import (
    HistoryError,
    data_folder,
    histories,
    history_path,
)
from chatd.client.history.printed import lines
from chatd.client.history.search import Wanted, find
from chatd.store.opening import StoreError, open_database
from chatd.wire.message import Message
from chatd.wire.names import parse_name

ALICE = parse_name("alice")
SERVER = "host:5555"

# The original program's table, and the same with an id.
ORIGINAL = "CREATE TABLE messages (sender TEXT, receiver TEXT, message TEXT, timestamp)"
ORIGINAL_WITH_ID = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT, receiver TEXT, message TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP
)
"""

Row = tuple[object, ...]


def message(
    text: str,
    message_id: str = "id-1",
    sender: str = "bob",
    to: str = "alice",
    time: int = 1_795_000_000_123,
) -> Message:
    return Message(1, message_id, sender, to, text, time, len(text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat_history_alice.db"


def rows(path: Path, query: str = "") -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            query
            or "SELECT sender, receiver, message, timestamp, server, id, direction,"
            " status FROM messages ORDER BY position"
        ).fetchall()


def shown(path: Path, words: str = "", last: int = 50, **wanted: str) -> list[str]:
    with reading(path) as connection:
        found = find(connection, words, Wanted(**wanted), last=last)  # type: ignore[arg-type]
    return [line for each in found for line in lines(each.message)]


def opened(path: Path) -> OpenedHistory:
    """Open and let go again."""
    history = open_history(path, ALICE)
    history.lock.release()
    return history


class Books:
    """Histories of one file, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: History | None = None

    def __call__(self, server: str = SERVER) -> History:
        from twisted.internet import reactor

        self.close()
        self._open = History(open_history(self._path, ALICE), reactor, server)  # type: ignore[arg-type]
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


@pytest.fixture
def book(path: Path) -> Iterator[Books]:
    """Open the history, as a new run of the client would."""
    books = Books(path)
    yield books
    books.close()


# Keeping -----------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_message_received_is_a_row_before_it_is_shown(
    book: Books, path: Path
) -> None:
    assert await book().received(message("Grüße\n\x1b", "id-1"))
    assert rows(path) == [
        (
            "bob",
            "alice",
            "Grüße\n\x1b",
            "2026-11-18 11:06:40",
            SERVER,
            "id-1",
            "received",
            "received",
        )
    ]


@pytest_twisted.ensureDeferred
async def test_a_message_sent_is_a_row_whose_status_rises(
    book: Books, path: Path
) -> None:
    history = book()
    typed = message("Hi", sender="alice", to="BOB")
    query = "SELECT sender, receiver, direction, status FROM messages"
    await history.queue(typed)
    assert rows(path, query) == [("alice", "BOB", "sent", "waiting")]
    assert shown(path) == ["2026-11-18 11:06:40  alice -> BOB (waiting): Hi"]
    await history.accepted(typed, "Alice", "bob", "stored")
    assert rows(path, query) == [("Alice", "bob", "sent", "stored")]
    assert shown(path) == ["2026-11-18 11:06:40  Alice -> bob (stored): Hi"]
    await history.delivered("Alice", "id-1", "bob")
    assert rows(path, query) == [("Alice", "bob", "sent", "delivered")]
    assert shown(path) == ["2026-11-18 11:06:40  Alice -> bob: Hi"]


@pytest_twisted.ensureDeferred
async def test_what_is_to_be_sent_is_there_in_its_order_until_it_is_answered(
    book: Books, path: Path
) -> None:
    history = book()
    for number in (3, 1, 2):
        await history.queue(message(str(number), f"id-{number}", "alice", "bob"))
    await book("other:5555").queue(message("elsewhere", "id-9", "alice", "bob"))
    history = book()
    first, second, third = await history.waiting()
    assert [first.text, second.text, third.text] == ["3", "1", "2"]
    assert (first.id, first.sender, first.target) == ("id-3", "alice", "bob")
    assert first.time == 1_795_000_000_000
    await history.accepted(first, "alice", "bob", "delivered")
    await history.refused(second)
    assert await book().waiting() == [third]
    assert shown(path)[1] == "2026-11-18 11:06:40  alice -> bob (refused): 1"


@pytest_twisted.ensureDeferred
async def test_what_was_kept_and_not_said_to_be_shown_is_there_at_the_next_start(
    book: Books,
) -> None:
    history = book()
    await history.received(message("1", "id-1"))
    await history.received(message("2", "id-2"))
    history = book()
    assert [each.text for each in await history.not_shown()] == ["1", "2"]
    await history.received(message("3", "id-3"))
    await history.shown(2)
    assert [each.text for each in await book().not_shown()] == ["3"]


@pytest_twisted.ensureDeferred
async def test_a_message_that_comes_twice_is_kept_and_shown_once(
    book: Books, path: Path
) -> None:
    history = book()
    assert await history.received(message("Hi"))
    assert not await history.received(message("Hi"))
    assert len(rows(path)) == 1


@pytest_twisted.ensureDeferred
async def test_one_that_an_earlier_run_kept_is_kept_once_and_not_shown_again(
    book: Books, path: Path
) -> None:
    await book().received(message("Hi"))
    assert not await book().received(message("Hi"))
    assert len(rows(path)) == 1


@pytest_twisted.ensureDeferred
async def test_an_id_used_for_another_text_hides_nothing(book: Books) -> None:
    history = book()
    assert await history.received(message("Hi"))
    assert await history.received(message("Something else"))


@pytest_twisted.ensureDeferred
async def test_the_same_id_from_others_and_elsewhere_is_another_message(
    book: Books, path: Path
) -> None:
    history = book()
    assert await history.received(message("Hi"))
    assert await history.received(message("Hi", sender="carol"))
    assert await book("other:5555").received(message("Hi"))
    assert len(rows(path)) == 3


@pytest.mark.parametrize("received_first", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_message_to_oneself_is_one_row_and_shown(
    book: Books, path: Path, received_first: bool
) -> None:
    history = book()
    own = message("Hi", sender="alice", to="alice")
    typed = message("Hi", sender="alice", to="ALICE")
    await history.queue(typed)
    if received_first:
        assert await history.received(own)
        await history.accepted(typed, "alice", "alice", "stored")
    else:
        await history.accepted(typed, "alice", "alice", "stored")
        assert await history.received(own)
    await history.delivered("alice", "id-1", "alice")
    assert len(rows(path)) == 1


@pytest_twisted.ensureDeferred
async def test_a_burst_is_kept_in_order_with_few_commits(
    book: Books, path: Path
) -> None:
    history = book()
    order: list[int] = []
    kept = []
    for number in range(1000):
        keeping = history.received(message(str(number), f"id-{number}"))
        kept.append(keeping.addCallback(lambda _, number=number: order.append(number)))
    await gatherResults(kept)
    assert order == list(range(1000))
    assert [row[2] for row in rows(path)] == list(map(str, range(1000)))
    # The first was alone, as nothing else was known of yet.
    assert history.commits <= 3


@pytest_twisted.ensureDeferred
async def test_settled_fires_after_all_that_was_to_be_kept(book: Books) -> None:
    history = book()
    order: list[str] = []

    def note(what: str, work: Deferred[object]) -> Deferred[object]:
        return work.addCallback(lambda _: order.append(what))

    assert history.settled().called
    work = [note("kept", history.received(message("Hi", str(n)))) for n in range(3)]  # type: ignore[arg-type]
    work.append(note("settled", history.settled()))  # type: ignore[arg-type]
    await gatherResults(work)
    assert order == ["kept", "kept", "kept", "settled"]


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_written_fails_and_what_follows_may_succeed(
    book: Books, path: Path
) -> None:
    history = book()
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON messages WHEN NEW.message = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        other.commit()
    with pytest.raises(sqlite3.Error, match="disk full"):
        await history.received(message("bad"))
    assert await history.received(message("good", "id-2"))
    assert await history.settled() is None


# The file ----------------------------------------------------------------------------


def test_a_history_and_its_folder_are_private_whatever_the_umask(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "folder" / "history.db"
    umask = os.umask(0)
    try:
        opened(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_that_was_open_to_others_is_made_private(path: Path) -> None:
    opened(path)
    path.chmod(0o644)
    opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_commit_is_on_disk_and_readers_are_not_locked_out(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        historyfile.configure(connection)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_one_process_owns_a_history_and_a_second_says_so(path: Path) -> None:
    owner = open_history(path, ALICE)
    with pytest.raises(HistoryError) as caught:
        open_history(path, ALICE)
    owner.lock.release()
    assert str(caught.value) == (
        f"{path} is in use by another chat (process {os.getpid()})."
        " Stop that one, or name another file."
    )
    opened(path)


def test_a_process_that_was_killed_owns_nothing(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from chatd.client.history.file import open_history;"
        "from chatd.wire.names import parse_name;"
        f"open_history(Path({str(path)!r}), parse_name('alice'));"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    opened(path)


def test_a_link_leads_to_the_history_itself(tmp_path: Path, path: Path) -> None:
    opened(path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert opened(link).path == path


def test_a_file_that_is_no_database_is_refused_and_unchanged(path: Path) -> None:
    content = b"not a database, but long enough" * 50
    path.write_bytes(content)
    with pytest.raises(HistoryError) as caught:
        opened(path)
    assert str(caught.value).startswith(f"{path} cannot be used as a history (")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title)")
        connection.commit()
    with pytest.raises(HistoryError, match="is no history: another program"):
        opened(path)
    assert rows(path, "SELECT name FROM sqlite_schema") == [("songs",)]


def test_the_daemons_database_is_no_history_and_a_history_is_not_the_daemons(
    path: Path, tmp_path: Path
) -> None:
    server = tmp_path / "server.db"
    open_database(server).lock.release()
    with pytest.raises(HistoryError, match="is no history: another program"):
        opened(server)
    opened(path)
    with pytest.raises(StoreError, match="is the database of another program"):
        open_database(path)


def test_a_history_of_a_newer_version_is_refused(path: Path) -> None:
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (opened, shown):
        with pytest.raises(HistoryError, match="newer chat: it has version 99"):
            use(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError) as caught:
        opened(tmp_path / "file" / "history.db")
    assert "cannot be used as a history" in str(caught.value)


def test_the_migrations_are_numbered_and_leave_what_a_later_version_needs(
    path: Path,
) -> None:
    opened(path)
    assert rows(path, "PRAGMA user_version") == [(3,)]
    assert rows(path, "PRAGMA application_id") == [(historyfile.APPLICATION_ID,)]
    columns = [
        row[0] for row in rows(path, "SELECT name FROM pragma_table_info('messages')")
    ]
    assert columns[:4] == ["sender", "receiver", "message", "timestamp"]


def test_a_large_one_that_is_brought_up_to_date_says_so_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_original(path, ORIGINAL, [("bob", "alice", "x" * 20_000, None)])
    said: list[str] = []
    monkeypatch.setattr(historyfile, "LARGE_BYTES", 100_000)
    open_history(path, ALICE, said.append).lock.release()
    assert said == []
    path.unlink()
    monkeypatch.setattr(historyfile, "LARGE_BYTES", 10_000)
    write_original(path, ORIGINAL, [("bob", "alice", "x" * 20_000, None)])
    for _ in range(2):
        open_history(path, ALICE, said.append).lock.release()
        assert said == [
            "The history is being brought up to date; that may take a minute."
        ]


# Where it is -------------------------------------------------------------------------


def test_it_is_in_the_users_data_folder_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "chatd"
    assert history_path(parse_name("Alice")) == folder / "chat_history_alice.db"
    assert history_path(parse_name("Ünal.1")) == folder / "chat_history_ünal.1.db"
    assert history_path(ALICE, tmp_path / "my.db") == tmp_path / "my.db"
    assert history_path(ALICE, tmp_path) == tmp_path / "chat_history_alice.db"


def test_without_a_home_it_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(*args: object, **options: object) -> Path:
        raise RuntimeError

    monkeypatch.setattr(platformdirs, "user_data_path", no_home)
    with pytest.raises(HistoryError, match="name a file with --history"):
        data_folder()
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *a, **o: Path("~/share"))
    with pytest.raises(HistoryError, match="Set HOME"):
        data_folder()


def test_the_history_used_last_comes_first(tmp_path: Path) -> None:
    for name in ("alice", "bob", "carol"):
        opened(history_path(parse_name(name), tmp_path))
    for age, name in ((300, "alice"), (100, "bob"), (200, "carol")):
        path = history_path(parse_name(name), tmp_path)
        for file in tmp_path.glob(f"{path.name}*"):
            os.utime(file, (1e9 - age, 1e9 - age))
    assert [user for user, _ in histories(tmp_path)] == ["bob", "carol", "alice"]
    opened(history_path(ALICE, tmp_path))
    assert histories(tmp_path)[0][0] == "alice"
    assert histories(tmp_path / "missing") == []


# Of the original program -------------------------------------------------------------


def write_original(path: Path, table: str, messages: list[Row]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(table)
        connection.executemany(
            "INSERT INTO messages (sender, receiver, message, timestamp)"
            " VALUES (?, ?, ?, ?)",
            messages,
        )
        connection.commit()
    path.chmod(0o644)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize("table", [ORIGINAL, ORIGINAL_WITH_ID])
def test_a_history_of_the_original_program_is_taken_over(
    path: Path, table: str
) -> None:
    write_original(
        path,
        table,
        [
            ("Alice", "bob", "Hi", "2023-11-14 22:13:20"),
            ("bob", "Alice", "Grüße", "2023-11-14 22:13:21"),
        ],
    )
    history = opened(path)
    (copy,) = path.parent.glob("chat_history_alice.db.original-*")
    assert history.notes == [
        f"{path} was made by the original program, and has been taken over;"
        f" a copy of it is kept at {copy}."
    ]
    assert rows(path) == [
        (
            *("Alice", "bob", "Hi", "2023-11-14 22:13:20"),
            *("", "original-1", "sent", "unknown"),
        ),
        (
            *("bob", "Alice", "Grüße", "2023-11-14 22:13:21"),
            *("", "original-2", "received", "received"),
        ),
    ]
    assert rows(copy, "SELECT message FROM messages") == [("Hi",), ("Grüße",)]
    for file in (path, copy):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert opened(path).notes == []


def test_what_was_taken_over_has_the_schema_of_a_new_history(
    path: Path, tmp_path: Path
) -> None:
    write_original(path, ORIGINAL, [("a", "b", "Hi", "2023-11-14 22:13:20")])
    opened(path)
    new = tmp_path / "new.db"
    opened(new)
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    assert rows(path, query) == rows(new, query)
    for pragma in ("user_version", "application_id", "journal_mode"):
        assert rows(path, f"PRAGMA {pragma}") == rows(new, f"PRAGMA {pragma}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2023-11-14 22:13:20", "2023-11-14 22:13:20"),
        ("2023-11-14T23:13:20.5+01:00", "2023-11-14 22:13:20"),
        (1_700_000_000, "2023-11-14 22:13:20"),
        ("1700000000.75", "2023-11-14 22:13:20"),
        (None, "2023-11-14 22:13:20"),  # when the file was last written
        ("yesterday", "2023-11-14 22:13:20"),
        ("9" * 30, "2023-11-14 22:13:20"),
    ],
)
def test_times_of_the_original_are_made_like_ours(
    path: Path, old: object, new: str
) -> None:
    write_original(path, ORIGINAL, [("bob", "alice", "Hi", old)])
    opened(path)
    assert rows(path, "SELECT timestamp FROM messages") == [(new,)]


def test_whatever_the_original_kept_is_taken_over(path: Path) -> None:
    write_original(path, ORIGINAL, [(None, 7, b"a\xff", None), ("", "", "", "")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO messages VALUES ('x', 'y', CAST(x'ff41' AS TEXT), '')"
        )
        connection.commit()
    opened(path)
    assert rows(path, "SELECT sender, receiver, message FROM messages") == [
        ("", "7", "a\ufffd"),
        ("", "", ""),
        ("x", "y", "\ufffdA"),
    ]


def test_a_takeover_that_fails_leaves_all_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_original(path, ORIGINAL, [("bob", "alice", "Hi", None)])
    before = path.read_bytes()

    def fail(*args: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(historyfile, "timestamp", fail)
    with pytest.raises(HistoryError, match="No space left on device"):
        opened(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*original*")) == []


def test_a_history_of_the_original_can_be_shown_without_taking_it_over(
    path: Path,
) -> None:
    write_original(
        path, ORIGINAL, [("bob", "alice", b"Hi", "2023-11-14 22:13:20"), (None,) * 4]
    )
    before = path.read_bytes()
    assert shown(path, correspondent="Bob") == ["2023-11-14 22:13:20  bob -> alice: Hi"]
    assert path.read_bytes() == before


# Showing -----------------------------------------------------------------------------


@pytest.fixture
def talk(path: Path) -> Path:
    """A history with something in it."""
    opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO messages (sender, receiver, message, timestamp, server, id,"
            " direction, status) VALUES (?, ?, ?, '2026-11-22 18:42:53', '', ?, ?,"
            " 'delivered')",
            [
                ("alice", "Bob", "Über den Wolken", 1, "sent"),
                ("Bob", "alice", "100% sicher", 2, "received"),
                ("carol", "alice", "two\nlines\x1b[2J", 3, "received"),
                ("alice", "carol", "a_b", 4, "sent"),
                ("alice", "Ünal", "Hallo über\\alles", 5, "sent"),
            ],
        )
        connection.commit()
    return path


def texts(lines: list[str]) -> list[str]:
    return [line.partition("  ")[2] for line in lines]


def test_all_of_it_is_shown_with_times_and_without_control_characters(
    talk: Path,
) -> None:
    lines = shown(talk)
    assert lines[0] == "2026-11-22 18:42:53  alice -> Bob: Über den Wolken"
    assert texts(lines) == [
        "alice -> Bob: Über den Wolken",
        "Bob -> alice: 100% sicher",
        "carol -> alice: two",
        "carol -> alice: lines\ufffd[2J",
        "alice -> carol: a_b",
        "alice -> Ünal: Hallo über\\alles",
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [("bob", 2), ("BOB", 2), ("carol", 3), ("ünal", 1), ("zed", 0), ("a b", 0)],
)
def test_those_with_somebody_are_found_however_the_name_is_spelt(
    talk: Path, name: str, found: int
) -> None:
    assert len(shown(talk, correspondent=name)) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("über", ["alice -> Bob: Über den Wolken", "alice -> Ünal: Hallo über\\alles"]),
        ("wolken ÜBER", ["alice -> Bob: Über den Wolken"]),
        ("u\u0308ber wolken", ["alice -> Bob: Über den Wolken"]),
        ("%", ["Bob -> alice: 100% sicher"]),
        ("_", ["alice -> carol: a_b"]),
        ("\\", ["alice -> Ünal: Hallo über\\alles"]),
        ("' OR 1", []),
        ("missing", []),
    ],
)
def test_words_are_searched_for_as_they_are(
    talk: Path, words: str, found: list[str]
) -> None:
    assert texts(shown(talk, words=words)) == found


def test_only_the_last_are_shown_in_their_order(talk: Path) -> None:
    assert texts(shown(talk, last=2)) == [
        "alice -> carol: a_b",
        "alice -> Ünal: Hallo über\\alles",
    ]


@pytest_twisted.ensureDeferred
async def test_it_is_shown_while_somebody_writes_it(book: Books, path: Path) -> None:
    history = book()
    await history.received(message("Hi"))
    assert shown(path) == ["2026-11-18 11:06:40  bob -> alice: Hi"]
    assert await history.received(message("Hi again", "id-2"))


def test_what_is_not_there_or_empty_is_said_in_one_line(path: Path) -> None:
    with pytest.raises(HistoryError, match="There is no history at"):
        shown(path)
    path.touch()
    with pytest.raises(HistoryError, match="is empty"):
        shown(path)
    assert path.stat().st_size == 0
