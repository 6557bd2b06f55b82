"""The faster path of the JSON form: many objects at once.

A line's way through `ObjectForm.line` is complete in itself. Here is a second one for
what nearly all lines of a fast program are: messages to one user each, under ids that
rise, and acknowledgements. It does for them what `chatd.server.bulk` does for lines of
text, and shares the runs with it:

- A chunk is decoded as one text, in which one object is read after the other; each has
  to end where its line does, so that what is no object by itself is none here.
- Only objects with the keys of a plain message are taken. That their texts are short
  enough, and have nothing that a screen should not get, is looked at in all of them
  together, and so are their ids.
- An id that is higher than all that its sender has used was never used: nothing is
  looked up, and the chunk's ids are remembered as one series.
- Of acknowledgements only the last of a chunk counts.
- Each message is answered, in the order of the lines. What is known of a chunk by the
  end of a turn is put together once, and written once.

Objects are taken as far as nothing at all is special about them; the first that is not
understood here goes the long way. So this path refuses nothing, and asks nothing of the
store. To delete this module, and the call of it, would change no behaviour.
"""

from array import array
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from chatd.hub.receiver import Receiver
from chatd.hub.resends import Part, Series
from chatd.hub.run import Fate
from chatd.hub.session import Session
from chatd.server.answers import Slot
from chatd.server.bulk import MOST_LINES
from chatd.server.speaking import SpeakingForm
from chatd.wire.answers import Refusal
from chatd.wire.objectlines import (
    ACCEPTED,
    accepted_end,
    message_ends,
    plain_requests,
    plain_texts,
    rising,
    values,
)
from chatd.wire.objects import error, quoted

NOTHING: Final = (0, 0, 0)


def take(
    form: SpeakingForm, data: bytes, most: int, shown: int
) -> tuple[int, int, int]:
    """Take objects, with their line ends, as far as they are plain; at `most` some.

    The connection was `shown` so many messages. Returns how many bytes, and lines, were
    taken, and which message was acknowledged with them, or 0. Messages are taken for
    good: they are accepted before the sender's next line is, or in this turn.
    """
    session = form.session
    if session is None:
        return NOTHING
    limit = form.connection.owner.limits.json_line
    found = values(data, min(most, MOST_LINES), limit)
    sends, numbers, acks = plain_requests(found, shown)
    lines = len(sends) + len(acks)
    if sends:
        taken = _send(form, session, sends, len(data))
        if taken < len(sends):
            lines = numbers[taken]
    if not lines:
        return NOTHING
    acknowledged = max((seq for number, seq in acks if number < lines), default=0)
    return _size_of(data, lines), lines, acknowledged


def _send(
    form: SpeakingForm, session: Session, sends: Sequence[tuple[Any, ...]], size: int
) -> int:
    """Send messages, as far as nothing is special about them; return how many.

    They are of `size` bytes at most.
    """
    # What is taken before comes first, and may change all that is looked at here.
    batch = form.hub.runs.keyed(session)
    known, most = session.ids, session.places(size)
    if session.interrupted or known.highest is None or not most:
        return 0
    _, targets, texts, ids = zip(*sends[:most], strict=True)
    try:
        "".join(targets).encode()  # as all of them are strings
        count = rising(ids, known.highest)
        encoded = plain_texts(texts[:count], form.connection.owner.limits.message)
    except (TypeError, UnicodeEncodeError):
        return 0
    count = len(encoded)
    while count:
        groups: dict[str, list[int]] = {}
        for number, target in enumerate(islice(targets, count)):
            if target in groups:
                groups[target].append(number)
            else:
                groups[target] = [number]
        pieces: dict[bytes, list[bytes]] = {}
        parts: list[Part] = []
        for target, numbers in groups.items():
            part = Part([encoded[each] for each in numbers])
            part.numbers = numbers
            parts.append(part)
            pieces[target.encode()] = part
        series = Series(ids[:count], array("q", map(hash, encoded)), parts)
        chunk = Chunk(form, session, series, texts[:count], sum(map(len, encoded)))
        odd = batch.add(chunk, pieces)
        if odd is None:
            chunk.begin()
            if session.take(count, chunk.size):
                form.pause_for_commits(session)
            return count
        count = groups[odd.decode()][0]
        del encoded[count:]
    return 0


def _size_of(data: bytes, lines: int) -> int:
    """Return how many bytes the first lines are, with their ends."""
    if data.count(b"\n") == lines:
        return len(data)
    return len(data) - len(data.split(b"\n", lines)[-1])


class Chunk:
    """Messages of one connection that were taken at once; see `KeyedChunk`.

    `ids` are those of their sender, `series` are those of the messages.
    """

    __slots__ = (
        "_answers",
        "_due",
        "_form",
        "_given",
        "_ids",
        "_quoted_texts",
        "_slot",
        "_texts",
        "count",
        "ids",
        "left",
        "series",
        "session",
        "size",
    )

    def __init__(
        self,
        form: SpeakingForm,
        session: Session,
        series: Series,
        texts: Sequence[str],
        size: int,
    ) -> None:
        self.session = session
        self.count = series.count
        self.size = size
        self.left = series.left
        self.ids = session.ids
        self.series = series
        self._form = form
        # As JSON has them; texts only when they are needed.
        self._ids = list(map(quoted, series.ids))
        self._quoted_texts: Sequence[str] = ()
        self._texts = texts
        self._answers: list[str] = [""] * len(self._ids)
        self._given = 0
        self._due = False
        self._slot: Slot

    def begin(self) -> None:
        """Take note that they are taken: they are known, and will be answered."""
        self.ids.add_series(self.series)
        self._slot = self._form.answers.slot()

    def object_ends(self, receiver: Receiver, part: Part, time: int) -> list[str]:
        """Return lines that show messages, each from behind its number on."""
        texts = self._quoted_texts
        if not texts:
            texts = self._quoted_texts = list(map(quoted, self._texts))
        sender, target = quoted(self.session.name), quoted(receiver.name)
        return message_ends(part.numbers, self._ids, sender, target, texts, time)

    def expect(self, receiver: Receiver, texts: Sequence[bytes]) -> Fate:
        """Never asked: all is answered."""
        raise NotImplementedError

    def stored(self, receiver: Receiver, numbers: Sequence[int]) -> None:
        """Answer that messages are on disk."""
        self._answer_all(numbers, accepted_end(receiver.name, "stored"))

    def delivered(self, receiver: Receiver, numbers: Sequence[int]) -> None:
        """Answer that a receiver has messages."""
        self._answer_all(numbers, accepted_end(receiver.name, "delivered"))

    def receipt(self, receiver: Receiver, number: int) -> "OneReceipt":
        """Return what is to be told of one message, instead of this."""
        return OneReceipt(self, receiver, number)

    def accepted(self, receiver: Receiver, number: int, status: str) -> str:
        """Return the line that says what became of a message."""
        return f"{ACCEPTED}{self._ids[number]}{accepted_end(receiver.name, status)}"

    def answer(self, number: int, line: str) -> None:
        """Answer for one message."""
        self._answers[number] = line
        self._give_later()

    def refuse(self, receiver: Receiver, number: int, refusal: Refusal) -> None:
        """Answer for one message that was refused."""
        self._form.connection.log_refusal(refusal)
        message_id = self.series.ids[number]
        self.answer(number, error(refusal, message_id, receiver.name))

    def add(self, line: str) -> None:
        """Say that a message was delivered that was answered as stored."""
        if not self._form.connection.closed:
            self._form.answers.say(line)

    def _answer_all(self, numbers: Sequence[int], end: str) -> None:
        answers, ids = self._answers, self._ids
        for number in numbers:
            answers[number] = f"{ACCEPTED}{ids[number]}{end}"
        self._give_later()

    def _give_later(self) -> None:
        if not self._due:
            self._due = True
            self._form.hub.turn.at_end(self._give)

    def _give(self) -> None:
        """Give the answers that are known, up to the first that is not."""
        self._due = False
        self._texts = self._quoted_texts = ()  # it was shown, if at all
        answers, given = self._answers, self._given
        if "" not in answers:
            self._slot.resolve(*answers[given:])
            return
        self._given = answers.index("", given)
        if self._given > given:
            self._slot.begin(answers[given : self._given])


class OneReceipt:
    """What becomes of one message of a chunk, where it is not that of its piece."""

    __slots__ = ("_chunk", "_number", "_receiver", "_told")

    wants_delivery = True

    def __init__(self, chunk: Chunk, receiver: Receiver, number: int) -> None:
        self._chunk = chunk
        self._receiver = receiver
        self._number = number
        self._told = False

    def taken(self) -> None:
        """Wait for what becomes of it."""

    def stored(self, *, may_be_delivered: bool) -> None:
        """Say that the message is on disk."""
        self._tell("stored")

    def delivered(self) -> None:
        """Say that the receiver has it, perhaps after it was stored."""
        self._tell("delivered")

    def refused(self, refusal: Refusal) -> None:
        """Say why nothing was sent."""
        self._chunk.refuse(self._receiver, self._number, refusal)

    def _tell(self, status: str) -> None:
        line = self._chunk.accepted(self._receiver, self._number, status)
        if self._told:
            self._chunk.add(line)
        else:
            self._told = True
            self._chunk.answer(self._number, line)
