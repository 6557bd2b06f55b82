"""The journal: what is accepted is on disk, or refused, once and in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from chatd.journal import HOLD_SECONDS, RETRY_SECONDS, SEEN_SECONDS, Journal
from chatd.store.records import Arrival, Batch, Outcome, Removed, StoreFailure, User
from chatd.wire.answers import Refusal
from chatd.wire.message import Message

if TYPE_CHECKING:
    from conftest import LoggedErrors

BOB = 2
CAROL = 3

DISK_ERROR = StoreFailure("disk I/O error")


class Disk:
    """A disk that is told when a transaction is done, and how it went."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._under_way: Deferred[Outcome] | None = None

    def commit(self, batch: Batch) -> Deferred[Outcome]:
        assert self._under_way is None, "two transactions at once"
        self.batches.append(batch)
        self._under_way = Deferred()
        return self._under_way

    @property
    def busy(self) -> bool:
        return self._under_way is not None

    @property
    def last(self) -> Batch:
        return self.batches[-1]

    def succeed(
        self,
        *,
        refused: str | None = None,
        arrived: Sequence[tuple[User, bool] | None] = (),
        removed: int = 1,
    ) -> None:
        """Finish the transaction; each removal took `removed` messages."""
        batch = self.last
        outcome = Outcome(
            refused if batch.messages else None,
            arrived or [(user(each.key), True) for each in batch.arrivals],
            {target: [Removed("alice", removed, removed)] for target in batch.removals},
        )
        self._finish().callback(outcome)

    def fail(self) -> None:
        self._finish().errback(Failure(DISK_ERROR))

    def _finish(self) -> Deferred[Outcome]:
        done, self._under_way = self._under_way, None
        assert done is not None, "nothing is under way"
        return done


def user(key: str) -> User:
    return User(1, key, key, 0, 0, 0, 0)


def arrival(key: str) -> Arrival:
    return Arrival(key, key, "192.0.2.1", 1000, 0)


class Entry:
    """An accepted message, whose fate is written to a common record."""

    def __init__(self, desk: "Desk", position: int, target: int) -> None:
        self.message = Message(
            position, f"id{position}", "alice", "bob", f"m{position}", 0, 2
        )
        self.target = target
        self.rows = (self.message,)
        self.count = 1
        self.parts = None
        self.target_name = "bob"
        self.stored_ids = ()
        self.under_way = False
        self.shown = False
        self.delivered = False
        self._desk = desk

    def separate(self) -> list["Entry"]:
        return [self]

    def is_from(self, session: object) -> bool:
        return False

    def reconsider(self) -> Refusal | None:
        self._desk.reconsidered.append(self.message.text)
        if self.message.text in self._desk.out_of_order:
            return Refusal("out-of-order", name="bob")
        return None

    def settle(self, refusal: Refusal | None) -> None:
        fate = "stored" if refusal is None else refusal.text
        self._desk.settled.append((self.message.text, fate))


class Desk:
    """A journal on a `Disk`, and what it says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.disk = Disk()
        self.journal = Journal(self.disk, self.clock)
        self.settled: list[tuple[str, str]] = []
        self.reconsidered: list[str] = []
        self.out_of_order: set[str] = set()
        self.removed: list[tuple[int, int]] = []
        self._position = 0

    def send(self, count: int = 1, target: int = BOB) -> None:
        for _ in range(count):
            self._position += 1
            self.journal.append(Entry(self, self._position, target))

    def show(self, target: int = BOB) -> Entry:
        """Send a message that is shown to somebody at once."""
        self._position += 1
        entry = Entry(self, self._position, target)
        entry.shown = True
        self.journal.hold(entry)
        return entry

    def wait(self, seconds: float) -> None:
        """Let time pass, a hundredth of a second at a time."""
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)

    def turn(self) -> None:
        """Let a turn of the reactor pass."""
        self.clock.advance(0)

    def remove(self, upto: int, target: int = BOB) -> None:
        self.journal.remove(target, upto, self._on_removed)

    def _on_removed(self, upto: int, removed: Sequence[Removed]) -> None:
        self.removed.append((upto, sum(each.messages for each in removed)))

    @property
    def texts(self) -> list[list[str]]:
        """The messages of each transaction."""
        return [[m.text for _, m in batch.messages] for batch in self.disk.batches]


def lost(number: int, reason: str = "disk error") -> tuple[str, str]:
    return (
        f"m{number}",
        f"Could not store the message to 'bob' ({reason}). Nothing was sent;"
        " try again later.",
    )


def stored(*numbers: int) -> list[tuple[str, str]]:
    return [(f"m{number}", "stored") for number in numbers]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Holding ----------------------------------------------------------------------------


def test_what_somebody_is_shown_is_held_before_it_is_written(desk: Desk) -> None:
    desk.show()
    desk.wait(HOLD_SECONDS * 0.7)
    assert desk.texts == []
    desk.wait(HOLD_SECONDS)
    assert desk.texts == [["m1"]]
    desk.disk.succeed()
    assert desk.settled == stored(1)


def test_what_is_delivered_while_it_is_held_is_never_written(desk: Desk) -> None:
    first, second, third = desk.show(), desk.show(CAROL), desk.show()
    first.delivered = second.delivered = True
    desk.wait(2 * HOLD_SECONDS)
    assert desk.texts == [["m3"]]
    assert third.under_way
    assert not first.under_way


def test_what_is_delivered_while_it_waits_for_its_turn_is_never_written(
    desk: Desk,
) -> None:
    desk.send()
    desk.turn()
    entry = desk.show()
    desk.wait(2 * HOLD_SECONDS)
    entry.delivered = True
    desk.disk.succeed()
    desk.turn()
    assert desk.texts == [["m1"]]
    assert desk.clock.getDelayedCalls() == []


def test_what_must_be_written_takes_along_what_is_held_of_its_receiver(
    desk: Desk,
) -> None:
    desk.show()
    desk.wait(HOLD_SECONDS / 2)
    desk.show()
    desk.show(CAROL)
    desk.send(1, BOB)
    desk.turn()
    assert desk.texts == [["m1", "m2", "m4"]]


def test_what_is_in_a_hurry_is_held_no_longer_nor_what_was_before_it(
    desk: Desk,
) -> None:
    desk.show()
    hurried = desk.show()
    desk.show(CAROL)
    desk.journal.hurry(lambda entry: entry is hurried)
    desk.turn()
    assert desk.texts == [["m1", "m2"]]


def test_a_flush_holds_nothing(desk: Desk) -> None:
    desk.show()
    desk.show(CAROL)
    flushed = desk.journal.flushed()
    desk.turn()
    assert desk.texts == [["m1", "m2"]]
    assert not flushed.called
    desk.disk.succeed()
    desk.turn()
    assert flushed.called


def test_a_commit_that_fails_keeps_what_was_shown_and_refuses_the_rest(
    desk: Desk,
) -> None:
    desk.show()
    desk.send()
    desk.turn()
    desk.disk.succeed(refused="disk full")
    assert desk.settled == [lost(2, "disk full")]
    assert desk.journal.waiting == 1
    desk.turn()
    assert desk.texts == [["m1", "m2"]]
    desk.clock.advance(RETRY_SECONDS)
    desk.turn()
    assert desk.texts[1:] == [["m1"]]
    desk.disk.succeed()
    assert desk.settled == [lost(2, "disk full"), *stored(1)]


def test_what_was_kept_goes_before_the_next_message(desk: Desk) -> None:
    desk.show()
    desk.send()
    desk.turn()
    desk.disk.succeed(refused="disk full")
    desk.send()
    desk.turn()
    assert desk.texts == [["m1", "m2"], ["m1", "m3"]]


def test_what_is_shown_while_its_commit_fails_is_kept(desk: Desk) -> None:
    desk.show()
    late = Entry(desk, 2, BOB)
    desk.journal.append(late)
    desk.turn()
    late.shown = True
    desk.disk.succeed(refused="disk full")
    assert desk.settled == []
    desk.clock.advance(RETRY_SECONDS)
    desk.turn()
    assert desk.texts == [["m1", "m2"], ["m1", "m2"]]


def test_what_is_delivered_while_its_commit_fails_is_not_tried_again(
    desk: Desk,
) -> None:
    entry = desk.show()
    desk.journal.hurry(lambda entry: True)
    desk.turn()
    entry.delivered = True
    desk.disk.succeed(refused="disk full")
    assert desk.journal.waiting == 0
    assert desk.journal.refused == 0
    desk.clock.advance(RETRY_SECONDS)
    assert desk.texts == [["m1"]]


def test_what_was_kept_does_not_hold_up_a_flush(desk: Desk) -> None:
    desk.show()
    desk.journal.hurry(lambda entry: True)
    desk.turn()
    desk.disk.succeed(refused="disk full")
    flushed = desk.journal.flushed()
    desk.turn()
    assert flushed.called
    assert desk.journal.waiting == 1


# Group commit -----------------------------------------------------------------------


def test_all_messages_of_one_turn_share_a_transaction(desk: Desk) -> None:
    desk.send(3)
    assert not desk.disk.busy
    desk.turn()
    assert desk.texts == [["m1", "m2", "m3"]]


def test_a_message_is_answered_after_its_transaction_and_not_before(desk: Desk) -> None:
    desk.send(2)
    desk.turn()
    assert desk.settled == []
    desk.disk.succeed()
    assert desk.settled == stored(1, 2)


def test_one_transaction_is_under_way_and_the_rest_forms_the_next(desk: Desk) -> None:
    desk.send()
    desk.turn()
    for _ in range(3):
        desk.send()
        desk.turn()
    assert desk.texts == [["m1"]]
    desk.disk.succeed()
    desk.turn()
    assert desk.texts == [["m1"], ["m2", "m3", "m4"]]
    assert desk.settled == stored(1)
    desk.disk.succeed()
    assert desk.settled == stored(1, 2, 3, 4)


def test_a_message_waits_for_no_timer(desk: Desk) -> None:
    desk.send()
    assert [call.getTime() for call in desk.clock.getDelayedCalls()] == [0]


def test_an_idle_journal_asks_nothing_of_the_disk_or_the_clock(desk: Desk) -> None:
    desk.send()
    desk.turn()
    desk.disk.succeed()
    desk.turn()
    assert desk.texts == [["m1"]]
    assert desk.clock.getDelayedCalls() == []


def test_a_message_accepted_while_others_are_answered_goes_with_the_next(
    desk: Desk,
) -> None:
    class Answered(Entry):
        def settle(self, refusal: Refusal | None) -> None:
            super().settle(refusal)
            desk.send()

    desk.journal.append(Answered(desk, 100, BOB))
    desk.turn()
    desk.disk.succeed()
    desk.turn()
    assert desk.texts == [["m100"], ["m1"]]


def test_messages_to_several_receivers_share_a_transaction(desk: Desk) -> None:
    desk.send(1, BOB)
    desk.send(1, CAROL)
    desk.turn()
    assert [target for target, _ in desk.disk.last.messages] == [BOB, CAROL]


def test_what_waits_is_counted_until_it_is_answered(desk: Desk) -> None:
    assert desk.journal.waiting == 0
    desk.send(2)
    assert desk.journal.waiting == 2
    desk.turn()
    desk.send()
    assert desk.journal.waiting == 3
    desk.disk.succeed()
    assert desk.journal.waiting == 1
    desk.turn()
    desk.disk.succeed()
    assert desk.journal.waiting == 0


# Failures ---------------------------------------------------------------------------


def test_a_transaction_that_fails_refuses_its_own_messages_only(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    desk.send(2)
    desk.turn()
    desk.send()
    desk.disk.fail()
    assert desk.settled == [lost(1), lost(2)]
    desk.turn()
    assert desk.texts == [["m1", "m2"], ["m3"]]
    desk.disk.succeed()
    assert desk.settled == [lost(1), lost(2), *stored(3)]
    assert logged_errors.flush(StoreFailure) == []


def test_a_full_disk_refuses_with_its_reason(desk: Desk) -> None:
    desk.send(2)
    desk.turn()
    desk.disk.succeed(refused="disk full")
    assert desk.settled == [lost(1, "disk full"), lost(2, "disk full")]
    assert desk.journal.refused == 2


def test_messages_behind_one_that_failed_are_looked_at_again_at_once(
    desk: Desk,
) -> None:
    desk.send()
    desk.turn()
    desk.send(3)
    desk.out_of_order = {"m2", "m4"}
    desk.disk.succeed(refused="disk full")
    assert desk.reconsidered == ["m2", "m3", "m4"]
    desk.turn()
    assert desk.texts == [["m1"], ["m3"]]
    desk.disk.succeed()
    out_of_order = Refusal("out-of-order", name="bob").text
    assert desk.settled == [
        lost(1, "disk full"),
        ("m2", out_of_order),
        ("m4", out_of_order),
        *stored(3),
    ]
    assert desk.journal.refused == 3


def test_after_a_success_nothing_is_looked_at_again(desk: Desk) -> None:
    desk.send()
    desk.turn()
    desk.send()
    desk.disk.succeed(refused="disk full")
    assert desk.reconsidered == ["m2"]
    desk.turn()
    desk.send()
    desk.disk.succeed()
    desk.turn()
    assert desk.reconsidered == ["m2"]


def test_nothing_is_written_where_every_message_is_refused_again(desk: Desk) -> None:
    desk.send()
    desk.turn()
    desk.send(2)
    desk.out_of_order = {"m2", "m3"}
    desk.disk.succeed(refused="disk full")
    desk.turn()
    assert desk.texts == [["m1"]]
    assert desk.journal.waiting == 0


def test_a_message_whose_sender_cannot_be_told_keeps_no_other_from_being_told(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    class Unlucky(Entry):
        def settle(self, refusal: Refusal | None) -> None:
            raise RuntimeError("a bug")

    desk.send()
    desk.journal.append(Unlucky(desk, 100, BOB))
    desk.send()
    arrived = desk.journal.arrive(arrival("carol"))
    desk.turn()
    desk.disk.succeed()
    assert desk.settled == stored(1, 2)
    assert arrived.called
    assert len(logged_errors.flush(RuntimeError)) == 1


# Delivered messages -----------------------------------------------------------------


def test_removals_of_one_receiver_become_one(desk: Desk) -> None:
    desk.remove(3)
    desk.remove(7)
    desk.remove(5)
    desk.remove(1, CAROL)
    desk.turn()
    assert desk.disk.last.removals == {BOB: 7, CAROL: 1}
    desk.disk.succeed()
    assert desk.removed == [(7, 1), (1, 1)]


def test_a_removal_during_a_transaction_goes_with_the_next(desk: Desk) -> None:
    desk.remove(3)
    desk.turn()
    desk.remove(7)
    desk.disk.succeed()
    desk.turn()
    desk.disk.succeed()
    assert [batch.removals for batch in desk.disk.batches] == [{BOB: 3}, {BOB: 7}]
    assert desk.removed == [(3, 1), (7, 1)]


def test_removals_are_reported_before_messages_and_logins(desk: Desk) -> None:
    """A login is told the figures of its queue: they must be those after it all."""
    order: list[str] = []

    class Noted(Entry):
        def settle(self, refusal: Refusal | None) -> None:
            order.append("stored")

    arrived = desk.journal.arrive(arrival("bob"))
    arrived.addCallback(lambda _: order.append("arrived"))
    desk.journal.append(Noted(desk, 1, BOB))
    desk.journal.remove(BOB, 1, lambda upto, removed: order.append("removed"))
    desk.turn()
    desk.disk.succeed()
    assert order == ["removed", "stored", "arrived"]


def test_a_removal_that_failed_is_tried_again_after_a_while(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    desk.remove(3)
    desk.turn()
    desk.disk.fail()
    desk.turn()
    assert not desk.disk.busy
    desk.clock.advance(RETRY_SECONDS)
    desk.turn()
    assert desk.disk.last.removals == {BOB: 3}
    desk.disk.succeed()
    assert desk.removed == [(3, 1)]
    desk.turn()
    assert desk.clock.getDelayedCalls() == []
    logged_errors.flush(StoreFailure)


def test_a_removal_that_failed_goes_along_with_the_next_message(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    desk.remove(3)
    desk.turn()
    desk.disk.fail()
    desk.send()
    desk.turn()
    assert desk.disk.last.removals == {BOB: 3}
    assert desk.texts[-1] == ["m1"]
    desk.disk.succeed()
    logged_errors.flush(StoreFailure)
    # The second try that was planned finds nothing left to do.
    desk.clock.advance(2 * RETRY_SECONDS)
    desk.turn()
    assert len(desk.disk.batches) == 2
    assert desk.clock.getDelayedCalls() == []


def test_a_removal_that_failed_never_goes_back_behind_a_newer_one(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    desk.remove(3)
    desk.turn()
    desk.remove(7)
    desk.disk.fail()
    desk.turn()
    desk.clock.advance(RETRY_SECONDS)
    desk.turn()
    assert desk.disk.last.removals == {BOB: 7}
    desk.disk.succeed()
    assert desk.removed == [(7, 1)]
    logged_errors.flush(StoreFailure)


def test_removals_are_tried_for_as_long_as_the_disk_fails(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    with capturedLogs() as events:
        desk.remove(3)
        desk.turn()
        for tries in range(1, 6):
            assert len(desk.disk.batches) == tries
            desk.disk.fail()
            desk.turn()
            assert len(desk.clock.getDelayedCalls()) == 1
            desk.clock.advance(RETRY_SECONDS)
            desk.turn()
        desk.disk.succeed()
        assert desk.removed == [(3, 1)]
    told = [each["log_level"] for each in events]
    # Once, and that it is over: the log may lie on the same disk.
    assert told.count(LogLevel.critical) == 1
    assert told.count(LogLevel.warn) == 1


def test_a_full_disk_does_not_keep_delivered_messages_from_leaving(desk: Desk) -> None:
    desk.send()
    desk.remove(3)
    desk.turn()
    desk.disk.succeed(refused="disk full")
    assert desk.settled == [lost(1, "disk full")]
    assert desk.removed == [(3, 1)]


# Logins -----------------------------------------------------------------------------


def results(*deferreds: Deferred[tuple[User, bool] | None]) -> list[object]:
    """Return what each gave, and keep failures from being logged."""
    found: list[object] = []
    for each in deferreds:
        each.addBoth(found.append)
    return [each.type if isinstance(each, Failure) else each for each in found]


def test_logins_are_answered_in_order_by_one_transaction(desk: Desk) -> None:
    alice = desk.journal.arrive(arrival("alice"))
    bob = desk.journal.arrive(arrival("bob"))
    desk.turn()
    desk.disk.succeed(arrived=[(user("alice"), True), (user("bob"), False)])
    assert results(alice, bob) == [(user("alice"), True), (user("bob"), False)]


def test_a_new_name_for_which_there_is_no_room_is_told_so(desk: Desk) -> None:
    alice = desk.journal.arrive(arrival("alice"))
    desk.turn()
    desk.disk.succeed(arrived=[None])
    assert results(alice) == [None]


def test_a_login_on_a_broken_disk_fails_and_the_next_is_tried(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    first = desk.journal.arrive(arrival("alice"))
    desk.turn()
    second = desk.journal.arrive(arrival("bob"))
    desk.disk.fail()
    assert results(first) == [StoreFailure]
    desk.turn()
    desk.disk.succeed()
    assert results(second) == [(user("bob"), True)]
    logged_errors.flush(StoreFailure)


def test_the_last_time_that_a_user_was_seen_is_the_one_that_is_written(
    desk: Desk,
) -> None:
    desk.journal.depart(BOB, 1_000)
    desk.journal.depart(BOB, 2_000)
    desk.clock.advance(SEEN_SECONDS)
    desk.turn()
    assert desk.disk.last.departures == {BOB: 2_000}


def test_a_login_under_a_known_name_is_written_in_a_while_and_no_timer_is_left(
    desk: Desk,
) -> None:
    desk.journal.visit(BOB, arrival("bob"))
    desk.journal.visit(CAROL, arrival("carol"))
    desk.turn()
    assert desk.disk.batches == []
    desk.clock.advance(SEEN_SECONDS)
    desk.turn()
    assert desk.disk.last.visits == {BOB: arrival("bob"), CAROL: arrival("carol")}
    desk.disk.succeed()
    desk.turn()
    assert desk.clock.getDelayedCalls() == []


def test_a_login_under_a_known_name_goes_along_with_what_is_written_before(
    desk: Desk,
) -> None:
    desk.journal.visit(BOB, arrival("bob"))
    desk.send()
    desk.turn()
    assert desk.disk.last.visits == {BOB: arrival("bob")}
    assert desk.texts == [["m1"]]


def test_a_flush_writes_who_came_and_left(desk: Desk) -> None:
    desk.journal.visit(BOB, arrival("bob"))
    desk.journal.depart(CAROL, 1_000)
    flushed = desk.journal.flushed()
    desk.turn()
    assert desk.disk.last.visits == {BOB: arrival("bob")}
    assert desk.disk.last.departures == {CAROL: 1_000}
    desk.disk.succeed()
    desk.turn()
    assert flushed.called


# Flushing ---------------------------------------------------------------------------


def test_an_idle_journal_is_flushed_at_once(desk: Desk) -> None:
    flushed = desk.journal.flushed()
    desk.turn()
    assert flushed.called


def test_a_flush_waits_for_the_transaction_under_way_and_the_one_after_it(
    desk: Desk,
) -> None:
    desk.send()
    desk.turn()
    desk.send()
    flushed = desk.journal.flushed()
    desk.disk.succeed()
    desk.turn()
    assert not flushed.called
    desk.disk.succeed()
    desk.turn()
    assert flushed.called
    assert desk.settled == stored(1, 2)


def test_a_flush_does_not_wait_for_a_disk_that_fails(
    desk: Desk, logged_errors: "LoggedErrors"
) -> None:
    desk.remove(3)
    desk.turn()
    flushed = desk.journal.flushed()
    desk.disk.fail()
    desk.turn()
    assert flushed.called
    logged_errors.flush(StoreFailure)


def test_a_flush_waits_for_what_a_refusal_brings_about(desk: Desk) -> None:
    """A sender that was slowed sends on when it is told of a refusal."""

    class Refused(Entry):
        def settle(self, refusal: Refusal | None) -> None:
            super().settle(refusal)
            desk.send()

    desk.send()
    desk.turn()
    desk.out_of_order = {"m100"}
    desk.journal.append(Refused(desk, 100, BOB))
    flushed = desk.journal.flushed()
    desk.disk.succeed(refused="disk full")
    desk.turn()
    assert not flushed.called
    desk.turn()
    assert desk.texts[-1] == ["m2"]
    desk.disk.succeed()
    desk.turn()
    assert flushed.called
