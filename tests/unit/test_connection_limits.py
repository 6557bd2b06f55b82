"""What one connection, or one address, may do: the limits at the daemon's edge."""

import gc
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from memory import Client, MemoryServer
from twisted.internet.address import HostnameAddress, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import alsoProvides

from chatd.accounts import Origin
from chatd.journal import SEEN_SECONDS
from chatd.limits import HOUR, Limits
from chatd.server.factory import REFUSED_AT_ONCE
from chatd.server.linger import LINGER_SECONDS
from chatd.store.records import StoreFailure

if TYPE_CHECKING:
    from conftest import LoggedErrors

PROMPT = "Enter your username: "
AWAY = "192.0.2.1"
TOO_MANY_NAMES = (
    "Too many new names from your address (3 an hour)."
    " Log in with a known name, or try again later."
)


@pytest.fixture(autouse=True)
def _unhandled_errors(logged_errors: "LoggedErrors") -> Iterator[None]:
    """Let failures that nobody handled come to light in the test that caused them."""
    yield
    gc.collect()


def errors(client: Client) -> list[str]:
    """Return the codes of the errors that a program got."""
    objects = [json.loads(line) for line in client.lines() if line.startswith("{")]
    return [each["code"] for each in objects if each["type"] == "error"]


def speaks_json(server: MemoryServer) -> Client:
    client = server.connect()
    client.send("/json")
    client.received()
    return client


def login(name: str) -> str:
    return json.dumps({"type": "login", "user": name})


def closed(client: Client) -> bool:
    """Whether the daemon has said its last; the client then closes too."""
    if not client.transport.write_closed:
        return False
    client.end_input()
    return client.transport.closed


def paused(client: Client) -> bool:
    return client.transport.producerState == "paused"


def at_rest(server: MemoryServer) -> bool:
    return server.clock.getDelayedCalls() == []


# Connections in all and by address --------------------------------------------------


def test_a_connection_too_many_is_told_why_and_closed() -> None:
    server = MemoryServer(Limits(connections=2))
    first = server.connect()
    server.connect()
    third = server.connect()
    assert third.received() == (
        "Too many connections (2 in all). Close one, or try again later.\n"
    )
    third.send("alice")
    assert third.received() == ""
    assert closed(third)
    first.vanish()
    assert server.connect().received() == PROMPT


def test_connections_that_were_refused_do_not_count() -> None:
    server = MemoryServer(Limits(connections=1))
    first = server.connect()
    refused = [server.connect() for _ in range(5)]
    first.vanish()
    assert server.connect().received() == PROMPT
    assert all("Too many connections" in client.received() for client in refused)


def test_refused_connections_that_do_not_leave_are_cut_after_a_while() -> None:
    server = MemoryServer(Limits(connections=1))
    first = server.connect()
    refused = server.connect()
    server.clock.advance(LINGER_SECONDS)
    assert refused.transport.aborted
    first.vanish()
    assert server.factory.all_gone().called
    assert at_rest(server)


def test_a_flood_of_connections_is_cut_without_an_answer() -> None:
    server = MemoryServer(Limits(connections=1))
    server.connect()
    refused = [server.connect() for _ in range(REFUSED_AT_ONCE + 5)]
    assert [client.transport.aborted for client in refused] == (
        [False] * REFUSED_AT_ONCE + [True] * 5
    )
    assert refused[-1].received() == ""
    for client in refused:
        client.vanish()
    assert server.connect().lines()[0].startswith("Too many connections (1 in all)")


def test_connections_from_one_address_are_limited_and_others_are_not() -> None:
    server = MemoryServer(Limits(connections_by_address=2))
    first = server.connect(AWAY)
    server.connect(AWAY)
    assert server.connect(AWAY).received() == (
        "Too many connections (2 from one address). Close one, or try again later.\n"
    )
    assert server.connect("192.0.2.2").received() == PROMPT
    first.vanish()
    assert server.connect(AWAY).received() == PROMPT


@pytest.mark.parametrize(
    ("host", "others"),
    [
        ("192.0.2.1", ["::ffff:192.0.2.1", "::ffff:c000:201"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("2001:db8::1", ["2001:DB8:0:0::1"]),
    ],
)
def test_an_address_counts_as_one_however_it_is_written(
    host: str, others: list[str]
) -> None:
    server = MemoryServer(Limits(connections_by_address=1))
    server.connect(host)
    for other in others:
        assert "1 from one address" in server.connect(other).received()


def test_ipv6_addresses_of_one_network_count_as_one() -> None:
    server = MemoryServer(Limits(connections_by_address=2))
    first = server.connect("2001:db8:0:1::1")
    server.connect("2001:db8:0:1:ffff:ffff:ffff:ffff")
    assert "2 from one address" in server.connect("2001:db8:0:1::2").received()
    assert server.connect("2001:db8:0:2::1").received() == PROMPT
    first.vanish()
    assert server.connect("2001:db8:0:1::3").received() == PROMPT


def test_ipv4_addresses_count_each_for_itself() -> None:
    server = MemoryServer(Limits(connections_by_address=1))
    for last in range(5):
        assert server.connect(f"192.0.2.{last}").received() == PROMPT


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_this_machines_own_connections_are_not_counted_by_address(host: str) -> None:
    server = MemoryServer(Limits(connections_by_address=1))
    for _ in range(5):
        assert server.connect(host).received() == PROMPT


def test_unix_sockets_are_not_counted_by_address() -> None:
    assert origin_of(UNIXAddress(None)).exempt
    assert origin_of(UNIXAddress(b"/run/chatd")).exempt
    assert not origin_of(IPv6Address("TCP", "2001:db8::1", 1)).exempt


def origin_of(peer: IAddress, *, encrypted: bool = False) -> Origin:
    transport = StringTransport(peerAddress=peer)
    if encrypted:
        alsoProvides(transport, ISSLTransport)
    connection = MemoryServer().factory.buildProtocol(peer)
    connection.makeConnection(transport)
    return connection.origin


def test_a_connection_is_private_under_tls_and_within_this_machine() -> None:
    away = IPv6Address("TCP", "2001:db8::1", 1)
    assert not origin_of(away).private
    assert origin_of(away, encrypted=True).private
    assert not origin_of(away, encrypted=True).exempt
    for host in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        assert origin_of(IPv6Address("TCP", host, 1)).private
    assert origin_of(UNIXAddress(None)).private


def test_what_nobody_knows_about_a_connection_does_not_make_it_private() -> None:
    odd = HostnameAddress(b"somewhere", 1)
    assert not origin_of(odd).private
    assert origin_of(odd, encrypted=True).private


def test_an_address_is_forgotten_when_its_last_connection_has_gone() -> None:
    server = MemoryServer()
    for number in range(100):
        server.connect(f"192.0.2.{number}").vanish()
        refused = server.connect(f"192.0.2.{number}")
        refused.send("/quit")
        refused.end_input()
    assert len(server.factory._by_address._counts) == 0
    assert at_rest(server)


# Connections of one user ------------------------------------------------------------


def test_a_program_of_a_user_with_enough_connections_may_take_another_name() -> None:
    server = MemoryServer(Limits(connections_by_user=1))
    first = server.log_in("alice")
    client = speaks_json(server)
    client.send(login("alice"))
    assert client.lines() == [
        '{"type":"error","code":"too-many-connections","temporary":true,"text":'
        '"Too many connections (1 of one user). Close one, or try again later."}'
    ]
    client.send(login("bob"))
    assert '"type":"welcome"' in client.received()
    first.vanish()
    client = speaks_json(server)
    client.send(login("alice"))
    assert '"type":"welcome"' in client.received()


# What programs are told --------------------------------------------------------------


def test_a_program_is_told_the_limits_that_concern_it() -> None:
    limits = Limits(line=10, message=20, json_line=300, watched=40)
    client = MemoryServer(limits).connect()
    client.send("/json")
    hello = json.loads(client.lines()[1])
    assert hello["limits"] == {
        "line": 300,
        "message": 20,
        "name": 32,
        "targets": 32,
        "watched": 40,
    }


# Time to log in ---------------------------------------------------------------------


def test_who_does_not_log_in_in_time_is_told_so_and_closed() -> None:
    server = MemoryServer(Limits(login_time=60))
    client = server.connect()
    server.clock.advance(59)
    assert client.received() == PROMPT
    server.clock.advance(1)
    assert client.received() == (
        "\nNo login within 60 seconds. Please connect again.\n"
    )
    assert closed(client)


def test_a_program_that_does_not_log_in_in_time_is_told_so_and_closed() -> None:
    server = MemoryServer(Limits(login_time=60))
    client = speaks_json(server)
    client.send('{"type":"ping"}')
    server.clock.advance(60)
    assert client.lines() == [
        '{"type":"pong"}',
        '{"type":"error","code":"login-timeout","temporary":true,'
        '"text":"No login within 60 seconds. Please connect again."}',
    ]
    assert closed(client)


@pytest.mark.parametrize("lines", [["alice"], ["/json", login("alice")]])
def test_who_is_logged_in_may_stay_as_long_as_wanted(lines: list[str]) -> None:
    server = MemoryServer(Limits(login_time=60))
    client = server.connect()
    client.send(*lines)
    client.received()
    server.clock.advance(100 * HOUR)
    assert client.received() == ""
    assert not client.transport.write_closed
    client.vanish()
    server.wait(SEEN_SECONDS)
    assert at_rest(server)


def test_bad_names_give_no_more_time() -> None:
    server = MemoryServer(Limits(login_time=60))
    client = server.connect()
    for _ in range(5):
        server.clock.advance(10)
        client.send("a-b")
    server.clock.advance(10)
    assert "No login within 60 seconds" in client.received()


@pytest.mark.parametrize("lines", [["alice"], ["/json", login("alice")]])
def test_a_login_that_the_disk_finishes_too_late_is_none(lines: list[str]) -> None:
    server = MemoryServer(Limits(login_time=60))
    server.log_in("alice").vanish()
    server.store.slow_reads = True
    client = server.connect()
    client.send(*lines)
    server.clock.advance(60)
    server.store.slow_reads = False
    server.store.answer_reads()
    server.settle()
    received = client.received()
    assert "No login within 60 seconds" in received
    assert "elcome" not in received
    assert closed(client)
    assert server.hub._receivers["alice"].connections == 0
    server.wait(SEEN_SECONDS)
    assert at_rest(server)


def test_a_connection_that_is_lost_before_its_login_leaves_nothing_behind() -> None:
    server = MemoryServer()
    server.connect().vanish()
    speaks_json(server).vanish()
    assert server.factory.all_gone().called
    assert at_rest(server)


def test_who_reads_nothing_and_does_not_log_in_is_closed_too() -> None:
    server = MemoryServer(Limits(login_time=60))
    client = speaks_json(server)
    client.transport.reading = False
    client.send("nonsense")
    server.clock.advance(60)
    server.settle()
    server.clock.advance(LINGER_SECONDS)
    server.settle()
    assert client.transport.closed
    assert server.factory.all_gone().called


# Bad names --------------------------------------------------------------------------


def test_after_ten_bad_names_the_connection_is_closed() -> None:
    server = MemoryServer()
    client = server.connect()
    reason = (
        "A name has no '-', because that separates target and message."
        " Please choose another name.\n"
    )
    client.send(*["a-b"] * 9)
    assert client.received() == PROMPT + (reason + PROMPT) * 9
    client.send("a-b", "alice")
    assert client.received() == (
        reason + "Too many refused names (10). Please connect again.\n"
    )
    assert closed(client)
    assert "alice" not in server.hub._receivers


def test_after_ten_bad_logins_a_program_is_disconnected() -> None:
    server = MemoryServer()
    client = speaks_json(server)
    client.send(*[login("a-b")] * 9)
    assert errors(client) == ["bad-name"] * 9
    client.send(login("a-b"), login("alice"))
    assert errors(client) == ["bad-name", "too-many-bad-names"]
    assert closed(client)
    assert "alice" not in server.hub._receivers


def test_whatever_is_refused_instead_of_a_name_counts_as_one() -> None:
    server = MemoryServer(Limits(bad_names=4, line=100))
    client = server.connect()
    client.send_bytes(b"\xff\n" + b"x" * 200 + b"\n/nonsense\n")
    assert client.received().count(PROMPT) == 4
    client.send("")
    assert client.lines()[-1] == "Too many refused names (4). Please connect again."


def test_help_at_the_prompt_does_not_count_as_a_bad_name() -> None:
    server = MemoryServer(Limits(bad_names=2))
    client = server.connect()
    client.send("a-b", *["/help"] * 10, "alice")
    assert "Welcome, alice. You are new here." in client.received()


def test_a_last_bad_name_from_a_connection_that_is_gone_ends_it_once(
    logged_errors: "LoggedErrors",
) -> None:
    """Telnet's part of it was cut off, which is found only when all is processed."""
    server = MemoryServer(Limits(bad_names=2))
    server.log_in("bob").vanish()
    server.store.slow_reads = True
    client = server.connect()
    client.send_bytes(b"\xff\xfb\x01bob\n\xff\xfa")
    client.end_input()
    client.vanish()
    server.store.unreadable = True
    server.store.slow_reads = False
    server.store.answer_reads()
    server.settle()
    assert server.factory.all_gone().called
    gc.collect()
    assert len(logged_errors.flush(StoreFailure)) == 1


# The rate of lines ------------------------------------------------------------------


def test_lines_beyond_the_rate_are_delayed_and_none_is_lost() -> None:
    server = MemoryServer(Limits(line_rate=8, line_burst=5))
    server.log_in("bob").vanish()
    alice = server.log_in("alice")
    server.clock.advance(10)
    alice.send(*(f"bob-{number}" for number in range(10)))
    assert server.store.queued("bob") == ["0", "1", "2", "3", "4"]
    assert paused(alice)
    for number in range(5, 10):
        server.clock.advance(1 / 8)
        server.settle()
        assert server.store.queued("bob")[-1] == str(number)
    server.clock.advance(1 / 8)
    assert not paused(alice)
    assert server.store.queued("bob") == [str(number) for number in range(10)]


def test_a_delay_lasts_no_longer_than_it_must() -> None:
    server = MemoryServer(Limits(line_rate=8, line_burst=5))
    alice, bob = server.log_in("alice"), server.log_in("bob")
    server.clock.advance(10)
    alice.send(*["bob-x"] * 25)
    for _ in range(20):
        server.clock.advance(1 / 8)
        server.settle()
    assert bob.received() == "alice: x\n" * 25


def test_a_delayed_connection_still_receives() -> None:
    server = MemoryServer(Limits(line_rate=1, line_burst=3))
    alice, bob = server.log_in("alice"), server.log_in("bob")
    alice.send(*["nobody-x"] * 10)
    alice.received()
    assert paused(alice)
    bob.send("alice-Hi")
    assert alice.received() == "bob: Hi\n"


def test_lines_that_were_delayed_count_though_the_connection_is_lost() -> None:
    server = MemoryServer(Limits(line_rate=8, line_burst=3))
    server.log_in("bob").vanish()
    alice = server.log_in("alice")
    alice.send(*(f"bob-{number}" for number in range(10)))
    alice.vanish()
    for _ in range(20):
        server.clock.advance(1 / 8)
        server.settle()
    assert server.store.queued("bob") == [str(number) for number in range(10)]
    assert server.factory.all_gone().called
    assert at_rest(server)


def test_goodbye_waits_for_the_lines_that_were_delayed() -> None:
    server = MemoryServer(Limits(line_rate=8, line_burst=3))
    server.log_in("bob").vanish()
    alice = server.log_in("alice")
    alice.send(*(f"bob-{number}" for number in range(10)))
    alice.end_input()
    assert "Goodbye." not in alice.lines()
    for _ in range(20):
        server.clock.advance(1 / 8)
        server.settle()
    assert alice.lines()[-1] == "Goodbye."
    assert len(server.store.queued("bob")) == 10


def test_a_stop_takes_delayed_lines_at_once() -> None:
    server = MemoryServer(Limits(line_rate=8, line_burst=3))
    server.log_in("bob").vanish()
    alice = server.log_in("alice")
    alice.send(*(f"bob-{number}" for number in range(10)))
    Deferred.fromCoroutine(server.factory.finish_conversations())
    server.settle()
    assert len(server.store.queued("bob")) == 10
    lines = alice.lines()
    assert lines[-2:] == [
        "User 'bob' is offline. Message stored.",
        "The server is stopping. Nothing more was taken; please connect again later.",
    ]


# Unread answers ---------------------------------------------------------------------


def test_who_does_not_read_the_answers_is_not_listened_to_until_they_are_read() -> None:
    server = MemoryServer(Limits(unread_answers=1_000))
    alice = server.log_in("alice")
    alice.transport.reading = False
    question, answer = "nonsense", "Format error. Please enter: <target>-<message>"
    alice.send(*[question] * 100)
    written = len(alice.transport.value())
    assert 1_000 < written <= 1_000 + len(answer) + 1
    assert paused(alice)
    alice.resume_reading()
    for _ in range(10):
        server.settle()
    assert alice.lines() == [answer] * 100
    assert not paused(alice)


def test_the_bound_of_unread_answers_is_256_kib() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    alice.transport.reading = False
    for _ in range(10):
        alice.send(*["nonsense"] * 1_000)
    assert 256 * 1024 < len(alice.transport.value()) < 257 * 1024


def test_a_program_that_does_not_read_its_answers_is_not_listened_to_either() -> None:
    server = MemoryServer(Limits(unread_answers=1_000))
    client = speaks_json(server)
    client.transport.reading = False
    client.send(*['{"type":"ping"}'] * 1_000)
    assert 1_000 < len(client.transport.value()) < 1_100
    client.resume_reading()
    for _ in range(100):
        server.settle()
    assert client.lines() == ['{"type":"pong"}'] * 1_000


def test_lines_whose_answers_nobody_read_count_though_the_connection_is_lost() -> None:
    server = MemoryServer(Limits(unread_answers=100))
    server.log_in("bob").vanish()
    alice = server.log_in("alice")
    alice.transport.reading = False
    alice.send(*["nonsense"] * 10, "bob-1")
    assert server.store.queued("bob") == []
    alice.vanish()
    assert server.store.queued("bob") == ["1"]
    assert server.factory.all_gone().called


# New names --------------------------------------------------------------------------


def registers(server: MemoryServer, name: str, host: str = AWAY) -> str:
    """Return the answer to a login under a name."""
    client = server.connect(host)
    client.received()
    client.send(name)
    answer = client.lines()[0]
    client.vanish()
    return answer


def test_new_names_from_one_address_are_limited_by_the_hour() -> None:
    server = MemoryServer(Limits(new_names=3))
    for name in ("a", "b", "c"):
        assert registers(server, name) == f"Welcome, {name}. You are new here."
    assert registers(server, "d") == TOO_MANY_NAMES
    assert registers(server, "a") == "Welcome, a."
    assert registers(server, "e", "192.0.2.2") == "Welcome, e. You are new here."
    server.clock.advance(HOUR)
    assert registers(server, "d") == "Welcome, d. You are new here."


def test_new_names_from_one_ipv6_network_are_limited_together() -> None:
    server = MemoryServer(Limits(new_names=3))
    for last, name in enumerate("abc"):
        answer = registers(server, name, f"2001:db8:0:1::{last}")
        assert answer == f"Welcome, {name}. You are new here."
    assert registers(server, "d", "2001:db8:0:1::ffff") == TOO_MANY_NAMES
    assert "Welcome, d." in registers(server, "d", "2001:db8:0:2::1")


def test_new_names_of_one_ipv6_network_at_the_same_moment_count_together() -> None:
    server = MemoryServer(Limits(new_names=3))
    server.store.slow = True
    clients = [server.connect(f"2001:db8::{number}") for number in range(10)]
    for number, client in enumerate(clients):
        client.received()
        client.send(f"u{number}")
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    answers = [client.lines()[0] for client in clients]
    assert answers.count(TOO_MANY_NAMES) == 7


def test_a_program_is_told_that_it_has_too_many_new_names() -> None:
    server = MemoryServer(Limits(new_names=0))
    client = server.connect(AWAY)
    client.send("/json", login("a"))
    assert errors(client) == ["too-many-names"]


def test_this_machines_own_new_names_are_not_limited() -> None:
    server = MemoryServer(Limits(new_names=1))
    for name in ("a", "b", "c"):
        answer = registers(server, name, "127.0.0.1")
        assert answer == f"Welcome, {name}. You are new here."


def test_logins_under_known_names_do_not_count() -> None:
    server = MemoryServer(Limits(new_names=3))
    for _ in range(10):
        registers(server, "a")
    assert registers(server, "b") == "Welcome, b. You are new here."
    assert registers(server, "c") == "Welcome, c. You are new here."
    assert registers(server, "d") == TOO_MANY_NAMES


def test_new_names_that_could_not_be_registered_do_not_count() -> None:
    server = MemoryServer(Limits(new_names=3))
    server.store.lack = "disk full"
    for _ in range(10):
        assert "Could not register" in registers(server, "a")
    server.store.lack = None
    assert registers(server, "a") == "Welcome, a. You are new here."


def test_new_names_at_the_same_moment_cannot_pass_the_limit() -> None:
    server = MemoryServer(Limits(new_names=3))
    server.store.slow = True
    clients = [server.connect(AWAY) for _ in range(10)]
    for number, client in enumerate(clients):
        client.received()
        client.send(f"u{number}")
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    answers = [client.lines()[0] for client in clients]
    assert len([each for each in answers if "You are new here." in each]) == 3
    assert answers.count(TOO_MANY_NAMES) == 7


def test_the_same_new_name_twice_at_the_same_moment_counts_once() -> None:
    server = MemoryServer(Limits(new_names=2))
    server.store.slow = True
    clients = [server.connect(AWAY) for _ in range(2)]
    for client in clients:
        client.received()
        client.send("a")
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    answers = [client.lines()[0] for client in clients]
    assert answers == ["Welcome, a. You are new here.", "Welcome, a."]
    assert registers(server, "b") == "Welcome, b. You are new here."


# Stopping ---------------------------------------------------------------------------


def test_a_connection_that_is_already_being_closed_does_not_hold_up_a_stop() -> None:
    server = MemoryServer()
    client = server.connect()
    client.send("/quit")
    Deferred.fromCoroutine(server.factory.finish_conversations())
    server.settle()
    assert not paused(client)
    client.end_input()
    assert server.factory.all_gone().called


@pytest.mark.parametrize("lines", [["alice"], ["/json", login("alice")]])
def test_a_connection_that_is_lost_during_a_stop_is_gone_once(lines: list[str]) -> None:
    server = MemoryServer()
    client = server.connect()
    client.send(*lines)
    server.store.slow_reads = True
    client.send("zed-1", '{"type":"send","to":"zed","text":"1"}')
    Deferred.fromCoroutine(server.factory.finish_conversations())
    client.vanish()
    server.store.answer_reads()
    server.settle()
    assert server.factory.all_gone().called


def test_a_flood_of_telnet_sequences_is_slowed_like_one_of_lines() -> None:
    server = MemoryServer()
    client = server.connect(AWAY)
    client.send_bytes(b"\xff\xf1" * 30 + b"alice\n")
    assert "Welcome, alice." in client.received()
    client.send_bytes(b"\xff\xf1" * (server.limits.line_burst + 5_000))
    client.send("alice-Hi")
    assert client.transport.producerState == "paused"
    server.wait(4)
    assert "alice: Hi" not in client.received()
    server.wait(2)
    assert "alice: Hi" in client.received()


# What is read while a line waits ----------------------------------------------------


def test_reading_ends_when_something_has_come_behind_a_line_that_waits() -> None:
    server = MemoryServer()
    server.log_in("alice").vanish()
    server.store.slow_reads = True
    client = server.connect()
    client.send("alice")
    assert client.transport.producerState == "producing"
    client.send_bytes(b"b")
    assert client.transport.producerState == "paused"
    server.store.slow_reads = False
    server.store.answer_reads()
    server.settle()
    assert client.transport.producerState == "producing"


def test_nothing_is_read_when_more_than_one_line_has_come_already() -> None:
    server = MemoryServer()
    server.log_in("alice").vanish()
    server.store.slow_reads = True
    client = server.connect()
    client.send("alice", "bob-Hi")
    assert client.transport.producerState == "paused"
