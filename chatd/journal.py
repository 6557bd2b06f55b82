"""The journal: group commit of everything that is written.

One transaction is under way at a time; what arrives meanwhile forms the next, shared by
all senders. So the disk is waited for once a transaction, however many messages it has,
and a single message waits for no timer.

A message that somebody is being shown is *held* for some tens of milliseconds first:
if a receiver has acknowledged it by then, it never touches the disk. The messages of
one receiver are written in the order of their acceptance: one that is to be written
takes along those that are held.

What is accepted is settled exactly once. A commit that failed refuses what nobody has
seen; what was shown to somebody is kept, and is written with the next transaction. So
is what must not be lost by a failing disk: that messages were delivered.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.entry import Entry, separated, undelivered
from chatd.store.records import (
    Arrival,
    Batch,
    Outcome,
    Removed,
    StoreFailure,
    User,
)
from chatd.turn import Turn
from chatd.wire.answers import Refusal

HOLD_SECONDS = 0.1
"""How long a message is held at most; it may be an eighth less.

A receiver that only listens delays its acknowledgement by up to 40 ms, and that it has
come is noticed some 20 ms later.
"""

_HOLD_TICKS = 8

RETRY_SECONDS = 1.0

SEEN_SECONDS = 0.1
"""How long it may take until it is written that somebody came or left.

It is promised to nobody. So many who come at the same time are one transaction, and
many who leave again are one change each.
"""

OnRemoved = Callable[[int, Sequence[Removed]], None]


class Writer(Protocol):
    """What the journal needs of the store."""

    def commit(self, batch: Batch) -> Deferred[Outcome]:
        """Write a batch in one transaction."""


class Journal:
    """Gathers what is to be written, and writes it a transaction at a time."""

    _log = Logger()

    def __init__(
        self, store: Writer, clock: IReactorTime, turn: Turn | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._turn = turn or Turn(clock)
        self._under_way = False
        self._entries_under_way: Sequence[Entry] = ()
        self._scheduled = False
        self._failing = False
        self._retry_later = False
        # By their receivers; the last are those held since the last tick.
        self._held: deque[dict[int, list[Entry]]] = deque(
            {} for _ in range(_HOLD_TICKS)
        )
        self._ticking = False
        self._entries: list[Entry] = []
        # Shown, and a commit of them failed: before all others.
        self._kept: list[Entry] = []
        self._visits: dict[int, Arrival] = {}
        self._seen_later = False
        self._arrivals: list[tuple[Arrival, Deferred[tuple[User, bool] | None]]] = []
        self._departures: dict[int, int] = {}
        self._removals: dict[int, tuple[int, OnRemoved]] = {}
        self._flushed: list[Deferred[None]] = []
        self.refused = 0
        """How many messages could not be committed since the start."""

    @property
    def waiting(self) -> int:
        """How many messages are accepted, and neither on disk nor delivered."""
        groups = [self._kept, self._entries, self._entries_under_way]
        groups += [group for held in self._held for group in held.values()]
        return sum(
            entry.count
            for group in groups
            for entry in separated(group)
            if not entry.delivered
        )

    def take(self, entry: Entry, *, at_once: bool = False) -> None:
        """Write what was just accepted; what was shown, in a while or `at_once`."""
        for each in entry.parts or (entry,):
            if each.shown and not at_once:
                self.hold(each)
            else:
                self.append(each)

    def append(self, entry: Entry) -> None:
        """Write a message, and those held of its receiver before it."""
        self._take_held(entry.target)
        self._entries.append(entry)
        self._schedule()

    def hold(self, entry: Entry) -> None:
        """Write a message that was shown, unless it is delivered soon."""
        held = self._held[-1].get(entry.target)
        if held is None:
            self._held[-1][entry.target] = [entry]
            self._tick_later()
        else:
            held.append(entry)

    def hurry(self, is_wanted: Callable[[Entry], bool]) -> None:
        """Hold what is wanted no longer, nor what was accepted before it."""
        groups = [each for held in self._held for each in held.items()]
        for target, entries in groups:
            if any(map(is_wanted, entries)):
                self._take_held(target)

    def arrive(self, arrival: Arrival) -> Deferred[tuple[User, bool] | None]:
        """Record a login under a name that may be new; return the user, and whether.

        None means that a new name found no room. Fails if nothing could be written.
        """
        arrived: Deferred[tuple[User, bool] | None] = Deferred()
        self._arrivals.append((arrival, arrived))
        self._schedule()
        return arrived

    def visit(self, user: int, arrival: Arrival) -> None:
        """Record some time soon that a known user has logged in."""
        self._visits[user] = arrival
        self._note_seen_later()

    def depart(self, user: int, time: int) -> None:
        """Record some time soon when a user was last seen.

        That is in milliseconds since 1970-01-01 UTC.
        """
        self._departures[user] = time
        self._note_seen_later()

    def remove(self, user: int, upto: int, on_removed: OnRemoved) -> None:
        """Take a user's messages up to a position from its queue: they are delivered.

        `on_removed` is told the position and what was taken; removals of one
        user that wait for the same transaction become one.
        """
        earlier = self._removals.get(user)
        if earlier is not None:
            upto = max(upto, earlier[0])
        self._removals[user] = (upto, on_removed)
        self._schedule()

    def flushed(self) -> Deferred[None]:
        """Hold nothing, and fire when nothing waits to be written.

        What failed and is to be tried again later counts as not waiting.
        """
        done: Deferred[None] = Deferred()
        self._flushed.append(done)
        self.hurry(lambda entry: True)
        self._schedule()
        return done

    def _tick_later(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._clock.callLater(HOLD_SECONDS / _HOLD_TICKS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        held = self._held.popleft()
        # Most were delivered, all in one piece: they cost little here.
        self._take(
            entry
            for entries in held.values()
            for entry in entries
            if entry.parts is not None or not entry.delivered
        )
        self._held.append({})
        if any(self._held):
            self._tick_later()

    def _take_held(self, target: int) -> None:
        for held in self._held:
            if target in held:
                self._take(held.pop(target))

    def _take(self, entries: Iterable[Entry]) -> None:
        self._entries.extend(undelivered(entries))
        if self._entries:
            self._schedule()

    def _note_seen_later(self) -> None:
        if not self._seen_later:
            self._seen_later = True
            self._clock.callLater(SEEN_SECONDS, self._note_seen)

    def _note_seen(self) -> None:
        self._seen_later = False
        if self._visits or self._departures:
            self._schedule()

    def _schedule(self) -> None:
        # At the end of the turn: what else this turn accepts goes along.
        if not self._under_way and not self._scheduled:
            self._scheduled = True
            self._turn.at_last(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        entries = undelivered(self._entries)
        self._entries = []
        arrivals, self._arrivals = self._arrivals, []
        visits, self._visits = self._visits, {}
        departures, self._departures = self._departures, {}
        removals: dict[int, tuple[int, OnRemoved]] = {}
        if not self._retry_later or entries or arrivals:
            removals, self._removals = self._removals, {}
            kept, self._kept = self._kept, []
            entries[:0] = undelivered(kept)
        if not (entries or arrivals or visits or departures or removals):
            # A refusal of an entry may have let its sender go on.
            if not self._scheduled:
                self._tell_flushed()
            return
        batch = Batch(
            arrivals=[arrival for arrival, _ in arrivals],
            visits=visits,
            departures=departures,
            removals={user: upto for user, (upto, _) in removals.items()},
            messages=[(entry.target, row) for entry in entries for row in entry.rows],
            ids=[each for entry in entries for each in entry.stored_ids],
        )
        self._under_way = True
        self._entries_under_way = entries
        for entry in entries:
            entry.under_way = True

        def committed(outcome: Outcome) -> None:
            self._under_way = False
            self._retry_later = False
            if self._failing:
                self._failing = False
                self._log.warn("Writing works again")
            self._finish(outcome, entries, arrivals, removals)
            self._schedule()

        def failed(failure: Failure) -> None:
            self._under_way = False
            self._report(failure)
            self._refuse(entries, "disk error")
            self._entries_under_way = ()
            self._keep(removals)
            if visits:
                self._log.warn(
                    "Logins that could not be recorded: {count}", count=len(visits)
                )
            for _, arrived in arrivals:
                arrived.errback(failure)
            self._schedule()

        done = self._store.commit(batch).addCallbacks(committed, failed)
        _ = done.addErrback(self._unexpected)

    def _finish(
        self,
        outcome: Outcome,
        entries: Sequence[Entry],
        arrivals: Sequence[tuple[Arrival, Deferred[tuple[User, bool] | None]]],
        removals: dict[int, tuple[int, OnRemoved]],
    ) -> None:
        # Queue figures first: an arrival asks for them.
        for user, removed in outcome.removed.items():
            upto, on_removed = removals[user]
            on_removed(upto, removed)
        if outcome.refused is not None:
            self._refuse(entries, outcome.refused)
        else:
            # One after another: what follows from the first may be that another one,
            # which is on disk as well, is delivered.
            for entry in separated(entries):
                entry.under_way = False
                self._settle(entry, None)
        self._entries_under_way = ()
        for (_, arrived), answer in zip(arrivals, outcome.arrived, strict=True):
            arrived.callback(answer)

    def _refuse(self, entries: Sequence[Entry], reason: str) -> None:
        """Refuse what nobody has seen, and keep the rest for the next transaction."""
        if not entries:
            return
        refused = 0
        for entry in separated(entries):
            entry.under_way = False
            if entry.shown and not entry.delivered:
                self._kept.append(entry)
                continue
            refused += entry.count if not entry.delivered else 0
            name = entry.target_name
            self._settle(entry, Refusal("not-stored", name=name, reason=reason))
        if refused:
            self.refused += refused
            self._log.error(
                "Refused {count} messages: {reason}", count=refused, reason=reason
            )
        self._reconsider_waiting()
        if self._kept:
            self._retry_in_a_while()

    def _reconsider_waiting(self) -> None:
        """Refuse what would overtake a message that was just refused.

        In the same turn: in the next one somebody may be shown it.
        """
        waiting, self._entries = self._entries, []
        remaining = []
        for entry in separated(waiting, unshown=True):
            refusal = None if entry.shown else entry.reconsider()
            if refusal is None:
                remaining.append(entry)
            else:
                self.refused += 1
                self._settle(entry, refusal)
        self._entries[:0] = remaining

    def _settle(self, entry: Entry, refusal: Refusal | None) -> None:
        try:
            entry.settle(refusal)
        except Exception:  # what fails for one sender must not leave another waiting
            self._log.failure("A sender could not be told what became of a message")

    def _report(self, failure: Failure) -> None:
        if not isinstance(failure.value, StoreFailure):
            self._log.failure("Nothing could be written", failure=failure)
        elif not self._failing:
            # Once: the log may be on the same disk.
            self._failing = True
            self._log.critical(
                "Nothing can be written: {error}", error=str(failure.value)
            )

    def _keep(self, removals: dict[int, tuple[int, OnRemoved]]) -> None:
        """Try removals that failed again, in a while or with the next message."""
        if not removals:
            return
        for user, (upto, on_removed) in removals.items():
            newer = self._removals.get(user)
            if newer is None or newer[0] < upto:
                self._removals[user] = (upto, on_removed)
        self._retry_in_a_while()

    def _retry_in_a_while(self) -> None:
        if not self._retry_later:
            self._retry_later = True
            self._clock.callLater(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retry_later = False
        self._schedule()

    def _tell_flushed(self) -> None:
        flushed, self._flushed = self._flushed, []
        for each in flushed:
            each.callback(None)

    def _unexpected(self, failure: Failure) -> None:
        self._log.failure("A commit's result was not handled", failure=failure)
        self._schedule()
