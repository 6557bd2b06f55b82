"""The faster path: many plain lines of a text connection at once.

A line's way through `TextForm.line` is complete in itself. Here is a second one for
what nearly all lines of a fast sender are: a message to one user, with nothing in it
that is not text. Whole chunks of such lines are checked at the speed of C: one look for
what a screen should not get (and whether it is UTF-8 at all), one for what is too long.
Then a line costs a partition at its ``-`` and an entry in the list of its receiver, and
the rest is paid once for a receiver (`chatd.hub.linerun`).

Lines are taken as far as nothing at all is special about them: the first one that is
not understood here goes the long way, where it is answered. So the faster path refuses
nothing, asks nothing of the store, and has no answer of its own but the one for a user
who is offline. To delete this module, and the call of it, would change no behaviour.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

from chatd.hub.acceptance import Receipt
from chatd.hub.receiver import Receiver
from chatd.hub.session import Session
from chatd.server.answers import Slot
from chatd.server.speaking import SpeakingForm
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.display import plain_bytes

ENABLED = os.environ.get("CHATD_FASTER_PATH") != "off"
"""Whether it is used at all: the whole test suite passes without it, too."""

_CARRIAGE_RETURN: Final = 13

NOTHING: Final = (0, 0)

MOST_LINES: Final = 1_000
"""How many lines are taken before others have their turn."""


def take(form: SpeakingForm, data: bytes, most: int) -> tuple[int, int]:
    """Take lines, with their ends, as far as they are plain messages; at `most` some.

    Returns how many bytes, and lines, they are. They are taken for good: their messages
    are accepted before the sender's next line is, or in this turn.
    """
    session = form.session
    if session is None or session.interrupted:
        return NOTHING
    most = min(most, MOST_LINES, session.places(len(data)))
    # Only as the end of a line can a carriage return be understood.
    plain = data.replace(b"\r\n", b"\n") if _CARRIAGE_RETURN in data else data
    count, lines = _plain_lines(form, plain, most)
    if not lines:
        return NOTHING
    batch = form.hub.runs.lines(session, len(lines))
    if session.interrupted:
        return NOTHING
    taken = batch.gather(session, lines)
    if not taken:
        return NOTHING
    size = len(data)
    if taken < count:
        size = _size_of(data, taken)
        plain = plain[: _size_of(plain, taken)]
    batch.add(Chunk(form, session, batch.receivers, plain, taken, size))
    if session.take(taken, size):
        form.pause_for_commits(session)
    return size, taken


def _size_of(data: bytes, lines: int) -> int:
    """Return how many bytes the first lines are, with their ends."""
    return len(data) - len(data.split(b"\n", lines)[-1])


def _plain_lines(form: SpeakingForm, data: bytes, most: int) -> tuple[int, list[bytes]]:
    """Return how many lines there are, and the first that are text, and not too long.

    They are without their ends.
    """
    plain = plain_bytes(data)
    lines = data.split(b"\n")
    lines.pop()
    count = len(lines)
    if plain < len(data):
        del lines[data.count(b"\n", 0, plain) :]
    if len(lines) > most:
        del lines[most:]
    limit = form.connection.owner.limits.message_line
    if len(data) > limit and max(map(len, lines), default=0) > limit:
        lines = list(takewhile(lambda line: len(line) <= limit, lines))
    return count, lines


class Chunk:
    """Lines of one connection that were taken at once; see `LineChunk`.

    What has to be answered is answered together, in the order of the lines.
    """

    __slots__ = (
        "_data",
        "_fates",
        "_form",
        "_receivers",
        "_slot",
        "_unknown",
        "count",
        "session",
        "size",
    )

    def __init__(
        self,
        form: SpeakingForm,
        session: Session,
        receivers: Mapping[bytes, Receiver],
        data: bytes,
        count: int,
        size: int,
    ) -> None:
        self.session = session
        self.count = count
        self.size = size
        self._data = data
        self._form = form
        self._receivers = receivers
        self._slot: Slot | None = None
        self._fates: dict[Receiver, Fate] | None = None
        self._unknown = 0

    @property
    def lines(self) -> Sequence[bytes]:
        """The lines, without their ends.

        Split again where they are needed: what is kept of each of them, until a
        receiver has acknowledged it, is not at hand for the next ones.
        """
        return self._data.split(b"\n")[:-1]

    def expect(self, receiver: Receiver, texts: Sequence[bytes]) -> "Fate":
        """Hold back what is answered later."""
        if self._fates is None:
            self._slot = self._form.answers.slot()
            self._fates = {}
        self._unknown += 1
        fate = self._fates[receiver] = Fate(self, receiver, len(texts))
        return fate

    def known(self) -> None:
        """Take note that all is known for a receiver; answer if that was the last."""
        self._unknown -= 1
        if self._slot is not None and not self._unknown:
            self._slot.resolve(*self._answers())
            self._fates = None

    def refusal_line(self, refusal: Refusal) -> str:
        """Return a refusal as a line, and log it."""
        self._form.connection.log_refusal(refusal)
        return self._form.refusal_line(refusal)

    def _answers(self) -> Sequence[str]:
        fates = self._fates or {}
        if all(fate.says_nothing for fate in fates.values()):
            return ()
        by_target = self._receivers
        receivers = [by_target[line.partition(b"-")[0]] for line in self.lines]
        alike = {
            receiver: fate.of_all
            for receiver, fate in fates.items()
            if fate.of_all is not None
        }
        if alike.keys() >= set(receivers):
            return ("\n".join(map(alike.__getitem__, receivers)),)
        answers = {receiver: iter(fate.answers) for receiver, fate in fates.items()}
        said = (next(answers[each]) for each in receivers if each in answers)
        return [answer for answer in said if answer is not None]


class Fate:
    """What becomes of a chunk's messages to one receiver; see `chatd.hub.run.Fate`."""

    __slots__ = (
        "_answers",
        "_chunk",
        "_count",
        "_left",
        "_receiver",
        "is_silent",
        "of_all",
    )

    def __init__(self, chunk: Chunk, receiver: Receiver, count: int) -> None:
        self.of_all: str | None = None
        """What is said of each message, if that is the same."""
        self._answers: list[str | None] | None = None
        # What counts is whether the user was there when the lines were taken.
        self.is_silent = receiver.online
        self._chunk = chunk
        self._receiver = receiver
        self._count = count
        self._left = count

    @property
    def answers(self) -> list[str | None]:
        """What is said of each message, once that is known."""
        if self._answers is None:
            self._answers = [self.of_all] * self._count
        return self._answers

    def stored(self) -> None:
        """Answer for a user who was offline."""
        self._answer_all(self.stored_line)

    def delivered(self) -> None:
        """Answer for a user who was offline."""
        self._answer_all(self.delivered_line)

    @property
    def says_nothing(self) -> bool:
        """Whether there is no answer to any of the messages."""
        return self.of_all is None and not any(self._answers or ())

    def receipts(self) -> Sequence[Receipt]:
        """Return what is to be told of each message, instead of this."""
        return [OneReceipt(self, number) for number in range(self._count)]

    @property
    def stored_line(self) -> str | None:
        """What is said of a message on disk."""
        return None if self.is_silent else text.stored_offline(self._receiver.name)

    @property
    def delivered_line(self) -> str | None:
        """What is said of a message that a receiver has."""
        if self.is_silent:
            return None
        return text.confirmed(self._receiver.name, delivered=True)

    def resolve(self, number: int, answer: str | None) -> None:
        """Answer for one message that was sent by itself."""
        self.answers[number] = answer
        self._left -= 1
        if not self._left:
            self._chunk.known()

    def refused(self, number: int, refusal: Refusal) -> None:
        """Answer for one message that was refused."""
        self.resolve(number, self._chunk.refusal_line(refusal))

    def _answer_all(self, line: str | None) -> None:
        self.of_all = line
        self._chunk.known()


class OneReceipt:
    """What becomes of one message, once its run was taken apart."""

    __slots__ = ("_fate", "_number")

    wants_delivery = False

    def __init__(self, fate: Fate, number: int) -> None:
        self._fate: Fate | None = fate
        self._number = number

    def taken(self) -> None:
        """Hold back no answer for what is silent: it is shown, so it will be safe."""
        if self._fate is not None and self._fate.is_silent:
            self._resolve(None)

    def stored(self, *, may_be_delivered: bool) -> None:
        """Answer for a user who was offline."""
        if self._fate is not None:
            self._resolve(self._fate.stored_line)

    def delivered(self) -> None:
        """Answer for a user who was offline."""
        if self._fate is not None:
            self._resolve(self._fate.delivered_line)

    def refused(self, refusal: Refusal) -> None:
        """Answer with the refusal."""
        fate, self._fate = self._fate, None
        if fate is not None:
            fate.refused(self._number, refusal)

    def _resolve(self, answer: str | None) -> None:
        fate, self._fate = self._fate, None
        if fate is not None:
            fate.resolve(self._number, answer)
