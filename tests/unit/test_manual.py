"""The manual pages are made from what ``--help`` is made from, and are up to date."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from chatd.client.main import chat
from chatd.client.settings.settings import SETTINGS
from chatd.client.statuses import Status
from chatd.control.main import chatctl
from chatd.tap import Options

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def manual() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "manual.py"))


@pytest.fixture
def pages(manual: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    made: dict[str, str] = manual["pages"]()
    return made


def test_what_is_in_the_folder_is_what_would_be_made(pages: dict[str, str]) -> None:
    """Run docs/manual.py after a change."""
    assert {
        page.name: page.read_text(encoding="ascii") for page in (DOCS / "man").iterdir()
    } == pages


def plain(page: str) -> str:
    """Return a page's text without what is for roff."""
    text = page.replace(r"\-", "-").replace(r"\(aq", "'")
    return re.sub(r"\\(f[BR]|&)", "", text)


def below(command: click.Command) -> list[click.Command]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(each for sub in inner for each in below(sub))]


@pytest.mark.parametrize("program", [chat, chatctl], ids=["chat", "chatctl"])
def test_every_command_and_every_option_has_its_place(
    pages: dict[str, str], program: click.Group
) -> None:
    text = plain(pages[f"{program.name}.1"])
    for command in below(program):
        assert command is program or re.search(
            rf'^\.SS ".* {command.name}"$', text, re.M
        )
        for param in command.params:
            for option in (*param.opts, *param.secondary_opts):
                if option.startswith("-"):
                    assert re.search(rf"{option}(?![\w-])", text), option


def test_statuses_settings_and_variables_have_their_places(
    pages: dict[str, str],
) -> None:
    text = plain(pages["chat.1"])
    statuses = text.partition('.SH "EXIT STATUS"')[2].partition(".SH")[0]
    terms = re.findall(r"^\.TP\n([0-9]+)$", statuses, re.M)
    assert terms == [str(each.value) for each in Status] + ["128"]
    environment = text.partition('.SH "ENVIRONMENT"')[2].partition(".SH")[0]
    for setting in SETTINGS:
        assert f"\n{setting.variable}\n" in environment
        assert f".TP\n{setting.name}\n{setting.meaning} " in plain(pages["chat.toml.5"])
    for name in ("CHAT_PASSWORD", "CHAT_CONFIG", "NO_COLOR"):
        assert f"\n{name}\n" in environment


def test_every_option_of_the_daemon_has_its_place(pages: dict[str, str]) -> None:
    text = plain(pages["chatd.8"])
    for option in Options().longOpt:
        value = "=VALUE" if option.endswith("=") else ""
        assert f"\n.TP\n--{option.removesuffix('=')}{value}\n" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a --long-one b", r"a \-\-long\-one b"),
        ("-q", r"\-q"),
        ("well-known", "well-known"),
        ("a - b", r"a \- b"),
        (r"C:\new", r"C:\enew"),
        ("it's ~ `x` ^", r"it\(aqs \(ti \(gax\(ga \(ha"),
        ("Zoë", r"Zo\[u00EB]"),
    ],
)
def test_what_roff_would_take_for_something_else_is_escaped(
    manual: dict[str, Any], text: str, shown: str
) -> None:
    escaped: Callable[[str], str] = manual["escaped"]
    assert escaped(text) == shown


def test_no_line_of_a_help_becomes_a_request(manual: dict[str, Any]) -> None:
    lines = list(manual["prose"](".TH x\n\n\b\n.so /etc/passwd\n'x\n  - y\n"))
    assert lines == [
        ".PP",
        r"\&.TH x",
        ".PP",
        ".RS 4",
        ".nf",
        r"\&.so /etc/passwd",
        r"\(aqx",
        r"  \- y",
        ".fi",
        ".RE",
    ]
