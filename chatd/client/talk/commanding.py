"""The commands that are typed, each with its arguments."""

from collections.abc import Callable
from typing import Protocol

from chatd.client.connection import events
from chatd.client.talk.destination import Impossible, parse_focus
from chatd.client.talk.helptopics import help_lines, usage
from chatd.client.talk.lookups import BadRequest, Lookups
from chatd.client.talk.output import Output
from chatd.client.talk.people import People
from chatd.client.talk.watching import watch_list
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.names import BadName, Name


class Owner(Protocol):
    """Who does what commands ask for."""

    def ask(self, request: str) -> None:
        """Ask the server something; raise `Refusal` if that cannot be done."""

    def change_password(self) -> None:
        """Ask for another password; raise `Refusal` or `Impossible` if nobody can."""

    def end_of_input(self) -> None:
        """Leave: nothing that follows is taken."""


class Commands:
    """Obeys commands; `interactive` says that somebody sits there."""

    def __init__(
        self,
        output: Output,
        people: People,
        lookups: Lookups,
        owner: Owner,
        *,
        interactive: bool,
    ) -> None:
        self._output = output
        self._people = people
        self._lookups = lookups
        self._owner = owner
        self._interactive = interactive
        self._obey: dict[str, Callable[[str], None]] = {
            "/to": self._to,
            "/history": lambda words: self._look_up(self._lookups.history, words),
            "/search": lambda words: self._look_up(self._lookups.search, words),
            "/who": lambda prefix: self._list("who", prefix),
            "/users": lambda prefix: self._list("users", prefix),
            "/watch": self._watch,
            "/unwatch": self._unwatch,
            "/password": self._password,
            "/help": self._help,
            "/quit": lambda _: self._owner.end_of_input(),
        }

    def obey(self, command: text.Command) -> None:
        """Do what a command says; raise `Refusal` or `Impossible`."""
        if "\n" in command.name + command.argument:
            raise Impossible(
                "A command has one line only. Nothing was done; a text that begins"
                " with a slash is sent by /to and then // in its place."
            )
        obey = self._obey.get(command.name)
        if obey is None:
            raise Refusal("unknown-command", command=command.name[:32])
        obey(command.argument)

    def _to(self, names: str) -> None:
        targets = _parsed(names)
        self._people.turn_to(targets)
        if not self._interactive:
            return
        if targets:
            whom = self._people.focused
            self._output.answer(f"Every line goes to {whom} now; /to alone ends that.")
        else:
            self._output.answer("A line needs its target again, as in bob-Hi.")

    def _look_up(self, look_up: Callable[[str], None], words: str) -> None:
        if not self._interactive:
            raise Impossible(
                "Only somebody at a terminal can look at the history here;"
                " chat history shows it in a shell."
            )
        try:
            look_up(words)
        except BadRequest as bad:
            raise Impossible(str(bad)) from None

    def _list(self, kind: str, prefix: str) -> None:
        self._owner.ask(events.listing(kind, prefix))

    def _watch(self, names: str) -> None:
        watching = self._people.watching
        targets = _parsed(names)
        if not watching.possible:
            raise Impossible(
                "Nobody can be watched: there is no connection, or this server does"
                " not tell who comes and goes."
            )
        if targets:
            watching.watch(each.shown for each in targets)
        else:
            self._output.answer(watch_list(watching.watched()))

    def _unwatch(self, names: str) -> None:
        targets = _parsed(names)
        if not targets:
            raise Refusal("bad-argument", command="/unwatch", usage=usage("/unwatch"))
        watching = self._people.watching
        watching.unwatch(each.shown for each in targets)
        self._output.answer(watch_list(watching.watched()))

    def _password(self, argument: str) -> None:
        if argument:
            # Nor is it to stand where everybody sees it.
            raise Refusal("bad-argument", command="/password", usage="/password")
        self._owner.change_password()

    def _help(self, topic: str) -> None:
        lines = help_lines(topic)
        if lines is None:
            raise Impossible("There is no such topic; /help topics lists them.")
        for line in lines:
            self._output.answer(line)


def _parsed(names: str) -> tuple[Name, ...]:
    try:
        return parse_focus(names)
    except BadName as bad:
        raise Impossible(f"{bad} Nothing was changed.") from None
