"""The keys of the prompt that are the client's own; the rest are prompt_toolkit's."""

from typing import Final, Protocol

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from chatd.client.completion import complete
from chatd.client.frontend import Core, Kind, Line

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


def key_bindings(owner: Owner) -> KeyBindings:
    """Return the keys of a prompt."""
    bindings = KeyBindings()
    hidden = Condition(lambda: owner.input_is_hidden)

    @bindings.add("tab", filter=hidden)
    # What is sought is shown.
    @bindings.add("c-r", filter=hidden)
    @bindings.add("c-s", filter=hidden)
    def do_nothing(event: KeyPressEvent) -> None:
        pass

    @bindings.add("tab", filter=~hidden)
    def complete_word(event: KeyPressEvent) -> None:
        _complete(event, owner)

    return bindings


def _complete(event: KeyPressEvent, owner: Owner) -> None:
    """Complete the word before the cursor, or list what it can become."""
    document = event.current_buffer.document
    names, commands = owner.core.completions()
    found = complete(
        document.text_before_cursor, document.text_after_cursor, names, commands
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
