"""The terminal that a process has got, as prompt_toolkit's input and output."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output


class _Reader(PosixStdinReader):
    """Notices that a terminal has gone, which is no end of file."""

    def read(self, count: int = 1024) -> str:
        """Return what was typed."""
        text = super().read(count)
        if not text:
            # Without this, prompt_toolkit would try to read again and again.
            poll = select.poll()
            poll.register(self.stdin_fd, 0)
            self.closed = self.closed or bool(poll.poll(0))
        return text


def standard_input() -> Vt100Input:
    """Return the keyboard."""
    found = Vt100Input(sys.stdin)
    found.stdin_reader = _Reader(sys.stdin.fileno(), encoding=sys.stdin.encoding)
    return found


class Terminal(Vt100_Output):
    """A terminal that can be written to in one go: nothing half drawn is seen."""

    held = False
    """Whether what is flushed waits for the end of what is being drawn."""

    def flush(self) -> None:
        """Write what was gathered, unless it is held."""
        if not self.held:
            super().flush()

    def erase_down(self) -> None:
        """Erase from the cursor, at the left margin, to the end of the screen.

        That may be all of it: tmux would take that for ``clear``, and keep what was
        there above.
        """
        self.erase_end_of_line()
        self.write_raw("\x1b7\x1b[B\x1b[J\x1b8")  # the rest, from the next row on

    @contextmanager
    def in_one_go(self) -> Iterator[None]:
        """Hold what is flushed until the end."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
            self.flush()


def standard_output(depth: ColorDepth | None = None) -> Terminal:
    """Return the terminal, with so many colours if not with its own.

    It is not asked where its cursor is, as only menus below the prompt would need.
    Some terminals never answer, and an answer may come after the end, to the shell.
    """
    found = Terminal.from_pty(
        sys.stdout, term=os.environ.get("TERM"), default_color_depth=depth
    )
    assert isinstance(found, Terminal)
    found.enable_cpr = False
    return found
