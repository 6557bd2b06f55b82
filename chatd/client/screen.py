"""The front end on a terminal: a prompt at the bottom, and what is shown above it.

prompt_toolkit edits the line and draws it. It needs an asyncio loop, so this front end
needs Twisted's asyncio reactor, and its loop as the current one.

One prompt lasts as long as the program: an entered line is written above it like every
other line, and the terminal never leaves raw mode in between. What is shown is written
by taking the half-typed line off the screen, writing, and drawing it anew, all in one
go; neither can disturb the other.
"""

import asyncio
import atexit
import signal
from contextlib import AbstractContextManager, suppress
from typing import Final

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import Clipboard, InMemoryClipboard
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import DummyHistory, History
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import PromptSession
from prompt_toolkit.styles import Style
from twisted.internet.defer import Deferred

from chatd.client.frontend import Core, Key, Kind, Line, State
from chatd.client.keys import key_bindings
from chatd.client.rows import FullRows, fill_rows
from chatd.client.standardterminal import standard_input, standard_output
from chatd.wire import text
from chatd.wire.display import neutralise
from chatd.wire.message import Message

_STYLE: Final = Style.from_dict(
    {
        "answer": "ansicyan",
        "notice": "ansimagenta",
        "error": "ansired",
    }
)
_CLASSES: Final = {
    Kind.MESSAGE: "",
    Kind.ANSWER: "class:answer",
    Kind.NOTICE: "class:notice",
    Kind.ERROR: "class:error",
}

_PAUSE: Final = 0.02
"""Seconds between two times that lines are written: what comes meanwhile, as one."""


_MOST_OF_FOCUS: Final = 24
"""How many characters of those whom lines go to stand in the prompt."""


class Screen:
    """Shows lines above a prompt, and hands those typed at it to the core.

    Without an `input` and `output` it uses the standard ones, which have to be a
    terminal; without a `history`, what was typed is remembered until the end.
    """

    draws_states = False

    def __init__(
        self,
        *,
        input: Input | None = None,
        output: Output | None = None,
        history: History | None = None,
    ) -> None:
        self._output = output or standard_output()
        self._session = PromptSession[str](
            lambda: fill_rows(self.prompt(), self._output.get_size().columns).text,
            history=history,
            input=input or standard_input(),
            output=self._output,
            key_bindings=key_bindings(self),
            input_processors=[FullRows(self.prompt)],
            enable_suspend=True,
        )
        buffer = self._session.default_buffer
        buffer.accept_handler = self._accept
        buffer.on_text_changed += lambda _: self._typing(buffer.text)
        utf8 = self._output.encoding().lower().replace("-", "") == "utf8"
        self._arrow = "\u2192" if utf8 else "->"
        app = self._session.app
        app.terminal_size_polling_interval = None  # SIGWINCH tells
        app.before_render += lambda _: self._prepare_drawing()
        self._core: Core | None = None
        # What there was to be seen and brought back before the input was hidden.
        self._visible: tuple[Document, History, Clipboard] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._mode_before: AbstractContextManager[None] | None = None
        self._waiting: StyleAndTextTuples = []
        self._next_writing: asyncio.TimerHandle | None = None
        self._last_writing = float("-inf")

    # The front end ------------------------------------------------------------------

    def start(self, core: Core) -> Deferred[None]:
        """Show the prompt; fires when the person has ended, or somebody else has.

        It may be called before the reactor runs. Whatever stops the reactor waits
        until the terminal is as it was.
        """
        from twisted.internet import reactor  # not before main has chosen one

        self._core = core
        self._task = asyncio.get_event_loop().create_task(self._take_lines())
        reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        return Deferred.fromFuture(self._task)

    def show(self, line: Line) -> None:
        """Show a line, above whatever is half typed; at any time."""
        self._write(_CLASSES[line.kind], neutralise(line.text))

    def received(self, message: Message, *, queued: bool) -> None:
        """Show a message that came."""
        for line in text.message_lines(message, queued=queued):
            self._write(_CLASSES[Kind.MESSAGE], neutralise(line))

    def sent(self, key: Key, message: Message) -> None:
        """Show nothing: what was typed has moved up."""

    def became(self, key: Key, state: State) -> None:
        """Show nothing: the core says it in lines."""

    def standing_changed(self) -> None:
        """Show to whom lines go; lines tell of the connection."""
        self._session.app.invalidate()

    def hide_input(self, hidden: bool) -> None:
        """Show asterisks for what is typed, or show it again.

        What is half typed waits until then. A secret leaves nothing behind that could
        be brought back: neither in the history nor among what was cut.
        """
        if hidden == self.input_is_hidden:
            return
        session, buffer = self._session, self._session.default_buffer
        now = (buffer.document, buffer.history, session.clipboard)
        nothing = (Document(), DummyHistory(), InMemoryClipboard())
        document, buffer.history, session.clipboard = self._visible or nothing
        self._visible = now if hidden else None
        session.is_password = self.input_is_hidden
        # Somebody may be searching: what is sought would be seen.
        session.app.layout.search_links.clear()
        session.app.layout.focus(buffer)
        buffer.reset(document)
        session.app.invalidate()

    @property
    def input_is_hidden(self) -> bool:
        """Whether what is typed is a secret."""
        return self._visible is not None

    @property
    def core(self) -> Core:
        """The core; there is one from the start on."""
        assert self._core is not None
        return self._core

    def stop(self) -> None:
        """Take no more lines; the Deferred of `start` fires soon."""
        if self._stopping:
            return
        self._stopping = True
        self._write_waiting()
        # Before it has begun there is nothing to interrupt: it looks first.
        if self._task is not None and self._session.app.is_running:
            self._task.cancel()

    def rescue(self) -> None:
        """Restore the terminal at once.

        For an end that lets nothing come to its own: when the loop was left by an
        exception, or before `os._exit`. May be called in a signal handler.
        """
        if self._mode_before is None:
            return
        self._mode_before.__exit__(None, None, None)
        with suppress(OSError, RuntimeError):  # it may be in the middle of writing
            self._session.app.renderer.reset()
            print_formatted_text(self._output, "\n", _STYLE)

    # Beginning and end --------------------------------------------------------------

    async def _take_lines(self) -> None:
        """Let the person type until the end, whatever kind of end it is."""
        app = self._session.app
        loop = asyncio.get_running_loop()
        # Who wants to handle it does. By default it would end the program at once.
        default_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        if default_hangup:
            signal.signal(
                signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self.stop)
            )
        self._mode_before = app.input.raw_mode()  # remembers how the terminal is
        atexit.register(self.rescue)
        try:
            if not self._stopping:
                await self._session.prompt_async(
                    handle_sigint=False,  # it is Twisted's, and stops the reactor
                    set_exception_handler=False,  # it would wait for a key
                )
        except (KeyboardInterrupt, EOFError, asyncio.CancelledError):
            pass  # Ctrl-C, Ctrl-D, and `stop`
        except OSError:
            pass  # the terminal has gone
        finally:
            self._stopping = True
            self._mode_before = None
            atexit.unregister(self.rescue)
            if default_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_DFL)
            self._write_waiting()

    def _shut_down(self) -> Deferred[None] | None:
        """Restore the terminal before the reactor stops."""
        if self._task is None or self._task.done():
            return None
        self.stop()
        # How it ended is told by the Deferred of `start`.
        return Deferred.fromFuture(self._task).addErrback(lambda _: None)

    def _fail(self, error: Exception) -> None:
        """End because of a bug."""
        if not self._session.app.is_done:
            self._session.app.exit(exception=error)

    # What is typed ------------------------------------------------------------------

    def prompt(self) -> str:
        """Return what stands before what is typed."""
        if self._core is None:
            return "> "
        focus = self._core.focus()
        whom = f" {self._arrow} {_shortened(focus)}" if focus else ""
        return f"{neutralise(self._core.user)}{neutralise(whom)}> "

    def _typing(self, typed: str) -> None:
        """Tell the core what is half typed, if it is no secret."""
        if self._core is not None and not self.input_is_hidden:
            self._core.typing(typed)

    def _accept(self, buffer: Buffer) -> bool:
        """Take an entered line; return that the prompt has been seen to."""
        line = buffer.text
        if self.input_is_hidden:
            buffer.reset()
        else:
            self._move_up(buffer)
        try:
            self.core.enter(line)
        except Exception as error:
            self._fail(error)
        return True

    def _move_up(self, buffer: Buffer) -> None:
        """Write an entered line above the prompt, in one go: it never is seen twice."""
        line = buffer.text
        buffer.reset(append_to_history=True)
        # A line that was pasted can have several.
        for part in (self.prompt() + line).split("\n"):
            self._write("", neutralise(part))
        self._write_waiting()

    # What is shown ------------------------------------------------------------------

    def _write(self, style: str, line: str) -> None:
        """Write a line now, or with others in a moment."""
        self._waiting += [(style, line), ("", "\n")]
        if not self._session.app.is_running:
            self._write_waiting()
        elif self._next_writing is None:
            loop = asyncio.get_event_loop()
            when = max(loop.time(), self._last_writing + _PAUSE)
            self._next_writing = loop.call_at(when, self._write_waiting)

    def _write_waiting(self) -> None:
        """Write the lines that wait, above the prompt if there is one."""
        if self._next_writing is not None:
            self._next_writing.cancel()
            self._next_writing = None
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        app = self._session.app
        try:
            if app.is_running and app.context is not None:
                self._erase_prompt()
                print_formatted_text(self._output, lines, _STYLE)
                app.context.copy().run(app.renderer.render, app, app.layout)
                self._last_writing = asyncio.get_event_loop().time()
            else:
                print_formatted_text(self._output, lines, _STYLE)
        except OSError:  # the terminal has gone
            self.stop()
        except Exception as error:
            if not app.is_running:
                raise
            self._fail(error)

    def _prepare_drawing(self) -> None:
        """Do what has to be done before prompt_toolkit draws the prompt by itself."""
        typed = self._session.default_buffer.text
        # What is half typed stays on the screen at the end; a prompt alone does not.
        self._session.app.erase_when_done = self.input_is_hidden or not typed
        # Terminals differ in how wide they draw emoji of several characters, and some
        # others. Drawn anew from the left, a line never goes wrong by more than once.
        if not (self.prompt() + typed).isascii():
            self._erase_prompt()

    def _erase_prompt(self) -> None:
        """Take the prompt off the screen, and leave the cursor where it began."""
        # The renderer goes left by as many columns as it thinks it went right.
        self._output.write_raw("\r")
        self._session.app.renderer.erase()


def _shortened(names: str) -> str:
    if len(names) <= _MOST_OF_FOCUS:
        return names
    return f"{names[: _MOST_OF_FOCUS - 3]}..."
