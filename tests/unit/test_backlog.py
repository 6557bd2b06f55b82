"""The account of a receiver's queue: what fits, and what is refused."""

from collections import Counter, deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from chatd.backlog import Backlog
from chatd.limits import Limits
from chatd.store.records import Amount
from chatd.wire.answers import Refusal


def empty(**limits: int) -> Backlog:
    return Backlog("bob", Limits(**{"queue_share": 100, **limits}), Amount())


def fits(backlog: Backlog, sender: str, size: int = 1) -> bool:
    """Keep a place if there is room, and say whether there was."""
    try:
        backlog.reserve(sender, size)
    except Refusal:
        return False
    return True


def fill(backlog: Backlog, sender: str, size: int = 1) -> int:
    """Return how many messages fit."""
    count = 0
    while fits(backlog, sender, size):
        count += 1
    return count


def test_a_full_queue_says_whose_it_is_and_that_it_may_have_room_later() -> None:
    backlog = empty(queue_messages=1)
    backlog.reserve("alice", 1)
    with pytest.raises(Refusal) as caught:
        backlog.reserve("alice", 1)
    assert caught.value.code == "queue-full"
    assert caught.value.temporary
    assert caught.value.text == (
        "The queue of 'bob' is full. Nothing was sent; try again later."
    )


def test_a_queue_takes_as_many_messages_as_the_limit_says() -> None:
    assert fill(empty(queue_messages=5), "alice") == 5


def test_a_queue_takes_as_many_bytes_as_the_limit_says() -> None:
    assert fill(empty(queue_bytes=50), "alice", 10) == 5
    assert fill(empty(queue_bytes=49), "alice", 10) == 4


def test_an_empty_message_needs_a_place_but_no_bytes() -> None:
    backlog = empty(queue_bytes=1, queue_messages=3)
    assert fill(backlog, "alice", 0) == 3


def test_a_smaller_message_may_fit_where_a_larger_one_did_not() -> None:
    backlog = empty(queue_bytes=10)
    assert fits(backlog, "alice", 8)
    assert not fits(backlog, "alice", 3)
    assert fits(backlog, "alice", 2)


def test_what_was_queued_before_the_start_takes_its_room() -> None:
    limits = Limits(queue_messages=5, queue_share=100)
    backlog = Backlog("bob", limits, Amount(3, 30))
    assert backlog.stored == 3
    backlog.learn("alice", Amount(0, 0))
    assert fill(backlog, "alice") == 2


def test_one_sender_may_fill_half_of_a_queue_and_another_the_other_half() -> None:
    backlog = empty(queue_messages=10, queue_share=50)
    assert fill(backlog, "alice") == 5
    assert fill(backlog, "carol") == 5
    assert fill(backlog, "dave") == 0


def test_one_senders_bytes_have_the_same_bound() -> None:
    backlog = empty(queue_bytes=100, queue_share=50)
    assert fill(backlog, "alice", 10) == 5
    assert fill(backlog, "carol", 10) == 5


def test_what_a_sender_queued_before_the_start_is_part_of_its_share() -> None:
    limits = Limits(queue_messages=10, queue_share=50)
    backlog = Backlog("bob", limits, Amount(4, 4))
    assert not backlog.knows("alice")
    backlog.learn("alice", Amount(3, 3))
    assert backlog.knows("alice")
    assert not backlog.knows("carol")
    assert fill(backlog, "alice") == 2


def test_an_empty_queue_needs_no_look_up() -> None:
    assert empty().knows("anybody")


def test_a_share_that_is_known_is_not_replaced_by_an_older_figure() -> None:
    limits = Limits(queue_messages=10, queue_share=50)
    backlog = Backlog("bob", limits, Amount(1, 1))
    backlog.learn("alice", Amount(1, 1))
    assert fill(backlog, "alice") == 4
    backlog.learn("alice", Amount(1, 1))
    assert fill(backlog, "alice") == 0


def test_the_smallest_share_is_one_message() -> None:
    assert fill(empty(queue_messages=1, queue_share=1), "alice") == 1


def test_a_place_given_back_is_free_again() -> None:
    backlog = empty(queue_messages=4, queue_share=50)
    assert fill(backlog, "alice") == 2
    backlog.release("alice", 1, 1)
    assert fill(backlog, "alice") == 1
    backlog.release("alice", 2, 2)
    assert fill(backlog, "alice") == 2


def test_a_refused_message_keeps_no_place() -> None:
    backlog = empty(queue_messages=4, queue_share=50)
    assert fill(backlog, "alice") == 2
    for _ in range(100):
        assert not fits(backlog, "alice")
    assert fill(backlog, "carol") == 2


def test_a_queue_that_was_emptied_has_all_its_room_again() -> None:
    limits = Limits(queue_messages=10, queue_share=50)
    backlog = Backlog("bob", limits, Amount(6, 6))
    backlog.learn("alice", Amount(5, 5))
    assert not fits(backlog, "alice")
    backlog.release("alice", 5, 5)
    backlog.release("carol", 1, 1)
    assert backlog.knows("carol")
    assert fill(backlog, "alice") == 5
    assert fill(backlog, "carol") == 5


SENDERS = ("alice", "bob", "carol")


class BacklogMachine(RuleBasedStateMachine):
    """The account beside a queue whose messages are simply there to be counted."""

    LIMITS = Limits(queue_messages=6, queue_bytes=20, queue_share=50)

    def __init__(self) -> None:
        super().__init__()
        self.stored: deque[tuple[str, int]] = deque()
        self.pending: deque[tuple[str, int]] = deque()
        self.backlog = Backlog("bob", self.LIMITS, Amount())

    @property
    def held(self) -> list[tuple[str, int]]:
        return [*self.stored, *self.pending]

    def expected_to_fit(self, sender: str, size: int) -> bool:
        own = [each for who, each in self.held if who == sender]
        return (
            len(self.held) < 6
            and sum(each for _, each in self.held) + size <= 20
            and len(own) < 3
            and sum(own) + size <= 10
        )

    @rule(sender=st.sampled_from(SENDERS), size=st.integers(0, 12))
    def send(self, sender: str, size: int) -> None:
        if not self.backlog.knows(sender):
            # What a sender has under way is known: only the database can be asked.
            own = [each for who, each in self.stored if who == sender]
            self.backlog.learn(sender, Amount(len(own), sum(own)))
        expected = self.expected_to_fit(sender, size)
        assert fits(self.backlog, sender, size) == expected
        if expected:
            self.pending.append((sender, size))

    @precondition(lambda self: self.pending)
    @rule()
    def commit(self) -> None:
        self.stored.append(self.pending.popleft())
        self.backlog.stored += 1

    @precondition(lambda self: self.pending)
    @rule()
    def fail(self) -> None:
        sender, size = self.pending.popleft()
        self.backlog.release(sender, 1, size)

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.stored)))
        messages: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for _ in range(count):
            sender, size = self.stored.popleft()
            messages[sender] += 1
            sizes[sender] += size
        for sender in messages:
            self.backlog.release(sender, messages[sender], sizes[sender])
            self.backlog.stored -= messages[sender]

    @precondition(lambda self: not self.pending)
    @rule()
    def forget_and_look_up_again(self) -> None:
        sizes = sum(size for _, size in self.stored)
        self.backlog = Backlog("bob", self.LIMITS, Amount(len(self.stored), sizes))

    @invariant()
    def the_figures_are_those_of_the_queue(self) -> None:
        backlog = self.backlog
        assert backlog.stored == len(self.stored)
        held = Amount(len(self.held), sum(size for _, size in self.held))
        assert Amount(backlog._messages, backlog._bytes) == held
        for sender, share in backlog._shares.items():
            own = [size for who, size in self.held if who == sender]
            assert share == Amount(len(own), sum(own))
        if all(backlog.knows(sender) for sender in SENDERS):
            shares = backlog._shares.values()
            assert sum(share.messages for share in shares) == held.messages
            assert sum(share.bytes for share in shares) == held.bytes


TestBacklog = pytest.mark.unmeasured(BacklogMachine.TestCase)
TestBacklog.settings = settings(max_examples=100, stateful_step_count=40)


@pytest.mark.parametrize("senders", [1, 100])
def test_senders_whose_messages_left_take_no_memory(senders: int) -> None:
    backlog = empty()
    for number in range(senders):
        backlog.reserve(f"u{number}", 1)
    for number in range(senders):
        backlog.release(f"u{number}", 1, 1)
    assert len(backlog._shares) == 0
