"""A conversation as it is read: messages, day changes and lines, as rows of text.

Everything here is a function of what is to be shown and of the columns there are; the
styles are names, which `chatd.client.frontends.colours` gives their colours.
"""

import zlib
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from chatd.client.frontends.frontend import Kind, State
from chatd.client.frontends.layout import Folding, Fragment, Row, beginning, cells
from chatd.client.history.search import Found
from chatd.wire.display import neutralise
from chatd.wire.message import Message
from chatd.wire.names import name_key

NAME_COLOURS: Final = 8
"""How many styles there are for names."""

_MARK_COLUMNS: Final = 2
_TIME_COLUMNS: Final = len("14:03 ")
_GAP: Final = "  "
"""Between a name and what was said."""

_STYLES: Final = {
    Kind.MESSAGE: "",
    Kind.ANSWER: "class:answer",
    Kind.NOTICE: "class:notice",
    Kind.ERROR: "class:error",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What is drawn besides text."""

    arrow: str
    line: str
    more: str
    dot: str
    circle: str
    waiting: str
    stored: str
    delivered: str
    refused: str

    def mark(self, state: State) -> Fragment:
        """Return what stands after a message that was sent."""
        return f"class:{state.value}", getattr(self, state.value)


UNICODE: Final = Signs("→", "─", "…", "●", "○", "…", "✓", "✓✓", "✗")
ASCII: Final = Signs("->", "-", "...", "*", "o", "..", "+", "++", "x")


def signs_for(encoding: str) -> Signs:
    """Return what a terminal with an encoding can draw."""
    every = "".join(getattr(UNICODE, each) for each in UNICODE.__slots__)
    try:
        every.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


@lru_cache(maxsize=1024)
def name_style(name: str) -> str:
    """Return the style of somebody's name: always the same, however it is spelt."""
    number = zlib.crc32(name_key(name).encode(errors="replace")) % NAME_COLOURS
    return f"class:name{number}"


def local(milliseconds: int) -> datetime | None:
    """Return a time since 1970 in the local time zone; None if it has no such time."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def local_day(milliseconds: int) -> date | None:
    """Return the day of a time since 1970, here."""
    when = local(milliseconds)
    return None if when is None else when.date()


def received(message: Message, columns: int, *, user: str) -> list[Row]:
    """Return a message that came to a user."""
    own = name_key(message.sender) == name_key(user)
    style = "class:own" if own else name_style(message.sender)
    folding = _begun(message, [(style, message.sender)], columns)
    _add_lines(folding, message.text)
    return folding.rows()


def sent(
    message: Message, mark: Fragment | None, columns: int, signs: Signs
) -> list[Row]:
    """Return a message that was sent, with a mark if there is one.

    It takes as many rows with whatever mark.
    """
    target = name_style(message.target), message.target
    folding = _begun(message, [("class:arrow", signs.arrow), target], columns)
    _add_lines(folding, message.text)
    if mark is not None:
        folding.add("", " ")
        folding.add_whole(*mark, _MARK_COLUMNS)
    return folding.rows()


def delivered_later(
    message: Message, now: int, columns: int, signs: Signs
) -> list[Row]:
    """Return, in one row, that a message shown as stored was delivered now."""
    text = " ".join(message.text.split())
    row = f"{_clock(now)} {message.target} has: {text}"
    return [Row((("class:later", cut(neutralise(row), columns, signs)),))]


def found(message: Found, columns: int, signs: Signs, *, user: str) -> list[Row]:
    """Return a message of the history, with its date; what was sought stands out."""
    kept = message.message
    date = local(kept.time) if kept.time else None
    when = "at some time" if date is None else f"{date:%Y-%m-%d %H:%M}"
    who: list[Fragment] = []
    if name_key(kept.sender) != name_key(user):
        who.append((name_style(kept.sender), kept.sender))
    if name_key(kept.receiver) != name_key(user) or not who:
        target = name_style(kept.receiver), kept.receiver
        who += [("class:arrow", signs.arrow), target]
    width = sum(cells(neutralise(text)) + 1 for _, text in who)
    indent = len(when) + width + len(_GAP)
    if indent > columns // 3:
        indent = columns // 6
    folding = Folding(columns, indent)
    folding.add("class:time", when)
    for style, text in who:
        folding.add(style, f" {text}")
    folding.add("", _GAP)
    begin = 0
    for number, part in enumerate(kept.text.split("\n")):
        if number:
            folding.new_line()
        end = begin + len(part)
        at = begin
        for first, last in message.spans:
            if at <= first < end:
                folding.add("", kept.text[at:first])
                at = min(last, end)
                folding.add("class:match", kept.text[first:at])
        folding.add("", kept.text[at:end])
        begin = end + 1
    if kept.direction == "sent" and kept.status in {each.value for each in State}:
        folding.add("", " ")
        folding.add_whole(*signs.mark(State(kept.status)), _MARK_COLUMNS)
    return folding.rows()


def old(rows: list[Row]) -> list[Row]:
    """Return rows of what has been read."""
    return [
        Row(
            tuple((f"{style} class:old", text) for style, text in row.fragments),
            row.runs_on,
        )
        for row in rows
    ]


def line(kind: Kind, text: str, columns: int) -> list[Row]:
    """Return a line that is no message."""
    folding = Folding(columns)
    folding.add(_STYLES[kind], text)
    return folding.rows()


def typed(prompt: str, text: str, columns: int) -> list[Row]:
    """Return what was typed at a prompt, as it stood there."""
    folding = Folding(columns)
    folding.add("class:ask", prompt)
    first, *others = text.split("\n")
    folding.add("", first)
    for each in others:
        folding.new_line()
        folding.add("", each)
    return folding.rows()


def day(which: date, columns: int, signs: Signs) -> list[Row]:
    """Return the line where a day begins."""
    return rule(f"{which:%A}, {written(which)} {which.year}", columns, signs)


def new_since(
    since: int | None, today: date | None, columns: int, signs: Signs
) -> list[Row]:
    """Return the line between what is old and what came since."""
    when = None if since is None else local(since)
    if when is None:
        text = "new"
    elif when.date() == today:
        text = f"new since {when:%H:%M}"
    else:
        text = f"new since {written(when)}, {when:%H:%M}"
    return rule(text, columns, signs, "class:new")


def written(which: date) -> str:
    """Return a day without its year."""
    return f"{which.day} {which:%B}"


def rule(text: str, columns: int, signs: Signs, style: str = "class:rule") -> list[Row]:
    """Return a text in a line across the columns."""
    left = cut(f"{signs.line * 2} {text} ", columns, signs)
    return [Row(((style, left + signs.line * (columns - cells(left))),))]


def cut(text: str, columns: int, signs: Signs) -> str:
    """Return as much of a line as there is room for."""
    if len(beginning(text, columns)) == len(text):
        return text
    return beginning(text, columns - len(signs.more)) + signs.more


def _clock(milliseconds: int) -> str:
    when = local(milliseconds)
    return "--:--" if when is None else f"{when:%H:%M}"


def _begun(message: Message, who: list[Fragment], columns: int) -> Folding:
    width = sum(cells(neutralise(text)) + 1 for _, text in who)
    indent = _TIME_COLUMNS + width - 1 + len(_GAP)
    if indent > columns // 3:
        # Under a long name, and in a narrow window, there would be too little room.
        indent = min(_TIME_COLUMNS, columns // 6)
    folding = Folding(columns, indent)
    folding.add("class:time", f"{_clock(message.time)}")
    for style, text in who:
        folding.add(style, f" {text}")
    folding.add("", _GAP)
    return folding


def _add_lines(folding: Folding, text: str) -> None:
    first, *others = text.split("\n")
    folding.add("", first)
    for each in others:
        folding.new_line()
        folding.add("", each)
