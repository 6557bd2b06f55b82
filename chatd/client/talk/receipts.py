"""What a person is told of messages that are stored, and not delivered soon."""

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.client.talk.output import Output

STORED_SECONDS: Final = 1.0
"""How long a stored message may take to be delivered before a person is told."""


class Receipts:
    """Says that a message is stored, unless it is delivered before that is said."""

    def __init__(self, clock: IReactorTime, output: Output) -> None:
        self._clock = clock
        self._output = output
        self._late: dict[tuple[str, str], IDelayedCall] = {}

    def stored(self, message_id: str, to: str) -> None:
        """Say so in a while."""
        self._late[message_id, to] = self._clock.callLater(
            STORED_SECONDS, self._tell, message_id, to
        )

    def answered(self, message_id: str, to: str) -> None:
        """Take note of a new answer about a message: forget the one before."""
        late = self._late.pop((message_id, to), None)
        if late is not None:
            late.cancel()

    def tell_all(self) -> None:
        """Say at once what was to be said in a while."""
        late, self._late = self._late, {}
        for (_, to), call in late.items():
            call.cancel()
            self._output.answer(f"Stored for {to}.")

    def _tell(self, message_id: str, to: str) -> None:
        del self._late[message_id, to]
        self._output.answer(f"Stored for {to}.")
