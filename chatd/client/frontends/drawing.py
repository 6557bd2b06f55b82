"""Draws a conversation on a terminal: what is written above the prompt, and the prompt.

What is written for good is written by taking the prompt off the screen, writing, and
drawing the prompt anew, all in one go; neither can disturb the other.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.filters import Condition, is_done
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.containers import (
    ConditionalContainer,
    HSplit,
    VerticalAlign,
    Window,
)
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import PromptSession
from prompt_toolkit.styles import BaseStyle

from chatd.client.frontends.conversation import Conversation
from chatd.client.frontends.layout import Fragment, Row
from chatd.client.frontends.rows import fill_rows
from chatd.client.frontends.standard import Terminal

_PAUSE: Final = 0.02
"""Seconds between two times that something is written: what comes meanwhile, as one."""

_MOST_UNSETTLED: Final = 6
"""In how many rows messages are shown, at most, whose fate is not known."""

_FEWEST_ROWS: Final = 4
"""With fewer there is nothing but the prompt."""


class Drawing:
    """Draws on an output.

    `prompt` returns what stands before what is typed, and `toolbar` what is in the row
    below, for so many columns; `failed` is told of errors while a person is typing: an
    `OSError` says that the terminal has gone.
    """

    def __init__(
        self,
        output: Terminal,
        style: BaseStyle,
        conversation: Conversation,
        *,
        prompt: Callable[[], str],
        toolbar: Callable[[int], list[Fragment]],
        failed: Callable[[Exception], None],
    ) -> None:
        self._output = output
        self._style = style
        self._conversation = conversation
        self._prompt = prompt
        self._toolbar = toolbar
        self._failed = failed
        self._app: Application[str]
        self._typed: Callable[[], str]
        self._unsettled: list[Row] = []
        self._next: asyncio.TimerHandle | None = None
        self._last = float("-inf")

    def attach(self, session: PromptSession[str]) -> None:
        """Draw this session, and what is below its prompt."""
        buffer = session.default_buffer
        self._app = session.app
        self._typed = lambda: buffer.text
        session.app.before_render += lambda _: self._begin()
        session.app.after_render += lambda _: self._end()
        layout = session.layout.container
        assert isinstance(layout, HSplit)
        # By itself, what is typed would take all the rows that there were before.
        layout.align = VerticalAlign.TOP
        session.layout.current_window.dont_extend_height = Condition(lambda: True)
        layout.children.append(
            ConditionalContainer(
                Window(
                    FormattedTextControl(self._below),
                    height=1,
                ),
                filter=~is_done & Condition(lambda: self._has_room),
            )
        )

    def message(self) -> StyleAndTextTuples:
        """Return what is above what is typed, and before it, as one text."""
        columns = self._output.get_size().columns
        shown: StyleAndTextTuples = []
        for row in self._unsettled:
            shown += [*row.fragments, ("", "\n")]
        return [*shown, ("class:ask", fill_rows(self._prompt(), columns).text)]

    def _below(self) -> StyleAndTextTuples:
        return [*self._toolbar(self._output.get_size().columns - 1)]

    def changed(self) -> None:
        """Write what there is to be written: now, or with more in a moment."""
        if not self._app.is_running:
            self.write()
        elif self._next is None or self._next.when() > self._soonest:
            self._write_at(self._soonest)

    def write(self, *, everything: bool = False) -> None:
        """Write what there is, above the prompt if there is one.

        That is what is settled, or `everything`.
        """
        if self._next is not None:
            self._next.cancel()
            self._next = None
        typing = self._app.is_running and self._app.context is not None
        if not typing:
            self._output.held = False  # nobody else ends what was begun
        try:
            columns = self._output.get_size().columns
            # With no prompt there is nowhere to wait.
            now = self._now if typing else math.inf
            if everything:
                rows = self._conversation.all(columns)
            else:
                rows = self._conversation.settled(now, columns)
            if typing:
                self._write_above(rows)
            elif rows:
                print_formatted_text(self._output, _printed(rows), self._style)
        except Exception as error:
            if not (self._app.is_running or isinstance(error, OSError)):
                raise
            self._failed(error)
            return
        if typing:
            # What changes after that look, even if that is in the past by now.
            later = self._conversation.next_change(now)
            if later is not None:
                self._write_at(later)

    def erase(self) -> None:
        """Take the prompt off the screen, and leave the cursor where it began."""
        # The renderer goes left by as many columns as it thinks it went right.
        self._output.write_raw("\r")
        self._app.renderer.erase()

    def leave(self) -> None:
        """Leave what is on the screen, and the cursor below it."""
        self._output.held = False
        self._app.renderer.reset()
        print_formatted_text(self._output, [("", "\n")], self._style)
        self._output.erase_down()
        self._output.flush()

    # Inside -------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return asyncio.get_event_loop().time()

    @property
    def _soonest(self) -> float:
        return max(self._now, self._last + _PAUSE)

    @property
    def _has_room(self) -> bool:
        """Whether there is room for more than what is typed."""
        size = self._output.get_size()
        needed = sum(
            len(fill_rows(line, size.columns).text) // max(size.columns, 1) + 1
            for line in (self._prompt() + self._typed()).split("\n")
        )
        return size.rows - needed >= _FEWEST_ROWS - 1

    def _write_at(self, when: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = asyncio.get_event_loop().call_at(when, self.write)

    def _write_above(self, rows: list[Row]) -> None:
        if not rows:
            self._app.invalidate()
            return
        app = self._app
        with self._output.in_one_go():
            self.erase()
            print_formatted_text(self._output, _printed(rows), self._style)
            if not app.is_done:
                self._prepare()
                app.render_counter += 1  # or it would draw what it drew last
                assert app.context is not None
                app.context.copy().run(app.renderer.render, app, app.layout)
        self._last = self._now

    def _begin(self) -> None:
        """Do what has to be done before prompt_toolkit draws the prompt by itself."""
        self._output.held = True
        self._prepare()
        # Terminals differ in how wide they draw emoji of several characters, and some
        # others. Drawn anew from the left, a line never goes wrong by more than once.
        others = "".join(row.text for row in self._unsettled)
        if not (self._prompt() + self._typed() + others).isascii():
            self.erase()

    def _end(self) -> None:
        self._output.held = False
        self._output.flush()

    def _prepare(self) -> None:
        """Lay out what is drawn above the prompt and is not written for good."""
        if self._app.is_done or not self._has_room:
            self._unsettled = []
            return
        columns, rows = self._output.get_size().columns, self._output.get_size().rows
        most = max(min(rows // 4, _MOST_UNSETTLED), 1)
        self._unsettled = self._conversation.unsettled(self._now, columns, most)


def _printed(rows: list[Row]) -> StyleAndTextTuples:
    """Return rows as they are written, one under another."""
    shown: StyleAndTextTuples = []
    for row in rows:
        shown += row.fragments
        if not row.runs_on:
            shown.append(("", "\n"))
    return shown
