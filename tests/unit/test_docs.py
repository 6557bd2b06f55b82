"""The documents say what the code says: each table in them is compared with its source.

What is compared stands between two comments, ``<!-- answers -->`` and
``<!-- /answers -->``. A test that fails shows what should stand there.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import chatd
from chatd import accounts, certificates
from chatd.hub import delivery, hub, pages, presence, recent, window
from chatd.limits import GIB, KIB, MIB, Limits
from chatd.ports import DEFAULT_PORT
from chatd.server import (
    greeting,
    linger,
    objectform,
    outlet,
    proxied,
    refusals,
    speaking,
    tcp,
    textform,
    ticker,
)
from chatd.server.commands import COMMANDS
from chatd.store import queues
from chatd.tap import Options
from chatd.wire import fields, objects, telnet, text
from chatd.wire.answers import ANSWERS, Refusal
from chatd.wire.message import Message
from chatd.wire.names import MAX_NAME_LENGTH, RESERVED_NAMES

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
DOCUMENTS: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(DOCS.glob("*.md")),
]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def in_one_line(path: Path) -> str:
    """Return a document without its line breaks."""
    return " ".join(read(path).split())


def marked(path: Path, mark: str) -> str:
    """Return what stands between a mark's two comments."""
    found = re.search(
        rf"^<!-- {mark} -->\n(.*?)^<!-- /{mark} -->$", read(path), re.S | re.M
    )
    assert found, f"{path.name} has nothing marked {mark}"
    return found[1]


def table(path: Path, mark: str) -> list[list[str]]:
    """Return the rows of a marked table: the cells of each, without their backquotes.

    An empty first cell stands for the one above it.
    """
    rows: list[list[str]] = []
    for line in marked(path, mark).splitlines()[2:]:
        assert line.startswith("| "), line
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        cells[0] = cells[0] or rows[-1][0]
        rows.append([re.sub(r"^`(.*)`$", r"\1", cell) for cell in cells])
    return [[cell.replace(r"\|", "|") for cell in row] for row in rows]


# The answers, the commands, the types -------------------------------------------------


def test_the_protocol_lists_every_answer_with_its_text() -> None:
    expected = [
        [code, answer.text, "yes" if answer.temporary else "no"]
        for code, answer in ANSWERS.items()
    ]
    assert table(DOCS / "protocol.md", "answers") == expected


def test_the_protocol_lists_every_command() -> None:
    rows = table(DOCS / "protocol.md", "commands")
    assert [row[0] for row in rows] == [each.usage for each in COMMANDS.values()]
    for (_, meaning, _), command in zip(rows, COMMANDS.values(), strict=True):
        assert meaning.startswith(command.meaning)


def test_the_protocol_lists_every_command_at_the_prompt() -> None:
    offered = [re.split("  +", line.strip())[0] for line in greeting.HELP[1:]]
    rows = table(DOCS / "protocol.md", "commands at the prompt")
    assert [row[0] for row in rows] == offered
    # What the help offers is what there is.
    there_are = re.findall(r'word == "(/\S+)"', inspect.getsource(greeting))
    assert sorted(there_are) == sorted(usage.split()[0] for usage in offered)


def fields_by_type(mark: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for kind, field, *_ in table(DOCS / "protocol.md", mark):
        fields.setdefault(kind, []).extend([field] if field else [])
    return fields


def test_the_protocol_lists_every_request_with_its_fields() -> None:
    documented = fields_by_type("requests")
    # Kept for later: it may be sent, and cannot be required.
    documented["login"].remove("device")
    assert {kind: set(fields) for kind, fields in documented.items()} == {
        kind: set(known) for kind, (_, known) in objects._PARSERS.items()
    }


MESSAGE: Final = Message(1, "id", "alice", "bob", "Hi", 0, 2)
SAID: Final = {
    "hello": [objects.hello("1.0", {})],
    "welcome": [
        objects.welcome(
            "alice",
            new=False,
            is_open=False,
            users=(),
            more_users=0,
            online=(),
            more_online=0,
            queued=0,
        )
    ],
    "message": [objects.message(1, MESSAGE, queued=False)],
    "accepted": [objects.accepted("id", "bob", "stored")],
    "error": [objects.error(Refusal("not-utf8"), "id", "bob")],
    "names": [objects.names("who", (), 0), objects.names("users", (), 0)],
    "presence": [objects.presence("bob", online=True)],
    "notice": [objects.notice("")],
    "password_set": [objects.password_set()],
    "pong": [objects.pong()],
    "goodbye": [objects.goodbye()],
}
"""What each function of the JSON form makes."""


def test_the_protocol_lists_everything_the_server_says_with_its_fields() -> None:
    said = [json.loads(line) for lines in SAID.values() for line in lines]
    assert fields_by_type("replies") == {
        each["type"]: [key for key in each if key != "type"] for each in said
    }


def test_no_function_that_makes_an_object_is_left_out() -> None:
    makers = {
        node.name
        for node in ast.parse(inspect.getsource(objects)).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and ("_line(" in ast.unparse(node) or '"type":' in ast.unparse(node))
    }
    assert makers == set(SAID)


def test_the_protocol_lists_the_reserved_names() -> None:
    protocol = in_one_line(DOCS / "protocol.md")
    sentence = re.search(r"Nobody can have these: ([^.]*)\.", protocol)
    assert sentence
    assert set(re.findall("`(.*?)`", sentence[1])) == RESERVED_NAMES


# The options and limits ---------------------------------------------------------------


def as_typed(value: object) -> str:
    """Return a default as one would type it."""
    if not isinstance(value, int):
        return "none" if value is None else str(value)
    for unit, letter in ((GIB, "G"), (MIB, "M"), (KIB, "K")):
        if value % unit == 0:
            return f"{value // unit}{letter}"
    return str(value)


def options_table() -> str:
    parameters = {
        name: (as_typed(default), meaning)
        for name, _, default, meaning, *_ in Options.optParameters
    }
    methods = {
        name.removeprefix("opt_").replace("_", "-"): (
            "",
            inspect.cleandoc(getattr(Options, name).__doc__).split("\n")[0],
        )
        for name in dir(Options)
        if name.startswith("opt_")
    }
    port = (DEFAULT_PORT, methods.pop("port")[1])
    trusted = methods.pop("trusted-proxy")
    flags = {name: ("", meaning) for name, _, meaning in Options.optFlags}
    rows = {
        "port": port,
        "trusted-proxy": trusted,
        **parameters,
        **flags,
        **methods,
    }
    lines = [
        f"| `--{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        for name, (default, meaning) in rows.items()
    ]
    head = ["| option | default | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, ""]).replace("|  |", "| |")


def test_the_operations_list_every_option_and_nothing_else() -> None:
    assert marked(DOCS / "operations.md", "options") == options_table()


def as_read(default: int, meaning: str) -> str:
    """Return a default as one would say it."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if default % unit == 0:
            return f"{default // unit} {name}"
    unit_in_words = re.match(r"(?:lines )?(bytes|seconds|percent|a second)", meaning)
    return f"{default:,} {unit_in_words[1]}" if unit_in_words else f"{default:,}"


def test_the_protocol_lists_every_limit() -> None:
    rows = table(DOCS / "protocol.md", "limits")
    assert [row[:2] for row in rows] == [
        [f"--{option}", as_read(default, meaning)]
        for _, option, default, meaning in Limits.options()
    ]


def test_codes_that_the_limits_name_exist() -> None:
    codes = {
        code
        for _, _, what in table(DOCS / "protocol.md", "limits")
        for code in re.findall(r"[a-z]+-[a-z-]+", what)
    }
    assert codes <= set(ANSWERS)


# Figures in sentences. Who changes one finds the sentences to change here.
LIMITS: Final = Limits()
PROTOCOL_FIGURES: Final[list[tuple[object, object, str]]] = [
    (text.MAX_TARGETS, 32, "sends to several, 32 at most"),
    (text.MAX_TARGETS, 32, "32 targets of a message"),
    (MAX_NAME_LENGTH, 32, "A name has 1 to 32 characters"),
    (LIMITS.bad_names, 10, "After 10 refusals"),
    (LIMITS.bad_names, 10, "tried again, 10 times in all"),
    (LIMITS.login_time, 60, "or 60 seconds without a login"),
    (LIMITS.line, 16_384, "A line over 16,384 bytes"),
    (LIMITS.message, 12_288, "a message over 12,288 bytes"),
    (textform.CONFIRM_SECONDS, 0.2, "if a fifth of a second"),
    (telnet.MAX_REFUSALS, 64, "the first 64 of a connection"),
    (speaking.LISTED_AT_LOGIN, 50, "both lists have those 50"),
    (speaking.LISTED_AT_LOGIN, 50, "50 names in a list at the login"),
    (speaking.LISTED_ON_REQUEST, 200, "`/who` and `/users` list 200 at most"),
    (speaking.LISTED_ON_REQUEST, 200, "200 in one that was asked for"),
    (fields.MAX_ID, 64, "64 characters in an id"),
    (fields.MAX_NESTING, 16, "nested more than 16 deep"),
    (objects.PROTOCOL, 1, "| | `protocol` | 1 |"),
    (delivery.STALL_SECONDS, 10, "gets nowhere for 10 seconds"),
    (delivery.MISSED, delivery.MISSED, f"`{delivery.MISSED}`"),
    (linger.LINGER_SECONDS, 5, "has not closed within 5 seconds"),
    (tcp.KEEPALIVE, (30, 10, 3), "30 s of silence, then 3 probes 10 s apart"),
    (LIMITS.watched, 1_000, "instead of all before; 1,000 at most"),
    (LIMITS.watched, 1_000, "1,000 of the longest names fit into a line"),
    (presence.MOST_WATCHED, 500_000, "watch 500,000 names at most"),
    (objectform.NAMES_A_TURN, 32, "each 32 names of a list count as one"),
    (LIMITS.unacknowledged, MIB, "not acknowledged 1 MiB of what was written to it"),
    (window.MAX_UNCONFIRMED, 10_000, "written to it, or 10,000 messages"),
    (LIMITS.pending_messages, 10_000, "while 10,000 of its messages"),
    (LIMITS.pending_bytes, MIB, "or 1 MiB of them, wait for the disk"),
    (LIMITS.unread_answers, 256 * KIB, "more than 256 KiB of its answers"),
    (LIMITS.all_pending_bytes, 64 * MIB, "have 64 MiB waiting for the disk"),
    (proxied.HEADER_SECONDS, 5, "Without a valid header within 5 seconds"),
    (accounts.IPV6_PREFIX, 64, "IPv6 addresses that share their first 64 bits"),
]
ARCHITECTURE_FIGURES: Final[list[tuple[object, object, str]]] = [
    (LIMITS.line, 16 * KIB, "16 KiB (text)"),
    (LIMITS.json_line, 128 * KIB, "128 KiB (JSON)"),
    (LIMITS.pending_messages, 10_000, "1 MiB or 10,000 messages"),
    (LIMITS.pending_bytes, MIB, "1 MiB or 10,000 messages"),
    (LIMITS.all_pending_bytes, 64 * MIB, "64 MiB, and a line for each sender"),
    (LIMITS.unread_answers, 256 * KIB, "256 KiB, and those to messages under way"),
    (LIMITS.unacknowledged, MIB, "1 MiB (`--max-unacknowledged`) or 10,000"),
    (window.MAX_UNCONFIRMED, 10_000, "1 MiB (`--max-unacknowledged`) or 10,000"),
    (window.MAX_UNCONFIRMED, 10_000, "not acknowledged 1 MiB or 10,000 messages"),
    (outlet.MAX_UNSENT, 256 * MIB, "256 MiB, then 16 KiB each"),
    (window.CROWDED_BYTES, 16 * KIB, "256 MiB, then 16 KiB each"),
    (pages.PAGE_BYTES, 256 * KIB, "256 KiB or 250 messages"),
    (queues.PAGE_MESSAGES, 250, "256 KiB or 250 messages"),
    (recent.AT_ONCE, 250, "256 KiB or 250 messages"),
    (LIMITS.recent_bytes, MIB, "what is stored while one catches up | 1 MiB | 64 MiB"),
    (LIMITS.all_recent_bytes, 64 * MIB, "while one catches up | 1 MiB | 64 MiB"),
    (LIMITS.watched, 1_000, "| 1,000 (`--max-watched`) | 500,000 |"),
    (presence.MOST_WATCHED, 500_000, "| 1,000 (`--max-watched`) | 500,000 |"),
    (presence.TOLD_A_TURN, 100, "100 in a turn"),
    (presence.WRITTEN_AT_ONCE, 100, "not read | 64 KiB, and 100 of them"),
    (objectform.UNSENT_PRESENCE, 64 * KIB, "64 KiB are written and not sent"),
    (speaking.CROWDED_ANSWERS, 16 * KIB, "16 where memory is short"),
    (objectform.NAMES_A_TURN, 32, "parsed and looked up 32 a turn"),
    (LIMITS.connections, 10_000, "So 10,000 connections"),
    (hub.IDLE_RECEIVERS, 10_000, "at most 10,000 idle receivers"),
    (ticker.TICK_SECONDS, 0.02, "asks the kernel every 20 ms"),
]
OPERATIONS_FIGURES: Final[list[tuple[object, object, str]]] = [
    (proxied.HEADER_SECONDS, 5, "A header has to come within 5 seconds"),
    (hub.EXPIRE_AT_ONCE, 1_000, "1,000 at most each time"),
    (refusals.LOGGED_REFUSALS, 20, "but 20 at most of a connection"),
    (certificates.EXPIRES_SOON.days, 14, "From 14 days before its end"),
    (
        certificates.CIPHERS,
        "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK",
        "in OpenSSL's words `ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK`",
    ),
]


@pytest.mark.parametrize(
    ("name", "now", "documented", "sentence"),
    [
        (name, *figure)
        for name, figures in (
            ("protocol.md", PROTOCOL_FIGURES),
            ("architecture.md", ARCHITECTURE_FIGURES),
            ("operations.md", OPERATIONS_FIGURES),
        )
        for figure in figures
    ],
)
def test_figures_in_sentences_are_those_of_the_code(
    name: str, now: object, documented: object, sentence: str
) -> None:
    assert now == documented, f"{name} says otherwise: {sentence}"
    assert sentence in in_one_line(DOCS / name)


# The documents as a whole -------------------------------------------------------------


def outside_code(document: str) -> str:
    return re.sub(r"^```.*?^```$", "", document, flags=re.S | re.M)


def anchors(document: str) -> set[str]:
    """Return what can stand after ``#`` in a link to a document, as GitHub has it."""
    headings = re.findall(r"^#+ (.+)$", outside_code(document), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in headings
    }


def links() -> Iterator[Any]:
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)\s]+)\)", outside_code(read(path))):
            if "://" not in link:
                yield pytest.param(path, link, id=f"{path.name}: {link}")


@pytest.mark.parametrize(("path", "link"), list(links()))
def test_links_lead_somewhere(path: Path, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = (path.parent / name) if name else path
    assert target.exists()
    if anchor:
        assert anchor in anchors(read(target))


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_the_readme_leads_to_every_document(path: Path) -> None:
    assert f"](docs/{path.name})" in read(ROOT / "README.md")


@pytest.mark.parametrize(
    "path",
    sorted(each for each in DOCS.iterdir() if each.suffix != ".md"),
    ids=lambda path: path.name,
)
def test_some_document_leads_to_every_other_file(path: Path) -> None:
    links = [each for each in DOCS.glob("*.md") if f"]({path.name})" in read(each)]
    assert links != []


def test_files_that_the_architecture_names_exist() -> None:
    names = re.findall(r"\b(?:chatd|tests)/[\w/.]*\w", read(DOCS / "architecture.md"))
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_plain_text_that_fits_a_screen(path: Path) -> None:
    lines = read(path).split("\n")
    assert lines[0].startswith("# ")
    assert lines[-1] == ""
    assert [line for line in lines if line != line.rstrip()] == []
    # A row of a table, and what is to be copied, cannot be broken.
    prose = outside_code(read(path)).splitlines()
    assert [line for line in prose if len(line) > 95 and line[0] != "|"] == []


def test_the_changelog_has_this_version_or_what_comes_next() -> None:
    versions = re.findall(r"^## (\S+)", read(ROOT / "CHANGELOG.md"), re.M)
    assert versions[0] in ("Unreleased", chatd.__version__)
