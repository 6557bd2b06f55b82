"""What is typed: messages and commands.

What cannot be sent is refused here, in the words of the server.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from chatd.client.connection import events
from chatd.client.connection.events import Hello
from chatd.client.frontends.frontend import MAX_TYPED
from chatd.client.talk import commanding
from chatd.client.talk.commanding import Commands
from chatd.client.talk.destination import LONGEST_ADDRESS, Impossible
from chatd.client.talk.lookups import Lookups
from chatd.client.talk.output import Output
from chatd.client.talk.people import People
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.message import Message, new_id

MAX_LINE: Final = 131_072
MAX_MESSAGE: Final = 12_288
"""Limits of a server that does not tell its own."""


class Owner(commanding.Owner, Protocol):
    """Who does what was typed."""

    @property
    def user(self) -> str:
        """The sender."""

    def send(self, messages: Sequence[Message], number: int) -> None:
        """Send a text to each of its targets; `number` is that of the line."""


class Input:
    """Takes one line after another, and counts them."""

    def __init__(
        self,
        output: Output,
        people: People,
        lookups: Lookups,
        owner: Owner,
        now: Callable[[], float],
        *,
        interactive: bool,
    ) -> None:
        self._output = output
        self._people = people
        self._commands = Commands(
            output, people, lookups, owner, interactive=interactive
        )
        self._owner = owner
        self._now = now
        self._number = 0
        self._max_line = MAX_LINE
        self._max_message = MAX_MESSAGE

    def connected(self, hello: Hello) -> None:
        """Heed the limits of this server."""
        self._max_line = hello.max_line or MAX_LINE
        self._max_message = hello.max_message or MAX_MESSAGE

    def take(self, line: str) -> None:
        """Do what a line says, or show why that cannot be done."""
        self._number += 1
        number = self._number  # what is sent may let the next line in at once
        try:
            self._check(line)
            parsed = self._people.route(line, self._max_message)
            if isinstance(parsed, text.Send):
                self._send(parsed, number)
            elif parsed is not None:
                self._commands.obey(parsed)
        except Refusal as refusal:
            self._output.fail(refusal.text, number)
        except Impossible as impossible:
            self._output.fail(str(impossible), number)
        self._people.entered(line)

    @property
    def longest(self) -> int:
        """How many bytes a line may have, roughly: no longer one can be sent."""
        return self._max_message + LONGEST_ADDRESS

    def _check(self, line: str) -> None:
        size = len(line.encode(errors="surrogateescape"))
        if size > MAX_TYPED:
            raise Refusal("too-long", limit=self._max_line)
        try:
            line.encode()
        except UnicodeEncodeError:
            raise Refusal("not-utf8") from None

    def _send(self, parsed: text.Send, number: int) -> None:
        targets = [each.shown for each in parsed.targets]
        message_id = new_id()
        request = events.send(targets, parsed.text, message_id)
        if len(request.encode()) > self._max_line:
            raise Refusal("too-long", limit=self._max_line)
        now = int(self._now() * 1000)
        messages = [
            Message(0, message_id, self._owner.user, target, parsed.text, now, 0)
            for target in targets
        ]
        self._owner.send(messages, number)
