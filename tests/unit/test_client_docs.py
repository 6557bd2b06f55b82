"""The client's document has the whole help, as it is printed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatd.client import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"


@pytest.mark.parametrize("command", ["", *main.chat.commands])
def test_the_document_has_the_help_of_every_command(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    runner = CliRunner()
    words = [*command.split(), "--help"]
    printed = runner.invoke(main.chat, words, prog_name="chat", terminal_width=88)
    assert printed.exit_code == 0
    mark = re.escape(" ".join(["chat", *words]))
    shown = re.search(
        rf"<!-- {mark} -->\n```\n(.*?)```\n<!-- /{mark} -->",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == printed.output
