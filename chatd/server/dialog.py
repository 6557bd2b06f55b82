"""A dialog: questions to a person, each answered by the next line that they type.

It goes on over several lines, which are none of the connection's commands or messages
then. Whoever begins it, or answers, waits until it has asked the next question or is
over; so the line after an answer is never taken for something else.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Cancelled(Exception):
    """The person has answered nothing, or has gone."""


class Asker(Protocol):
    """How questions are asked."""

    def question(self, text: str) -> None:
        """Ask, and show no more of what is typed, where that can be done."""

    def answered(self) -> None:
        """Show again what is typed."""


class Dialog:
    """One dialog after another, with one person."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._answer: Deferred[str] | None = None
        self._resting: Deferred[None] | None = None

    @property
    def awaits_answer(self) -> bool:
        """Whether the next line answers a question."""
        return self._answer is not None

    def begin(self, talk: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Begin a dialog; fires when it has asked something, or is over.

        What `talk` raises, but for `Cancelled`, is what fails the one who waits then.
        """
        resting = self._resting = Deferred()
        _ = Deferred.fromCoroutine(talk).addCallbacks(self._over, self._failed)
        return resting

    async def ask(self, question: str) -> str:
        """Ask a question, and return the answer. Raises `Cancelled`."""
        self._asker.question(question)
        answer = self._answer = Deferred()
        # Whoever waited may have the answer already, and give it now.
        self._rest(None)
        line = await answer
        if not line:
            raise Cancelled
        return line

    def answer(self, line: str) -> Deferred[None]:
        """Answer the question; fires as that of `begin` does."""
        resting = self._resting = Deferred()
        self._asker.answered()
        self._give(lambda answer: answer.callback(line))
        return resting

    def close(self) -> None:
        """Break off: nobody is there any more."""
        self._give(lambda answer: answer.errback(Cancelled()))

    def _give(self, to: Callable[[Deferred[str]], None]) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            to(answer)

    def _over(self, result: None) -> None:
        self._rest(None)

    def _failed(self, failure: Failure) -> None:
        self._rest(None if failure.check(Cancelled) else failure)

    def _rest(self, failure: Failure | None) -> None:
        resting, self._resting = self._resting, None
        if resting is None:
            return  # it was broken off
        if failure is None:
            resting.callback(None)
        else:
            resting.errback(failure)
