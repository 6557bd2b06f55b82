"""Lines from standard input, each of them a message to the same targets."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from chatd.client.connection.link import Link
from chatd.client.frontends.frontend import MAX_TYPED
from chatd.client.frontends.plain import Plain
from chatd.client.script.sender import Sender
from chatd.client.talk.input import MAX_MESSAGE
from chatd.client.talk.readahead import ROOM, ReadAhead
from chatd.wire.answers import Refusal


class Feed:
    """Takes lines from the plain front end for a `Sender` (`Intake`).

    The line with the number n has the id ``<id>.<n>``, with seven digits: the same
    input under the same id is sent once, however often it is fed.
    """

    def __init__(self, sender: Sender, targets: Sequence[str], id: str) -> None:
        self._sender = sender
        self._targets = targets
        self._id = id
        self._number = 0
        self._ahead = ReadAhead(lambda: sender.over or sender.waiting < ROOM)
        sender.changed = self._ahead.offer

    async def run(self, front_end: Plain, link: Link) -> int:
        """Send what the front end reads, to its end; return the exit status."""
        gone = front_end.start(self)
        status = await self._sender.run(link)
        front_end.stop()
        await gone
        return status

    def enter(self, text: str) -> None:
        """Send a line; an empty one is ignored, as in the text form."""
        self._number += 1
        if not text or self._sender.over:
            return
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            self._sender.fail(Refusal("not-utf8").text, self._number)
            return
        if size > MAX_TYPED:  # and it may have been cut
            too_long = Refusal("message-too-long", limit=MAX_MESSAGE)
            self._sender.fail(too_long.text, self._number)
            return
        self._sender.put(
            self._targets, text, f"{self._id}.{self._number:07}", self._number
        )

    def end_of_input(self) -> None:
        """End when all is confirmed."""
        self._sender.close()

    def when_room(self) -> Deferred[None]:
        """Fire when another line should be entered, perhaps at once."""
        return self._ahead.when_room()

    def hold_incoming(self) -> None:
        """Nothing comes."""

    def release_incoming(self) -> None:
        """Nothing comes."""

    def output_lost(self) -> None:
        """Nothing is shown there."""
