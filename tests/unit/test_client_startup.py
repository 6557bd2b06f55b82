"""What needs no server starts quickly: it imports nothing that only a server needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatd.client.historyfile import open_history
from chatd.wire.names import parse_name

pytestmark = pytest.mark.unmeasured

HEAVY = {"twisted", "zope", "prompt_toolkit", "OpenSSL", "cryptography", "argon2"}

CODE = f"""
import sys
from chatd.client.main import main
try:
    main(sys.argv[1:])
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
    history = tmp_path / "chat_history_alice.db"
    open_history(history, parse_name("alice")).lock.release()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    env |= {"CHAT_HISTORY": str(tmp_path), "CHAT_USER": "alice"}
    if line is not None:
        env |= {"_CHAT_COMPLETE": "bash_complete", "COMP_WORDS": line}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr.splitlines()[-1] == "[]"
