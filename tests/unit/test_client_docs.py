"""The client's document has the whole help, as it is printed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatd.client import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"


@pytest.mark.parametrize(
    ("name", "command"),
    [("chat", main.chat), ("chat history", main.history)],
)
def test_the_document_has_the_help_of_every_command(
    name: str, command: main.click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    runner = CliRunner()
    printed = runner.invoke(command, ["--help"], prog_name=name, terminal_width=88)
    assert printed.exit_code == 0
    mark = re.escape(f"{name} --help")
    shown = re.search(
        rf"<!-- {mark} -->\n```\n(.*?)```\n<!-- /{mark} -->",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == printed.output
