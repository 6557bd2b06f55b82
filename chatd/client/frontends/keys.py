"""The keys of the prompt that are the client's own; the rest are prompt_toolkit's."""

import asyncio
from typing import Final, Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from chatd.client.frontends.completion import complete
from chatd.client.frontends.frontend import Core, Kind, Line

MOST_LINES: Final = 3
"""How many lines may be pasted without a question."""

_MOST_CHOICES: Final = 50
"""How many names Tab lists."""


class Owner(Protocol):
    """At whose prompt the keys are pressed."""

    @property
    def core(self) -> Core:
        """The core; no key is pressed before there is one."""

    @property
    def input_is_hidden(self) -> bool:
        """Whether what is typed is a secret."""

    def show(self, line: Line) -> None:
        """Show a line above the prompt."""

    def ask(self, question: str) -> None:
        """Show a question below the prompt, or an empty one no longer."""


def key_bindings(owner: Owner) -> KeyBindings:
    """Return the keys of a prompt."""
    bindings = KeyBindings()
    hidden = Condition(lambda: owner.input_is_hidden)
    pastes = _Pastes(owner)
    asked = Condition(lambda: pastes.asked)

    @bindings.add("tab", filter=hidden)
    # What is sought is shown.
    @bindings.add("c-r", filter=hidden)
    @bindings.add("c-s", filter=hidden)
    @bindings.add("escape", "enter", filter=hidden)
    def do_nothing(event: KeyPressEvent) -> None:
        pass

    @bindings.add("tab", filter=~hidden)
    def complete_word(event: KeyPressEvent) -> None:
        _complete(event, owner)

    @bindings.add("escape", "enter", filter=~hidden)
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add(Keys.BracketedPaste)
    @bindings.add(Keys.BracketedPaste, filter=asked, eager=True)
    def paste(event: KeyPressEvent) -> None:
        pastes.take(event.data, event.current_buffer)

    @bindings.add("y", filter=asked, eager=True)
    @bindings.add("Y", filter=asked, eager=True)
    def accept_paste(event: KeyPressEvent) -> None:
        pastes.accept(event.current_buffer)

    @bindings.add(Keys.Any, filter=asked, eager=True)
    def drop_paste(event: KeyPressEvent) -> None:
        pastes.drop()

    return bindings


class _Pastes:
    """What is pasted: put into the line, or asked about first, and never sent."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._waiting: str | None = None
        self._dropping = False

    @property
    def asked(self) -> bool:
        """Whether the next key answers a question."""
        if self._waiting is not None and self._owner.input_is_hidden:
            self._forget()  # something else was asked since
        return self._waiting is not None or self._dropping

    def take(self, data: str, buffer: Buffer) -> None:
        """Take a paste, in place of one that waits."""
        # Whoever copies whole lines means them without the end of the last one.
        text = data.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
        lines = text.count("\n") + 1
        size = len(text.encode(errors="surrogateescape"))
        self._forget()
        if len(buffer.text) + size > self._owner.core.longest():
            # Nor could it be edited: each key would have to draw all of it.
            self._owner.show(
                Line(
                    Kind.ERROR,
                    f"A paste of {size:,} bytes is too long for a message: dropped.",
                )
            )
        elif lines > MOST_LINES and not self._owner.input_is_hidden:
            self._waiting = text
            self._owner.ask(f"Paste {lines} lines? y: yes, other keys: no")
        else:
            buffer.insert_text(text)

    def accept(self, buffer: Buffer) -> None:
        """Put what waits into the line."""
        text = self._waiting
        self._forget()
        if text is not None:
            buffer.insert_text(text)

    def drop(self) -> None:
        """Forget what waits, and ignore the rest of the key that said so.

        Some keys are more than one: Alt-Enter is Escape and Enter, which would send.
        """
        self._forget()
        if not self._dropping:
            self._dropping = True
            asyncio.get_event_loop().call_soon(self._dropped)

    def _dropped(self) -> None:
        self._dropping = False

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting = None
            self._owner.ask("")


def _complete(event: KeyPressEvent, owner: Owner) -> None:
    """Complete the word before the cursor, or list what it can become."""
    document = event.current_buffer.document
    found = complete(
        document.text_before_cursor,
        document.text_after_cursor,
        owner.core.completions(),
    )
    if found is None:
        return
    if found.choices:
        listed = ", ".join(found.choices[:_MOST_CHOICES])
        more = len(found.choices) - _MOST_CHOICES
        hint = f" ... and {more} more" if more > 0 else ""
        owner.show(Line(Kind.ANSWER, listed + hint))
    else:
        event.current_buffer.delete_before_cursor(found.length)
        event.current_buffer.insert_text(found.text)
