"""Questions to a person: the next line that is typed answers."""

from typing import Final, Protocol

from twisted.internet.defer import Deferred

from chatd.client.output import Output

_ANSWERS: Final = {"yes": True, "no": False}


class Patience(Protocol):
    """What has a deadline: `chatd.client.lifetime.Lifetime`."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""

    def wait_for_person(self) -> bool:
        """Let a person take their time; return whether it has to be resumed."""

    def wait_for_server(self) -> None:
        """Go on with a new deadline."""


class Questions:
    """Asks one thing at a time, to be answered with yes or no and nothing else.

    A message that somebody was typing meanwhile is no answer, and is not sent.
    """

    def __init__(self, output: Output, patience: Patience) -> None:
        self._output = output
        self._patience = patience
        self._asked: Deferred[bool] | None = None

    def ask(self, *lines: str) -> Deferred[bool]:
        """Show a question; fire with the answer, however long it takes."""
        for line in lines:
            self._output.notice(line)
        resume = self._patience.wait_for_person()
        self._asked = Deferred(self._forget)

        def answered(answer: bool) -> bool:
            if resume and not self._patience.over:
                self._patience.wait_for_server()
            return answer

        return self._asked.addCallback(answered)

    def take(self, line: str) -> bool:
        """Take a line that was typed; return whether it was for a question."""
        if self._asked is None:
            return False
        answer = _ANSWERS.get(line.strip().lower())
        if answer is None:
            self._output.notice("Please type yes or no.")
        else:
            asked, self._asked = self._asked, None
            asked.callback(answer)
        return True

    def _forget(self, asked: Deferred[bool]) -> None:
        self._asked = None
