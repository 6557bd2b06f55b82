"""What is shown: messages, and lines of each kind without control characters."""

from collections.abc import Sequence

from chatd.client.frontends.frontend import FrontEnd, Key, Kind, Line, State
from chatd.client.history.search import Found
from chatd.wire.display import neutralise
from chatd.wire.message import Message


class Output:
    """Shows lines; `failed` once one of them, or the lack of a reader, is a failure.

    The exit status tells of that: some line that was typed had no effect.
    """

    def __init__(self, front_end: FrontEnd, *, interactive: bool) -> None:
        self.failed = False
        self._front_end = front_end
        self._interactive = interactive

    def received(self, message: Message, *, queued: bool) -> None:
        """Show a message that came."""
        self._front_end.received(message, queued=queued)

    def found(self, messages: Sequence[Found]) -> None:
        """Show messages of the history that were asked for."""
        self._front_end.found(messages)

    def sent(self, key: Key, message: Message) -> None:
        """Show a message that is to be sent."""
        self._front_end.sent(key, message)

    def became(self, key: Key, state: State) -> None:
        """Show what has become of a message that was sent."""
        self._front_end.became(key, state)

    def answer(self, line: str) -> None:
        """Answer what was typed."""
        self._show(Kind.ANSWER, line)

    def notice(self, line: str) -> None:
        """Tell about the connection, or what the server tells people."""
        self._show(Kind.NOTICE, line)

    def error(self, line: str) -> None:
        """Show an error that has a status of its own, or none."""
        self._show(Kind.ERROR, line)

    def fail(self, line: str, number: int = 0) -> None:
        """Show an error; with the number of its line, where nobody has typed it."""
        self.failed = True
        where = f"line {number}: " if number and not self._interactive else ""
        self.error(where + line)

    def hide_input(self, hidden: bool) -> None:
        """Show nothing of what is typed, or show it again."""
        self._front_end.hide_input(hidden)

    def lost(self) -> None:
        """Take note that nothing can be shown any more."""
        self.failed = True

    def _show(self, kind: Kind, line: str) -> None:
        self._front_end.show(Line(kind, neutralise(line)))
