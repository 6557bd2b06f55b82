"""What needs no server starts quickly: it imports nothing that only a server needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatd.client.history.shared import sharing
from chatd.wire.message import Message
from chatd.wire.names import parse_name

pytestmark = pytest.mark.unmeasured

HEAVY = {"twisted", "zope", "prompt_toolkit", "OpenSSL", "cryptography", "argon2"}

CODE = f"""
import sys
from importlib import import_module
try:
    import_module(sys.argv[1]).main(sys.argv[2:])
finally:
    found = {HEAVY} & {{name.partition(".")[0] for name in sys.modules}}
    print(sorted(found), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--help"], None),
        (["--version"], None),
        (["history"], None),
        (["history", "--help"], None),
        (["config"], None),
        (["completion", "bash"], None),
        (["send", "--help"], None),
        (["listen", "--help"], None),
        ([], "chat send b"),
        ([], "chat "),
        ([], "chat history --with "),
        ([], "chat --as a@b history --sea"),
    ],
)
def test_what_needs_no_server_imports_nothing_that_only_a_server_needs(
    tmp_path: Path, arguments: list[str], line: str | None
) -> None:
    path = tmp_path / "chat_history_alice.db"
    with sharing(path, parse_name("alice"), "host:5555") as history:
        history.append([Message(0, "1", "alice", "bob", "Hi", 1, 2)], "delivered")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    env |= {"CHAT_HISTORY": str(tmp_path), "CHAT_USER": "alice"}
    if line is not None:
        env |= {"_CHAT_COMPLETE": "bash_complete", "COMP_WORDS": line}
    run("chatd.client.main", env, *arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--help"], None),
        (["user", "list", "--help"], None),
        (["completion", "zsh"], None),
        ([], "chatctl user a"),
    ],
)
def test_what_needs_no_password_imports_nothing_that_only_passwords_need(
    tmp_path: Path, arguments: list[str], line: str | None
) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if line is not None:
        env |= {"_CHATCTL_COMPLETE": "bash_complete", "COMP_WORDS": line}
    run("chatd.control.main", env, *arguments)


def run(module: str, env: dict[str, str], *arguments: str) -> None:
    """Run a program; it has to end well, and without any of the heavy packages."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, module, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip()
    assert done.stderr.splitlines()[-1] == "[]"
