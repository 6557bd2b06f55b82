"""What is shown of a conversation, and what can be written down for good.

A terminal that scrolls keeps what was written to it: nothing there can be changed. So a
message that was sent stays in view, below all that was written, until it is known what
has become of it; then it is written in its turn. What comes meanwhile does not wait,
but for a moment: an answer must not stand above its question.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Final

from chatd.client.frontends import transcript
from chatd.client.frontends.frontend import Key, Line, State
from chatd.client.frontends.layout import Row
from chatd.client.frontends.transcript import Signs, local_day
from chatd.client.history.file import name_key
from chatd.client.history.search import Found
from chatd.wire.message import Message

STORED_SECONDS: Final = 1.0
"""How long a message may be stored before it is written as such."""

ANSWER_SECONDS: Final = 0.2
"""How long the answer about a message may take before others go first."""

MOST_REMEMBERED: Final = 1000
"""Of how many messages, written as stored, it is told that they were delivered."""

Draw = Callable[[int], list[Row]]
"""Returns something as rows for so many columns."""


@dataclass(slots=True, eq=False)
class Entry:
    """Something that is written as soon as may be; at a time, in ms, or at none."""

    draw: Draw
    time: int | None = None


@dataclass(slots=True, eq=False)
class _Own:
    """A message that was sent, and when, in seconds: -inf for one that was not yet.

    It is `answered` once something came from its receiver while it was stored.
    """

    key: Key
    message: Message
    state: State = State.WAITING
    since: float = field(default=float("-inf"))
    answered: bool = False

    def is_young(self, now: float) -> bool:
        """Whether the answer is still expected at any moment."""
        return self.state is State.WAITING and now < self.since + ANSWER_SECONDS

    def is_settled(self, now: float) -> bool:
        """Whether it is known what has become of it, for now."""
        if self.state is State.STORED:
            return self.answered or now >= self.since + STORED_SECONDS
        return self.state is not State.WAITING

    def next_change(self, now: float) -> float | None:
        """Return when it gets older by itself, in a way that is seen."""
        if self.is_young(now):
            return self.since + ANSWER_SECONDS
        return self.since + STORED_SECONDS if self.state is State.STORED else None


class Conversation:
    """What was said, what is to be written of it, and what is not settled yet.

    Times are in seconds of any clock, but for those of messages. `user` returns the
    name of whoever sits here; `today` the day it is, here.
    """

    def __init__(
        self,
        signs: Signs,
        user: Callable[[], str],
        today: Callable[[], date] = date.today,
    ) -> None:
        self._signs = signs
        self._user = user
        self._today = today
        self._day: date | None = today()
        self._entries: list[Entry | _Own] = []
        self._own: dict[Key, _Own] = {}
        self._stored: dict[Key, Message] = {}
        self.is_connected = False
        """Whether what is sent is under way."""
        self._away: tuple[int | None] | None = None

    # What happens -------------------------------------------------------------------

    def show(self, line: Line) -> None:
        """Take a line that is no message."""
        self._add(lambda columns: transcript.line(line.kind, line.text, columns))

    def typed(self, prompt: str, text: str) -> Entry:
        """Take what was typed; it can be withdrawn."""
        return self._add(lambda columns: transcript.typed(prompt, text, columns))

    def withdraw(self, entry: Entry) -> None:
        """Leave out what was just taken, unless it is written already."""
        if entry in self._entries:
            self._entries.remove(entry)

    def received(self, message: Message, *, queued: bool) -> None:
        """Take a message that came."""
        away, self._away = self._away, None
        if queued and away is not None:
            (since,) = away
            self._add(
                lambda columns: transcript.new_since(
                    since, self._today(), columns, self._signs
                )
            )
        user = self._user()
        self._add(
            lambda columns: transcript.received(message, columns, user=user),
            message.time,
        )
        for own in self._own.values():
            if own.state is State.STORED and own.key[1] == name_key(message.sender):
                own.answered = True

    def remembered(self, message: Message, state: State | None) -> None:
        """Take a message that was read before; with a state, one that was sent."""

        def draw(columns: int) -> list[Row]:
            if state is None:
                rows = transcript.received(message, columns, user=self._user())
            else:
                mark = self._signs.mark(state)
                rows = transcript.sent(message, mark, columns, self._signs)
            return transcript.old(rows)

        self._add(draw, message.time)

    def found(self, message: Found) -> None:
        """Take a message of the history that was asked for."""
        user = self._user()
        self._add(
            lambda columns: transcript.found(message, columns, self._signs, user=user)
        )

    def away(self, since: int | None) -> None:
        """Take note that what was queued came since then, while nobody saw it."""
        self._away = (since,)

    def sent(self, key: Key, message: Message, now: float) -> None:
        """Take a message that is to be sent."""
        own = _Own(key, message)
        if self.is_connected:
            own.since = now
        self._own[key] = own
        self._entries.append(own)

    def became(self, key: Key, state: State, now: float, time: int) -> None:
        """Take what has become of a message; `time` is now, in ms since 1970."""
        own = self._own.get(key)
        if own is not None:
            own.state, own.since = state, now
        elif state is State.DELIVERED and key in self._stored:
            message = self._stored.pop(key)
            self._add(
                lambda columns: transcript.delivered_later(
                    message, time, columns, self._signs
                ),
                time,
            )

    def connected(self, now: float) -> None:
        """Take note that what waits is sent now."""
        if self.is_connected:
            return
        self.is_connected = True
        # It is said now: after all that was written since it was typed.
        waiting = [each for each in self._own.values() if each.state is State.WAITING]
        if waiting:
            for own in waiting:
                own.since = now
            rest = [each for each in self._entries if each not in set(waiting)]
            self._entries = [*rest, *waiting]

    def disconnected(self) -> None:
        """Take note that nothing is sent now."""
        self.is_connected = False
        for own in self._own.values():
            if own.state is State.WAITING:
                own.since = float("-inf")

    # What is to be seen -------------------------------------------------------------

    def settled(self, now: float, columns: int) -> list[Row]:
        """Return what can be written down; it is forgotten here."""
        if not self._own:
            entries, self._entries = self._entries, []
            return self._written(entries, columns)
        last = max(
            (
                number
                for number, entry in enumerate(self._entries)
                if isinstance(entry, _Own) and entry.is_settled(now)
            ),
            default=-1,
        )
        taken: list[Entry | _Own] = []
        left: list[Entry | _Own] = []
        for number, entry in enumerate(self._entries):
            if isinstance(entry, _Own):
                if entry.is_young(now):
                    left += self._entries[number:]
                    break
                stored = entry.state is State.STORED and number < last
                now_or_never = entry.is_settled(now) or stored
                (taken if now_or_never else left).append(entry)
            else:
                taken.append(entry)
        self._entries = left
        return self._written(taken, columns)

    def all(self, columns: int) -> list[Row]:
        """Return all that was not written, whatever is known of it."""
        entries, self._entries = self._entries, []
        return self._written(entries, columns)

    def next_change(self, now: float) -> float | None:
        """Return when to look again, if nothing happens until then."""
        changes = (own.next_change(now) for own in self._own.values())
        return min((each for each in changes if each is not None), default=None)

    def unsettled(self, now: float, columns: int, most: int) -> list[Row]:
        """Return the messages of which it is not known, in so many rows at most."""
        shown: list[Row] = []
        count = len(self._own)
        for number, own in enumerate(reversed(self._own.values())):
            mark = ("", "") if own.is_young(now) else self._signs.mark(own.state)
            rows = transcript.sent(own.message, mark, columns, self._signs)
            room = most - len(shown) - (number < count - 1)
            if len(rows) > room:
                if not shown and room > 0:
                    shown, number = rows[:room], number + 1
                if number == count:
                    return shown
                text = f"... and {count - number} more waiting"
                cut = transcript.cut(text, columns, self._signs)
                return [Row((("class:later", cut),)), *shown]
            shown = rows + shown
        return shown

    def waiting(self, now: float) -> int:
        """Return how many messages have no answer, though there was time for one."""
        return sum(
            own.state is State.WAITING and not own.is_young(now)
            for own in self._own.values()
        )

    # Inside -------------------------------------------------------------------------

    def _add(self, draw: Draw, time: int | None = None) -> Entry:
        entry = Entry(draw, time)
        self._entries.append(entry)
        return entry

    def _written(self, entries: Iterable[Entry | _Own], columns: int) -> list[Row]:
        rows: list[Row] = []
        for entry in entries:
            time = entry.message.time if isinstance(entry, _Own) else entry.time
            if time is not None:
                rows += self._day_change(time, columns)
            if isinstance(entry, _Own):
                rows += self._write_own(entry, columns)
            else:
                rows += entry.draw(columns)
        return rows

    def _write_own(self, own: _Own, columns: int) -> list[Row]:
        del self._own[own.key]
        if own.state is State.STORED and not own.answered:
            self._stored[own.key] = own.message
            excess = len(self._stored) - MOST_REMEMBERED
            for key in list(islice(self._stored, max(excess, 0))):
                del self._stored[key]
        mark = self._signs.mark(own.state)
        return transcript.sent(own.message, mark, columns, self._signs)

    def _day_change(self, time: int, columns: int) -> list[Row]:
        day = local_day(time)
        if day is None or day == self._day:
            return []
        self._day = day
        return transcript.day(day, columns, self._signs)
