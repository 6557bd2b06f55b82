"""What is looked up in the history while one talks: the last messages, and words."""

import re
import sqlite3
from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from chatd.client.history.rows import Kept
from chatd.client.history.search import Found, TooManyWords, Wanted, words_searched
from chatd.client.talk.keeping import Keeping
from chatd.client.talk.output import Output
from chatd.client.talk.people import People
from chatd.wire.names import BadName, parse_name

USUAL: Final = 20
"""How many messages are shown, if nobody says how many."""

MOST: Final = 1000
"""How many messages are shown at most."""


class BadRequest(Exception):
    """What was asked for cannot be looked up; str() says why, as a sentence."""


class Keeper(Protocol):
    """What is needed of a history: `chatd.client.history.history.History` has it."""

    def recent(self, wanted: Wanted, last: int) -> Deferred[list[Kept]]:
        """Return the last messages, the earliest of them first."""

    def search(self, words: str, wanted: Wanted, last: int) -> Deferred[list[Found]]:
        """Return the last messages with each of these words."""


class Lookups:
    """Looks messages up and shows them, some time after they were asked for."""

    def __init__(
        self, keeper: Keeper, keeping: Keeping, output: Output, people: People
    ) -> None:
        self._keeper = keeper
        self._keeping = keeping
        self._output = output
        self._people = people

    def history(self, argument: str) -> None:
        """Show the last messages: of all or with somebody, and as many as asked for.

        Raises `BadRequest`.
        """
        name, last = _parsed(argument)
        if name is None:
            nothing = "There is no message in the history."
        else:
            nothing = f"There is no message to or from {name} in the history."
            self._people.read(name)
        wanted = Wanted(correspondent=name)
        found = self._keeper.recent(wanted, last).addCallback(
            lambda messages: [Found(each) for each in messages]
        )
        self._show(found, nothing)

    def search(self, words: str) -> None:
        """Show the last messages with each of these words. Raises `BadRequest`."""
        if not words:
            raise BadRequest("Which words? /search backup done finds both.")
        try:
            words_searched(words)
        except TooManyWords as too_many:
            raise BadRequest(str(too_many)) from None
        found = self._keeper.search(words, Wanted(), USUAL)
        self._show(found, "There is no such message in the history.")

    def _show(self, lookup: "Deferred[list[Found]]", nothing: str) -> None:
        def show(found: Sequence[Found]) -> None:
            if found:
                self._output.found(found)
            else:
                self._output.answer(nothing)

        def say_why(failure: Failure) -> None:
            failure.trap(sqlite3.Error)
            why = failure.getErrorMessage()
            self._output.error(f"The history cannot be read ({why}).")

        self._keeping.watch(lookup.addCallbacks(show, say_why))


def _parsed(argument: str) -> tuple[str | None, int]:
    """Return the name and the number of a request, each left out or there."""
    name, _, number = argument.rpartition(" ")
    if not re.fullmatch("[0-9]+", number):
        name, number = argument, str(USUAL)
    if not 1 <= len(number) <= 4 or not 1 <= int(number) <= MOST:
        raise BadRequest(f"At least 1 message can be shown, and at most {MOST}.")
    if not name.strip():
        return None, int(number)
    try:
        return parse_name(name, reserved_too=True).shown, int(number)
    except BadName as bad:
        raise BadRequest(f"{bad} /history bob 100 shows the last 100.") from None
