"""Messages of a history as they are printed: for people, as JSON lines, as CSV."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Final

from chatd.client.history.folding import Span
from chatd.client.history.rows import Kept
from chatd.client.history.times import timestamp
from chatd.wire.display import neutralise

COLUMNS: Final = (
    "time",
    "from",
    "to",
    "text",
    "id",
    "direction",
    "status",
    "server",
)
"""The keys of the JSON objects, and the first line of CSV."""

_NOT_DELIVERED: Final = ("waiting", "stored", "refused")
_NO_TIME: Final = "at an unknown time "  # as wide as a time
_RECORD_END: Final = "\r\n"
_BEGIN_MATCH: Final = "\x1b[7m"  # swaps both colours, whatever they are
_END_MATCH: Final = "\x1b[27m"


def lines(message: Kept, spans: Sequence[Span] = ()) -> Iterator[str]:
    """Return what a person reads of a message, a line for each of its lines.

    What is in `spans` is marked, for terminals. There are no other control characters.
    """
    time = timestamp(message.time) if message.time else _NO_TIME
    state = f" ({message.status})" if message.status in _NOT_DELIVERED else ""
    start = neutralise(f"{time}  {message.sender} -> {message.receiver}{state}: ")
    begin = 0
    for part in message.text.split("\n"):
        end = begin + len(part)
        yield start + _marked(message.text, begin, end, spans)
        begin = end + 1


def json_line(message: Kept) -> str:
    """Return a message as a JSON object. What a terminal would obey is escaped."""
    fields = dict(zip(COLUMNS, _values(message), strict=True))
    written = json.dumps(fields, ensure_ascii=False)
    # Outside of strings there is nothing that needs it.
    return "".join(
        character if character == safe else f"\\u{ord(character):04x}"
        for character, safe in zip(written, neutralise(written), strict=True)
    )


def csv_header() -> str:
    """Return the first line of CSV, with its end."""
    return _csv(COLUMNS)


def csv_record(message: Kept) -> str:
    """Return a message as a record of CSV (RFC 4180), with its end.

    What is unknown is empty. The text is as it was sent.
    """
    return _csv(["" if value is None else value for value in _values(message)])


def for_terminal(record: str) -> str:
    """Return a record of CSV for who reads it on a terminal: nothing is obeyed."""
    lines_of_it = record.removesuffix(_RECORD_END).split("\n")
    return "\n".join(map(neutralise, lines_of_it)) + _RECORD_END


def _values(message: Kept) -> tuple[str | None, ...]:
    """Return what is printed, in the order of `COLUMNS`; None for what is unknown."""
    time = f"{timestamp(message.time).replace(' ', 'T')}Z" if message.time else None
    return (
        time,
        message.sender,
        message.receiver,
        message.text,
        message.id or None,
        message.direction or None,
        message.status or None,
        message.server or None,
    )


def _csv(values: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator=_RECORD_END).writerow(values)
    return written.getvalue()


def _marked(text: str, begin: int, end: int, spans: Sequence[Span]) -> str:
    parts, at = [], begin
    for first, last in spans:
        first, last = max(first, begin), min(last, end)
        if first < last:
            parts += [neutralise(text[at:first]), _BEGIN_MATCH]
            parts += [neutralise(text[first:last]), _END_MATCH]
            at = last
    parts.append(neutralise(text[at:end]))
    return "".join(parts)
