"""A conversation as rows of text, cell by cell."""

import os
import time
from collections.abc import Iterator
from datetime import date

import pytest

from chatd.client.frontends import layout, transcript
from chatd.client.frontends.frontend import Kind, State
from chatd.client.frontends.layout import Row
from chatd.client.frontends.transcript import ASCII, UNICODE
from chatd.client.history.rows import Kept
from chatd.client.history.search import Found
from chatd.wire.message import Message

NOON = 1_795_780_800_000  # 2026-11-27 12:00 UTC


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def message(text: str, sender: str = "bob", target: str = "alice") -> Message:
    return Message(0, "", sender, target, text, NOON, 0)


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def came(text: str, columns: int, sender: str = "bob") -> list[str]:
    return texts(transcript.received(message(text, sender), columns, user="alice"))


def test_a_message_has_a_quiet_time_and_a_coloured_name() -> None:
    style = transcript.name_style("bob")
    assert style != transcript.name_style("carol")
    assert transcript.received(message("Hi there"), 80, user="alice") == [
        Row((("class:time", "12:00"), ("", " "), (style, "bob"), ("", "  Hi there")))
    ]


def test_a_text_is_wrapped_under_itself() -> None:
    assert came("one two three four five six", 24) == [
        "12:00 bob  one two three",
        "    four five six",
    ]
    assert came("one two three four five six seven", 33) == [
        "12:00 bob  one two three four",
        "           five six seven",
    ]


def test_each_line_of_a_message_stands_under_the_one_before() -> None:
    assert came("one\n\n  two\nthree", 40) == [
        "12:00 bob  one",
        "",
        "             two",
        "           three",
    ]


def test_a_long_name_leaves_room_for_the_text() -> None:
    name = "n" * 32
    assert came("one two three", 48, sender=name) == [
        f"12:00 {name}  one two",
        "      three",
    ]


def test_a_name_wider_than_the_row_is_no_error() -> None:
    rows = came("Hi", 10, sender="n" * 32)
    assert "".join(rows).replace(" ", "") == "12:00" + "n" * 32 + "Hi"


def test_a_name_has_one_colour_however_it_is_spelt() -> None:
    assert transcript.name_style("Bob") == transcript.name_style("bob")


def test_what_comes_from_oneself_is_told_apart() -> None:
    (row,) = transcript.received(message("Hi", "Alice"), 80, user="alice")
    assert row.fragments[2] == ("class:own", "Alice")


@pytest.mark.parametrize(
    ("signs", "state", "shown"),
    [
        (UNICODE, State.WAITING, "12:00 → bob  Hi …"),
        (UNICODE, State.STORED, "12:00 → bob  Hi ✓"),
        (UNICODE, State.DELIVERED, "12:00 → bob  Hi ✓✓"),
        (UNICODE, State.REFUSED, "12:00 → bob  Hi ✗"),
        (ASCII, State.WAITING, "12:00 -> bob  Hi .."),
        (ASCII, State.STORED, "12:00 -> bob  Hi +"),
        (ASCII, State.DELIVERED, "12:00 -> bob  Hi ++"),
        (ASCII, State.REFUSED, "12:00 -> bob  Hi x"),
    ],
)
def test_a_message_that_was_sent_has_a_mark(
    signs: transcript.Signs, state: State, shown: str
) -> None:
    own = message("Hi", "alice", "bob")
    (row,) = transcript.sent(own, signs.mark(state), 80, signs)
    assert row.text == shown
    assert row.fragments[-1][0] == f"class:{state.value}"


@pytest.mark.parametrize("length", range(1, 40))
def test_a_message_takes_as_many_rows_whatever_its_mark(length: int) -> None:
    own = message("x" * length, "alice", "bob")
    marks = [("", ""), *map(UNICODE.mark, State)]
    counts = {len(transcript.sent(own, mark, 30, UNICODE)) for mark in marks}
    assert len(counts) == 1


def test_a_delivery_that_is_told_later_takes_one_row() -> None:
    own = message("first line\n\tand another one", "alice", "bob")
    assert texts(transcript.delivered_later(own, NOON, 80, UNICODE)) == [
        "12:00 bob has: first line and another one"
    ]
    assert texts(transcript.delivered_later(own, NOON, 30, UNICODE)) == [
        "12:00 bob has: first line and…"
    ]


def test_of_a_long_text_no_more_is_looked_at_than_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widest, looked = layout._widest, 0

    def counting(cluster: str) -> int:
        nonlocal looked
        looked += 1
        return widest(cluster)

    monkeypatch.setattr(layout, "_widest", counting)
    own = message("é" * 12_000, "alice", "bob")
    shown = texts(transcript.delivered_later(own, NOON, 40, UNICODE))
    assert shown == ["12:00 bob has: " + "é" * 24 + "…"]
    assert looked < 100


def test_a_day_stands_in_a_line_across_the_columns() -> None:
    day = date(2026, 11, 27)
    assert texts(transcript.day(day, 40, UNICODE)) == [
        "── Friday, 27 November 2026 ────────────"
    ]
    assert texts(transcript.day(day, 20, UNICODE)) == ["── Friday, 27 Novem…"]
    assert texts(transcript.day(day, 36, ASCII)) == [
        "-- Friday, 27 November 2026 --------"
    ]


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        (None, "── new ──────────────────────────"),
        (NOON, "── new since 12:00 ──────────────"),
        (NOON - 86_400_000, "── new since 26 November, 12:00 ─"),
        (10**18, "── new ──────────────────────────"),
    ],
)
def test_a_line_says_since_when_it_is_new(since: int | None, shown: str) -> None:
    today = date(2026, 11, 27)
    (row,) = transcript.new_since(since, today, 33, UNICODE)
    assert row.text == shown


def test_times_are_those_of_the_local_time_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    assert os.environ["TZ"] == "Asia/Kolkata"
    assert came("Hi", 80) == ["17:30 bob  Hi"]
    assert transcript.local_day(NOON + 7 * 3_600_000) == date(2026, 11, 28)


def test_a_time_that_no_calendar_has_is_no_error() -> None:
    odd = Message(0, "", "bob", "alice", "Hi", 10**18, 0)
    assert texts(transcript.received(odd, 80, user="")) == ["--:-- bob  Hi"]
    assert transcript.local_day(10**18) is None


def test_what_is_old_is_so_in_all_its_parts() -> None:
    rows = transcript.old(transcript.received(message("Hi"), 80, user="alice"))
    assert all(style.endswith("class:old") for style, _ in rows[0].fragments)


def test_what_was_typed_stands_as_it_stood() -> None:
    assert texts(transcript.typed("alice> ", "/help\nmore", 40)) == [
        "alice> /help",
        "more",
    ]


def test_lines_that_are_no_messages_are_wrapped_by_words() -> None:
    assert transcript.line(Kind.ERROR, "one two three four", 10) == [
        Row((("class:error", "one"), ("", " "), ("class:error", "two"))),
        Row((("class:error", "three"), ("", " "), ("class:error", "four"))),
    ]


@pytest.mark.parametrize(
    ("encoding", "signs"),
    [
        ("utf-8", UNICODE),
        ("UTF-8", UNICODE),
        ("latin-1", ASCII),
        ("ascii", ASCII),
        ("no such encoding", ASCII),
    ],
)
def test_signs_are_those_that_the_terminal_can_show(
    encoding: str, signs: transcript.Signs
) -> None:
    assert transcript.signs_for(encoding) is signs


def test_control_characters_of_names_and_texts_go_nowhere() -> None:
    shown = "".join(came("a\x1b[2Jb", 80, sender="b\x07ob"))
    assert shown == "12:00 b\ufffdob  a\ufffd[2Jb"
    own = message("a\x1b[2J", "alice", "b\x07ob")
    later = texts(transcript.delivered_later(own, NOON, 80, UNICODE))
    assert later == ["12:00 b\ufffdob has: a\ufffd[2J"]


# What was asked of the history -------------------------------------------------------


def found(
    text: str,
    *spans: tuple[int, int],
    sender: str = "bob",
    receiver: str = "alice",
    status: str = "received",
    time: int = NOON,
) -> Found:
    direction = "received" if sender == "bob" else "sent"
    kept = Kept(7, sender, receiver, text, time, direction, status, "id", "host:5555")
    return Found(kept, spans)


def shown(message: Found, columns: int = 80) -> list[Row]:
    return transcript.found(message, columns, UNICODE, user="Alice")


def marked(rows: list[Row]) -> list[str]:
    """Return what stands out."""
    fragments = (fragment for row in rows for fragment in row.fragments)
    return [text for style, text in fragments if style == "class:match"]


def test_a_message_of_the_history_has_its_date_and_what_was_sought_stands_out() -> None:
    rows = shown(found("One two one", (0, 3), (8, 11)))
    assert texts(rows) == ["2026-11-27 12:00 bob  One two one"]
    assert marked(rows) == ["One", "one"]
    assert (transcript.name_style("bob"), "bob") in rows[0].fragments


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_was_sought_stands_out_in_every_line(columns: int) -> None:
    text = "one\ntwo words and\n漢字かな"
    rows = shown(found(text, (0, 3), (4, 7), (8, 13), (20, 22)), columns)
    assert marked(rows) == ["one", "two", "words", "かな"]
    margin = " " * (6 if columns == 40 else 22)
    assert texts(rows) == [
        "2026-11-27 12:00 bob  one",
        f"{margin}two words and",
        f"{margin}漢字かな",
    ]


def test_a_message_of_the_history_that_was_sent_says_to_whom_and_its_state() -> None:
    rows = shown(found("Hi", sender="alice", receiver="bob", status="delivered"))
    assert texts(rows) == ["2026-11-27 12:00 → bob  Hi ✓✓"]
    rows = shown(found("Hi", sender="alice", receiver="bob", status="unknown", time=0))
    assert texts(rows) == ["at some time → bob  Hi"]


def test_a_message_of_the_history_has_no_control_characters() -> None:
    rows = shown(found("\x1b[31mred\x07 red", (5, 8), (10, 13)))
    assert texts(rows) == ["2026-11-27 12:00 bob  \ufffd[31mred\ufffd red"]
    assert marked(rows) == ["red", "red"]
