"""What is typed: messages and commands, as in the text form.

What cannot be sent is refused here, in the words of the server.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from chatd.client import events
from chatd.client.events import Hello
from chatd.client.frontend import MAX_TYPED
from chatd.client.output import Output
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.message import Message, new_id

MAX_LINE: Final = 131_072
MAX_MESSAGE: Final = 12_288
"""Limits of a server that does not tell its own."""

COMMANDS: Final = {
    "/who [prefix]": "lists who is online",
    "/users [prefix]": "lists all users",
    "/password": "protects your name with a password",
    "/help": "lists the commands",
    "/quit": "leaves, once everything sent is safe",
}
"""How each command is typed, and what it does."""


class Impossible(Exception):
    """What was typed cannot be done here; str() says why, as a sentence."""


class Owner(Protocol):
    """Who does what was typed."""

    @property
    def user(self) -> str:
        """The sender."""

    def send(self, messages: Sequence[Message], number: int) -> None:
        """Send a text to each of its targets; `number` is that of the line."""

    def ask(self, request: str) -> None:
        """Ask the server something; raise `Refusal` if that cannot be done."""

    def change_password(self) -> None:
        """Ask for another password; raise `Refusal` or `Impossible` if nobody can."""

    def end_of_input(self) -> None:
        """Leave: nothing that follows is taken."""


class Input:
    """Takes one line after another, and counts them."""

    def __init__(self, output: Output, owner: Owner, now: Callable[[], float]) -> None:
        self._output = output
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
            parsed = text.parse_line(line, self._max_message)
            if isinstance(parsed, text.Send):
                self._send(parsed, number)
            elif parsed is not None:
                self._obey(parsed)
        except Refusal as refusal:
            self._output.fail(refusal.text, number)
        except Impossible as impossible:
            self._output.fail(str(impossible), number)

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

    def _obey(self, command: text.Command) -> None:
        match command.name:
            case "/who" | "/users":
                self._owner.ask(events.listing(command.name[1:], command.argument))
            case "/password":
                if command.argument:
                    # Nor is it to stand where everybody sees it.
                    raise Refusal(
                        "bad-argument", command="/password", usage="/password"
                    )
                self._owner.change_password()
            case "/help":
                self._help()
            case "/quit":
                self._owner.end_of_input()
            case unknown:
                raise Refusal("unknown-command", command=unknown[:32])

    def _help(self) -> None:
        self._output.answer(
            "<target>-<message> sends a message; a,b-<message> sends it to several."
        )
        width = max(map(len, COMMANDS))
        for usage, meaning in COMMANDS.items():
            self._output.answer(f"  {usage:{width}}   {meaning}")
