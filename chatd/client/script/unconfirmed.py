"""What is not confirmed when the time is over, in words; and what never can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatd.client.connection import events
from chatd.client.statuses import Status
from chatd.client.talk.outbox import Outgoing, counted
from chatd.wire.answers import Refusal
from chatd.wire.message import Message


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a line and a text may be for a server, in bytes."""

    line: int
    message: int

    def too_long(self, message: Message) -> Refusal | None:
        """Return why a server would not take a message, if it would not.

        Of a line that it does not read it could not tell which message it was.
        """
        line = events.send([message.target], message.text, message.id, at_once=True)
        if len(message.text.encode()) > self.message:
            return Refusal("message-too-long", limit=self.message)
        if len(line.encode()) > self.line:
            return Refusal("too-long", limit=self.line)
        return None


def unconfirmed(
    left: Sequence[Outgoing], stored: Sequence[Outgoing], when: str, advice: str
) -> Iterator[tuple[Status, str, int]]:
    """Return what to say, with a status and the number of a line or 0.

    `left` has no final answer, `stored` is not delivered; `when` says since when the
    time is over, and `advice` what to do about what may have been sent.
    """
    unsure = [each for each in left if each.unsure]
    if unsure:
        what = f"{_what(unsure)} not confirmed {when}, and may have been sent."
        yield Status.NOT_CONFIRMED, f"{what} {advice}", 0
    for each in left:
        if each.refusal is not None and not each.unsure:
            yield Status.NOT_ACCEPTED, each.refusal, each.number
    unsent = [each for each in left if not each.unsure and each.refusal is None]
    if unsent:
        yield Status.NOT_CONFIRMED, f"{_what(unsent)} not sent {when}.", 0
    if stored:
        what = f"{_what(stored)} stored, and not known to be delivered {when}."
        yield Status.NOT_CONFIRMED, what, 0


def _what(several: Sequence[Outgoing]) -> str:
    """Return what is spoken of, up to its verb."""
    if len(several) == 1:
        return f"The message to {several[0].message.target} is"
    targets = list(dict.fromkeys(each.message.target for each in several))
    if len(targets) > 3:
        targets[3:] = ["others"]
    return f"{counted(len(several))} to {', '.join(targets)} are"
