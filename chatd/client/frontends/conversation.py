"""What is shown of a conversation, and what can be written down for good.

A terminal that scrolls keeps what was written to it: nothing there can be changed. So a
message that was sent stays in view, below all that was written, until it is known what
has become of it; then it is written in its turn. What comes meanwhile does not wait,
but for a moment: an answer must not stand above its question.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from heapq import heappop, heappush
from itertools import count, islice, takewhile
from math import inf
from typing import Final

from chatd.client.frontends import transcript
from chatd.client.frontends.frontend import Key, Line, State
from chatd.client.frontends.layout import Row
from chatd.client.frontends.transcript import Signs, local_day
from chatd.client.history.search import Found
from chatd.wire.message import Message
from chatd.wire.names import name_key

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
    number: int = 0


@dataclass(slots=True, eq=False)
class _Own:
    """A message that was sent, and when, in seconds: -inf for one that was not yet.

    It is `answered` once something came from its receiver while it was stored, and
    `is_known` once it can be written, as far as the message itself goes.
    """

    key: Key
    message: Message
    number: int
    state: State = State.WAITING
    since: float = -inf
    answered: bool = False
    is_known: bool = False

    def is_young(self, now: float) -> bool:
        """Whether the answer is still expected at any moment."""
        return self.state is State.WAITING and now < self.since + ANSWER_SECONDS


class Conversation:
    """What was said, what is to be written of it, and what is not settled yet.

    Times are in seconds of any clock, but for those of messages. `user` returns the
    name of whoever sits here; `today` the day it is, here.

    Thousands of messages may wait, and each event is followed by a look at them all: so
    each is kept where a look at the first of its kind is enough. Everything is written
    in the order of its number.
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
        self._numbers = count()
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._own: dict[Key, _Own] = {}
        # Of these: in the order of their numbers, and of when they get older.
        self._young: OrderedDict[Key, _Own] = OrderedDict()
        self._waiting = 0
        # Stored a moment ago: by age, by number, and by receiver.
        self._held: OrderedDict[Key, _Own] = OrderedDict()
        self._held_by_number: list[tuple[int, _Own]] = []
        self._held_by_name: dict[str, dict[Key, _Own]] = {}
        self._known: list[tuple[int, _Own]] = []
        self._last_known = -1
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
        self._entries.pop(entry.number, None)

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
        for own in list(self._held_by_name.get(name_key(message.sender), {}).values()):
            own.answered = True
            self._know(own)

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
        own = self._own[key] = _Own(key, message, next(self._numbers))
        self._waiting += 1
        if self.is_connected:
            own.since = now
            self._young[key] = own

    def became(self, key: Key, state: State, now: float, time: int) -> None:
        """Take what has become of a message; `time` is now, in ms since 1970."""
        own = self._own.get(key)
        if own is not None:
            self._change(own, state, now)
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
        for own in self._own.values():
            if own.state is State.WAITING:
                own.since, own.number = now, next(self._numbers)
                self._young[own.key] = own

    def disconnected(self) -> None:
        """Take note that nothing is sent now."""
        self.is_connected = False
        for own in self._young.values():
            own.since = -inf
        self._young.clear()

    # What is to be seen -------------------------------------------------------------

    def settled(self, now: float, columns: int) -> list[Row]:
        """Return what can be written down; it is forgotten here."""
        self._grow_older(now)
        # At a time without end nothing is young; it comes before other times do.
        young = next(iter(self._young.values()), None) if now < inf else None
        end = inf if young is None else young.number
        taken: list[Entry | _Own] = []
        while self._entries and next(iter(self._entries)) < end:
            taken.append(self._entries.popitem(last=False)[1])
        # What is only stored goes as well, if something behind it is known for good.
        behind = min(end, self._last_known)
        held = self._held_by_number
        while held and (held[0][1].key not in self._held or held[0][0] < behind):
            own = heappop(held)[1]
            if own.key in self._held:
                self._let_go(own)
                taken.append(own)
        while self._known and self._known[0][0] < end:
            taken.append(heappop(self._known)[1])
        if not self._known:
            self._last_known = -1
        return self._written(taken, columns)

    def all(self, columns: int) -> list[Row]:
        """Return all that was not written, whatever is known of it."""
        entries: list[Entry | _Own] = [*self._entries.values(), *self._own.values()]
        self._entries.clear()
        self._young.clear()
        self._held.clear()
        self._held_by_number.clear()
        self._held_by_name.clear()
        self._known.clear()
        self._waiting, self._last_known = 0, -1
        return self._written(entries, columns)

    def next_change(self, now: float) -> float | None:
        """Return when to look again after now, if nothing happens until then."""
        self._grow_older(now)
        changes = [
            *(own.since + ANSWER_SECONDS for own in islice(self._young.values(), 1)),
            *(own.since + STORED_SECONDS for own in islice(self._held.values(), 1)),
        ]
        return min(changes, default=None)

    def unsettled(self, now: float, columns: int, most: int) -> list[Row]:
        """Return the messages of which it is not known, in so many rows at most."""
        shown: list[Row] = []
        total = len(self._own)
        for number, own in enumerate(reversed(self._own.values())):
            mark = ("", "") if own.is_young(now) else self._signs.mark(own.state)
            rows = transcript.sent(own.message, mark, columns, self._signs)
            room = most - len(shown) - (number < total - 1)
            if len(rows) > room:
                if not shown and room > 0:
                    shown, number = rows[:room], number + 1
                if number == total:
                    return shown
                text = f"... and {total - number} more waiting"
                cut = transcript.cut(text, columns, self._signs)
                return [Row((("class:later", cut),)), *shown]
            shown = rows + shown
        return shown

    def waiting(self, now: float) -> int:
        """Return how many messages have no answer, though there was time for one."""
        # Nothing is taken note of here: it would be no change any more.
        old = takewhile(lambda own: not own.is_young(now), self._young.values())
        return self._waiting - len(self._young) + sum(1 for _ in old)

    # Inside -------------------------------------------------------------------------

    def _add(self, draw: Draw, time: int | None = None) -> Entry:
        entry = Entry(draw, time, next(self._numbers))
        self._entries[entry.number] = entry
        return entry

    def _change(self, own: _Own, state: State, now: float) -> None:
        if own.state is State.WAITING:
            self._waiting -= 1
            self._young.pop(own.key, None)
        elif own.state is State.STORED:
            self._let_go(own)
        own.state, own.since = state, now
        if state is State.WAITING:
            self._waiting += 1
        elif state is State.STORED and not own.is_known:
            self._held[own.key] = own
            heappush(self._held_by_number, (own.number, own))
            self._held_by_name.setdefault(own.key[1], {})[own.key] = own
        else:
            self._know(own)

    def _know(self, own: _Own) -> None:
        """Take one to those that can be written."""
        self._let_go(own)
        if not own.is_known:
            own.is_known = True
            heappush(self._known, (own.number, own))
            self._last_known = max(self._last_known, own.number)

    def _let_go(self, own: _Own) -> None:
        """Take one from those that were stored a moment ago, if it is one."""
        if self._held.pop(own.key, None) is not None:
            named = self._held_by_name[own.key[1]]
            del named[own.key]
            if not named:
                del self._held_by_name[own.key[1]]

    def _grow_older(self, now: float) -> None:
        """Take note of what is young no more, or stored for long enough."""
        while self._young and now < inf:
            own = next(iter(self._young.values()))
            if own.is_young(now):
                break
            del self._young[own.key]
        while self._held:
            own = next(iter(self._held.values()))
            if now < own.since + STORED_SECONDS:
                break
            self._know(own)

    def _written(self, entries: Iterable[Entry | _Own], columns: int) -> list[Row]:
        rows: list[Row] = []
        for entry in sorted(entries, key=lambda each: each.number):
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
