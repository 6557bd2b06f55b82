"""The names that Tab offers in a shell."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem

from chatd.client.history.file import open_history
from chatd.client.main import chat
from chatd.shellcompletion import SHELLS
from chatd.wire.names import parse_name

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def folder(home: Path) -> Path:
    """Where histories are: alice's, who talked with four people, and carol's."""
    folder = home / ".local" / "share" / "chatd"
    talked(folder, "alice", "bob", "Zoë", "bert", "anna", "bob")
    talked(folder, "carol", "dave")
    for file in folder.glob("chat_history_carol.db*"):
        os.utime(file, (1e9, 1e9))
    return folder


def talked(folder: Path, user: str, *others: str) -> None:
    """Put messages to others, in this order, into a user's history."""
    path = folder / f"chat_history_{user}.db"
    history = open_history(path, parse_name(user))
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO messages (sender, receiver, message, timestamp, server, id,"
            " direction, status) VALUES (?, ?, 'Hi', '2026-11-22 18:42:53', 'host', ?,"
            " 'sent', 'delivered')",
            [(user, other, str(number)) for number, other in enumerate(others)],
        )
        connection.commit()
    history.lock.release()


def offered(line: str) -> list[str]:
    """Return what Tab offers at the end of a line, in order."""
    *words, incomplete = line.split(" ")
    shell = SHELLS["bash"](chat, {}, "chat", "_CHAT_COMPLETE")
    found: list[CompletionItem] = shell.get_completions(words[1:], incomplete)
    return [str(each.value) for each in found]


def test_those_one_talked_with_are_offered_the_last_first(folder: Path) -> None:
    assert offered("chat history --with ") == ["bob", "anna", "bert", "Zoë"]
    assert offered("chat history --with b") == ["bob", "bert"]
    assert offered("chat history --with z") == ["Zoë"]
    assert offered("chat history --with x") == []


def test_the_last_of_several_receivers_is_completed(folder: Path) -> None:
    assert offered("chat send b") == ["bob", "bert"]
    assert offered("chat --as alice@host send anna,bob,b") == ["anna,bob,bert"]
    assert offered("chat send BOB,b") == ["BOB,bert"]
    assert offered("chat send bob ") == []


@pytest.mark.parametrize(
    "line",
    [
        "chat --as carol@host:1 history --with ",
        "chat history --user carol --with ",
        "chat --as bob@ history --user Carol --with ",
    ],
)
def test_they_are_those_of_whoever_is_meant(folder: Path, line: str) -> None:
    assert offered(line) == ["dave"]


def test_the_settings_say_whose_history_and_where(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_USER", "carol")
    assert offered("chat history --with ") == ["dave"]
    assert offered("chat history --history /nowhere --with ") == []
    monkeypatch.delenv("CHAT_USER")
    file = folder / "chat_history_carol.db"
    assert offered(f"chat history --history {file} --with ") == ["dave"]


def test_users_with_a_history_are_offered(folder: Path) -> None:
    assert offered("chat history --user ") == ["alice", "carol"]
    assert offered("chat history --user C") == ["carol"]


def test_without_a_history_nothing_is_offered(home: Path) -> None:
    assert offered("chat history --with ") == []
    assert offered("chat history --user ") == []
    assert offered("chat history --user a/b --with ") == []


def test_a_file_that_is_no_history_offers_nothing(folder: Path) -> None:
    (folder / "chat_history_alice.db").write_bytes(b"something else" * 100)
    (folder / "chat_history_carol.db").unlink()
    assert offered("chat history --user alice --with ") == []


def test_a_mistake_in_the_settings_file_offers_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_CONFIG", "/nowhere")
    assert offered("chat history --with ") == []
    assert offered("chat history --user ") == []


def test_what_is_no_name_gets_to_no_shell(folder: Path) -> None:
    talked(folder, "dora", "$(reboot)", "a b", "bob\n", "`x`", "x;y", "\x1b[2J", "eve")
    assert offered("chat history --user dora --with ") == ["eve"]
