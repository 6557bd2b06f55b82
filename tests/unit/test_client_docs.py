"""The client's document has the whole help, as it is printed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatd.client import main
from chatd.client.settings.settings import SETTINGS, Setting
from chatd.client.talk.helptopics import COMMANDS, KEYS, usage

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_document_lists_every_setting_with_its_variable_and_its_options() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- settings -->\n(.*)<!-- /settings -->", text, re.DOTALL)
    head = "| in the file | environment | option |\n| --- | --- | --- |\n"
    assert shown == head + "".join(
        f"| `{each.name}` | `{each.variable}` | {options(each)} |\n"
        for each in SETTINGS
    )


def options(setting: Setting) -> str:
    if not setting.options:
        return "`--as`"
    names = [name for each in setting.options for name in each.split("/")]
    return ", ".join(f"`{name}`" for name in names)


def table(mark: str) -> dict[str, str]:
    """Return the rows of a table of the document, but for its head."""
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0]
    cells = [row.strip("|").split("|") for row in rows.splitlines()[2:]]
    return {key.strip(): meaning.strip() for key, meaning in cells}


def test_the_document_has_every_command_that_can_be_typed() -> None:
    assert table("commands") == {
        f"`{usage(command)}`": meaning for command, (_, meaning) in COMMANDS.items()
    }


def test_the_document_has_every_key() -> None:
    assert table("keys") == KEYS


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
