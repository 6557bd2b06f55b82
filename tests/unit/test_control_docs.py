"""The operator's document has the whole help of each command, as it is printed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatd.control.main import chatctl

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize("command", list(chatctl.commands))
def test_the_document_has_the_help_of_every_command(command: str) -> None:
    printed = CliRunner().invoke(
        chatctl, [command, "--help"], prog_name="chatctl", terminal_width=88
    )
    assert printed.exit_code == 0
    mark = f"chatctl {re.escape(command)} --help"
    shown = re.search(
        rf"<!-- {mark} -->\n```\n(.*?)```\n<!-- /{mark} -->",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == printed.output
