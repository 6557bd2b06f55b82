"""The command ``chat history``: what it prints, and where."""

import csv
import io
import json
from pathlib import Path

import pytest
from commandline import run

from chatd.client.history.shared import sharing
from chatd.wire.message import Message
from chatd.wire.names import parse_name

START = "2026-11-18 11:06:40  alice -> bob: "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history with two messages, on two days."""
    path = tmp_path / "chat_history_alice.db"
    with sharing(path, parse_name("alice"), "host:5555") as shared:
        for number, text in enumerate(("Über\x1b[2J den", "Wolken, \u202eRegen")):
            time = 1_795_000_000_123 + number * 24 * 3_600_000
            message = Message(0, f"id-{number}", "alice", "bob", text, time, 0)
            shared.append([message], "delivered")
    return path


def history(*arguments: str | Path) -> int:
    return run("history", *map(str, arguments))


def test_words_are_not_marked_where_no_terminal_is(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("--history", path, "--search", "uber") == 0
    assert capsys.readouterr().out == f"{START}Über\ufffd[2J den\n"


@pytest.mark.parametrize(
    ("no_colour", "marked"), [(None, True), ("", True), ("1", False)]
)
def test_on_a_terminal_words_are_marked_unless_no_color_says_no(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    no_colour: str | None,
    marked: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour is not None:
        monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert history("--history", path, "--search", "UBER") == 0
    word = "\x1b[7mÜber\x1b[27m" if marked else "Über"
    assert capsys.readouterr().out == f"{START}{word}\ufffd[2J den\n"


def test_json_is_a_line_for_each_message(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("--history", path, "--json") == 0
    written = capsys.readouterr().out
    assert "\x1b" not in written
    first, second = map(json.loads, written.splitlines())
    assert first == {
        "time": "2026-11-18T11:06:40Z",
        "from": "alice",
        "to": "bob",
        "text": "Über\x1b[2J den",
        "id": "id-0",
        "direction": "sent",
        "status": "delivered",
        "server": "host:5555",
    }
    assert second["text"] == "Wolken, \u202eRegen"


def test_csv_is_for_programs_and_harmless_on_a_terminal(
    path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert history("--history", path, "--csv") == 0
    written = capsysbinary.readouterr().out.decode()
    records = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [each["text"] for each in records] == [
        "Über\x1b[2J den",
        "Wolken, \u202eRegen",
    ]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert history("--history", path, "--csv") == 0
    shown = capsysbinary.readouterr().out.decode()
    assert "Über\ufffd[2J den" in shown
    assert "\x1b" not in shown


def test_csv_of_nothing_is_its_header(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("--history", path, "--csv", "--search", "zebra") == 0
    shown = capsys.readouterr()
    assert shown.out == "time,from,to,text,id,direction,status,server\r\n"
    assert shown.err == f"No such message in {path}.\n"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--since", "2026-11-19"), ["1"]),
        (("--since", "2026-11-18T11:06:40"), ["0", "1"]),
        (("--until", "2026-11-18"), ["0"]),
        (("--until", "2026-11-18T11:06:39"), []),
        (("--since", "2026-11-18", "--until", "2026-11-19"), ["0", "1"]),
        (("--with", "BOB", "--last", "1"), ["1"]),
        (("--with", "carol"), []),
    ],
)
def test_times_and_names_exclude_messages(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    texts: list[str],
) -> None:
    assert history("--history", path, "--json", *arguments) == 0
    written = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in written] == [f"id-{n}" for n in texts]


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "0" * 400])
def test_what_is_no_time_is_said_in_one_line(
    path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert history("--history", path, "--since", text) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"chat: Invalid value for '--since': {text!r} is no time. Write 2026-11-22 or"
        " 2026-11-22T18:42:53.\n"
    )


def test_two_forms_at_once_are_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("--history", path, "--json", "--csv") == 2
    assert capsys.readouterr().err == "chat: --json and --csv do not go together.\n"


def test_words_that_are_no_text_find_nothing(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("--history", path, "--search", "\udcff") == 0
    assert capsys.readouterr().err == f"No such message in {path}.\n"


def test_without_words_nothing_is_looked_for_in_the_texts(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(text: str, words: list[str]) -> list[tuple[int, int]]:
        raise AssertionError

    monkeypatch.setattr("chatd.client.history.search.spans", never)
    assert history("--history", path, "--last", "20") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_no_more_words_are_searched_for_than_are_allowed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{number:02}" for number in range(33)]
    assert history("--history", path, "--search", " ".join(words)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == (
        "chat: These are 33 words; at most 32 can be searched for."
    )
    assert history("--history", path, "--search", " ".join(words[:32])) == 0
    assert history("--history", path, "--search", "uber " * 33) == 0
    assert capsys.readouterr().out.startswith(START)
