"""The command line of ``chat``, as far as it goes without a server."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest
from commandline import run

import chatd
from chatd.client import main as main_module
from chatd.client.connection.secrets import given_password
from chatd.client.history.file import open_history
from chatd.client.statuses import Status
from chatd.wire.names import parse_name

pytestmark = pytest.mark.usefixtures("home")


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error; there is nothing else."""
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("chat: ")
    return line


def keep(home: Path, user: str, *texts: str) -> None:
    """Put messages into a user's history."""
    path = home / ".local" / "share" / "chatd" / f"chat_history_{user}.db"
    history = open_history(path, parse_name(user))
    with closing(sqlite3.connect(path)) as connection:
        for number, text in enumerate(texts):
            connection.execute(
                "INSERT INTO messages VALUES (?, 'bob', ?, '2026-11-22 18:42:53',"
                " NULL, '', ?, 'sent', 'delivered', 1)",
                (user, text, str(number)),
            )
        connection.commit()
    history.lock.release()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--nonsense"], "No such option"),
        (["alice@host", "bob@host"], "unexpected extra argument"),
        (["alice@host", "--timeout", "0"], "--timeout"),
        (["alice@host", "--timeout", "soon"], "--timeout"),
        (["alice@host:0"], "'0' is no port"),
        (["a@host", "--as", "b@host"], "The user is given twice, and not the same."),
        (["a@host", "--as", "a@host:1"], "The server is given twice, and not the"),
        ([""], "'' is no address"),
        (["--as", "a b@host"], "'a b' is no name"),
        (["--plain", "history"], "--plain is for a conversation, and not for chat his"),
        (["--bell", "always", "history"], "--bell is for a conversation"),
        (["--bell", "loud"], "--bell"),
        (["history", "--plain"], "No such option"),
        (["alice@host", "--fingerprint", "00" * 32], "goes with --tls only"),
        (["alice@host", "--tls", "--fingerprint", "00"], "no SHA-256 fingerprint"),
        (["history", "--last", "0"], "--last"),
        (["history", "--user", "a b"], "'a b' is no name"),
        (["history", "alice"], "unexpected extra argument"),
        (
            ["histroy", "alice"],
            "There is no command 'histroy'. Is history meant? The com",
        ),
        (["sned", "bob", "Hi"], "There is no command 'sned'. Is send meant?"),
        (["tell", "bob", "--plain"], "There is no command 'tell'. The commands are co"),
        (["sned", "--nonsense"], "No such option"),
        ([], "Nobody can be asked here"),
        (["@history"], "Nobody can be asked here"),
        (["host"], "Nobody can be asked here"),
        (["\x1b[2J@host"], "'\\x1b[2J' is no name"),
    ],
)
def test_a_wrong_command_line_is_said_in_one_line_with_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    assert run(*arguments) == Status.USAGE
    assert what in complaint(capsys)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_all_there_is_and_where_the_history_is(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(option) == Status.OK
    text = capsys.readouterr().out
    for each in main_module.chat.params:
        if isinstance(each, click.Option):
            assert each.opts[0] in text
    assert "chat history" in text
    for status in Status:
        assert f"\n    {status.value}  " in text
    assert "chat_history_NAME.db in ~/.local/share/chatd" in " ".join(text.split())


def test_help_without_a_home_still_says_where_the_history_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "platformdirs.user_data_path", lambda *a, **o: Path("~/.local/share/chatd")
    )
    assert run("--help") == Status.OK
    text = " ".join(capsys.readouterr().out.split())
    assert "chat_history_NAME.db in the user's data folder" in text


def test_help_on_the_history_names_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("history", "--help") == Status.OK
    text = capsys.readouterr().out
    assert text.startswith("Usage: chat history ")
    for option in ("--user", "--with", "--search", "--last", "--history"):
        assert option in text


def test_the_version_is_that_of_chatd(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == Status.OK
    assert capsys.readouterr().out == f"chat, version {chatd.__version__}\n"


def test_a_history_in_use_has_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "my.db"
    owner = open_history(path, parse_name("alice"))
    assert run("alice@host", "--history", str(path)) == Status.HISTORY
    assert f"{path} is in use by another chat" in complaint(capsys)
    owner.lock.release()


def test_a_history_that_cannot_be_used_has_the_same_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "my.db"
    path.write_text("something else" * 100)
    assert run("alice@host", "--history", str(path)) == Status.HISTORY
    assert "cannot be used as a history" in complaint(capsys)


def test_pins_that_cannot_be_read_are_not_ignored(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    folder = home / ".local" / "share" / "chatd"
    folder.mkdir(parents=True)
    (folder / "known_servers").write_text("nonsense\n")
    assert run("alice@host", "--tls") == Status.CERTIFICATE
    assert "known_servers, line 1: " in complaint(capsys)


# chat history ------------------------------------------------------------------------


def test_the_only_history_is_shown_without_a_name(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    keep(home, "alice", "Hi", "Grüße\x1b")
    assert run("history") == Status.OK
    assert capsys.readouterr() == (
        "2026-11-22 18:42:53  alice -> bob: Hi\n"
        "2026-11-22 18:42:53  alice -> bob: Grüße\ufffd\n",
        "",
    )


def test_of_several_histories_the_one_used_last_is_shown_and_named(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    keep(home, "alice", "from alice")
    keep(home, "carol", "from carol")
    folder = home / ".local" / "share" / "chatd"
    for file in folder.glob("chat_history_alice.db*"):
        os.utime(file, (1e9, 1e9))
    assert run("history") == Status.OK
    assert capsys.readouterr() == (
        "2026-11-22 18:42:53  carol -> bob: from carol\n",
        "carol's history; also: alice\n",
    )
    assert run("history", "--user", "Alice") == Status.OK
    assert "from alice" in capsys.readouterr().out


def test_a_history_elsewhere_is_shown_by_its_file_or_folder(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    keep(home, "alice", "Hi")
    folder = home / ".local" / "share" / "chatd"
    for place in (folder, folder / "chat_history_alice.db"):
        assert run("history", "--history", str(place)) == Status.OK
        assert capsys.readouterr().out.endswith("alice -> bob: Hi\n")


def test_options_narrow_what_is_shown(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    keep(home, "alice", "one thing", "another thing", "something else")
    options = ("--with", "BOB", "--search", "thing", "--last", "2")
    assert run("history", *options) == Status.OK
    assert [
        line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()
    ] == [
        "another thing",
        "something else",
    ]


def test_nothing_found_is_said(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    keep(home, "alice", "Hi")
    assert run("history", "--search", "missing") == Status.OK
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("No such message in ")


@pytest.mark.parametrize("arguments", [[], ["--user", "alice"]])
def test_no_history_at_all_is_an_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run("history", *arguments) == Status.HISTORY
    assert "There is no history" in complaint(capsys)


# --password-file ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_password_file_that_others_may_use_is_refused(
    capsys: pytest.CaptureFixture[str], home: Path, mode: int
) -> None:
    file = home / "password"
    file.write_text("secret\n")
    file.chmod(mode)
    assert run("alice@host", "--password-file", str(file)) == Status.USAGE
    line = complaint(capsys)
    assert "others may use" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "No such file"), (b"\nsecret\n", "is empty"), (b"\xff\n", "is not UTF-8")],
)
def test_a_password_file_without_a_password_is_refused(
    capsys: pytest.CaptureFixture[str], home: Path, content: bytes | None, what: str
) -> None:
    file = home / "password"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    assert run("alice@host", "--password-file", str(file)) == Status.USAGE
    assert what in complaint(capsys)


def test_the_first_line_of_a_password_file_is_the_password(home: Path) -> None:
    file = home / "password"
    file.write_bytes("Grüße \r\nmore\n".encode())
    file.chmod(0o600)
    assert given_password(file, {"CHAT_PASSWORD": "other"}) == "Grüße "
