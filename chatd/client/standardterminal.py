"""The terminal that a process has got, as prompt_toolkit's input and output."""

import os
import select
import sys

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


def standard_output() -> Vt100_Output:
    """Return the terminal.

    It is not asked where its cursor is, as only menus below the prompt would need.
    Some terminals never answer, and an answer may come after the end, to the shell.
    """
    found = Vt100_Output.from_pty(
        sys.stdout,
        term=os.environ.get("TERM"),
        default_color_depth=ColorDepth.from_env(),
    )
    found.enable_cpr = False
    return found
