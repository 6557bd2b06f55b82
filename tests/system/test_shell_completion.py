"""What Tab does in bash, zsh and fish, once they have the script of ``chat``."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from terminal import Terminal

from chatd.client.history.places import history_path
from chatd.client.history.shared import sharing
from chatd.wire.message import Message, new_id
from chatd.wire.names import parse_name

PROGRAMS = Path(sys.executable).parent

Needs = Callable[[str], str]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the programs are found, and nothing is set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHAT_", "XDG_", "BASH", "ZDOTDIR"))
    }
    talked(tmp_path / "chats", "alice", "anna", "bob", "Zoë")
    return kept | {
        "CHAT_HISTORY": str(tmp_path / "chats"),
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }


def talked(folder: Path, user: str, *others: str) -> None:
    """Make a history of somebody who has written to others."""
    folder.mkdir()
    name = parse_name(user)
    with sharing(history_path(name, folder), name, "host:5555") as history:
        sent = [Message(0, new_id(), user, other, "Hi", 1, 2) for other in others]
        assert history.append(sent, "delivered") == len(others)


def script(shell: str, env: Mapping[str, str], program: str = "chat") -> str:
    """Return what the program prints for a shell."""
    done = subprocess.run(
        [program, "completion", shell],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


class Shell:
    """A shell at a terminal; its prompt is ``$``."""

    def __init__(
        self, command: list[str], prepare: str, env: Mapping[str, str], home: Path
    ) -> None:
        self.terminal = Terminal(command, cwd=home, env=env)
        # It says when it has done that: the echo of the line has not this form.
        self.terminal.type(f"{prepare}; PS1='$ '; clear; echo rea''dy\n")
        self.terminal.wait(lambda: self.terminal.line(0) == "ready", "a prompt")
        self.terminal.wait(lambda: self.terminal.line(1) == "$", "a prompt")

    def tab(self, typed: str, becomes: str) -> None:
        """Type this and press Tab: the line is that then; throw it away."""
        self.terminal.type(f"{typed}\t")
        self.terminal.expect_line(f"$ {becomes}")
        self.terminal.type("\x15")  # Ctrl-U
        self.terminal.expect_line("$")


CASES = [
    ("chat hist", "chat history"),
    ("chat --as cron@host:5555 hist", "chat --as cron@host:5555 history"),
    ("chat history --sea", "chat history --search"),
    ("chat alice@host --pla", "chat alice@host --plain"),
    ("chat --bell al", "chat --bell always"),
    ("chat config --background li", "chat config --background light"),
    ("chat completion f", "chat completion fish"),
    ("chatctl cert", "chatctl certificate"),
    ("chatctl user dis", "chatctl user disable"),
    ("chat --config sett", "chat --config settings.toml"),
    ("chat send an", "chat send anna"),
    ("chat --as alice@host:5555 send bob,zo", "chat --as alice@host:5555 send bob,Zoë"),
    ("chat history --with an", "chat history --with anna"),
    ("chat history --user al", "chat history --user alice"),
]


@pytest.fixture(params=["bash", "zsh"])
def shell(
    request: pytest.FixtureRequest, needs: Needs, env: dict[str, str], tmp_path: Path
) -> Iterator[Shell]:
    name: str = request.param
    path = needs(name)
    (tmp_path / "settings.toml").touch()
    for program in ("chat", "chatctl"):
        (tmp_path / f"{program}.{name}").write_text(script(name, env, program))
    load = f"source ./chat.{name}; source ./chatctl.{name}"
    if name == "bash":
        command = [path, "--norc", "--noprofile", "-i"]
        # What bash would answer with a bell otherwise it lists.
        load = f"bind 'set bell-style none'; {load}"
    else:
        command = [path, "-f", "-i"]
        load = f"unsetopt promptsp; autoload -Uz compinit; compinit -u; {load}"
    found = Shell(command, load, env, tmp_path)
    yield found
    found.terminal.close()


@pytest.mark.slow
def test_tab_completes_commands_options_and_their_values(shell: Shell) -> None:
    for typed, becomes in CASES:
        shell.tab(typed, becomes)


@pytest.mark.slow
def test_fish_completes_commands_options_and_their_values(
    needs: Needs, env: dict[str, str], tmp_path: Path
) -> None:
    fish = needs("fish")
    (tmp_path / "settings.toml").touch()
    for program in ("chat", "chatctl"):
        (tmp_path / f"{program}.fish").write_text(script("fish", env, program))
    lines = [*(typed for typed, _ in CASES), "chat completion "]
    asked = "; ".join(f"echo '=={typed}'; complete -C '{typed}'" for typed in lines)
    done = subprocess.run(
        [fish, "--no-config", "-c", f"source chat.fish; source chatctl.fish; {asked}"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    answers = {
        typed: [line.partition("\t")[0] for line in lines]
        for typed, *lines in (each.splitlines() for each in done.stdout.split("==")[1:])
    }
    assert sorted(answers.pop("chat completion ")) == ["bash", "fish", "zsh"]
    assert answers == {typed: [becomes.rpartition(" ")[2]] for typed, becomes in CASES}
