"""The front end on a terminal: a conversation, and a prompt at the bottom.

prompt_toolkit edits the line and draws it. It needs an asyncio loop, so this front end
needs Twisted's asyncio reactor, and its loop as the current one.

One prompt lasts as long as the program, and the terminal never leaves raw mode in
between: what was said is written above it.
"""

import asyncio
import atexit
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Final

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.clipboard import Clipboard, InMemoryClipboard
from prompt_toolkit.document import Document
from prompt_toolkit.history import DummyHistory, History
from prompt_toolkit.input import Input
from prompt_toolkit.shortcuts import PromptSession
from twisted.internet.defer import Deferred

from chatd.client.frontends import colours
from chatd.client.frontends.bell import Bell
from chatd.client.frontends.conversation import Conversation
from chatd.client.frontends.drawing import Drawing
from chatd.client.frontends.frontend import Core, Key, Line, Phase, State
from chatd.client.frontends.keys import key_bindings
from chatd.client.frontends.layout import Fragment
from chatd.client.frontends.rows import FullRows
from chatd.client.frontends.standard import Terminal, standard_input, standard_output
from chatd.client.frontends.toolbar import toolbar
from chatd.client.frontends.transcript import cut, signs_for
from chatd.client.history.search import Found
from chatd.wire.display import neutralise
from chatd.wire.message import Message

SECRET_PROMPT: Final = "password> "
"""What stands before what is typed and hidden: nobody is to take it for a message."""

_MOST_OF_FOCUS: Final = 24
"""How many columns those whom lines go to have in the prompt."""


class Screen:
    """Shows a conversation above a prompt, and hands lines typed at it to the core.

    Without an `input` and `output` it uses the standard ones, which have to be a
    terminal; without a `history`, what was typed is remembered until the end. For
    `colour` and `background` see `chatd.client.frontends.colours`; with `bell`
    messages ring it.
    """

    draws_states = True

    def __init__(
        self,
        *,
        colour: str = "auto",
        background: str = "auto",
        bell: bool = False,
        input: Input | None = None,
        output: Terminal | None = None,
        history: History | None = None,
    ) -> None:
        style = colours.style(colours.background(background, os.environ))
        output = output or standard_output(colours.colour_depth(colour))
        self._bell = Bell(output.bell if bell else None, time.monotonic)
        self._signs = signs_for(output.encoding())
        self._conversation = Conversation(self._signs, lambda: self._user)
        self._drawing = Drawing(
            output,
            style,
            self._conversation,
            prompt=self.prompt,
            toolbar=self._toolbar,
            failed=self._fail,
        )
        self._session = PromptSession[str](
            self._drawing.message,
            history=history,
            input=input or standard_input(),
            output=output,
            style=style,
            key_bindings=key_bindings(self),
            input_processors=[FullRows(self.prompt)],
            enable_suspend=True,
        )
        buffer = self._session.default_buffer
        buffer.accept_handler = self._accept
        buffer.on_text_changed += lambda _: self._typing(buffer.text)
        app = self._session.app
        app.terminal_size_polling_interval = None  # SIGWINCH tells
        app.before_render += lambda _: self._decide_what_stays()
        self._drawing.attach(self._session)
        self._core: Core | None = None
        self._seconds: Callable[[], float] = time.monotonic
        # What there was to be seen and brought back before the input was hidden.
        self._visible: tuple[Document, History, Clipboard] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._mode_before: AbstractContextManager[None] | None = None
        self._counting_down: asyncio.TimerHandle | None = None
        self._entering_sent = False
        self._question = ""

    # The front end ------------------------------------------------------------------

    def start(self, core: Core) -> Deferred[None]:
        """Show the prompt; fires when the person has ended, or somebody else has.

        It may be called before the reactor runs. Whatever stops the reactor waits
        until the terminal is as it was.
        """
        from twisted.internet import reactor  # not before main has chosen one

        self._core = core
        self._seconds = reactor.seconds
        self._task = asyncio.get_event_loop().create_task(self._take_lines())
        reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        return Deferred.fromFuture(self._task)

    def show(self, line: Line) -> None:
        """Show a line, above whatever is half typed; at any time."""
        self._conversation.show(line)
        self._drawing.changed()

    def received(self, message: Message, *, queued: bool) -> None:
        """Show a message that came."""
        self._bell.message_came()
        self._conversation.received(message, queued=queued)
        self._drawing.changed()

    def remembered(self, message: Message, state: State | None) -> None:
        """Show a message of an earlier run."""
        self._conversation.remembered(message, state)
        self._drawing.changed()

    def found(self, messages: Sequence[Found]) -> None:
        """Show messages of the history."""
        for each in messages:
            self._conversation.found(each)
        self._drawing.changed()

    def away(self, since: int | None) -> None:
        """Draw a line before the next message, if it was queued."""
        self._conversation.away(since)

    def sent(self, key: Key, message: Message) -> None:
        """Show a message that is to be sent, just above the prompt."""
        self._entering_sent = True
        self._conversation.sent(key, message, self._now)
        self._drawing.changed()

    def became(self, key: Key, state: State) -> None:
        """Show what has become of a message, and move it up."""
        milliseconds = int(time.time() * 1000)
        self._conversation.became(key, state, self._now, milliseconds)
        self._drawing.changed()

    def standing_changed(self) -> None:
        """Show how the connection is, and for how long."""
        if self._core is None:
            return
        if self.core.standing().phase is Phase.CONNECTED:
            self._conversation.connected(self._now)
        else:
            self._conversation.disconnected()
        self._drawing.changed()
        self._count_down()

    def people_changed(self) -> None:
        """Show to whom lines go, and whose messages are unread."""
        self._drawing.changed()  # with the messages that come, not for each of them

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

    def ask(self, question: str) -> None:
        """Show a question below the prompt, or an empty one no longer."""
        self._question = question
        self._session.app.invalidate()

    @property
    def core(self) -> Core:
        """The core; there is one from the start on."""
        assert self._core is not None
        return self._core

    def stop(self) -> None:
        """Take no more lines; the Deferred of `start` fires soon."""
        self._drawing.write(everything=True)
        if self._stopping:
            return
        self._stopping = True
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
            self._drawing.leave()

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
            if self._counting_down is not None:
                self._counting_down.cancel()
            self._drawing.write()

    def _shut_down(self) -> Deferred[None] | None:
        """Restore the terminal before the reactor stops."""
        if self._task is None or self._task.done():
            return None
        self.stop()
        # How it ended is told by the Deferred of `start`.
        return Deferred.fromFuture(self._task).addErrback(lambda _: None)

    def _fail(self, error: Exception) -> None:
        """End: the terminal has gone, or there is a bug."""
        if isinstance(error, OSError):
            if not self._stopping:
                self._stopping = True
                if self._task is not None and self._session.app.is_running:
                    self._task.cancel()
        elif not self._session.app.is_done:
            self._session.app.exit(exception=error)

    # What is typed ------------------------------------------------------------------

    @property
    def _user(self) -> str:
        return self._core.user if self._core else ""

    def prompt(self) -> str:
        """Return what stands before what is typed."""
        if self.input_is_hidden:
            return SECRET_PROMPT
        before = self._user
        if self._core is not None and (focus := self._core.focus()):
            before += f" {self._signs.arrow} {cut(focus, _MOST_OF_FOCUS, self._signs)}"
        return f"{neutralise(before)}> "

    def _typing(self, typed: str) -> None:
        """Tell the core what is half typed, if it is no secret."""
        if self._core is not None and not self.input_is_hidden:
            self._core.typing(typed)

    def _accept(self, buffer: Buffer) -> bool:
        """Take an entered line; return that the prompt has been seen to."""
        line = buffer.text
        if self.input_is_hidden:
            buffer.reset()
            withdraw = None
        else:
            buffer.reset(append_to_history=True)
            entry = self._conversation.typed(self.prompt(), line)
            withdraw = partial(self._conversation.withdraw, entry)
        self._entering_sent = False
        try:
            self.core.enter(line)
        except Exception as error:
            self._fail(error)
        # A message stands there as such.
        if withdraw is not None and self._entering_sent:
            withdraw()
        # All in one go: it is never seen twice.
        self._drawing.write()
        return True

    # What is shown ------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return asyncio.get_event_loop().time()

    def _decide_what_stays(self) -> None:
        """Let what is half typed stay on the screen at the end, but no mere prompt."""
        app, typed = self._session.app, self._session.default_buffer.text
        app.erase_when_done = self.input_is_hidden or not typed
        if app.is_done and not self._conversation.is_connected:
            # Nothing more will become known of what waits.
            self._drawing.write(everything=True)

    def _toolbar(self, columns: int) -> list[Fragment]:
        """Return what is below the prompt."""
        return toolbar(
            self.core.standing(),
            columns,
            self._signs,
            now=self._seconds(),
            waiting=self._conversation.waiting(self._now),
            destination=self._destination(),
            unread=self.core.unread(),
            question=self._question,
        )

    def _destination(self) -> str:
        """Return to whom Enter will send what is typed."""
        if self.input_is_hidden:
            return ""
        return self.core.destination(self._session.default_buffer.text)

    def _count_down(self) -> None:
        """Draw each second how long it is until the next attempt."""
        if self._counting_down is not None:
            self._counting_down.cancel()
            self._counting_down = None
        attempt = self.core.standing().next_attempt
        if attempt is None or self._stopping:
            return
        self._session.app.invalidate()
        # When the number of whole seconds that are left changes.
        left = attempt - self._seconds()
        pause = left % 1 or 1
        if left > 0:
            loop = asyncio.get_event_loop()
            self._counting_down = loop.call_later(pause, self._count_down)
