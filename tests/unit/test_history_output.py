"""Messages as they are printed: lines, JSON lines, CSV."""

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.history.printed import (
    COLUMNS,
    csv_header,
    csv_record,
    for_terminal,
    json_line,
    lines,
)
from chatd.client.history.rows import Kept
from chatd.client.history.times import first_moment, last_moment, timestamp
from chatd.wire.display import neutralise

MESSAGE = Kept(
    position=7,
    sender="alice",
    receiver="bob",
    text="Über den Wolken",
    time=1_795_000_000_000,
    direction="sent",
    status="delivered",
    id="id-1",
    server="host:5555",
)
OF_THE_ORIGINAL = replace(MESSAGE, time=0, direction="", status="", id="", server="")
TEXTS = st.text(
    st.sampled_from("a\n\r\t\0\x1b\x7f\x9b\u202e\u2028\",;'\\ é漢🎉"), max_size=20
)


def of(text: str, status: str = "delivered") -> Kept:
    return replace(MESSAGE, text=text, status=status)


@pytest.mark.parametrize("status", ["waiting", "stored", "refused"])
def test_a_line_says_what_was_not_delivered(status: str) -> None:
    assert list(lines(of("Hi", status))) == [
        f"2026-11-18 11:06:40  alice -> bob ({status}): Hi"
    ]


@pytest.mark.parametrize("status", ["delivered", "received", "unknown", ""])
def test_of_others_it_says_nothing(status: str) -> None:
    assert list(lines(of("Hi", status))) == ["2026-11-18 11:06:40  alice -> bob: Hi"]


def test_a_time_that_cannot_be_read_is_none() -> None:
    (line,) = lines(OF_THE_ORIGINAL)
    assert line == "at an unknown time   alice -> bob: Über den Wolken"


def test_each_line_of_a_message_has_its_own_and_words_are_marked_in_each() -> None:
    message = of("one\x1b two\nwords, one\n")
    start = "2026-11-18 11:06:40  alice -> bob: "
    assert list(lines(message, [(0, 3), (5, 14), (16, 19)])) == [
        f"{start}\x1b[7mone\x1b[27m\ufffd \x1b[7mtwo\x1b[27m",
        f"{start}\x1b[7mwords\x1b[27m, \x1b[7mone\x1b[27m",
        start,
    ]


@given(TEXTS)
def test_no_line_has_a_control_character(text: str) -> None:
    for line in lines(replace(of(text), sender=text, status=text)):
        assert line == neutralise(line)


def test_json_has_all_that_is_known() -> None:
    assert json_line(MESSAGE) == (
        '{"time": "2026-11-18T11:06:40Z", "from": "alice", "to": "bob",'
        ' "text": "Über den Wolken", "id": "id-1", "direction": "sent",'
        ' "status": "delivered", "server": "host:5555"}'
    )


def test_what_is_not_known_is_null_in_json_and_empty_in_csv() -> None:
    fields = json.loads(json_line(OF_THE_ORIGINAL))
    assert [key for key in COLUMNS if fields[key] is None] == [
        *("time", "id", "direction", "status", "server")
    ]
    assert csv_record(OF_THE_ORIGINAL) == ",alice,bob,Über den Wolken,,,,\r\n"


@given(TEXTS)
def test_json_is_one_safe_line_and_has_the_text_as_it_was_sent(text: str) -> None:
    line = json_line(of(text))
    assert line == neutralise(line)
    assert json.loads(line)["text"] == text


def test_csv_has_a_header_and_quotes_what_has_to_be() -> None:
    assert csv_header() == "time,from,to,text,id,direction,status,server\r\n"
    assert csv_record(of('a "b", c\nd')) == (
        '2026-11-18T11:06:40Z,alice,bob,"a ""b"", c\nd",id-1,sent,delivered,host:5555'
        "\r\n"
    )


@given(TEXTS)
def test_csv_has_the_text_as_it_was_sent(text: str) -> None:
    written = io.StringIO(csv_header() + csv_record(of(text)), newline="")
    (record,) = csv.DictReader(written)
    assert record["text"] == text


@given(TEXTS)
def test_csv_on_a_terminal_has_nothing_that_is_obeyed(text: str) -> None:
    shown = for_terminal(csv_record(of(text)))
    assert shown.endswith("\r\n")
    for line in shown.split("\n"):
        assert neutralise(line.removesuffix("\r")) == line.removesuffix("\r")
    assert len(shown) == len(csv_record(of(text)))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-22", "2026-11-22 00:00:00", "2026-11-22 23:59:59"),
        ("2026-11-22T18:42", "2026-11-22 18:42:00", "2026-11-22 18:42:00"),
        ("2026-11-22 18:42:53.9", "2026-11-22 18:42:53", "2026-11-22 18:42:53"),
        ("2026-11-22T18:42:53+02:00", "2026-11-22 16:42:53", "2026-11-22 16:42:53"),
        ("2026-11-22T18:42:53Z", "2026-11-22 18:42:53", "2026-11-22 18:42:53"),
    ],
)
def test_a_date_is_a_whole_day(text: str, first: str, last: str) -> None:
    assert timestamp(first_moment(text)) == first
    assert timestamp(last_moment(text)) == last
