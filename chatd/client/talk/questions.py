"""Questions to a person: the next line that is typed answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from chatd.client.talk.output import Output
from chatd.wire.answers import Refusal

LONGEST_SECRET: Final = 1000
"""In characters: longer is no password of any server."""

_ANSWERS: Final = {"yes": True, "no": False}


class Patience(Protocol):
    """What has a deadline: `chatd.client.talk.lifetime.Lifetime`."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""

    def wait_for_person(self) -> bool:
        """Let a person take their time; return whether it has to be resumed."""

    def wait_for_server(self) -> None:
        """Go on with a new deadline."""


class _Unclear(Exception):
    """No answer to the question; str() asks for one."""


@dataclass(eq=False, slots=True)
class _Question:
    lines: tuple[str, ...]
    understand: Callable[[str], object]
    secret: bool
    answer: Deferred[Any]


class Questions:
    """Asks one thing at a time; the others wait.

    A message that somebody was typing meanwhile is no answer, and is not sent.
    """

    def __init__(self, output: Output, patience: Patience) -> None:
        self._output = output
        self._patience = patience
        self._waiting: list[_Question] = []
        self._resume = False

    def ask(self, *lines: str) -> Deferred[bool]:
        """Show a question; fire with yes or no, however long it takes."""
        return self._ask(lines, _yes_or_no, secret=False)

    def ask_secret(self, *lines: str) -> Deferred[str]:
        """Show a question; fire with the line that answers it, and is never shown."""
        return self._ask(lines, _secret, secret=True)

    def take(self, line: str) -> bool:
        """Take a line that was typed; return whether it was for a question."""
        if not self._waiting:
            return False
        question = self._waiting[0]
        try:
            answer = question.understand(line)
        except _Unclear as unclear:
            self._output.notice(str(unclear))
            return True
        if self._resume and not self._patience.over:
            self._patience.wait_for_server()
        self._end_first()
        question.answer.callback(answer)
        return True

    def _ask(
        self, lines: tuple[str, ...], understand: Callable[[str], object], secret: bool
    ) -> Deferred[Any]:
        def forget(_: Deferred[Any]) -> None:
            if self._waiting[0] is question:
                self._end_first()
            else:
                self._waiting.remove(question)

        question = _Question(lines, understand, secret, Deferred(forget))
        self._waiting.append(question)
        if len(self._waiting) == 1:
            self._show_first()
        return question.answer

    def _show_first(self) -> None:
        question = self._waiting[0]
        if question.secret:
            # First: an answer may come as soon as the question is seen.
            self._output.hide_input(True)
        for line in question.lines:
            self._output.notice(line)
        self._resume = self._patience.wait_for_person()

    def _end_first(self) -> None:
        if self._waiting.pop(0).secret:
            self._output.hide_input(False)
        if self._waiting:
            self._show_first()


def _yes_or_no(line: str) -> bool:
    answer = _ANSWERS.get(line.strip().lower())
    if answer is None:
        raise _Unclear("Please type yes or no.")
    return answer


def _secret(line: str) -> str:
    try:
        line.encode()
    except UnicodeEncodeError:
        raise _Unclear(Refusal("not-utf8").text) from None
    if len(line) > LONGEST_SECRET:
        raise _Unclear("That is too long for a password.")
    return line
