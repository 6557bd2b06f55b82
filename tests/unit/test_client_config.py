"""The command ``chat config``, and where the options of all commands may stand."""

import os
import tomllib
from pathlib import Path

import pytest
from commandline import run

from chatd.client.commands.connecting import account
from chatd.client.commands.options import Given
from chatd.client.settings.file import commented
from chatd.client.settings.settings import SETTINGS
from chatd.client.statuses import Status

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def file(home: Path) -> Path:
    path = home / ".config" / "chatd" / "chat.toml"
    path.parent.mkdir(parents=True)
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    """Return the value of each setting that is shown, and its origin."""
    assert run(*arguments) == Status.OK
    output, errors = capsys.readouterr()
    assert errors == ""
    lines = [line.partition(" = ") for line in output.splitlines() if " = " in line]
    return {name: value.split("  # ") for name, _, value in lines}


def origins(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> dict[str, tuple[str, str]]:
    """Return what does not come from the default."""
    return {
        name: (value.strip(), origin)
        for name, (value, origin) in shown(capsys, *arguments).items()
        if origin != "default"
    }


def test_all_that_is_set_is_shown_with_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('server = "host"\n\nuser = "alice"\nrecent = 3\n')
    monkeypatch.setenv("CHAT_RECENT", "4")
    monkeypatch.setenv("NO_COLOR", "1")
    assert origins(capsys, "config", "--timeout", "2.50", "--tls") == {
        "server": ('"host"', f"{file}:1"),
        "user": ('"alice"', f"{file}:3"),
        "recent": ("4", "CHAT_RECENT"),
        "colour": ('"never"', "NO_COLOR"),
        "timeout": ("2.5", "--timeout"),
        "tls": ("true", "--tls"),
    }


def test_what_is_shown_is_a_settings_file_and_has_every_setting(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run("config") == Status.OK
    text = capsys.readouterr().out
    for setting in SETTINGS:
        assert f"\n{setting.name} = " in text or f"\n# {setting.name} " in text
    assert tomllib.loads(text) == {
        each.name: each.default for each in SETTINGS if each.default is not None
    }
    assert text.startswith(
        f"# The settings file is {home}/.config/chatd/chat.toml, and there is none:"
    )
    assert "# default: chat_history_NAME.db in ~/.local/share/chatd\n" in text


def test_no_control_character_of_a_path_gets_to_the_terminal(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    path = home / "\x1b[2J"
    path.write_text("tls = true\n")
    assert run("--config", str(path), "config", "--history", "\x9b") == Status.OK
    output = capsys.readouterr().out
    assert not {"\x1b", "\x9b"} & set(output)
    assert "\ufffd[2J:1" in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--as", "bob@there", "config"], ('"there"', '"bob"', "--as")),
        (["config", "--as", "bob@there"], ('"there"', '"bob"', "--as")),
        (
            ["--as", "bob@there", "config", "--as", "carol@then"],
            ('"then"', '"carol"', "--as"),
        ),
        (["--as", "bob@there", "--as", "@then", "config"], ('"then"', '"bob"', "--as")),
        (["--as", "bob@", "config", "--as=[::1]:1"], ('"[::1]:1"', '"bob"', "--as")),
    ],
)
def test_an_option_may_stand_on_either_side_of_the_command_and_the_last_counts(
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: tuple[str, str, str],
) -> None:
    server, user, option = expected
    assert origins(capsys, *arguments) == {
        "server": (server, option),
        "user": (user, option),
    }


def test_the_last_of_two_opposite_flags_counts(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    file.write_text("tls = true\n")
    assert "tls" not in origins(capsys, "config", "--config", os.devnull)
    assert origins(capsys, "config") == {"tls": ("true", f"{file}:1")}
    for arguments in (
        ["--tls", "config", "--no-tls"],
        ["config", "--tls", "--no-tls"],
        ["config", "--no-tls"],
    ):
        assert origins(capsys, *arguments) == {"tls": ("false", "--no-tls")}
    assert origins(capsys, "--no-tls", "config", "--tls") == {"tls": ("true", "--tls")}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bell", "always", "config"], {"bell": ('"always"', "--bell")}),
        (["config", "--color", "never"], {"colour": ('"never"', "--colour")}),
        (["config", "--presence"], {"presence": ("true", "--presence")}),
        (["config", "--recent", "0"], {"recent": ("0", "--recent")}),
    ],
)
def test_those_of_a_conversation_can_be_looked_at_too(
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: dict[str, tuple[str, str]],
) -> None:
    assert origins(capsys, *arguments) == expected


def test_the_file_of_an_option_counts_more_than_that_of_the_environment(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = home / "one", home / "two"
    one.write_text("recent = 1\n")
    two.write_text("recent = 2\n")
    monkeypatch.setenv("CHAT_CONFIG", str(one))
    assert origins(capsys, "config") == {"recent": ("1", f"{one}:1")}
    for arguments in (["--config", str(two), "config"], ["config", f"--config={two}"]):
        assert origins(capsys, *arguments) == {"recent": ("2", f"{two}:1")}


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_file_that_was_named_and_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    path = str(home / "missing")
    arguments = ["config"]
    if how == "option":
        arguments += ["--config", path]
    else:
        monkeypatch.setenv("CHAT_CONFIG", path)
    assert run(*arguments) == Status.USAGE
    assert f"chat: There is no settings file {path}" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["alice@host"], ["history"], ["config"], []])
def test_a_mistake_in_the_file_stops_every_command_with_one_line(
    capsys: pytest.CaptureFixture[str], file: Path, command: list[str]
) -> None:
    file.write_text("\nlouder = true\n")
    assert run(*command) == Status.USAGE
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"chat: {file}, line 2: There is no setting 'louder'.")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", [["--help"], ["config", "--help"], ["--version"]])
def test_help_is_there_whatever_the_file_has(file: Path, command: list[str]) -> None:
    file.write_text("nonsense\n")
    assert run(*command) == Status.OK


# chat config --init ------------------------------------------------------------------


def test_a_commented_file_is_written_once(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    path = home / ".config" / "chatd" / "chat.toml"
    assert run("config", "--init") == Status.OK
    assert f"Wrote {path}" in capsys.readouterr().out
    assert path.read_text() == commented()
    assert origins(capsys, "config") == {}
    path.write_text("recent = 1\n")
    assert run("config", "--init") == Status.USAGE
    assert "already; it was left alone" in capsys.readouterr().err
    assert path.read_text() == "recent = 1\n"


def test_a_commented_file_is_written_where_an_option_says(home: Path) -> None:
    path = home / "here.toml"
    assert run("config", "--init", "--config", str(path)) == Status.OK
    assert path.read_text() == commented()


# What the settings do ----------------------------------------------------------------


def test_the_user_whose_settings_these_are_sees_their_own_history(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    file.write_text('user = "alice"\nhistory = "chats"\n')
    assert run("history") == Status.HISTORY
    history = file.parent / "chats"
    assert f"There is no history at {history}" in capsys.readouterr().err
    history.mkdir()
    assert run("history") == Status.HISTORY
    assert f"{history}/chat_history_alice.db" in capsys.readouterr().err
    assert run("--as", "bob@host", "history") == Status.HISTORY
    assert f"{history}/chat_history_bob.db" in capsys.readouterr().err
    assert run("--as", "bob@host", "history", "--user", "carol") == Status.HISTORY
    assert f"{history}/chat_history_carol.db" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["@host"], ["host:1"], ["--as", "@host"]])
def test_a_conversation_takes_from_the_settings_what_its_address_leaves_out(
    capsys: pytest.CaptureFixture[str], file: Path, arguments: list[str]
) -> None:
    # What it does next is to open the history.
    (file.parent / "chats").write_text("something else" * 100)
    file.write_text('user = "alice"\nserver = "there"\nhistory = "chats"\n')
    assert run(*arguments) == Status.HISTORY
    assert "cannot be used as a history" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "expected"), [("file", "from CHAT_PASSWORD"), ("option", "from a file")]
)
def test_the_password_of_the_environment_counts_between_the_file_and_an_option(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch, how: str, expected: str
) -> None:
    secret = home / "secret"
    secret.write_text("from a file\n")
    secret.chmod(0o600)
    file.write_text(f'user = "alice"\npassword_file = "{secret}"\n')
    monkeypatch.setenv("CHAT_PASSWORD", "from CHAT_PASSWORD")
    given = Given()
    if how == "option":
        given.give("password_file", secret, "--password-file")
    user, found = account(given.settings(), may_ask=False)
    assert user.shown == found.user == "alice"
    assert (found.server, found.password) == ("127.0.0.1:5555", expected)
    assert "CHAT_PASSWORD" not in os.environ
    monkeypatch.setenv("CHAT_PASSWORD", "")
    assert account(given.settings(), may_ask=False)[1].password == "from a file"
