"""What is sent again under its id: answered like the first time, and sent once."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from memory import Client, MemoryServer, MemoryStore

from chatd.hub import resends, watches
from chatd.hub.hub import WEEK
from chatd.hub.interruptions import FORGET_SECONDS
from chatd.hub.resends import Earlier, Resends
from chatd.limits import Limits


@pytest.fixture
def server() -> MemoryServer:
    server = MemoryServer()
    server.log_in("bob").vanish()
    return server


class Program:
    """A connection that speaks JSON."""

    def __init__(self, server: MemoryServer, name: str) -> None:
        self.client: Client = server.connect()
        self._server = server
        self.client.send("/json")
        self.say(type="login", user=name)
        greeting = [json.loads(line) for line in self.client.lines()[1:]]
        self.queued = [each["text"] for each in greeting if each["type"] == "message"]

    def say(self, **fields: object) -> None:
        self.client.send(json.dumps(fields))

    def send(self, id: str | None, text: str = "Hi", to: str = "bob") -> None:
        fields = {} if id is None else {"id": id}
        self.say(type="send", to=to, text=text, **fields)

    def ack(self, sequence: int) -> None:
        self.say(type="ack", seq=sequence)

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.client.lines()]

    def fates(self) -> list[str]:
        """Return the status or the code of each answer since this was asked last."""
        return [
            each.get("status") or each["code"]
            for each in self.objects()
            if each["type"] in ("accepted", "error")
        ]

    def texts(self) -> list[str]:
        return [each["text"] for each in self.objects() if each["type"] == "message"]


def test_a_message_that_is_queued_is_not_queued_twice(server: MemoryServer) -> None:
    alice = Program(server, "alice")
    alice.send("m1")
    alice.send("m1")
    assert alice.fates() == ["stored", "stored"]
    assert server.store.queued("bob") == ["Hi"]


def test_a_message_that_waits_for_the_disk_is_answered_on_both_connections(
    server: MemoryServer,
) -> None:
    first = Program(server, "alice")
    second = Program(server, "alice")
    first.send("m0")
    second.send("m0")
    server.store.slow = True
    first.send("m1")
    second.send("m1")
    first.fates(), second.fates()
    server.store.slow = False
    server.store.catch_up()
    assert first.fates() == ["stored"]
    assert second.fates() == ["stored"]
    assert server.store.queued("bob") == ["Hi", "Hi"]


def test_who_sends_again_is_told_of_the_delivery_too(server: MemoryServer) -> None:
    bob = Program(server, "bob")
    alice = Program(server, "alice")
    alice.send("m1")
    alice.client.vanish()
    again = Program(server, "alice")
    again.send("m1")
    server.end_hold()
    assert again.fates() == ["stored"]
    bob.ack(1)
    assert again.fates() == ["delivered"]
    assert bob.texts() == ["Hi"]


def test_a_message_that_was_delivered_without_the_disk_is_known(
    server: MemoryServer,
) -> None:
    bob = Program(server, "bob")
    alice = Program(server, "alice")
    alice.send("m1")
    bob.ack(1)
    assert alice.fates() == ["delivered"]
    alice.client.vanish()
    again = Program(server, "alice")
    again.send("m1")
    assert again.fates() == ["delivered"]
    assert bob.texts() == ["Hi"]


@pytest.mark.parametrize("delivered", [False, True])
def test_a_restarted_daemon_knows_what_was_stored(
    server: MemoryServer, delivered: bool
) -> None:
    alice = Program(server, "alice")
    alice.send("m1")
    if delivered:
        bob = Program(server, "bob")
        bob.ack(1)
    server = server.killed()
    alice = Program(server, "alice")
    alice.send("m1")
    assert alice.fates() == ["delivered" if delivered else "stored"]
    alice.send("m1", "Ho")
    assert alice.fates() == ["id-used"]
    bob = Program(server, "bob")
    assert bob.queued == ([] if delivered else ["Hi"])


def test_the_same_id_with_another_text_is_a_mistake_before_and_after_it_is_stored(
    server: MemoryServer,
) -> None:
    alice = Program(server, "alice")
    server.store.slow = True
    alice.send("m1")
    alice.send("m1", "Ho")
    server.store.slow = False
    server.store.catch_up()
    alice.send("m1", "Ho")
    assert alice.fates() == ["stored", "id-used", "id-used"]
    assert server.store.queued("bob") == ["Hi"]


def test_a_message_that_was_refused_is_sent_when_it_comes_again() -> None:
    server = MemoryServer()
    server.log_in("bob").vanish()
    alice = Program(server, "alice")
    alice.send("m1")
    server.store.lack = "disk full"
    alice.send("m2", "Ho")
    assert alice.fates() == ["stored", "not-stored"]
    server.store.lack = None
    alice.send("m2", "Ho")
    assert alice.fates() == ["stored"]
    assert server.store.queued("bob") == ["Hi", "Ho"]


def test_the_id_of_another_sender_or_to_another_target_is_another_message(
    server: MemoryServer,
) -> None:
    server.log_in("carol").vanish()
    alice, dave = Program(server, "alice"), Program(server, "dave")
    alice.send("m1")
    dave.send("m1", "Ho")
    alice.send("m1", "Ha", to="carol")
    assert alice.fates() == ["stored", "stored"]
    assert dave.fates() == ["stored"]
    assert server.store.queued("bob") == ["Hi", "Ho"]
    assert server.store.queued("carol") == ["Ha"]


def test_what_is_sent_without_an_id_is_another_message_each_time(
    server: MemoryServer,
) -> None:
    alice = Program(server, "alice")
    alice.send(None)
    alice.send(None)
    assert server.store.queued("bob") == ["Hi", "Hi"]
    (count,) = server.store.connection.execute(
        "SELECT COUNT(*) FROM stored_ids"
    ).fetchone()
    assert count == 0


def test_an_id_that_is_higher_than_all_before_is_not_looked_up(
    server: MemoryServer,
) -> None:
    alice = Program(server, "alice")
    alice.send("m1")
    server.store.slow_reads = True
    alice.send("m2", "2")
    alice.send("m3", "3")
    assert alice.fates() == ["stored", "stored", "stored"]
    alice.send("m0", "0")
    assert alice.fates() == []
    server.store.slow_reads = False
    server.store.answer_reads()
    assert alice.fates() == ["stored"]
    assert server.store.queued("bob") == ["Hi", "2", "3", "0"]


def test_what_two_connections_send_while_the_id_is_looked_up_is_sent_once(
    server: MemoryServer,
) -> None:
    first, second = Program(server, "alice"), Program(server, "alice")
    server.store.slow_reads = True
    first.send("m1")
    second.send("m1")
    for _ in range(5):
        server.store.answer_reads()
        server.settle()
    assert first.fates() == ["stored"]
    assert second.fates() == ["stored"]
    assert server.store.queued("bob") == ["Hi"]


def test_where_an_id_cannot_be_looked_up_nothing_is_sent(
    server: MemoryServer, logged_errors: Any
) -> None:
    alice = Program(server, "alice")
    server.store.unreadable = True
    alice.send("m1")
    assert alice.fates() == ["not-stored"]
    server.store.unreadable = False
    alice.send("m2", "2")
    assert alice.fates() == ["out-of-order"]
    alice.send("m1")
    alice.send("m2", "2")
    assert alice.fates() == ["stored", "stored"]
    assert server.store.queued("bob") == ["Hi", "2"]
    logged_errors.flush()


# For how long ------------------------------------------------------------------------


def stored_ids(server: MemoryServer) -> list[str]:
    rows = server.store.connection.execute("SELECT id FROM stored_ids ORDER BY id")
    return [row[0] for row in rows]


def forget(server: MemoryServer) -> None:
    from twisted.internet.defer import Deferred

    assert Deferred.fromCoroutine(server.hub.forget_ids()).called


def test_a_stored_id_is_known_for_a_week_and_as_long_as_its_message_waits(
    server: MemoryServer,
) -> None:
    alice = Program(server, "alice")
    alice.send("m1", "1")
    alice.send("m2", "2")
    bob = Program(server, "bob")
    bob.ack(1)
    bob.client.vanish()
    server.clock.advance(WEEK / 1000)
    forget(server)
    assert stored_ids(server) == ["m1", "m2"]
    server.clock.advance(1)
    forget(server)
    assert stored_ids(server) == ["m2"]
    bob = Program(server, "bob")
    bob.ack(1)
    forget(server)
    assert stored_ids(server) == []


def test_ids_of_a_clock_that_was_wrong_do_not_stay_for_ever(
    server: MemoryServer,
) -> None:
    server.clock.advance(10 * WEEK / 1000)
    alice = Program(server, "alice")
    alice.send("m1")
    Program(server, "bob").ack(1)
    after = MemoryServer(store=MemoryStore(server.store.connection))
    forget(after)
    assert stored_ids(after) == []


def test_many_ids_are_forgotten_a_part_at_a_time(server: MemoryServer) -> None:
    alice = Program(server, "alice")
    for number in range(25):
        alice.send(f"m{number:02}", str(number))
    bob = Program(server, "bob")
    bob.ack(12)
    bob.ack(25)
    bob.client.vanish()
    alice.send("m98", "waits")
    server.clock.advance(WEEK / 1000 + 1)
    alice.send("m99", "new")
    with patch("memory.FORGET_AT_ONCE", 10):
        forget(server)
    assert stored_ids(server) == ["m98", "m99"]


def test_a_sender_s_latest_ids_are_remembered_and_those_on_their_way() -> None:
    with patch.object(resends, "KNOWN_OF_A_SENDER", 3):
        ids = Resends().of(1)
        entry: Any = object()
        for number in range(5):
            ids.add(f"m{number}", 2, Earlier(number, b"", entry))
        for number in (1, 2, 3, 4):
            ids.settled(f"m{number}", 2)
        found = [ids.find(f"m{number}", 2) is not None for number in range(5)]
    # The first is not settled; of the others the latest are kept.
    assert found == [True, False, True, True, True]


def test_all_senders_together_have_a_bound_and_the_idle_ones_give_way() -> None:
    with patch.object(resends, "KNOWN_IN_ALL", 40):
        all_ids = Resends()
        for sender in range(30):
            ids = all_ids.of(sender)
            ids.add("m1", 2, Earlier(1, b""))
        known = [all_ids.of(sender).find("m1", 2) is not None for sender in range(30)]
    assert known[-1]
    assert known == sorted(known)
    assert sum(known) <= 20


def test_what_is_sent_again_without_end_is_read_no_further_than_new_messages() -> None:
    server = MemoryServer(Limits(pending_messages=3))
    server.log_in("bob").vanish()
    alice = Program(server, "alice")
    server.store.slow = True
    for _ in range(9):
        alice.send("m1")
    assert alice.client.protocol.lines_waiting == 6
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert alice.fates() == ["stored"] * 9
    assert server.store.queued("bob") == ["Hi"]


def test_who_sends_again_without_end_is_not_told_of_the_delivery_without_end(
    server: MemoryServer,
) -> None:
    bob, alice = Program(server, "bob"), Program(server, "alice")
    with patch.object(watches, "MOST_WATCHES", 6):
        alice.send("m1")
        server.end_hold()
        for _ in range(5):
            alice.send("m1")
        assert alice.fates() == ["stored"] * 6
        bob.ack(1)
        assert alice.fates() == ["delivered"] * 3


def test_what_waits_for_deliveries_has_a_bound_for_all_receivers_together(
    server: MemoryServer,
) -> None:
    """Else who sends again to many receivers fills the memory of the daemon."""
    receivers = [Program(server, f"r{number}") for number in range(10)]
    alice = Program(server, "alice")
    with patch.object(watches, "MOST_WATCHES", 6):
        for _ in range(2):
            for number in range(10):
                alice.send("m1", to=f"r{number}")
            server.end_hold()
        assert alice.fates() == ["stored"] * 20
        for each in receivers:
            each.ack(1)
        assert alice.fates() == ["delivered"] * 3


def test_who_waits_for_all_deliveries_there_may_be_leaves_some_to_others(
    server: MemoryServer,
) -> None:
    bob = Program(server, "bob")
    alice, carol = Program(server, "alice"), Program(server, "carol")
    with patch.object(watches, "MOST_WATCHES", 6):
        for _ in range(9):
            alice.send("m1")
            server.end_hold()
        carol.send("m1")
        server.end_hold()
        assert carol.fates() == ["stored"]
        bob.ack(2)
        assert carol.fates() == ["delivered"]


def test_what_waited_for_a_delivery_takes_no_room_once_the_receiver_has_gone(
    server: MemoryServer,
) -> None:
    bob, alice = Program(server, "bob"), Program(server, "alice")
    with patch.object(watches, "MOST_WATCHES", 2):
        for _ in range(2):
            alice.send("m1")
            server.end_hold()
            bob.client.vanish()
            bob = Program(server, "bob")
        alice.send("m2")
        server.end_hold()
        assert alice.fates() == ["stored"] * 3
        bob.ack(2)
        assert alice.fates() == ["delivered"]


# Order -------------------------------------------------------------------------------


@pytest.fixture
def crowded() -> MemoryServer:
    server = MemoryServer(Limits(queue_messages=2, queue_share=100))
    server.log_in("bob").vanish()
    return server


def make_room(server: MemoryServer) -> None:
    bob = server.log_in("bob")
    bob.vanish()
    server.settle()


def test_after_a_refusal_only_the_refused_message_is_taken(
    crowded: MemoryServer,
) -> None:
    alice = Program(crowded, "alice")
    for number in range(1, 5):
        alice.send(f"m{number}", str(number))
    assert alice.fates() == ["stored", "stored", "queue-full", "out-of-order"]
    make_room(crowded)
    alice.send("m4", "4")
    alice.send("m5", "5")
    assert alice.fates() == ["out-of-order", "out-of-order"]
    alice.send("m3", "3")
    alice.send("m4", "4")
    assert alice.fates() == ["stored", "stored"]
    assert crowded.store.queued("bob") == ["3", "4"]


def test_a_copy_sent_before_the_error_is_read_lets_pass_what_stands_behind_it(
    crowded: MemoryServer,
) -> None:
    """What a sender gets that sends again without having been answered."""
    alice = Program(crowded, "alice")
    for number in range(1, 5):
        alice.send(f"m{number}", str(number))
    make_room(crowded)
    alice.send("m3", "3")
    alice.send("m5", "5")
    fates = ["stored", "stored", "queue-full", "out-of-order", "stored", "stored"]
    assert alice.fates() == fates
    assert crowded.store.queued("bob") == ["3", "5"]
    make_room(crowded)
    alice.send("m4", "4")
    assert alice.fates() == ["stored"]
    assert crowded.store.queued("bob") == ["4"]


def test_of_messages_that_failed_the_one_accepted_first_must_come_first(
    crowded: MemoryServer,
) -> None:
    """One is refused as it comes, while those before it fail on the disk."""
    alice = Program(crowded, "alice")
    alice.send("m0", "0")
    make_room(crowded)
    crowded.store.slow, crowded.store.broken = True, True
    alice.send("m1", "1")
    alice.send("m2", "2")
    alice.send("m3", "3")
    crowded.store.slow, crowded.store.broken = False, False
    crowded.store.broken = True
    crowded.store.catch_up()
    crowded.settle()
    crowded.store.broken = False
    assert alice.fates() == ["stored", "not-stored", "out-of-order", "queue-full"]
    alice.send("m3", "3")
    assert alice.fates() == ["out-of-order"]
    for number in (1, 2):
        alice.send(f"m{number}", str(number))
    assert alice.fates() == ["stored", "stored"]
    assert crowded.store.queued("bob") == ["1", "2"]


def test_who_gave_up_on_a_message_is_not_refused_for_ever(
    crowded: MemoryServer,
) -> None:
    alice = Program(crowded, "alice")
    for number in range(1, 4):
        alice.send(f"m{number}", str(number))
    make_room(crowded)
    crowded.clock.advance(FORGET_SECONDS - 1)
    alice.send("m4", "4")
    crowded.clock.advance(FORGET_SECONDS - 1)
    alice.send("m5", "5")
    crowded.clock.advance(FORGET_SECONDS)
    alice.send("m6", "6")
    assert alice.fates() == [
        "stored",
        "stored",
        "queue-full",
        "out-of-order",
        "out-of-order",
        "stored",
    ]


def test_who_has_not_read_that_a_message_failed_has_not_given_up(
    crowded: MemoryServer,
) -> None:
    alice = Program(crowded, "alice")
    alice.client.transport.reading = False
    for number in range(1, 4):
        alice.send(f"m{number}", str(number))
    make_room(crowded)
    crowded.clock.advance(2 * FORGET_SECONDS)
    alice.send("m4", "4")
    alice.client.resume_reading()
    crowded.clock.advance(FORGET_SECONDS - 1)
    alice.send("m5", "5")
    crowded.clock.advance(FORGET_SECONDS)
    alice.send("m6", "6")
    assert alice.fates() == [
        "stored",
        "stored",
        "queue-full",
        "out-of-order",
        "out-of-order",
        "stored",
    ]


def test_what_waited_to_be_taken_was_sent_before_its_sender_gave_up(
    crowded: MemoryServer,
) -> None:
    alice = Program(crowded, "alice")
    for number in range(1, 4):
        alice.send(f"m{number}", str(number))
    make_room(crowded)
    connection = alice.client.protocol
    connection.hold("a test")
    alice.send("m4", "4")
    crowded.clock.advance(2 * FORGET_SECONDS)
    connection.release("a test")
    assert alice.fates() == ["stored", "stored", "queue-full", "out-of-order"]


def test_who_was_not_told_of_a_failure_has_not_given_up() -> None:
    """Its answers wait for that to a message that bob was shown and has not."""
    server = MemoryServer(Limits(unacknowledged=400))
    bob, alice = Program(server, "bob"), Program(server, "alice")
    server.store.lack = "disk full"
    alice.send("m1", "1")
    alice.send("m2", "2" * 400)
    server.end_hold()
    assert alice.fates() == []
    server.clock.advance(2 * FORGET_SECONDS)
    alice.send("m3", "3")
    bob.ack(1)
    server.settle()
    assert alice.fates() == ["delivered", "not-stored", "out-of-order"]
    server.clock.advance(FORGET_SECONDS - 1)
    alice.send("m4", "4")
    assert alice.fates() == ["out-of-order"]


def test_another_connection_of_the_sender_is_not_refused(
    crowded: MemoryServer,
) -> None:
    alice, other = Program(crowded, "alice"), Program(crowded, "alice")
    for number in range(1, 4):
        alice.send(f"m{number}", str(number))
    make_room(crowded)
    other.send("m9", "9")
    assert other.fates() == ["stored"]


def test_a_refused_message_comes_again_though_another_connection_has_sent_it(
    crowded: MemoryServer,
) -> None:
    alice, other = Program(crowded, "alice"), Program(crowded, "alice")
    for number in range(1, 4):
        alice.send(f"m{number}", str(number))
    assert alice.fates() == ["stored", "stored", "queue-full"]
    make_room(crowded)
    other.send("m3", "3")
    alice.send("m3", "3")
    alice.send("m4", "4")
    assert alice.fates() == ["stored", "stored"]
    assert crowded.store.queued("bob") == ["3", "4"]


def test_what_follows_a_message_sent_again_waits_for_it_on_its_own_connection(
    server: MemoryServer,
) -> None:
    """It fails for both connections: what the second sent after it must not pass."""
    alice, again = Program(server, "alice"), Program(server, "alice")
    alice.send("m0", "0")
    again.send("m0", "0")
    alice.fates(), again.fates()
    server.store.slow = True
    alice.send("m1", "1")
    alice.client.vanish()
    again.send("m1", "1")
    again.send("m2", "2")
    server.store.lack = "disk full"
    server.store.catch_up()
    server.store.slow, server.store.lack = False, None
    server.settle()
    server.store.catch_up()
    assert again.fates() == ["not-stored", "out-of-order"]
    again.send("m2", "2")
    assert again.fates() == ["out-of-order"]
    again.send("m1", "1")
    again.send("m2", "2")
    assert again.fates() == ["stored", "stored"]
    assert server.store.queued("bob") == ["0", "1", "2"]
