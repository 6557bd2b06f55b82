"""Who may log in, who is online, and what the daemon remembers of its users."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from memory import Client, MemoryServer
from twisted.internet.defer import Deferred

from chatd.hub import hub
from chatd.hub.receiver import Receiver
from chatd.limits import Limits

if TYPE_CHECKING:
    from conftest import LoggedErrors

PROMPT = "Enter your username: "
DAY = 86_400.0
TOO_MANY = (
    "Too many connections (2 of one user). Close one, or try again later.\n" + PROMPT
)
NOT_STORED = (
    "Could not store the message to 'bob' (disk full)."
    " Nothing was sent; try again later."
)
FULL = "The queue of 'bob' is full. Nothing was sent; try again later."
STORED = "User 'bob' is offline. Message stored."
UNKNOWN = "User 'zed' not found."


@pytest.fixture(autouse=True)
def _unhandled_errors(logged_errors: "LoggedErrors") -> Iterator[None]:
    """Let failures that nobody handled come to light in the test that caused them."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    with figures_right() as server:
        yield server


@contextmanager
def figures_right(limits: Limits | None = None) -> Iterator[MemoryServer]:
    """Give a daemon that knows bob, and look at its figures in the end."""
    server = MemoryServer(limits)
    server.log_in("bob").vanish()
    yield server
    server.settle()
    server.check_figures()


def online(client: Client) -> str:
    """Return who is online but for the client, as it is told."""
    client.received()
    client.send("/who")
    return client.received().removeprefix("Users online => ").rstrip("\n")


def messages(client: Client) -> list[str]:
    """Return the texts of the messages that came, and when those were queued."""
    return [
        line.partition(": ")[2].partition(" (")[0]
        for line in client.lines()
        if line.partition(": ")[0].isalnum()
    ]


def greeting(client: Client) -> list[str]:
    """Return what a login shows after the four lines that it always does."""
    return client.lines()[5:]


# Presence ---------------------------------------------------------------------------


def test_a_user_is_online_as_long_as_one_connection_receives(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    assert online(alice) == "(nobody)"
    first, second = server.log_in("bob"), server.log_in("bob")
    assert online(alice) == "bob"
    first.vanish()
    assert online(alice) == "bob"
    second.vanish()
    assert online(alice) == "(nobody)"


def test_who_only_sends_is_not_online(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.log_in("/send-only bob")
    assert online(alice) == "(nobody)"
    alice.send("bob-Hi")
    assert alice.lines() == [STORED]


def test_who_is_refused_is_not_online(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.log_in("a-b")
    assert online(alice) == "(nobody)"


def test_who_is_gone_before_the_login_is_done_is_not_online(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    server.store.slow = True
    bob = server.connect()
    bob.send("bob")
    bob.vanish()
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert online(alice) == "(nobody)"
    assert server.hub._receivers["bob"].connections == 0


def test_who_has_said_goodbye_is_not_online(server: MemoryServer) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    bob.send("/quit")
    assert online(alice) == "(nobody)"
    assert not bob.transport.closed


def test_who_lost_the_connection_is_offline_though_lines_of_his_still_wait(
    server: MemoryServer,
) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    server.store.slow_reads = True
    bob.send("zed-1", "alice-2")
    bob.vanish()
    alice.send("bob-Hi")
    assert online(alice) == "(nobody)"
    server.store.answer_reads()
    server.settle()
    assert messages(alice) == ["2"]


# Connections of one user ------------------------------------------------------------


def test_a_user_may_have_so_many_connections_and_no_more() -> None:
    with figures_right(Limits(connections_by_user=2)) as server:
        first = server.log_in("alice")
        server.log_in("alice")
        third = server.connect()
        third.send("Alice")
        assert third.received() == PROMPT + TOO_MANY
        first.vanish()
        third.send("alice")
        assert third.lines()[0] == "Welcome, alice."


def test_connections_that_only_send_count_too() -> None:
    with figures_right(Limits(connections_by_user=2)) as server:
        server.log_in("/send-only alice")
        server.log_in("/send-only alice")
        third = server.connect()
        third.send("/send-only alice")
        assert third.received() == PROMPT + TOO_MANY


def test_logins_at_the_same_moment_cannot_pass_the_limit() -> None:
    with figures_right(Limits(connections_by_user=2)) as server:
        server.store.slow = True
        clients = [server.connect() for _ in range(4)]
        for client in clients:
            client.send("alice")
        for _ in range(3):
            server.store.catch_up()
            server.settle()
        welcome = [client.received().count("Welcome") for client in clients]
        assert welcome == [1, 1, 0, 0]
        server.store.slow = False


def test_connections_that_were_lost_at_any_moment_do_not_count() -> None:
    with figures_right(Limits(connections_by_user=2)) as server:
        for _ in range(5):
            server.store.slow = True
            client = server.connect()
            client.send("alice")
            client.vanish()
            server.store.slow = False
            server.store.catch_up()
            server.settle()
            server.log_in("alice").vanish()
            quitting = server.log_in("alice")
            quitting.send("/quit")
            quitting.vanish()
        assert server.log_in("alice").protocol.alive
        assert server.hub._receivers["alice"].connections == 1


def test_a_login_that_cannot_be_finished_does_not_count(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    server.log_in("bob").vanish()
    client = server.connect()
    server.store.unreadable = True
    client.send("bob")
    assert client.received() == (
        PROMPT + "Something went wrong in the server, and was logged."
        " This was not done; please tell the administrator.\n" + PROMPT
    )
    assert server.hub._receivers["bob"].connections == 0
    server.store.unreadable = False
    client.send("bob")
    assert client.lines()[0] == "Welcome, bob."
    assert len(logged_errors.flush()) == 1


# Looking names up -------------------------------------------------------------------


def test_a_name_that_nobody_has_is_looked_up_again_each_time(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    alice.send("zed-1")
    assert alice.lines() == [UNKNOWN]
    server.log_in("zed").vanish()
    alice.send("zed-2")
    assert alice.lines() == ["User 'zed' is offline. Message stored."]


def test_names_that_nobody_has_take_no_memory(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    before = len(server.hub._receivers)
    for number in range(100):
        alice.send(f"nobody{number}-Hi")
    assert len(server.hub._receivers) == before


def test_a_line_that_waits_for_a_look_up_keeps_those_after_it_in_order(
    server: MemoryServer,
) -> None:
    alice, carol = server.log_in("alice"), server.log_in("carol")
    server.store.slow_reads = True
    alice.send("zed-1", "carol-2", "nonsense")
    assert carol.received() == ""
    assert alice.received() == ""
    server.store.answer_reads()
    server.settle()
    assert messages(carol) == ["2"]
    assert alice.lines() == [UNKNOWN, "Format error. Please enter: <target>-<message>"]


def test_two_who_look_up_the_same_name_at_once_find_the_same_receiver() -> None:
    with figures_right(Limits(queue_messages=2, queue_share=100)) as server:
        alice, carol = server.log_in("alice"), server.log_in("carol")
        server.hub._receivers.pop("bob")
        server.store.slow_reads = True
        alice.send("bob-1")
        carol.send("bob-2")
        for _ in range(3):
            server.store.answer_reads()
            server.settle()
        assert alice.lines() == [STORED]
        assert carol.lines() == [STORED]
        alice.send("bob-3")
        assert alice.lines() == [FULL]


def test_a_name_that_logs_in_while_it_is_looked_up_gets_the_message(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    server.hub._receivers.pop("bob")
    server.store.slow_reads = True
    alice.send("bob-1")
    server.store.read()
    server.store.slow_reads = False
    bob = server.log_in("bob")
    server.store.answer_reads()
    server.settle()
    assert messages(bob) == ["1"]


def test_a_look_up_that_fails_sends_nothing_and_the_next_line_is_taken(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    alice, carol = server.log_in("alice"), server.log_in("carol")
    server.store.unreadable = True
    alice.send("zed,carol-1", "carol-2")
    refused = NOT_STORED.replace("disk full", "disk error")
    assert alice.lines() == [
        refused.replace("bob", "zed"),
        refused.replace("bob", "carol"),
        "Nothing was sent to 'carol': an earlier message to 'carol' failed."
        " Send that one again first, then this one.",
    ]
    alice.send("carol-3")
    assert messages(carol) == ["3"]
    assert len(logged_errors.flush()) == 1


# Forgetting -------------------------------------------------------------------------


@pytest.fixture
def few_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "IDLE_RECEIVERS", 10)


@pytest.mark.usefixtures("few_receivers")
def test_users_who_are_away_are_forgotten_when_there_are_many(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    for number in range(50):
        server.log_in(f"u{number}").vanish()
        alice.send(f"u{number}-Hi")
        assert len(server.hub._receivers) <= 15
    for number in range(50):
        assert messages(server.log_in(f"u{number}")) == []
        assert server.store.queued(f"u{number}") == []


@pytest.mark.usefixtures("few_receivers")
def test_users_who_are_connected_are_never_forgotten(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    users = [server.log_in(f"u{number}") for number in range(30)]
    for number, user in enumerate(users):
        alice.send(f"u{number}-Hi")
        assert messages(user) == ["Hi"]


@pytest.mark.usefixtures("few_receivers")
def test_users_to_whom_something_is_on_its_way_are_never_forgotten(
    server: MemoryServer,
) -> None:
    for number in range(30):
        server.log_in(f"u{number}").vanish()
    alice = server.log_in("alice")
    server.store.slow = True
    for number in range(30):
        alice.send(f"u{number}-Hi")
    server.store.slow = False
    for _ in range(3):
        server.store.catch_up()
        server.settle()
    assert {server.store.queued(f"u{number}")[0] for number in range(30)} == {"Hi"}


@pytest.mark.usefixtures("few_receivers")
def test_a_queue_keeps_its_bounds_though_its_user_was_forgotten() -> None:
    with figures_right(Limits(queue_messages=4, queue_share=50)) as server:
        alice = server.log_in("alice")
        for text in ("1", "2", "3"):
            alice.send(f"bob-{text}")
            for number in range(20):
                server.log_in(f"u{number}").vanish()
            assert "bob" not in server.hub._receivers
        assert alice.lines() == [STORED, STORED, FULL]


@pytest.mark.usefixtures("few_receivers")
def test_a_line_to_users_who_are_away_is_taken_while_many_others_are_connected(
    server: MemoryServer,
) -> None:
    """Nobody of the many can be forgotten; only those who are being looked up could."""
    for number in range(10):
        server.log_in(f"here{number}")
        server.log_in(f"away{number}").vanish()
    alice = server.log_in("alice")
    alice.send(",".join(f"away{number}" for number in range(10)) + "-Hi")
    assert len(alice.lines()) == 10
    assert all(server.store.queued(f"away{number}") == ["Hi"] for number in range(10))


def test_users_are_looked_through_for_those_who_are_away_only_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = 0

    class Counting(Receiver):
        @property
        def idle(self) -> bool:
            nonlocal looked_at
            looked_at += 1
            return super().idle

    monkeypatch.setattr(hub, "IDLE_RECEIVERS", 20)
    monkeypatch.setattr(hub, "Receiver", Counting)
    with figures_right() as server:
        for number in range(200):
            server.log_in(f"u{number}")
        assert len(server.hub._receivers) >= 200
    # Each time that half as many have come as may be away.
    assert 200 < looked_at <= sum(range(20, 210, 10))


@pytest.mark.usefixtures("few_receivers")
def test_a_line_to_many_who_were_forgotten_reaches_them_all(
    server: MemoryServer,
) -> None:
    for number in range(32):
        server.log_in(f"u{number}").vanish()
    alice = server.log_in("alice")
    server.hub._receivers.clear()
    names = ",".join(f"u{number}" for number in range(8))
    alice.send(f"{names}-Hi")
    assert len(alice.lines()) == 8
    assert all(server.store.queued(f"u{number}") == ["Hi"] for number in range(8))


# Full and broken disks --------------------------------------------------------------


def test_on_a_full_disk_known_users_log_in_and_drain_their_queues(
    server: MemoryServer,
) -> None:
    alice = server.log_in("alice")
    alice.send("bob-1", "bob-2")
    server.store.lack = "disk full"
    bob = server.connect()
    bob.send("bob")
    assert greeting(bob)[0] == "You have 2 offline messages:"
    assert server.store.queued("bob") == []
    alice.received()
    bob.send("alice-3", "/send-only")
    assert alice.lines() == ["bob: 3"]
    alice.vanish()
    bob.received()
    bob.send("alice-4")
    assert bob.lines() == [NOT_STORED.replace("bob", "alice")]


def test_on_a_full_disk_a_new_name_is_refused_with_the_reason(
    server: MemoryServer,
) -> None:
    server.store.lack = "disk full"
    client = server.connect()
    client.send("alice")
    assert client.received() == (
        PROMPT + "Could not register the name 'alice' (disk full)."
        " Please try again later.\n" + PROMPT
    )
    server.store.lack = None
    client.send("alice")
    assert client.lines()[0] == "Welcome, alice. You are new here."


def test_where_nothing_can_be_written_known_users_still_log_in_and_read(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    alice = server.log_in("alice")
    alice.send("bob-1", "bob-2")
    server.store.broken = True
    bob = server.connect()
    bob.send("bob")
    assert [line.partition(" (")[0] for line in greeting(bob)] == [
        "You have 2 offline messages:",
        "alice: 1",
        "alice: 2",
    ]
    # They cannot leave the queue, but do not come again either.
    again = server.connect()
    again.send("bob")
    assert greeting(again) == []
    server.store.broken = False
    server.clock.advance(1)
    server.settle()
    assert server.store.queued("bob") == []
    logged_errors.flush()


def test_where_nothing_can_be_written_a_message_that_was_refused_is_shown_to_nobody(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    bob.vanish()
    server.store.broken = True
    alice.send("bob-1")
    server.store.broken = False
    again = server.connect()
    again.send("bob")
    assert greeting(again) == []
    assert alice.lines() == [NOT_STORED.replace("disk full", "disk error")]
    logged_errors.flush()


def test_a_broken_disk_that_works_again_loses_no_count(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    alice = server.log_in("alice")
    for number in range(10):
        server.store.broken = number % 2 == 1
        alice.send(f"bob-{number}")
    server.store.broken = False
    bob = server.log_in("bob")
    assert server.store.queued("bob") == []
    alice.send("bob-live")
    assert messages(bob) == ["live"]
    logged_errors.flush()


# The bounds of queues ---------------------------------------------------------------


def test_messages_under_way_to_the_disk_have_their_place_in_the_queue() -> None:
    with figures_right(Limits(queue_messages=3, queue_share=100)) as server:
        alice = server.log_in("alice")
        server.store.slow = True
        alice.send("bob-1")
        alice.send("bob-2", "bob-3", "bob-4")
        server.store.slow = False
        server.store.catch_up()
        server.settle()
        assert alice.lines() == [STORED] * 3 + [FULL]
        assert server.store.queued("bob") == ["1", "2", "3"]


def test_a_message_that_could_not_be_stored_keeps_no_place() -> None:
    with figures_right(Limits(queue_messages=1, queue_share=100)) as server:
        alice = server.log_in("alice")
        server.store.lack = "disk full"
        for _ in range(3):
            alice.send("bob-1")
        server.store.lack = None
        alice.send("bob-1")
        assert alice.lines() == [NOT_STORED] * 3 + [STORED]


def test_messages_to_somebody_who_reads_are_not_bounded_by_the_queue() -> None:
    with figures_right(Limits(queue_messages=5)) as server:
        alice, bob = server.log_in("alice"), server.log_in("bob")
        for number in range(50):
            alice.send(f"bob-{number}")
        assert messages(bob) == [str(number) for number in range(50)]


def test_messages_to_somebody_who_does_not_read_are_bounded_by_the_queue() -> None:
    limits = Limits(queue_messages=5, queue_share=100)
    with figures_right(limits) as server:
        alice, bob = server.log_in("alice"), server.log_in("bob")
        bob.transport.reading = False
        for number in range(7):
            alice.send(f"bob-{number}")
        assert alice.lines() == [FULL] * 2
        bob.resume_reading()
        assert messages(bob) == ["0", "1", "2", "3", "4"]
        alice.send("bob-7")
        assert messages(bob) == ["7"]


def test_one_sender_can_fill_only_its_share_of_a_queue_after_a_restart_too() -> None:
    with figures_right(Limits(queue_messages=4, queue_share=50)) as killed:
        killed.log_in("alice").send("bob-1")
        killed.log_in("carol").send("bob-2")
    server = killed.killed()
    alice, carol, dave = (server.log_in(n) for n in ("alice", "carol", "dave"))
    alice.send("bob-3")
    alice.send("bob-4")
    assert alice.lines() == [STORED, FULL]
    carol.send("bob-5")
    assert carol.lines() == [STORED]
    dave.send("bob-6")
    assert dave.lines() == [FULL]
    server.check_figures()
    bob = server.log_in("bob")
    assert server.store.queued("bob") == []
    bob.vanish()
    alice.send("bob-7", "bob-8", "bob-9")
    assert alice.lines() == [STORED, STORED, FULL]
    server.check_figures()


def with_a_share_to_look_up() -> tuple[MemoryServer, Client, Client]:
    """Return a daemon with a slow disk, and two who send to bob.

    It does not know that alice has a message in his queue. It has been sent to him, and
    he has not read it; one of carol's is under way to the disk.
    """
    server = MemoryServer()
    server.log_in("bob").vanish()
    server.log_in("alice").send("bob-1")
    server = server.killed()
    alice, carol = server.log_in("alice"), server.log_in("carol")
    bob = server.connect()
    bob.transport.reading = False
    bob.send("bob")
    server.end_hold()
    server.store.slow = True
    carol.send("bob-2")
    server.end_hold()
    return server, alice, bob


def read_what_came(client: Client) -> None:
    client.resume_reading()
    client.transport.reading = False


def catch_up(server: MemoryServer) -> None:
    server.store.catch_up()
    server.end_hold()


def test_a_share_that_is_looked_up_before_its_messages_leave_is_right() -> None:
    server, alice, bob = with_a_share_to_look_up()
    alice.send("bob-3")
    read_what_came(bob)
    catch_up(server)
    catch_up(server)
    assert server.store.queued("bob") == ["2", "3"]
    server.check_figures()


def test_a_share_that_is_looked_up_while_its_messages_leave_is_right() -> None:
    server, alice, bob = with_a_share_to_look_up()
    read_what_came(bob)
    catch_up(server)
    server.store.write()
    alice.send("bob-3")
    catch_up(server)
    assert server.store.queued("bob") == ["2"]
    catch_up(server)
    assert server.store.queued("bob") == ["2", "3"]
    server.check_figures()


# Expiry -----------------------------------------------------------------------------


def expire(server: MemoryServer, days: float) -> None:
    done = Deferred.fromCoroutine(server.hub.expire(days * DAY))
    server.settle()
    assert done.called


def days_pass(server: MemoryServer, days: float) -> None:
    server.clock.advance(days * DAY)
    server.settle()


def test_a_queue_that_nobody_used_for_so_long_is_dropped(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    alice.send("bob-1", "bob-2")
    days_pass(server, 365)
    expire(server, 366)
    assert server.store.queued("bob") == ["1", "2"]
    days_pass(server, 2)
    expire(server, 366)
    assert server.store.queued("bob") == []
    bob = server.connect()
    bob.send("bob")
    assert greeting(bob) == []


def test_who_logged_in_meanwhile_keeps_the_queue(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    days_pass(server, 300)
    server.log_in("bob").vanish()
    alice.send("bob-1")
    days_pass(server, 300)
    expire(server, 365)
    assert server.store.queued("bob") == ["1"]


def test_who_is_connected_keeps_the_queue_however_long_ago_the_login_was(
    server: MemoryServer,
) -> None:
    alice, bob = server.log_in("alice"), server.log_in("bob")
    bob.transport.reading = False
    alice.send("bob-1")
    server.end_hold()
    days_pass(server, 400)
    expire(server, 365)
    bob.vanish()
    assert server.store.queued("bob") == ["1"]


def test_who_is_connected_to_send_only_uses_the_name(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    server.log_in("/send-only bob")
    alice.send("bob-1")
    days_pass(server, 400)
    expire(server, 365)
    assert server.store.queued("bob") == ["1"]


def test_a_queue_that_was_dropped_has_all_its_room_again() -> None:
    limits = Limits(queue_messages=2, queue_share=100)
    with figures_right(limits) as killed:
        killed.log_in("alice").send("bob-1", "bob-2")
    server = killed.killed()
    alice = server.log_in("alice")
    days_pass(server, 400)
    expire(server, 365)
    alice.send("bob-3", "bob-4", "bob-5")
    assert alice.lines() == [STORED, STORED, FULL]
    assert server.store.queued("bob") == ["3", "4"]
    server.check_figures()
