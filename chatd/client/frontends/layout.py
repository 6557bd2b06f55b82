"""How text falls into rows of a terminal: words whole, and never over the right edge.

Terminals differ in how wide they draw emoji of several characters. What counts here is
the widest that one of them may draw, so a row can end early and never late.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wcwidth import iter_graphemes, wcwidth
from wcwidth import width as cluster_width

from chatd.wire.display import neutralise

Fragment = tuple[str, str]
"""A style, in prompt_toolkit's terms, and a text in it."""

TAB: Final = 8
"""Every so many columns there is a tab stop, from where a text begins."""

NARROWEST: Final = 10
"""Fewer columns than these are taken for as many."""

_LONGEST_USUAL: Final = 32
"""In characters; a family of emoji has eleven."""

_WORD: Final = re.compile("( +)|([^ ]+)")
_URL: Final = re.compile(r"""[(<\["']*[A-Za-z][A-Za-z0-9+.-]*://[!-~]*""")
_CLOSING: Final = frozenset("、。，．！？：；）」』】〉》ー々っゃゅょッャュョ")  # noqa: RUF001
"""What begins no row, in the scripts that put no spaces between words."""


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in one row.

    One that `runs_on` is full, and the next one goes on with the same URL: written
    with nothing in between, it is the terminal that breaks it, and who copies it gets
    it whole.
    """

    fragments: tuple[Fragment, ...]
    runs_on: bool = False

    @property
    def text(self) -> str:
        """Return the characters."""
        return "".join(text for _, text in self.fragments)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Something that is broken only if it is too wide for a row."""

    text: str
    width: int


def cells(text: str) -> int:
    """Return how many columns a text may take, without tabs."""
    if text.isascii():
        return len(text)
    return sum(map(_widest, iter_graphemes(text)))


def beginning(text: str, columns: int) -> str:
    """Return as much of a text as takes no more columns, without tabs."""
    columns = max(columns, 0)
    if text[: columns + 1].isascii():  # with no mark that joins the last character
        return text[:columns]
    end = width = 0
    for cluster in iter_graphemes(text):
        width += _widest(cluster)
        if width > columns:
            break
        end += len(cluster)
    return text[:end]


class Folding:
    """Rows that are being filled; those after the first begin at an `indent`.

    Only a URL that is too long for a row goes on at the left edge. Anything else there,
    or beside the end of one, could be made to look as if somebody else had said it.
    """

    def __init__(self, columns: int, indent: int = 0) -> None:
        self._columns = max(columns, NARROWEST)
        self._indent = min(indent, self._columns // 2)
        self._rows: list[Row] = []
        self._row: list[Fragment] = []
        self._column = 0
        self._empty = True
        self._margin = 0
        self._spaces = 0
        self._in_url = False
        self._ran_on = False

    def add(self, style: str, text: str) -> None:
        """Add one line's text; spaces where a row breaks are left out."""
        for match in _WORD.finditer(_untabbed(neutralise(text))):
            if match[1]:
                self._spaces += len(match[1])
                self._in_url = False
            else:
                for piece in _pieces(match[2]):
                    self._add_piece(style, piece)

    def add_whole(self, style: str, text: str, width: int) -> None:
        """Add a text that takes, or may come to take, a width; it is never broken."""
        self._make_room(width)
        self._put(style, text, width)

    def new_line(self) -> None:
        """Begin a new row, at the indent."""
        self._in_url = False
        self._end_row()

    def rows(self) -> list[Row]:
        """Return all rows."""
        return [*self._rows, Row(tuple(self._row))]

    def _add_piece(self, style: str, piece: _Piece) -> None:
        goes_on = self._in_url and piece.text.isascii()
        self._in_url = goes_on or _URL.fullmatch(piece.text) is not None
        if goes_on:
            self._run_on(style, piece.text)
            return
        if self._ran_on:
            self._end_row()
        if piece.width <= self._columns - self._indent:
            self._make_room(piece.width)
            self._put(style, piece.text, piece.width)
            return
        # Whatever the row has already, there is little room for more of it.
        self._make_room(self._columns - self._indent)
        if self._in_url:
            self._run_on(style, piece.text)
            return
        for character in _with_marks(piece.text):
            width = cells(character)
            self._make_room(width)
            self._put(style, character, width)

    def _run_on(self, style: str, text: str) -> None:
        """Put a long URL, or what is left of one, into full rows."""
        self._flush_spaces()
        while True:
            room = self._columns - self._column
            part, text = text[:room], text[room:]
            if part:
                self._put(style, part, len(part))
            if not text:
                return
            self._rows.append(Row(tuple(self._row), runs_on=True))
            self._row, self._column = [], 0
            self._ran_on = True

    def _make_room(self, width: int) -> None:
        """Begin a new row unless there is room after the spaces that are due."""
        if self._column + self._spaces + width <= self._columns:
            return
        if self._empty:  # a new row would have no more room
            self._spaces = self._margin
        else:
            self._end_row()

    def _put(self, style: str, text: str, width: int) -> None:
        self._flush_spaces()
        self._append(style, text, width)
        self._empty = False

    def _flush_spaces(self) -> None:
        if self._spaces:
            self._append("", " " * self._spaces, self._spaces)
            self._spaces = 0

    def _append(self, style: str, text: str, width: int) -> None:
        if self._row and self._row[-1][0] == style:
            self._row[-1] = (style, self._row[-1][1] + text)
        else:
            self._row.append((style, text))
        self._column += width

    def _end_row(self) -> None:
        self._rows.append(Row(tuple(self._row)))
        self._margin = self._indent
        self._row, self._column, self._spaces = [], 0, self._indent
        self._empty = True
        self._ran_on = False


def _untabbed(text: str) -> str:
    if "\t" not in text:
        return text
    *others, last = text.split("\t")  # each but the first begins at a tab stop
    return "".join(f"{each}{' ' * (TAB - cells(each) % TAB)}" for each in others) + last


def _pieces(word: str) -> Iterator[_Piece]:
    """Cut a word where it may be broken: beside wide characters."""
    if word.isascii():
        yield _Piece(word, len(word))
        return
    text, width, wide = "", 0, False
    for cluster in iter_graphemes(word):
        its = _widest(cluster)
        if text and (wide or its > 1) and cluster[0] not in _CLOSING:
            yield _Piece(text, width)
            text, width = "", 0
        text, width, wide = text + cluster, width + its, its > 1
    yield _Piece(text, width)


def _with_marks(text: str) -> Iterator[str]:
    """Cut a text into characters, each with what has no width after it."""
    found = ""
    for character in text:
        if found and wcwidth(character) > 0:
            yield found
            found = ""
        found += character
    yield found


def _widest(cluster: str) -> int:
    # Long ones are somebody's mischief, and would fill the memory.
    return _usual(cluster) if len(cluster) <= _LONGEST_USUAL else _cells(cluster)


@lru_cache(maxsize=4096)
def _usual(cluster: str) -> int:
    return _cells(cluster)


def _cells(cluster: str) -> int:
    return max(sum(max(wcwidth(each), 0) for each in cluster), cluster_width(cluster))
