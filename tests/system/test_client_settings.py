"""Settings of ``chat``, as they work for somebody at a shell with a daemon."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Shared

pytestmark = pytest.mark.slow

CHAT: Final = str(Path(sys.executable).with_name("chat"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def run(
    home: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run `chat` to its end; return its status and what it wrote."""
    done = subprocess.run(
        [CHAT, *arguments],
        input=stdin,
        env=os.environ | {"HOME": str(home), "XDG_DATA_HOME": ""} | dict(env or {}),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def keep(home: Path, content: str) -> None:
    """Write the settings file."""
    file = home / ".config" / "chatd" / "chat.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content)


@pytest.mark.parametrize("how", ["file", "environment", "option", "address"])
def test_a_script_says_who_it_is_in_any_of_four_ways(
    home: Path, daemon: "Shared", connect: "Connect", how: str
) -> None:
    server, user = f"127.0.0.1:{daemon.port}", f"cron_{how}"
    anna = connect(daemon, "anna")
    arguments: list[str] = []
    env: dict[str, str] = {}
    if how == "file":
        keep(home, f'server = "{server}"\nuser = "{user}"\n')
    elif how == "environment":
        env = {"CHAT_SERVER": server, "CHAT_USER": user}
    elif how == "option":
        arguments, env = ["--as", f"{user}@"], {"CHAT_SERVER": server}
    else:
        arguments, env = [f"@{server}"], {"CHAT_USER": user}
    status, _, errors = run(home, *arguments, stdin="anna-Done\n", env=env)
    assert (status, errors) == (0, "")
    anna.expect(f"{user}: Done\n")
    assert (home / ".local/share/chatd" / f"chat_history_{user}.db").exists()


def test_somebody_at_a_terminal_is_asked_only_for_what_is_not_set(
    home: Path, daemon: "Shared"
) -> None:
    keep(home, f'server = "127.0.0.1:{daemon.port}"\nrecent = 0\n')
    env = {"HOME": str(home), "XDG_DATA_HOME": ""}
    for arguments, question in (([], "User name: "), (["--as", "alice@"], None)):
        terminal = Terminal([CHAT, "--plain", *arguments], env=env)
        try:
            if question is not None:
                terminal.expect_line(question.rstrip())
                assert terminal.lines() == [question.rstrip()]
                terminal.type("alice\n")
            terminal.expect("Welcome, alice.")
            terminal.type("/quit\n")
            assert terminal.ended() == 0
        finally:
            terminal.close()


def test_a_password_of_the_settings_is_used_for_their_account_only(
    home: Path, daemon: "Shared", connect: "Connect"
) -> None:
    alice = connect(daemon, "alice")
    password = "correct horse battery"
    alice.send("/password", password, password, "/quit")
    alice.expect("Goodbye.\n")
    secret = home / "secret"
    secret.write_text(f"{password}\n")
    secret.chmod(0o600)
    server = f"127.0.0.1:{daemon.port}"
    account = f'server = "{server}"\nuser = "alice"\npassword_file = "{secret}"\n'
    keep(home, account)
    assert run(home, stdin="alice-Hi\n")[0] == 0
    # The same machine by another name is another server.
    status, _, errors = run(home, f"localhost:{daemon.port}", stdin="alice-Hi\n")
    assert status == 3
    assert "alice needs a password" in errors
