"""How a connection gets its user's messages: all, in order, none twice.

The hub, the journal and the SQL are real; a `Screen` stands in place of a connection,
so that a test can say when it has room, and what its other end has acknowledged.
"""

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from memory import MemoryServer
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from chatd.accounts import Origin
from chatd.hub.delivery import MISSED, RETRY_SECONDS, STALL_SECONDS, Delivery, State
from chatd.hub.realm import Mind
from chatd.hub.recent import AT_ONCE
from chatd.hub.session import Session
from chatd.journal import HOLD_SECONDS, SEEN_SECONDS
from chatd.limits import MIB, Limits
from chatd.store import transactions
from chatd.store.records import Batch
from chatd.wire.answers import Refusal
from chatd.wire.block import Block, Part
from chatd.wire.message import Message
from chatd.wire.names import parse_name

if TYPE_CHECKING:
    from conftest import LoggedErrors

HERE = Origin("127.0.0.1", 1000, True)


class Screen:
    """A connection that receives, its kernel and its program.

    It shows what it is given at once. While `full`, it has not `drained`; what it was
    given is acknowledged by `acknowledge` only. `shown` are the texts, a queued one
    in brackets; `notices` are counted apart.
    """

    acknowledges = False

    def __init__(self) -> None:
        self.session: Session
        self.shown: list[str] = []
        self.notices: list[str] = []
        self.full = False
        self.crowded = False
        self.written = 0
        self._acknowledged = 0
        self._drained: list[Deferred[None]] = []
        self._ends: list[int] = []

    @property
    def outstanding(self) -> int:
        return self.written - self._acknowledged

    @property
    def delivery(self) -> Delivery:
        assert self.session.delivery is not None
        return self.session.delivery

    @property
    def state(self) -> State:
        return self.delivery.state

    def deliver(self, messages: Sequence[Message], *, queued: bool) -> list[int]:
        assert messages
        for each in messages:
            self.shown.append(f"[{each.text}]" if queued else each.text)
            self.written += each.size
            self._ends.append(self.written)
        return self._ends[-len(messages) :]

    def deliver_block(self, block: Block, *, queued: bool) -> tuple[int, "array[int]"]:
        messages = block.messages()
        sizes = array("I", [each.size for each in messages])
        return self.deliver(messages, queued=queued)[-1], sizes

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def drained(self) -> Deferred[None]:
        if not self.full:
            return succeed(None)
        self._drained.append(Deferred())
        return self._drained[-1]

    def drain(self, *, full: bool = False) -> None:
        """Have room: for a page if it is `full` again then, or from now on."""
        self.full = full
        drained, self._drained = self._drained, []
        for each in drained:
            each.callback(None)

    def acknowledge(self, messages: int | None = None) -> None:
        """Acknowledge the first messages that were shown, or all."""
        ends = self._ends[:messages]
        if ends:
            self._acknowledged = ends[-1]
            self.delivery.acknowledged(self._acknowledged)

    def take(self) -> list[str]:
        """Return what was shown since this was asked last."""
        shown, self.shown = self.shown, []
        return shown


class Receipt:
    """Takes note of what becomes of a message."""

    wants_delivery = True

    def __init__(self) -> None:
        self.fate: list[str] = []

    def taken(self) -> None:
        pass

    def stored(self, *, may_be_delivered: bool) -> None:
        self.fate.append("stored, may be delivered" if may_be_delivered else "stored")

    def delivered(self) -> None:
        self.fate.append("delivered")

    def refused(self, refusal: Refusal) -> None:
        self.fate.append(refusal.code)


class House:
    """A daemon in which alice sends to bob."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.server = MemoryServer(limits)
        self.store = self.server.store
        self._alice = self._log_in("alice", None)
        self._log_in("bob", None).close()
        self.settle()

    def _log_in(self, name: str, screen: Screen | None) -> Session:
        sessions: list[Session] = []
        login = maybeDeferred(
            self.server.hub.login, Mind(parse_name(name), HERE, screen)
        )
        login.addCallback(lambda found: sessions.append(found[0]))
        self.wait(SEEN_SECONDS)
        return sessions[0]

    def settle(self) -> None:
        self.server.settle()

    def wait(self, seconds: float) -> None:
        self.server.clock.advance(seconds)
        self.settle()

    def enter(self, screen: Screen | None = None) -> Screen:
        """Log bob in."""
        screen = self.arrive(screen)
        self.start(screen)
        return screen

    def arrive(self, screen: Screen | None = None) -> Screen:
        """Log bob in, but do not begin to deliver."""
        screen = screen or Screen()
        screen.session = self._log_in("bob", screen)
        return screen

    def start(self, screen: Screen) -> None:
        screen.session.start()
        self.settle()

    def leave(self, screen: Screen) -> None:
        """Lose the connection."""
        screen.session.close()
        self.settle()

    def send(self, *texts: str, held: bool = False, to: str = "bob") -> list[Receipt]:
        """Send from alice; what is held is written, unless it stays `held`."""
        receivers: list[object] = []
        found = Deferred.fromCoroutine(
            self.server.hub.find([parse_name(to)], self._alice.name)
        )
        found.addCallback(receivers.extend)
        receipts = [Receipt() for _ in texts]
        for text, receipt in zip(texts, receipts, strict=True):
            self._alice.send(receivers[0], text, "", receipt)  # type: ignore[arg-type]
        self.settle()
        if not held:
            self.end_hold()
        return receipts

    def end_hold(self) -> None:
        """Let the time pass for which messages are held."""
        self.server.end_hold()

    @property
    def queue(self) -> list[str]:
        return self.store.queued("bob")


@pytest.fixture
def house() -> House:
    return House()


def finished(screen: Screen, *, queued: bool = True) -> list[None]:
    """Ask for the end; the list gets an item when it has come."""
    ends: list[None] = []
    screen.session.finish(queued=queued).addCallback(ends.append)
    return ends


# Live -------------------------------------------------------------------------------


def test_a_message_is_shown_at_once_whatever_the_disk_does(house: House) -> None:
    bob = house.enter()
    house.store.slow = True
    house.send("a")
    assert bob.take() == ["a"]
    house.store.catch_up()
    assert bob.take() == []
    assert house.queue == ["a"]


def test_a_message_that_is_acknowledged_soon_never_touches_the_disk(
    house: House,
) -> None:
    bob = house.enter()
    (receipt,) = house.send("a", held=True)
    assert bob.take() == ["a"]
    commits = len(house.store.commits)
    bob.acknowledge()
    assert receipt.fate == ["delivered"]
    house.end_hold()
    assert len(house.store.commits) == commits
    house.server.check_figures()


def test_a_message_that_nobody_acknowledges_soon_is_stored(house: House) -> None:
    bob = house.enter()
    (receipt,) = house.send("a", held=True)
    house.wait(HOLD_SECONDS / 2)
    assert receipt.fate == []
    assert house.queue == []
    house.end_hold()
    assert receipt.fate == ["stored, may be delivered"]
    assert house.queue == ["a"]
    bob.acknowledge()
    house.settle()
    assert receipt.fate == ["stored, may be delivered", "delivered"]
    assert house.queue == []
    house.server.check_figures()


def test_what_is_acknowledged_before_its_turn_is_not_written(house: House) -> None:
    bob = house.enter()
    house.store.slow = True
    house.send("a")  # its commit is under way
    receipts = house.send("b", "c")  # these wait for the next
    bob.acknowledge(2)
    house.store.catch_up()
    house.settle()
    house.store.catch_up()
    house.settle()
    house.store.catch_up()
    house.settle()
    written = [
        message.text for batch in house.store.commits for _, message in batch.messages
    ]
    assert written == ["a", "c"]
    assert receipts[0].fate == ["delivered"]
    assert house.queue == ["c"]
    house.store.slow = False
    house.server.check_figures()


def test_what_is_acknowledged_while_it_is_written_leaves_the_queue_again(
    house: House,
) -> None:
    bob = house.enter()
    house.store.slow = True
    (receipt,) = house.send("a")
    bob.acknowledge()
    assert receipt.fate == ["delivered"]
    house.store.slow = False
    house.store.catch_up()
    house.settle()
    assert receipt.fate == ["delivered"]
    assert house.queue == []
    house.server.check_figures()


def test_a_receiver_is_idle_though_something_never_written_was_delivered_last(
    house: House,
) -> None:
    bob = house.enter()
    house.store.slow = True
    house.send("a")
    bob.acknowledge()  # while it is written: it is to be removed again
    house.send("b", held=True)
    bob.acknowledge()
    house.store.slow = False
    house.store.catch_up()
    house.settle()
    house.leave(bob)
    assert house.queue == []
    assert bob.session.receiver.idle


def test_what_is_held_is_stored_before_what_comes_for_somebody_away(
    house: House,
) -> None:
    bob = house.enter()
    house.send("a", held=True)
    house.leave(bob)
    house.send("b", held=True)
    assert house.queue == ["a", "b"]
    assert house.enter().take() == ["[a]", "[b]"]


def test_what_a_connection_had_not_acknowledged_comes_at_once_on_the_next(
    house: House,
) -> None:
    first = house.enter()
    house.send("a", "b", held=True)
    first.acknowledge(1)
    house.leave(first)
    second = house.enter()
    assert second.take() == ["b"]
    second.acknowledge()
    house.end_hold()
    assert house.queue == []
    house.server.check_figures()


def test_what_somebody_has_seen_is_not_refused_when_the_disk_fails(
    house: House,
) -> None:
    bob = house.enter()
    house.store.lack = "disk full"
    (shown,) = house.send("a")
    assert bob.take() == ["a"]
    house.leave(bob)
    (unseen,) = house.send("b")
    assert shown.fate == []
    assert unseen.fate == ["not-stored"]
    house.store.lack = None
    house.wait(1)
    assert shown.fate == ["stored"]
    assert house.enter().take() == ["[a]"]
    house.server.check_figures()


def test_what_was_seen_while_its_commit_failed_is_written_before_the_next(
    house: House,
) -> None:
    house.send("a")
    bob = house.arrive()
    house.store.slow = house.store.broken = True
    (late,) = house.send("b")
    house.start(bob)
    assert bob.take() == ["[a]", "b"]
    house.store.catch_up()  # the commit of b fails, when b has been seen
    assert late.fate == []
    house.store.slow = house.store.broken = False
    house.send("c")
    assert house.queue == ["a", "b", "c"]
    assert late.fate == ["stored, may be delivered"]
    house.server.check_figures()


def test_on_a_full_disk_whoever_is_there_still_gets_messages(house: House) -> None:
    bob = house.enter()
    house.store.lack = "disk full"
    (receipt,) = house.send("a", held=True)
    bob.acknowledge()
    house.end_hold()
    assert bob.take() == ["a"]
    assert receipt.fate == ["delivered"]
    house.server.check_figures()


def test_a_message_leaves_the_queue_once_it_is_acknowledged_and_not_before(
    house: House,
) -> None:
    bob = house.enter()
    house.send("a", "b")
    assert bob.take() == ["a", "b"]
    assert house.queue == ["a", "b"]
    bob.acknowledge(1)
    house.settle()
    assert house.queue == ["b"]
    bob.acknowledge()
    house.settle()
    assert house.queue == []


def test_what_a_receiver_did_not_acknowledge_comes_at_its_next_login(
    house: House,
) -> None:
    bob = house.enter()
    house.send("a", "b", "c")
    bob.acknowledge(1)
    house.leave(bob)
    assert house.queue == ["b", "c"]
    again = house.enter()
    assert again.take() == ["[b]", "[c]"]


def test_an_acknowledgement_after_the_end_counts_for_nothing(house: House) -> None:
    """The connection is closed: a count that is read now may be of another socket."""
    bob = house.enter()
    house.send("a")
    house.leave(bob)
    assert house.queue == ["a"]
    assert house.enter().take() == ["[a]"]


def test_a_sender_learns_that_its_message_is_stored_and_then_delivered(
    house: House,
) -> None:
    bob = house.enter()
    (receipt,) = house.send("a")
    assert receipt.fate == ["stored, may be delivered"]
    bob.acknowledge()
    assert receipt.fate == ["stored, may be delivered", "delivered"]


def test_a_sender_is_not_told_of_a_delivery_at_the_next_login(house: House) -> None:
    bob = house.enter()
    (receipt,) = house.send("a")
    house.leave(bob)
    again = house.enter()
    again.acknowledge()
    house.settle()
    assert receipt.fate == ["stored, may be delivered"]
    assert house.queue == []


def test_each_message_is_confirmed_to_its_own_sender(house: House) -> None:
    bob = house.enter()
    receipts = house.send("a", "b", "c")
    bob.acknowledge(2)
    assert [receipt.fate[-1] for receipt in receipts] == [
        "delivered",
        "delivered",
        "stored, may be delivered",
    ]


# Catching up ------------------------------------------------------------------------


def test_queued_messages_come_first_and_in_order(house: House) -> None:
    house.send("a", "b")
    bob = house.enter()
    house.send("c")
    assert bob.take() == ["[a]", "[b]", "c"]


def test_a_long_queue_comes_whole_and_in_order(house: House) -> None:
    texts = [str(number) for number in range(2_500)]
    house.send(*texts)
    bob = house.enter()
    house.send("live")
    assert bob.take() == [*(f"[{text}]" for text in texts), "live"]


def test_a_queue_comes_a_page_at_a_time_as_fast_as_it_is_read(house: House) -> None:
    house.send(*("x" * 1_000 for _ in range(1_000)))
    bob = Screen()
    bob.full = True
    house.enter(bob)
    # The first page comes without waiting; nothing more until that has left.
    first = len(bob.take())
    assert 0 < first * 1_000 <= 257 * 1024
    house.settle()
    assert bob.take() == []
    bob.drain()
    house.settle()
    assert first + len(bob.take()) == 1_000


def test_messages_sent_while_the_queue_is_read_come_after_it(house: House) -> None:
    house.send("a")
    bob = house.arrive()
    house.store.slow_reads = True
    house.start(bob)
    house.send("b")
    assert bob.take() == []
    house.store.answer_reads()
    house.store.answer_reads()
    assert bob.take() == ["[a]", "b"]


def test_a_message_stored_between_a_read_and_its_answer_is_not_lost() -> None:
    house = House(Limits(recent_bytes=0))
    house.send("a")
    bob = house.arrive()
    house.store.slow_reads = True
    house.start(bob)
    house.store.read()
    house.send("b")
    house.store.answer_reads()
    assert bob.take() == ["[a]"]
    assert bob.state is State.CATCHING_UP
    house.store.answer_reads()
    assert bob.take() == ["b"]
    assert bob.state is State.LIVE


def test_a_message_that_a_read_finds_before_its_sender_hears_of_it_comes_once(
    house: House,
) -> None:
    """The reading thread may be done before the reactor hears of the commit."""
    house.send("a")
    bob = house.arrive()
    house.store.slow = house.store.slow_reads = True
    house.start(bob)
    house.send("b")
    house.store.write()
    house.store.answer_reads()
    house.store.catch_up()
    house.settle()
    house.store.answer_reads()
    assert bob.take() in (["[a]", "b"], ["[a]", "[b]"])
    bob.acknowledge()
    house.store.catch_up()
    house.settle()
    house.store.catch_up()
    assert house.queue == []


def test_messages_of_one_transaction_come_once_to_a_receiver_that_falls_behind() -> (
    None
):
    house = House(Limits(unacknowledged=2))
    bob = house.enter()
    house.send("long message", "another one", "and a third")
    assert bob.take() == ["long message", "another one", "and a third"]


def test_a_queue_that_cannot_be_read_is_tried_again(
    house: House, logged_errors: "LoggedErrors"
) -> None:
    house.send("a")
    bob = house.arrive()
    house.store.unreadable = True
    house.start(bob)
    house.wait(RETRY_SECONDS)
    assert bob.take() == []
    house.store.unreadable = False
    house.wait(RETRY_SECONDS)
    assert bob.take() == ["[a]"]
    assert len(logged_errors.flush()) == 2


# What is kept together ---------------------------------------------------------------


@pytest.fixture
def waiting(house: House) -> House:
    """Return a daemon that has started with messages for bob that are kept together."""
    user = transactions.find_user(house.store.connection, "bob")
    assert user is not None
    block = Block(9, "bob", 0, [Part("ann", 3, b"a\nb\nc"), Part("cleo", 2, b"d\ne")])
    transactions.write(house.store.connection, Batch(messages=[(user.id, block)]))
    house.store.connection.commit()
    house.server = house.server.killed()
    house.store = house.server.store
    return house


def test_what_is_kept_together_leaves_the_queue_once_all_is_acknowledged(
    waiting: House,
) -> None:
    bob = waiting.enter()
    assert bob.take() == ["[a]", "[b]", "[c]", "[d]", "[e]"]
    bob.acknowledge(4)
    waiting.settle()
    assert waiting.queue == ["a", "b", "c", "d", "e"]
    bob.acknowledge()
    waiting.settle()
    assert waiting.queue == []
    waiting.server.check_figures()


@pytest.mark.parametrize("acknowledged", range(6))
def test_who_leaves_in_the_middle_gets_only_the_rest_at_the_next_login(
    waiting: House, acknowledged: int
) -> None:
    bob = waiting.enter()
    if acknowledged:
        bob.acknowledge(acknowledged)
    waiting.leave(bob)
    rest = ["a", "b", "c", "d", "e"][acknowledged:]
    assert waiting.queue == rest
    waiting.server.check_figures()
    assert waiting.enter().take() == [f"[{text}]" for text in rest]


def test_what_is_kept_together_is_told_apart_by_a_restart_in_its_middle(
    waiting: House,
) -> None:
    bob = waiting.enter()
    bob.acknowledge(2)
    waiting.leave(bob)
    waiting.server = waiting.server.killed()
    waiting.store = waiting.server.store
    assert waiting.enter().take() == ["[c]", "[d]", "[e]"]


def test_a_program_acknowledges_each_message_of_those_kept_together(
    waiting: House,
) -> None:
    bob = Screen()
    bob.acknowledges = True
    waiting.enter(bob)
    assert bob.take() == ["[a]", "[b]", "[c]", "[d]", "[e]"]
    bob.acknowledge(3)
    waiting.settle()
    assert waiting.queue == ["d", "e"]
    waiting.server.check_figures()


# Falling behind ---------------------------------------------------------------------


def test_a_receiver_that_acknowledges_nothing_is_given_a_mebibyte_and_no_more(
    house: House,
) -> None:
    bob = house.enter()
    bob.full = True
    for _ in range(3):
        house.send(*("x" * 8_192 for _ in range(64)))
    assert bob.written == MIB
    assert bob.state is State.CATCHING_UP
    assert len(house.queue) == 3 * 64


def test_a_receiver_that_fell_behind_gets_the_rest_in_order_and_is_live_again(
    house: House,
) -> None:
    bob = house.enter()
    bob.full = True
    texts = [f"{number:04}" + "x" * 8_188 for number in range(200)]
    house.send(*texts)
    bob.drain()
    bob.acknowledge()
    house.settle()
    assert bob.state is State.LIVE
    house.send("live")
    assert bob.take() == [*texts, "live"]
    assert bob.notices == []
    bob.acknowledge()
    house.settle()
    assert house.queue == []


def test_a_receiver_that_falls_behind_is_offered_nothing_out_of_turn(
    house: House,
) -> None:
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    house.send("123456789", "12", "3", "4")
    assert bob.take() == ["123456789"]
    bob.drain()
    house.settle()
    assert bob.take() == ["12", "3", "4"]


def test_what_is_stored_while_a_receiver_is_behind_comes_to_it_from_memory() -> None:
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    house.send("123456789", "12", "3", "4")
    house.store.unreadable = True
    bob.drain()
    house.settle()
    assert bob.take() == ["123456789", "12", "3", "4"]
    assert bob.state is State.LIVE
    bob.acknowledge()
    house.settle()
    assert house.queue == []


def test_what_finds_no_room_in_memory_comes_from_the_store_in_order() -> None:
    house = House(Limits(unacknowledged=10, recent_bytes=5))
    bob = house.enter()
    bob.full = True
    texts = ["123456789", *"abcdefghijklm"]
    for each in texts:
        house.send(each)
    bob.drain()
    house.settle()
    bob.acknowledge()
    house.settle()
    assert bob.take() == texts
    assert bob.state is State.LIVE


def test_what_all_queues_have_in_memory_is_bounded() -> None:
    house = House(Limits(unacknowledged=10, all_recent_bytes=5))
    bob = house.enter()
    bob.full = True
    house.send("123456789", "12", "34", "5")
    house.store.unreadable = True
    assert house.server.hub.recent_room.left == 0
    house.send("7")
    assert house.server.hub.recent_room.left == 5
    house.store.unreadable = False
    bob.drain()
    house.settle()
    bob.acknowledge()
    house.settle()
    assert bob.take() == ["123456789", "12", "34", "5", "7"]
    assert house.server.hub.recent_room.left == 5


def test_a_queue_comes_from_memory_in_turns_with_all_else() -> None:
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    house.send("1234567890", *map(str, range(3 * AT_ONCE)))
    house.store.unreadable = True
    assert bob.take() == ["1234567890"]
    bob.drain()
    assert len(bob.take()) == AT_ONCE
    house.settle()
    assert len(bob.take()) == 2 * AT_ONCE


def test_a_message_to_a_slow_receiver_is_stored_and_delivered_when_it_catches_up() -> (
    None
):
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    first, second = house.send("123456789", "12")
    third = house.send("3")[0]
    for receipt in (first, second, third):
        assert receipt.fate == ["stored, may be delivered"]
    bob.acknowledge()
    assert second.fate == ["stored, may be delivered"]
    bob.drain()
    house.settle()
    bob.acknowledge()
    for receipt in (first, second, third):
        assert receipt.fate == ["stored, may be delivered", "delivered"]


def test_where_memory_is_short_a_receiver_may_have_only_little(house: House) -> None:
    bob = house.enter()
    bob.full = bob.crowded = True
    house.send(*("x" * 8_000 for _ in range(10)))
    assert bob.written == 16_000


# Several connections of one name ----------------------------------------------------


def test_every_live_connection_gets_every_message(house: House) -> None:
    first, second = house.enter(), house.enter()
    house.send("a", "b")
    assert first.take() == ["a", "b"]
    assert second.take() == ["a", "b"]


def test_delivered_means_that_the_first_of_several_connections_has_it(
    house: House,
) -> None:
    first, second = house.enter(), house.enter()
    (receipt,) = house.send("a")
    second.acknowledge()
    house.settle()
    assert receipt.fate == ["stored, may be delivered", "delivered"]
    assert house.queue == []
    first.acknowledge()
    house.settle()
    assert receipt.fate == ["stored, may be delivered", "delivered"]


def test_what_one_of_several_connections_has_does_not_come_again(house: House) -> None:
    first, second = house.enter(), house.enter()
    house.send("a")
    second.acknowledge()
    house.leave(first)
    house.leave(second)
    assert house.enter().take() == []


def test_the_first_connection_drains_the_queue_while_the_second_waits(
    house: House,
) -> None:
    house.send("a", "b")
    first, second = house.enter(), house.enter()
    assert first.take() == ["[a]", "[b]"]
    assert second.take() == []
    assert second.state is State.WAITING
    first.acknowledge()
    house.settle()
    assert second.state is State.LIVE
    assert second.take() == []
    house.send("c")
    assert first.take() == ["c"]
    assert second.take() == ["c"]


def test_the_second_takes_over_what_is_left_when_the_first_leaves(house: House) -> None:
    house.send("a", "b", "c")
    first, second = house.enter(), house.enter()
    first.acknowledge(2)
    house.leave(first)
    assert second.take() == ["[c]"]
    assert second.state is State.LIVE


def test_the_second_takes_over_when_the_first_gets_nowhere(house: House) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    house.wait(STALL_SECONDS - 1)
    assert second.take() == []
    house.wait(1)
    assert second.take() == ["[a]"]
    assert second.state is State.LIVE
    second.acknowledge()
    house.settle()
    assert house.queue == []
    assert first.take() == ["[a]"]


def test_the_second_goes_on_waiting_while_the_first_gets_anywhere(house: House) -> None:
    house.send(*("x" * 200_000 for _ in range(5)))
    first = Screen()
    first.full = True
    house.enter(first)
    second = house.enter()
    for _ in range(2):
        house.wait(STALL_SECONDS - 1)
        first.acknowledge()
        first.drain(full=True)
        house.settle()
    assert len(first.take()) == 5
    assert second.take() == []
    assert second.state is State.WAITING


def test_of_three_connections_one_takes_over_and_the_third_waits_on(
    house: House,
) -> None:
    house.send("a")
    first, second, third = house.enter(), house.enter(), house.enter()
    house.leave(first)
    assert second.take() == ["[a]"]
    assert third.take() == []
    assert third.state is State.WAITING
    second.acknowledge()
    house.settle()
    assert third.take() == []
    assert third.state is State.LIVE


def test_a_connection_does_not_wait_for_messages_that_another_already_has(
    house: House,
) -> None:
    """They are still in the queue, because the disk has not got to it."""
    first = house.enter()
    house.send("a")
    second = house.arrive()
    house.store.slow = True
    first.acknowledge()
    house.start(second)
    house.store.catch_up()
    house.settle()
    assert second.state is State.LIVE
    house.store.slow = False
    house.send("b")
    assert second.take() == ["b"]


def test_who_waited_is_told_of_what_went_only_to_the_other_meanwhile(
    house: House,
) -> None:
    first = house.enter()
    house.send("a")
    second = house.enter()
    assert second.state is State.WAITING
    house.send("b")
    first.acknowledge()
    house.settle()
    assert second.take() == []
    assert second.notices == [MISSED]
    house.send("c")
    assert second.take() == ["c"]


def test_who_waited_and_missed_nothing_is_told_nothing(house: House) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    first.acknowledge()
    house.send("b")
    assert second.take() == ["b"]
    assert second.notices == []


def test_who_fell_behind_is_told_of_what_went_only_to_the_other() -> None:
    house = House(Limits(unacknowledged=10))
    first, second = house.enter(), house.enter()
    second.full = True
    house.send("123456789")
    house.send("12")
    first.acknowledge()
    house.send("3")
    first.acknowledge()
    house.settle()
    second.drain()
    house.settle()
    assert second.take() == ["123456789"]
    assert second.notices == [MISSED]
    assert second.state is State.LIVE
    second.acknowledge()
    house.send("4")
    assert first.take() == ["123456789", "12", "3", "4"]
    assert second.take() == ["4"]


def test_who_fell_behind_and_missed_nothing_is_told_nothing() -> None:
    house = House(Limits(unacknowledged=10))
    first, second = house.enter(), house.enter()
    second.full = True
    house.send("123456789")
    first.acknowledge()
    house.send("12", "3")
    second.drain()
    house.settle()
    assert second.take() == ["123456789", "12", "3"]
    assert second.notices == []


def behind_with_a_slow_read() -> tuple[House, Screen, Screen]:
    """Two connections, both live but for this: the second's next page is asked for."""
    house = House(Limits(unacknowledged=10, recent_bytes=0))
    first, second = house.enter(), house.enter()
    second.full = True
    house.send("123456789")
    first.acknowledge()
    house.send("bb")
    house.send("cc")
    house.store.slow_reads = True
    second.drain()
    house.settle()
    assert second.take() == ["123456789"]
    return house, first, second


def test_who_falls_behind_is_told_of_what_left_the_queue_before_it_was_read() -> None:
    house, first, second = behind_with_a_slow_read()
    first.acknowledge(2)
    house.settle()
    assert house.queue == ["cc"]
    house.store.answer_reads()
    house.settle()
    house.store.answer_reads()
    assert second.take() == ["cc"]
    assert second.notices == [MISSED]


def test_who_falls_behind_is_told_that_all_left_the_queue_before_it_was_read() -> None:
    house, first, second = behind_with_a_slow_read()
    first.acknowledge()
    house.settle()
    assert house.queue == []
    house.store.answer_reads()
    house.settle()
    house.store.answer_reads()
    assert second.take() == []
    assert second.notices == [MISSED]
    assert second.state is State.LIVE


def test_what_was_read_before_another_had_it_is_not_called_missed() -> None:
    house, first, second = behind_with_a_slow_read()
    house.store.read()
    first.acknowledge()
    house.settle()
    house.store.answer_reads()
    house.settle()
    house.store.answer_reads()
    assert second.take() == ["bb", "cc"]
    assert second.notices == []


# Finishing --------------------------------------------------------------------------


def test_an_end_with_nothing_on_its_way_comes_at_once(house: House) -> None:
    assert finished(house.enter()) == [None]


def test_an_end_waits_until_what_was_written_is_acknowledged(house: House) -> None:
    bob = house.enter()
    house.send("a", "b")
    ends = finished(bob)
    bob.acknowledge(1)
    assert ends == []
    bob.acknowledge()
    assert ends == [None]


def test_nothing_is_written_after_the_end_was_asked_for(house: House) -> None:
    bob = house.enter()
    house.send("a")
    ends = finished(bob)
    house.send("b")
    bob.acknowledge()
    assert ends == [None]
    assert bob.take() == ["a"]
    house.leave(bob)
    assert house.enter().take() == ["[b]"]


def test_an_end_waits_for_what_was_queued_at_login_and_no_more(house: House) -> None:
    house.send(*("x" * 200_000 for _ in range(4)))
    bob = Screen()
    bob.full = True
    house.enter(bob)
    ends = finished(bob)
    house.send("later")
    for _ in range(5):
        bob.acknowledge()
        assert len(bob.shown) < 4 or ends == [None]
        bob.drain(full=True)
        house.settle()
    assert ends == [None]
    assert len([text for text in bob.take() if text.startswith("[")]) == 4


def test_an_end_for_a_stop_does_not_wait_for_the_queue(house: House) -> None:
    house.send(*("x" * 200_000 for _ in range(4)))
    bob = Screen()
    bob.full = True
    house.enter(bob)
    ends = finished(bob, queued=False)
    assert ends == []
    shown = len(bob.shown)
    bob.acknowledge()
    assert ends == [None]
    bob.drain()
    house.settle()
    assert len(bob.shown) == shown


def test_an_end_for_a_receiver_that_fell_behind_waits_for_what_was_written() -> None:
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    house.send("123456789", "12")
    ends = finished(bob)
    bob.acknowledge()
    assert ends == [None]
    bob.drain()
    house.settle()
    assert bob.take() == ["123456789"]
    house.leave(bob)
    assert house.enter().take() == ["[12]"]


def test_an_end_for_one_that_waits_comes_when_the_other_has_the_queue(
    house: House,
) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    ends = finished(second)
    assert ends == []
    first.acknowledge()
    house.settle()
    assert ends == [None]
    assert second.take() == []


def test_an_end_for_one_that_waits_comes_with_the_queue_if_the_other_leaves(
    house: House,
) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    ends = finished(second)
    house.leave(first)
    assert second.take() == ["[a]"]
    assert ends == []
    second.acknowledge()
    assert ends == [None]


def test_an_end_for_one_that_waits_comes_once_the_other_gets_any_further(
    house: House,
) -> None:
    house.send("a", "b", "c")
    first, second = house.enter(), house.enter()
    house.wait(STALL_SECONDS / 2)
    ends = finished(second)
    assert ends == []
    first.acknowledge(1)
    house.settle()
    assert ends == [None]
    assert second.take() == []
    house.leave(second)
    first.acknowledge()
    house.settle()
    assert house.queue == []


def test_an_end_for_one_that_waits_brings_it_nothing_new(house: House) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    ends = finished(second)
    house.send("b")
    first.acknowledge(1)
    house.settle()
    assert ends == [None]
    assert second.take() == []


def test_an_end_comes_if_the_receiver_is_gone(house: House) -> None:
    bob = house.enter()
    house.send("a")
    ends = finished(bob)
    house.leave(bob)
    assert ends == [None]


# Closing in every state -------------------------------------------------------------


def close(house: House, screen: Screen) -> None:
    house.leave(screen)
    assert screen.state is State.CLOSED
    shown = screen.take()
    house.send("later")
    screen.drain()
    house.settle()
    house.store.answer_reads()
    house.wait(2 * STALL_SECONDS)
    assert screen.take() == []
    assert screen.notices == []
    assert house.queue[-1] == "later"
    # Nothing is left that would keep the reactor busy.
    assert house.server.clock.getDelayedCalls() == []
    assert "later" not in shown


def test_a_connection_that_was_never_ready_leaves_the_queue_alone(house: House) -> None:
    house.send("a")
    bob = house.arrive()
    close(house, bob)
    assert house.queue == ["a", "later"]


def test_a_live_connection_can_leave(house: House) -> None:
    bob = house.enter()
    house.send("a")
    close(house, bob)
    assert house.queue == ["a", "later"]


def test_a_connection_that_waits_can_leave(house: House) -> None:
    house.send("a")
    first, second = house.enter(), house.enter()
    house.leave(second)
    first.acknowledge()
    close(house, first)
    assert second.take() == []
    assert house.queue == ["later"]


def test_a_connection_can_leave_before_it_has_room(house: House) -> None:
    house = House(Limits(unacknowledged=10))
    bob = house.enter()
    bob.full = True
    house.send("123456789", "12")
    close(house, bob)
    assert house.queue == ["123456789", "12", "later"]


def test_a_connection_can_leave_while_its_queue_is_read(house: House) -> None:
    house.send("a")
    bob = house.arrive()
    house.store.slow_reads = True
    house.start(bob)
    house.store.read()
    house.leave(bob)
    house.store.answer_reads()
    house.store.slow_reads = False
    close_again = bob.take()
    assert close_again == []
    assert house.queue == ["a"]
    assert house.enter().take() == ["[a]"]


def test_a_connection_can_leave_while_its_queue_cannot_be_read(
    house: House, logged_errors: "LoggedErrors"
) -> None:
    house.send("a")
    bob = house.arrive()
    house.store.unreadable = True
    house.start(bob)
    house.store.unreadable = False
    close(house, bob)
    assert house.queue == ["a", "later"]
    logged_errors.flush()


def test_what_is_acknowledged_while_others_of_its_commit_are_answered_leaves_the_queue(
    house: House,
) -> None:
    """The first answer lets lines be taken that waited, and one acknowledges."""
    bob = house.enter()
    house.store.slow = True
    house.send("under way", to="alice")
    (first,) = house.send("a", to="alice")
    house.send("b")
    house.store.catch_up()
    house.settle()
    answer = first.stored

    def stored(*, may_be_delivered: bool) -> None:
        answer(may_be_delivered=may_be_delivered)
        bob.acknowledge()

    first.stored = stored  # type: ignore[method-assign]
    house.store.slow = False
    house.store.catch_up()
    house.settle()
    assert house.queue == []
    house.server.check_figures()


def test_what_is_acknowledged_while_a_delivery_is_told_is_told_once(
    house: House,
) -> None:
    """What the first sender is told lets lines be taken, and one acknowledges more."""
    one, two = house.enter(), house.enter()
    first, second, third = house.send("a", "b", "c", held=True)
    answer = first.delivered

    def delivered() -> None:
        answer()
        two.acknowledge()

    first.delivered = delivered  # type: ignore[method-assign]
    one.acknowledge(2)
    assert [each.fate for each in (first, second, third)] == [["delivered"]] * 3
    house.end_hold()
    assert house.queue == []
    house.server.check_figures()
