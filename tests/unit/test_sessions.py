"""What a connection that is logged in may send, and what slows or refuses it."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from memory import Client, MemoryServer

from chatd.limits import Limits

if TYPE_CHECKING:
    from conftest import LoggedErrors

DISK_FULL = "Could not store the message to 'bob' (disk full)."
STORED = "User 'bob' is offline. Message stored."
FULL = "The queue of 'bob' is full."
OUT_OF_ORDER = "Nothing was sent to 'bob': an earlier message to 'bob' failed."


@pytest.fixture(autouse=True)
def _unhandled_errors(logged_errors: "LoggedErrors") -> Iterator[None]:
    """Let failures that nobody handled come to light in the test that caused them."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    server = with_users()
    yield server
    server.check_figures()


def with_users(limits: Limits | None = None) -> MemoryServer:
    """Return a daemon that knows bob and carol; neither is online."""
    server = MemoryServer(limits)
    for name in ("bob", "carol"):
        server.log_in(name).vanish()
    server.settle()
    return server


def kinds(client: Client) -> list[str]:
    """Return the answers to a client, without what to do about them."""
    return [
        line.removesuffix(" Nothing was sent; try again later.").removesuffix(
            " Send that one again first, then this one."
        )
        for line in client.lines()
    ]


def paused(client: Client) -> bool:
    return client.transport.producerState == "paused"


# Failures ---------------------------------------------------------------------------


def test_what_is_behind_a_refused_message_is_shown_to_nobody(
    server: MemoryServer,
) -> None:
    alice, bob = server.log_in("alice"), server.connect()
    alice.send("bob-0")
    alice.lines()
    server.store.slow = server.store.slow_reads = True
    bob.send("bob")
    server.store.answer_reads()  # whether the name is known; the queue is read next
    server.settle()
    alice.send("bob-1")
    server.settle()
    alice.send("bob-2")
    server.settle()
    server.store.lack = "disk full"
    # In one turn: bob's queue is read to its end just after the first is refused.
    server.store.catch_up()
    server.store.answer_reads()
    server.store.slow = server.store.slow_reads = False
    server.settle()
    server.store.catch_up()
    server.store.answer_reads()
    assert kinds(alice) == [DISK_FULL, OUT_OF_ORDER]
    assert [each for each in bob.lines() if each.startswith("alice: ")] == [
        "alice: 0 (2026-11-18 11:06:40 UTC)"
    ]


# Back pressure ----------------------------------------------------------------------


def test_who_sends_faster_than_the_disk_takes_it_is_paused() -> None:
    server = with_users(Limits(pending_messages=3))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1", "bob-2", "bob-3", "bob-4", "bob-5")
    assert server.journal.waiting == 3
    assert paused(alice)
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob") == ["1", "2", "3", "4", "5"]
    assert kinds(alice) == [STORED] * 5
    assert not paused(alice)


def test_who_sends_more_bytes_than_the_disk_takes_is_paused() -> None:
    server = with_users(Limits(pending_bytes=100))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-" + "x" * 99, "bob-y", "bob-z")
    assert server.journal.waiting == 2
    assert paused(alice)


def test_a_pause_lasts_until_there_is_room_and_no_longer() -> None:
    server = with_users(Limits(pending_messages=2))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1")
    alice.send("bob-2")
    assert paused(alice)
    # The first transaction has one message, the next the other.
    server.store.catch_up()
    assert not paused(alice)
    assert server.journal.waiting == 1


def test_a_paused_sender_still_receives() -> None:
    server = with_users(Limits(pending_messages=1))
    alice, dave = server.log_in("alice"), server.log_in("dave")
    server.store.slow = True
    alice.send("bob-1")
    assert paused(alice)
    dave.send("alice-Hi")
    server.store.catch_up()
    server.settle()
    server.store.catch_up()
    assert "dave: Hi" in alice.lines()


def test_when_all_together_send_too_much_each_is_paused_at_its_next_message() -> None:
    server = with_users(Limits(all_pending_bytes=100))
    alice, dave, erin = (server.log_in(name) for name in ("alice", "dave", "erin"))
    server.store.slow = True
    alice.send("bob-" + "x" * 60)
    assert not paused(alice)
    dave.send("bob-" + "x" * 60)
    assert paused(dave)
    erin.send("bob-y", "bob-z")
    assert paused(erin)
    assert server.journal.waiting == 3
    server.store.catch_up()
    server.settle()
    assert paused(erin)
    server.store.catch_up()
    server.settle()
    assert not paused(dave)
    assert not paused(erin)
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob")[2:] == ["y", "z"]


def test_a_lost_connection_leaves_no_trace_in_what_all_have_pending() -> None:
    server = with_users(Limits(all_pending_bytes=100))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-" + "x" * 120)
    alice.vanish()
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert not server.hub.pending.full
    dave = server.log_in("dave")
    dave.send("bob-1")
    assert not paused(dave)


def test_what_was_read_before_the_connection_was_lost_is_sent_however_slow() -> None:
    server = with_users(Limits(pending_messages=1))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1", "bob-2", "bob-3")
    alice.vanish()
    for _ in range(4):
        server.store.catch_up()
        server.settle()
    assert server.store.queued("bob") == ["1", "2", "3"]
    assert server.factory.lines_waiting == 0
    assert server.factory.all_gone().called


# Temporary errors -------------------------------------------------------------------


def test_a_message_refused_by_the_disk_can_be_sent_again_at_once(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    server.store.lack = "disk full"
    alice.send("bob-1")
    server.store.lack = None
    alice.send("bob-1")
    assert kinds(alice) == [DISK_FULL, STORED]
    assert server.store.queued("bob") == ["1"]


def test_a_message_refused_by_a_full_queue_can_be_sent_again_at_once() -> None:
    server = with_users(Limits(queue_messages=1, queue_share=100))
    alice = server.log_in("alice")
    alice.send("bob-1")
    alice.send("bob-2")
    bob = server.log_in("bob")
    bob.vanish()
    alice.send("bob-2")
    assert kinds(alice) == [STORED, FULL, STORED]
    assert server.store.queued("bob") == ["2"]
    server.check_figures()


def test_what_was_accepted_after_a_message_that_failed_does_not_overtake_it(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1")
    alice.send("bob-2", "carol-3")
    alice.send("bob-4")
    server.store.lack = "disk full"
    server.store.catch_up()
    server.store.lack = None
    server.settle()
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob") == []
    assert server.store.queued("carol") == ["3"]
    assert kinds(alice) == [
        DISK_FULL,
        OUT_OF_ORDER,
        STORED.replace("bob", "carol"),
        OUT_OF_ORDER,
    ]


def test_what_others_send_is_not_held_up_by_a_message_that_failed(
    server: MemoryServer,
) -> None:
    alice, dave = server.log_in("alice"), server.log_in("dave")
    server.store.slow = True
    alice.send("bob-1")
    alice.send("bob-2")
    dave.send("bob-3")
    server.store.lack = "disk full"
    server.store.catch_up()
    server.store.lack = None
    server.settle()
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob") == ["3"]
    assert kinds(dave) == [STORED]


def test_another_connection_of_the_same_sender_is_in_order_for_itself(
    server: MemoryServer,
) -> None:
    first, second = server.log_in("alice"), server.log_in("alice")
    server.store.slow = True
    first.send("bob-1")
    second.send("bob-2")
    server.store.lack = "disk full"
    server.store.catch_up()
    server.store.lack = None
    server.settle()
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob") == ["2"]


def test_lines_that_waited_when_a_message_failed_are_refused_with_it() -> None:
    server = with_users(Limits(pending_messages=2))
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1", "bob-2", "bob-3", "carol-4", "bob-5")
    server.store.lack = "disk full"
    server.store.catch_up()
    server.store.lack = None
    server.settle()
    server.store.catch_up()
    server.settle()
    assert server.store.queued("bob") == []
    assert server.store.queued("carol") == ["4"]
    assert kinds(alice) == [
        DISK_FULL,
        DISK_FULL,
        OUT_OF_ORDER,
        STORED.replace("bob", "carol"),
        OUT_OF_ORDER,
    ]
    # All that was under way is answered: what comes now is in order again.
    server.store.slow = False
    alice.send("bob-1", "bob-2")
    assert kinds(alice) == [STORED, STORED]
    assert server.store.queued("bob") == ["1", "2"]


def test_a_line_that_waits_for_a_look_up_was_under_way_with_what_failed_before_it() -> (
    None
):
    server = with_users(Limits(queue_bytes=3, queue_share=100))
    server.log_in("zoe").vanish()
    server.hub._receivers.clear()
    alice = server.log_in("alice")
    alice.send("bob-123")
    server.hub._receivers.pop("zoe", None)
    server.store.slow_reads = True
    alice.send("bob-4", "zoe,bob-5")
    # Room is made before the second line has its receivers.
    bob = server.hub._receivers["bob"]
    bob.confirm(bob.committed)
    server.settle()
    assert server.store.queued("bob") == []
    server.store.answer_reads()
    server.settle()
    assert server.store.queued("bob") == []
    assert kinds(alice) == [
        STORED,
        FULL,
        STORED.replace("bob", "zoe"),
        OUT_OF_ORDER,
    ]


def test_a_failure_long_ago_refuses_nothing_now(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.store.lack = "disk full"
    alice.send("bob-1", "bob-2")
    server.store.lack = None
    for number in range(3):
        alice.send(f"bob-{number}")
    assert server.store.queued("bob") == ["0", "1", "2"]
    server.store.lack = "disk full"
    alice.send("carol-1")
    server.store.lack = None
    alice.send("bob-3")
    assert server.store.queued("bob") == ["0", "1", "2", "3"]


def test_a_program_is_told_that_a_refusal_is_temporary(server: MemoryServer) -> None:
    alice = server.connect()
    alice.send("/json", '{"type":"login","user":"alice"}')
    alice.received()
    server.store.lack = "disk full"
    alice.send('{"type":"send","to":"bob","text":"1","id":"x"}')
    assert alice.lines() == [
        '{"type":"error","code":"not-stored","id":"x","to":"bob","temporary":true,'
        '"text":"Could not store the message to \'bob\' (disk full).'
        ' Nothing was sent; try again later."}'
    ]
    server.store.lack = None
    alice.send('{"type":"send","to":"bob","text":"1","id":"x"}')
    assert alice.lines() == [
        '{"type":"accepted","id":"x","to":"bob","status":"stored"}'
    ]


# Leaving ----------------------------------------------------------------------------


def test_goodbye_comes_after_everything_is_on_disk(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1")
    alice.send("bob-2", "nonsense", "/quit")
    assert alice.lines() == []
    server.store.catch_up()
    server.settle()
    assert alice.lines() == [STORED]
    server.store.catch_up()
    server.settle()
    assert alice.lines() == [
        STORED,
        "Format error. Please enter: <target>-<message>",
        "Goodbye.",
    ]
    assert server.store.queued("bob") == ["1", "2"]


def test_goodbye_comes_after_a_refusal(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.store.lack = "disk full"
    alice.send("bob-1", "/quit")
    assert kinds(alice) == [DISK_FULL, "Goodbye."]


def test_goodbye_comes_after_the_messages_that_waited(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    alice.send(*(f"bob-{number}" for number in range(3_000)))
    bob = server.connect()
    bob.transport.reading = False
    bob.send("bob", "/quit")
    bob.resume_reading()
    lines = bob.lines()
    texts = [line.split()[1] for line in lines if line.startswith("alice: ")]
    assert texts == [str(number) for number in range(3_000)]
    assert lines[-1] == "Goodbye."
    assert server.store.queued("bob") == []


def test_goodbye_of_a_second_connection_comes_when_the_first_has_the_messages(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    alice.send("bob-1")
    first = server.connect()
    first.transport.reading = False
    first.send("bob")
    second = server.connect()
    second.send("bob", "/quit")
    assert "Goodbye." not in second.lines()
    first.resume_reading()
    assert second.lines() == ["Goodbye."]


def test_nothing_is_taken_after_goodbye_was_asked_for(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1", "/quit", "bob-2")
    alice.send("bob-3")
    server.store.catch_up()
    server.settle()
    assert alice.lines() == [STORED, "Goodbye."]
    assert server.store.queued("bob") == ["1"]


def test_a_connection_that_is_lost_while_it_says_goodbye_is_gone(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    server.store.slow = True
    alice.send("bob-1", "/quit")
    alice.vanish()
    server.store.catch_up()
    server.settle()
    server.store.catch_up()
    assert server.store.queued("bob") == ["1"]
    assert server.factory.all_gone().called


# Confirmations ----------------------------------------------------------------------


def test_a_confirmed_message_is_delivered_if_it_is_read_at_once(
    server: MemoryServer,
) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    alice.send("/confirm on", "bob-1")
    assert alice.lines() == ["Every message is answered.", "Delivered to bob."]
    bob.transport.reading = False
    alice.send("bob-2")
    assert alice.lines() == []
    server.wait(0.25)
    assert alice.lines() == ["Stored for bob."]
    bob.resume_reading()
    assert alice.lines() == []


def test_every_confirmed_message_has_exactly_one_answer_whoever_leaves(
    server: MemoryServer,
) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    bob.transport.reading = False
    alice.send("/confirm on", "bob-1", "carol-2", "nobody-3", "bob-4")
    assert alice.lines() == ["Every message is answered."]
    bob.vanish()
    server.wait(0.25)
    assert alice.lines() == [
        "Stored for bob.",
        "Stored for carol.",
        "User 'nobody' not found.",
        "Stored for bob.",
    ]
    server.clock.advance(1)
    assert alice.lines() == []
