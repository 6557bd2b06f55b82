"""A program at a terminal of ours: what it shows, cell by cell, and what it leaves.

The terminal is a pseudo-terminal that is the program's controlling one, as a shell's
is; an emulator draws what the program writes.
"""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import pyte
import pytest
from wcwidth import wcwidth

DEADLINE: Final = 60.0

# Runs a command in a session of its own, with its standard input as the terminal.
_TAKE_TERMINAL: Final = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

_normalized = lru_cache(maxsize=None)(partial(unicodedata.normalize, "NFC"))

_MODE: Final = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")


class Emulator(pyte.HistoryScreen):  # type: ignore[misc]
    """A pyte screen that keeps characters of no width with the one before them.

    pyte itself loses those that are not combining marks, with the text after them.
    With `clusters` it draws an emoji of several characters as one, two cells wide, as
    newer terminals do.
    """

    clusters = False
    # Nobody pages back here, which is all that pyte's own is for: it takes a third of
    # the time.
    __getattribute__ = object.__getattribute__

    def draw(self, data: str) -> None:
        if data.isascii():
            super().draw(data)
            return
        for character in data:
            x = self._last()
            before = self.buffer[self.cursor.y][x].data if x >= 0 else ""
            if wcwidth(character) == 0 or (self.clusters and before[-1:] == "\u200d"):
                self._join(x, character)
            else:
                super().draw(character)

    def erase_in_display(self, how: int = 0, *args: Any, **fields: Any) -> None:
        """Keep a screen that is erased from its first cell on, as tmux does."""
        if how == 0 and (self.cursor.x, self.cursor.y) == (0, 0):
            rows = [
                y
                for y, line in self.buffer.items()
                if any(c.data.strip() for c in line.values())
            ]
            for y in range(max(rows, default=-1) + 1):
                kept = type(self.buffer[y])(self.default_char)
                kept.update(self.buffer[y])
                self.history.top.append(kept)
        super().erase_in_display(how, *args, **fields)

    def _last(self) -> int:
        """Return the column of the character before the cursor, -1 for none."""
        x = self.cursor.x - 1
        while x > 0 and self.buffer[self.cursor.y][x].data == "":
            x -= 1
        return int(x)

    def _join(self, x: int, character: str) -> None:
        line = self.buffer[self.cursor.y]
        if x < 0:
            return
        line[x] = line[x]._replace(data=line[x].data + character)
        wide = self.clusters and character == "\ufe0f"
        if wide and x == self.cursor.x - 1 < self.columns - 1:
            line[x + 1] = line[x]._replace(data="")
            self.cursor.x += 1

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Lose lines below the cursor first: pyte always loses the topmost."""
        lines = lines or self.lines
        while self.cursor.y >= lines:
            y = self.cursor.y
            self.cursor.y = self.lines - 1
            self.index()
            self.cursor.y = y - 1
        for y in range(lines, self.lines):
            self.buffer.pop(y, None)
        self.lines = lines
        self.set_margins()
        super().resize(lines, columns)
        self.ensure_hbounds()


class Terminal:
    """A terminal and the program that runs at it.

    `written` is everything that the program wrote, and `attributes_before` what
    ``stty`` would have told before it ran.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        columns: int = 80,
        rows: int = 24,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        controlling: bool = True,
    ) -> None:
        self.columns, self.rows = columns, rows
        self.written = bytearray()
        self.emulator = Emulator(columns, rows, history=100_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.emulator)
        self._master, self._slave = os.openpty()
        self._tell_size()
        self.attributes_before = self.attributes()
        if controlling:
            command = [sys.executable, "-IS", "-c", _TAKE_TERMINAL, *command]
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            cwd=cwd,
            env=os.environ | {"TERM": "xterm-256color"} | dict(env or {}),
            pass_fds=pass_fds,
            start_new_session=not controlling,
        )

    # What goes in ---------------------------------------------------------------

    def type(self, text: str | bytes) -> None:
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    def paste(self, text: str) -> None:
        """Hand over a paste, however long, and read what the program writes."""
        data = memoryview(f"\x1b[200~{text}\x1b[201~".encode())
        os.set_blocking(self._master, False)
        try:
            while data:
                with suppress(BlockingIOError):
                    data = data[os.write(self._master, data) :]
                self._read(0.01 if data else 0)
        finally:
            os.set_blocking(self._master, True)

    def resize(self, columns: int, rows: int | None = None) -> None:
        """Change the size, as somebody with a mouse does; the program gets SIGWINCH."""
        self.columns, self.rows = columns, rows or self.rows
        self.emulator.resize(self.rows, self.columns)
        self._tell_size()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """Close the terminal, as its window does."""
        os.close(self._slave)
        os.close(self._master)
        self._slave = self._master = -1

    # What comes out -------------------------------------------------------------

    def attributes(self) -> list[Any]:
        """Return what ``stty`` tells."""
        return termios.tcgetattr(self._slave)

    def cells(self, y: int) -> list[str]:
        """Return what each cell of a row has; a wide character has an empty one."""
        line = self.emulator.buffer[y]
        return [_normalized(line[x].data) for x in range(self.columns)]

    def screen(self) -> list[list[str]]:
        """Return the cells of all rows."""
        return [self.cells(y) for y in range(self.rows)]

    def colour(self, y: int, x: int = 0) -> str:
        """Return the name of the colour of a cell."""
        return str(self.emulator.buffer[y][x].fg)

    def line(self, y: int) -> str:
        return "".join(self.cells(y)).rstrip()

    def lines(self) -> list[str]:
        """Return all lines, from the oldest that has left the screen to the last."""
        gone = (
            "".join(line[x].data for x in sorted(line)).rstrip()
            for line in self.emulator.history.top
        )
        here = [self.line(y) for y in range(self.rows)]
        while here and not here[-1]:
            here.pop()
        return [*gone, *here]

    @property
    def cursor(self) -> tuple[int, int]:
        """Return the column and row of the cursor."""
        return self.emulator.cursor.x, self.emulator.cursor.y

    def modes(self) -> set[int]:
        """Return which private modes the program has left on (xterm's numbers)."""
        on: set[int] = set()
        for numbers, how in _MODE.findall(bytes(self.written)):
            changed = {int(number) for number in numbers.split(b";")}
            on = on | changed if how == b"h" else on - changed
        return on

    # Waiting --------------------------------------------------------------------

    def wait(self, happened: Callable[[], object], what: str) -> None:
        """Read what the program writes until something has happened."""
        deadline = time.monotonic() + DEADLINE
        while not happened():
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                shown = "\n".join(self.lines()[-self.rows :])
                pytest.fail(f"not within {DEADLINE:.0f} s: {what}; on screen:\n{shown}")

    def expect(self, text: str) -> None:
        """Wait for a text on the screen or above it, in one row or across rows."""
        self.wait(lambda: text in self._all(), repr(text))

    def expect_match(self, pattern: str) -> None:
        """Wait for a text that matches, in one row or across rows."""
        self.wait(lambda: re.search(pattern, self._all()), repr(pattern))

    def expect_prompt(self, text: str) -> None:
        """Wait until a prompt with this half-typed text ends at the cursor.

        Cell by cell; what is above it does not matter, and nothing may be below it but
        a toolbar.
        """
        rows = laid_out_in_prompt(text, self.columns)

        def happened() -> bool:
            end = self.cursor[1] + 1
            screen = self.screen()
            below = ["".join(row).rstrip() for row in screen[end:]]
            toolbar = below[:1] == [""] or "".join(below[:1]).startswith(("●", "○"))
            return (
                screen[max(0, end - len(rows)) : end] == rows
                and (toolbar or not below)
                and not any(below[1:])
            )

        self.wait(happened, f"this prompt: {text}")

    def expect_line(self, text: str) -> None:
        """Wait until the line with the cursor is this."""
        self.wait(lambda: self.line(self.cursor[1]) == text, f"{text!r} at the cursor")

    def expect_cursor(self, x: int, y: int) -> None:
        self.wait(lambda: self.cursor == (x, y), f"the cursor at {x}, {y}")

    def expect_screen(self, wanted: list[list[str]]) -> None:
        """Wait until every cell is as wanted; rows that are not named are empty."""
        empty = [[" "] * self.columns] * (self.rows - len(wanted))
        shown = "\n".join("".join(row).rstrip() for row in wanted)
        self.wait(lambda: self.screen() == wanted + empty, f"this screen:\n{shown}")

    def ended(self) -> int:
        """Wait for the end of the program; return its status."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail("the program does not end")
            self._read(0.01)
        while self._read(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()

    def _all(self) -> str:
        """Return the characters of all cells, from the oldest row to the last."""
        gone = (
            "".join(row[x].data for x in range(self.columns))
            for row in self.emulator.history.top
        )
        return "".join([*gone, *("".join(row) for row in self.screen())])

    def feed(self, data: bytes) -> None:
        """Draw what the program has written."""
        self.written += data
        self._stream.feed(data)

    def read(self, seconds: float) -> bool:
        """Draw what the program writes next; return whether it did in some seconds."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        self.feed(os.read(self._master, 1 << 16))
        return True

    def _read(self, seconds: float) -> bool:
        """Draw what the program writes within some seconds; return whether it did."""
        if not self.read(seconds):
            return False
        # All that there is: whoever waits looks at every cell after each reading.
        while self.read(0):
            pass
        return True

    def _tell_size(self) -> None:
        size = struct.pack("HHHH", self.rows, self.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)


def laid_out(text: str, columns: int) -> list[list[str]]:
    """Return the rows of cells that a text takes from the left margin on."""
    rows: list[list[str]] = [[]]
    for cluster in _clusters(text):
        width = max(map(wcwidth, cluster))
        if len(rows[-1]) + width > columns:
            rows[-1] += [" "] * (columns - len(rows[-1]))
            rows.append([])
        rows[-1] += [unicodedata.normalize("NFC", cluster)] + [""] * (width - 1)
    return [row + [" "] * (columns - len(row)) for row in rows]


def laid_out_in_prompt(text: str, columns: int) -> list[list[str]]:
    """Return the rows of a half-typed line.

    There a character with a mark never ends a row, because prompt_toolkit does not
    draw the mark then.
    """
    rows = [""]
    for cluster in _clusters(text):
        needed = sum(map(wcwidth, cluster)) + (len(cluster) > 1)
        if sum(map(wcwidth, rows[-1])) + needed > columns:
            rows.append("")
        rows[-1] += cluster
    return [row for each in rows for row in laid_out(each, columns)]


def _clusters(text: str) -> list[str]:
    """Return the characters of a text with their marks."""
    found: list[str] = []
    for character in text:
        if wcwidth(character) == 0 and found:
            found[-1] += character
        else:
            found.append(character)
    return found
