"""Who gets in, under which name, and what is asked of them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from memory import Client, MemoryServer, MemoryStore
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from chatd.credentials import Policy
from chatd.hub.gate import TOLD_OF_PASSWORD
from chatd.passwords import encode
from chatd.server.linger import LINGER_SECONDS
from chatd.server.proxied import LOOPBACK, ProxyFactory
from chatd.server.refusals import LOGGED_REFUSALS
from chatd.store import administration
from chatd.store.records import AccountChange, ChangeKind
from chatd.throttle import FREE, LONGEST_BY_NAME
from chatd.wire.answers import ANSWERS

PROMPT = "Enter your username: "
ASKED = "Password: "
AGAIN = "Password (an empty line for another name): "
GOOD = "correct horse battery"
OTHER = "another horse battery"
WRONG = ANSWERS["wrong-password"].text
AWAY = "192.0.2.1"


def protect(server: MemoryServer, name: str, password: str = GOOD) -> None:
    """Register a name with a password, as from this machine."""
    client = server.log_in(name)
    client.send("/password", password, password)
    assert "From now on every login" in client.received()
    client.send("/quit")
    client.received()
    server.end_hold()


def greeted(client: Client) -> bool:
    return "Welcome, " in client.received()


def log_in(client: Client, name: str, password: str) -> str:
    client.send(name, password)
    return client.received()


def program(server: MemoryServer, host: str = "127.0.0.1") -> Client:
    client = server.connect(host)
    client.send("/json")
    client.received()
    return client


def answer(client: Client, **request: Any) -> dict[str, Any]:
    client.send(json.dumps(request))
    found: dict[str, Any] = json.loads(client.lines()[0])
    return found


# Passwords of names ------------------------------------------------------------------


def test_a_name_with_a_password_is_not_entered_without_it() -> None:
    server = MemoryServer()
    protect(server, "alice")
    client = server.connect()
    assert log_in(client, "alice", OTHER) == f"{PROMPT}{ASKED}{WRONG}\n{AGAIN}"
    assert "Welcome, alice." in log_in(client, "ALICE", GOOD)


def test_a_queue_is_read_only_with_the_password() -> None:
    server = MemoryServer()
    protect(server, "alice")
    bob = server.log_in("bob")
    bob.send("alice-secret")
    server.end_hold()
    thief = server.connect()
    assert "secret" not in log_in(thief, "alice", OTHER)
    assert "bob: secret" in log_in(server.connect(), "alice", GOOD)


def test_whoever_waits_for_a_password_is_not_logged_in_yet() -> None:
    server = MemoryServer()
    protect(server, "alice")
    waiting = server.connect()
    waiting.send("alice")
    bob = server.log_in("bob")
    bob.send("alice-Hi", "/who")
    server.end_hold()
    said = bob.received()
    assert "User 'alice' is offline. Message stored." in said
    assert "Users online => (nobody)" in said


def test_the_logins_of_a_week_say_when_and_from_where_the_password_was_set() -> None:
    server = MemoryServer()
    protect(server, "alice")
    said = log_in(server.connect(), "alice", GOOD)
    assert re.search(
        r"^alice got a password on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC,"
        r" from 127\.0\.0\.1\. If that was not you, ask the administrator\.$",
        said,
        re.M,
    )
    assert "Anybody can log in as alice" not in said
    server.jump = TOLD_OF_PASSWORD // 1000 + 60
    assert "got a password" not in log_in(server.connect(), "alice", GOOD)


def test_another_password_does_not_change_what_is_said_of_the_first() -> None:
    server = MemoryServer()
    protect(server, "alice")

    def told(password: str) -> list[str]:
        said = log_in(server.connect(), "alice", password).splitlines()
        return [line for line in said if "got a password on" in line]

    first = told(GOOD)
    server.jump = 3600
    client = server.connect()
    log_in(client, "alice", GOOD)
    client.send("/password", GOOD, OTHER, OTHER)
    assert "From now on every login" in client.received()
    assert told(OTHER) == first


def test_a_password_is_kept_as_a_hash_only() -> None:
    server = MemoryServer()
    protect(server, "alice")
    dump = "\n".join(server.store.connection.iterdump())
    assert "$argon2id$" in dump
    assert GOOD not in dump


def test_a_telnet_that_negotiates_shows_nothing_of_a_password() -> None:
    will_echo, wont_echo = b"\xff\xfb\x01", b"\xff\xfc\x01"
    server = MemoryServer()
    client = server.connect()

    def said(data: bytes) -> bytes:
        before = len(client.transport.received)
        client.send_bytes(data)
        return client.transport.received[before:]

    # As PuTTY opens: it offers its terminal's type.
    assert said(b"\xff\xfb\x18") == b"\xff\xfe\x18"
    said(b"alice\n")
    question = b"Your new password (an empty line changes nothing):\n"
    assert said(b"/password\n") == question + will_echo
    assert said(b"\xff\xfd\x01") == b""  # DO ECHO: it agrees
    again = b"The same again:\n"
    assert said(f"{GOOD}\r\n".encode()) == wont_echo + b"\n" + again + will_echo
    assert said(f"{GOOD}\r\n".encode()).startswith(wont_echo + b"\nFrom now on")
    said(b"/quit\r\n")
    server.end_hold()

    client = server.connect()
    said(b"\xff\xfb\x18")
    assert said(b"alice\r\n") == ASKED.encode() + will_echo
    assert said(f"{GOOD}\r\n".encode()).startswith(wont_echo + b"\nWelcome, alice.")


def test_answers_that_are_sent_before_the_questions_are_taken_for_answers() -> None:
    server = MemoryServer()
    client = server.log_in("alice")
    server.store.slow = server.store.slow_reads = True
    client.send("/password", GOOD, GOOD, "alice-Hi")
    for _ in range(4):
        server.store.answer_reads()
        server.settle()
        server.store.catch_up()
        server.settle()
    assert client.lines() == [
        "Your new password (an empty line changes nothing):",
        "The same again:",
        "From now on every login as alice needs this password.",
        "alice: Hi",
    ]


def test_a_terminal_that_does_not_speak_telnet_is_sent_no_garbage() -> None:
    server = MemoryServer()
    protect(server, "alice")
    client = server.connect()
    log_in(client, "alice", GOOD)
    assert b"\xff" not in client.transport.received


def test_no_first_password_is_set_while_another_is_logging_in() -> None:
    server = MemoryServer()
    thief = server.log_in("alice")
    thief.send("/password", GOOD)
    thief.received()
    server.store.slow = True
    alice = server.connect()
    alice.send("alice")
    thief.send(GOOD)
    server.store.catch_up()
    server.settle()
    server.store.catch_up()
    assert greeted(alice)
    in_use = ANSWERS["name-in-use"].text.format(name="alice")
    assert thief.received() == f"{in_use}\n"


def test_who_logs_in_while_a_first_password_is_being_set_is_asked_for_it() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    alice.send("/password", GOOD)
    alice.received()
    server.store.slow = True
    alice.send(GOOD)
    another = server.connect()
    another.send("alice")
    # It has read that there is none; on disk there may be one already.
    server.store.write()
    assert another.received() == PROMPT
    server.store.slow = False
    server.store.catch_up()
    assert another.received() == "Password: "
    another.send(GOOD)
    assert greeted(another)


class Slow:
    """Threads that hash, and are not done before they are told to be."""

    def __init__(self, server: MemoryServer) -> None:
        self._done: list[tuple[Deferred[Any], Any]] = []
        server.factory.gate._hasher._run = self.run  # type: ignore[method-assign]

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        self._done.append((Deferred(), work()))
        return self._done[-1][0]

    def finish(self) -> None:
        done, self._done = self._done, []
        for answered, result in done:
            answered.callback(result)


def test_a_password_that_is_replaced_while_it_is_checked_does_not_let_in() -> None:
    server = MemoryServer()
    protect(server, "alice")
    threads = Slow(server)
    thief = server.connect()
    thief.send("alice", GOOD)
    administration.set_password(
        server.store.connection, "alice", encode(OTHER), lambda: 0
    )
    change(server, "alice", "changed")
    threads.finish()
    assert thief.received() == f"{PROMPT}{ASKED}{WRONG}\n{AGAIN}"
    alice = server.connect()
    alice.send("alice", OTHER)
    threads.finish()
    assert greeted(alice)


def weakly_hashed(server: MemoryServer, name: str) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(GOOD)
    administration.set_password(server.store.connection, name, weak, lambda: 0)


def test_two_logins_that_both_replace_a_weak_hash_get_in() -> None:
    server = MemoryServer()
    server.log_in("alice").send("/quit")
    weakly_hashed(server, "alice")
    threads = Slow(server)
    clients = [server.connect(), server.connect()]
    for client in clients:
        client.send("alice", GOOD)
    threads.finish()
    server.settle()
    threads.finish()
    assert all(greeted(client) for client in clients)


def test_a_weak_hash_that_cannot_be_replaced_lets_in_all_the_same() -> None:
    server = MemoryServer()
    server.log_in("alice").send("/quit")
    server.end_hold()
    weakly_hashed(server, "alice")
    server.store.broken = True
    assert "Welcome, alice." in log_in(server.connect(), "alice", GOOD)


# Where others can read ----------------------------------------------------------------


def test_no_password_is_asked_for_where_others_could_read_it() -> None:
    server = MemoryServer()
    protect(server, "alice")
    client = server.connect(AWAY)
    client.send("alice")
    refusal = ANSWERS["not-private"].text.format(name="alice")
    assert client.received() == f"{PROMPT}{refusal}\n"
    assert client.transport.write_closed


def test_a_password_that_came_where_others_could_read_it_is_not_taken() -> None:
    server = MemoryServer()
    protect(server, "alice")
    client = program(server, AWAY)
    said = answer(client, type="login", user="alice", password=GOOD)
    assert said["code"] == "not-private"


def test_a_password_that_nobody_asked_for_there_does_not_become_a_name() -> None:
    server = MemoryServer()
    protect(server, "alice", "correcthorsebattery")
    client = server.connect(AWAY)
    client.send("alice", "correcthorsebattery")
    client.send("correcthorsebattery")
    assert "Welcome" not in client.received()
    assert server.store.users == 1


def test_none_is_set_there_either() -> None:
    server = MemoryServer()
    client = server.connect(AWAY)
    client.send("alice")
    assert (
        "Anybody can log in as alice; /password protects the name, over TLS or on the"
        " server itself." in client.received()
    )
    client.send("/password")
    assert client.received() == ANSWERS["not-private"].text.format(name="alice") + "\n"
    client.send("alice-still here")
    assert client.received() == "alice: still here\n"


def test_none_is_asked_for_through_a_proxy_though_that_is_on_this_machine() -> None:
    server = MemoryServer()
    protect(server, "alice")
    port = ProxyFactory(server.factory, LOOPBACK)
    client = server.connect_to(port, IPv4Address("TCP", "127.0.0.1", 4000))
    client.send_bytes(b"PROXY TCP4 127.0.0.1 127.0.0.1 4001 5555\r\nalice\r\n")
    refusal = ANSWERS["not-private"].text.format(name="alice")
    assert client.received() == f"{PROMPT}{refusal}\n"
    assert client.transport.write_closed


def test_the_administrator_can_allow_it() -> None:
    server = MemoryServer(policy=Policy(plaintext_passwords=True))
    client = server.connect(AWAY)
    client.send("alice", "/password", GOOD, GOOD, "/quit")
    assert "From now on every login as alice" in client.received()
    assert "Welcome, alice." in log_in(server.connect(AWAY), "alice", GOOD)


# What the administrator has chosen ----------------------------------------------------


def closed(**users: str | None) -> MemoryServer:
    store = MemoryStore()
    for name, password in users.items():
        encoded = None if password is None else encode(password)
        administration.add_user(store.connection, name, name, encoded, lambda: 0)
    store = MemoryStore(store.connection)
    return MemoryServer(store=store, policy=Policy(registration=False))


def test_a_closed_daemon_knows_its_users_and_registers_no_other() -> None:
    server = closed(alice=GOOD, bob=None)
    assert "Welcome, alice." in log_in(server.connect(), "alice", GOOD)
    assert "Welcome, bob." in log_in(server.connect(), "bob", "bob-Hi")
    said = log_in(server.connect(), "carol", GOOD)
    assert said == f"{PROMPT}{ASKED}{WRONG}\n{AGAIN}"
    assert server.store.users == 2


def test_a_closed_daemon_answers_for_an_unknown_name_as_for_a_wrong_password() -> None:
    server = closed(alice=GOOD)
    known, unknown = (
        log_in(server.connect(), name, OTHER) for name in ("alice", "carol")
    )
    assert known == unknown
    programs = [
        answer(program(server), type="login", user=name, password=OTHER)
        for name in ("alice", "carol")
    ]
    assert programs[0] == programs[1]
    needed = [
        answer(program(server), type="login", user=name) for name in ("alice", "carol")
    ]
    assert [each["code"] for each in needed] == ["password-needed"] * 2
    away = [
        answer(program(server, AWAY), type="login", user=name)
        for name in ("alice", "carol")
    ]
    assert [each["code"] for each in away] == ["not-private"] * 2


def test_where_passwords_are_required_a_new_name_gets_the_one_it_comes_with() -> None:
    server = MemoryServer(policy=Policy(require_password=True))
    said = log_in(server.connect(), "alice", "too short")
    assert "A password has 15 to 128 characters" in said
    assert "You are new here." in log_in(server.connect(), "alice", GOOD)
    assert WRONG in log_in(server.connect(), "alice", OTHER)
    said = log_in(server.connect(), "alice", GOOD)
    assert "Welcome, alice.\n" in said
    assert "Anybody can log in" not in said


def test_where_passwords_are_required_an_open_name_is_not_entered() -> None:
    store = MemoryServer().store
    administration.add_user(store.connection, "alice", "alice", None, lambda: 0)
    server = MemoryServer(store=store, policy=Policy(require_password=True))
    assert WRONG in log_in(server.connect(), "alice", GOOD)
    assert answer(program(server), type="login", user="alice")["code"] == (
        "password-needed"
    )


def test_another_list_of_passwords_takes_the_place_of_ours() -> None:
    theirs = InMemoryUsernamePasswordDatabaseDontUse(alice=GOOD.encode())
    server = MemoryServer(checkers=(theirs,))
    assert WRONG in log_in(server.connect(), "alice", OTHER)
    assert WRONG in log_in(server.connect(), "carol", GOOD)
    client = server.connect()
    said = log_in(client, "alice", GOOD)
    assert "Welcome, alice. You are new here." in said
    assert "Anybody can log in" not in said
    client.send("/password")
    assert client.received() == ANSWERS["passwords-elsewhere"].text + "\n"


# Guessing -----------------------------------------------------------------------------


def guess(server: MemoryServer, host: str, name: str = "alice") -> Client:
    client = server.connect(host)
    client.send(name, OTHER)
    return client


def open_network() -> MemoryServer:
    server = MemoryServer(policy=Policy(plaintext_passwords=True))
    protect(server, "alice")
    return server


def test_whoever_guesses_from_one_address_waits_longer_each_time() -> None:
    server = open_network()
    for number in range(FREE):
        # Another name each time: what is counted is where they come from.
        protect(server, f"user{number}")
        assert WRONG in guess(server, AWAY, f"user{number}").received()
    fourth, fifth = guess(server, AWAY), guess(server, AWAY)
    assert WRONG not in fourth.received()
    server.clock.advance(1)
    server.settle()
    assert WRONG in fourth.received()
    assert WRONG not in fifth.received()
    server.clock.advance(1)
    server.settle()
    assert WRONG in fifth.received()


def test_whoever_guesses_from_many_addresses_waits_too() -> None:
    server = open_network()
    for number in range(FREE):
        assert WRONG in guess(server, f"192.0.2.{number}").received()
    late = guess(server, "192.0.2.77")
    assert WRONG not in late.received()
    server.clock.advance(1)
    server.settle()
    assert WRONG in late.received()


def test_a_name_of_ones_own_does_not_end_the_wait_for_guessing_others() -> None:
    server = open_network()
    protect(server, "mallory")
    for number in range(FREE):
        protect(server, f"user{number}")
        assert WRONG in guess(server, AWAY, f"user{number}").received()
    own = server.connect(AWAY)
    own.send("mallory", GOOD)
    server.wait(1.1)
    assert greeted(own)
    assert WRONG not in guess(server, AWAY).received()


@pytest.mark.unmeasured
def test_nobody_is_locked_out_by_those_who_guess() -> None:
    server = open_network()
    for number in range(40):
        guess(server, f"192.0.2.{number}")
    # From where the last login came: at once.
    assert "Welcome, alice." in log_in(server.connect(), "alice", GOOD)
    for number in range(40):
        guess(server, f"198.51.100.{number}")
    elsewhere = server.connect("203.0.113.9")
    elsewhere.send("alice", GOOD)
    server.clock.advance(LONGEST_BY_NAME)
    server.settle()
    assert greeted(elsewhere)


def test_a_stop_does_not_wait_for_those_who_wait() -> None:
    server = open_network()
    guessers = [guess(server, AWAY) for _ in range(FREE + 5)]
    late = guessers[-1]
    late.send("alice", GOOD)
    stopped = Deferred.fromCoroutine(server.factory.finish_conversations())
    server.settle()
    assert stopped.called
    stopping = ANSWERS["shutting-down"].text
    assert stopping in late.received()
    assert late.transport.write_closed


def test_a_connection_is_closed_after_ten_wrong_passwords() -> None:
    server = open_network()
    client = server.connect()
    said = ""
    for attempt in range(10):
        client.send("alice", OTHER)
        while said.count(WRONG) <= attempt:
            server.wait(0.5)
            said += client.received()
    assert said.endswith("Too many refused names (10). Please connect again.\n")
    assert client.transport.write_closed


def test_a_guess_is_logged_however_much_nonsense_came_before_it() -> None:
    server = MemoryServer()
    protect(server, "alice")
    client = program(server)
    client.send(*["nonsense"] * (LOGGED_REFUSALS + 5))
    client.received()
    with capturedLogs() as log:
        for _ in range(2):
            answer(client, type="login", user="alice", password=OTHER)
    codes = [event["code"] for event in log if "code" in event]
    assert codes == ["wrong-password"] * 2


# What an administrator changes --------------------------------------------------------


def user_id(server: MemoryServer, name: str) -> int:
    found = server.store.connection.execute(
        "SELECT id FROM users WHERE key = ?", (name,)
    ).fetchone()
    return int(found[0])


def change(server: MemoryServer, name: str, kind: ChangeKind) -> None:
    """Have the daemon see that an administrator has changed a user."""
    server.hub.account_changed(
        AccountChange(1, user_id(server, name), server.date(), kind)
    )


@pytest.mark.parametrize("send_only", [False, True])
def test_who_is_disabled_is_disconnected_and_stays_out(send_only: bool) -> None:
    server = MemoryServer()
    client = server.connect()
    client.send("/send-only alice" if send_only else "alice")
    assert greeted(client)
    administration.set_disabled(
        server.store.connection, "alice", server.date, disabled=True
    )
    user = server.store.connection.execute("SELECT id FROM users").fetchone()[0]
    server.hub.account_changed(AccountChange(1, user, server.date(), "changed"))
    closed = ANSWERS["account-closed"].text
    assert client.received() == f"{closed}\n"
    assert client.transport.write_closed
    again = server.connect()
    again.send("alice")
    assert again.received() == f"{PROMPT}{closed}\n{PROMPT}"
    assert answer(program(server), type="login", user="alice")["code"] == (
        "account-closed"
    )
    administration.set_disabled(
        server.store.connection, "alice", server.date, disabled=False
    )
    again.send("alice")
    assert greeted(again)


def test_who_comes_after_a_change_is_not_disconnected_for_it() -> None:
    server = MemoryServer()
    server.log_in("alice")
    server.clock.advance(1)
    change = AccountChange(1, 1, server.date(), "changed")
    server.clock.advance(1)
    late = server.log_in("alice")
    server.hub.account_changed(change)
    assert not late.transport.write_closed
    assert late.received() == ""


def test_a_clock_that_is_set_back_after_a_change_keeps_nobody_out() -> None:
    server = MemoryServer()
    server.log_in("alice").vanish()
    change(server, "alice", "changed")
    server.jump = -3600
    client = server.connect()
    client.send("alice")
    assert greeted(client)


def test_who_is_disabled_is_disconnected_though_the_clock_was_set_back() -> None:
    server = MemoryServer()
    client = server.log_in("alice")
    server.jump = -3600
    change(server, "alice", "changed")
    assert client.received() == f"{ANSWERS['account-closed'].text}\n"
    assert client.transport.write_closed


def test_who_is_disabled_while_logging_in_does_not_get_in() -> None:
    server = MemoryServer()
    server.log_in("alice").send("/quit")
    server.end_hold()
    server.store.slow = server.store.slow_reads = True
    client = server.connect()
    client.send("alice")
    # It is read that all is well, and only then changed; but that is heard of first.
    server.store.read()
    change(server, "alice", "changed")
    server.store.slow = server.store.slow_reads = False
    server.store.answer_reads()
    closed = ANSWERS["account-closed"].text
    assert client.received() == f"{PROMPT}{closed}\n{PROMPT}"
    assert answer(program(server), type="login", user="alice")["type"] == "welcome"


@pytest.mark.parametrize("heard_of_first", [False, True])
def test_who_was_let_in_just_before_a_change_is_disconnected_for_it(
    heard_of_first: bool,
) -> None:
    """What the daemon has read of the account is from before the change."""
    server = MemoryServer()
    server.log_in("alice").send("/quit")
    server.end_hold()
    server.store.slow_reads = True
    client = server.connect()
    client.send("alice")
    server.store.read()
    server.clock.advance(0.1)
    changed = AccountChange(1, user_id(server, "alice"), server.date(), "changed")
    server.clock.advance(0.1)
    if heard_of_first:
        server.hub.account_changed(changed)
    server.store.slow_reads = False
    server.store.answer_reads()
    if not heard_of_first:
        server.hub.account_changed(changed)
    assert ANSWERS["account-closed"].text in client.received()
    assert list(server.hub.online(9, "").names) == []


def test_who_is_disabled_and_reads_nothing_is_cut() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    alice.transport.reading = False
    change(server, "alice", "changed")
    server.wait(LINGER_SECONDS + 1)
    assert alice.transport.closed


def test_what_somebody_sent_before_they_were_disabled_is_safe() -> None:
    server = MemoryServer()
    bob = server.log_in("bob")
    alice = server.log_in("alice")
    bob.vanish()
    alice.send("bob-Hi")
    user = server.store.connection.execute(
        "SELECT id FROM users WHERE key = 'alice'"
    ).fetchone()[0]
    server.hub.account_changed(AccountChange(1, user, server.date(), "changed"))
    server.end_hold()
    assert server.store.queued("bob") == ["Hi"]


def test_a_removed_name_is_free_and_what_waited_is_gone() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    bob = server.log_in("bob")
    alice.vanish()
    bob.send("alice-old")
    server.end_hold()
    bob.received()
    connection = server.store.connection
    user = connection.execute("SELECT id FROM users WHERE key = 'alice'").fetchone()[0]
    assert administration.remove_user(connection, "alice", server.date) == 1
    server.hub.account_changed(AccountChange(1, user, server.date(), "removed"))
    bob.send("alice-Hi", "/users")
    assert bob.lines() == ["User 'alice' not found.", "Client book => bob"]
    newcomer = server.connect()
    newcomer.send("alice")
    said = newcomer.received()
    assert "Welcome, alice. You are new here." in said
    assert "offline message" not in said
    bob.send("alice-new")
    assert newcomer.received() == "bob: new\n"


def test_who_takes_a_name_just_removed_has_nothing_of_the_one_before() -> None:
    server = MemoryServer()
    alice, bob = server.log_in("alice"), server.log_in("bob")
    alice.transport.reading = False
    bob.send("alice-old")
    removed = user_id(server, "alice")
    administration.remove_user(server.store.connection, "alice", server.date)
    # The daemon has not seen it yet.
    newcomer = server.log_in("alice")
    bob.send("alice-new")
    server.end_hold()
    assert newcomer.received() == "bob: new\n"
    alice.resume_reading()
    assert alice.received().endswith(ANSWERS["account-closed"].text + "\n")
    server.hub.account_changed(AccountChange(1, removed, server.date(), "removed"))
    bob.send("alice-still there", "/who")
    assert newcomer.received() == "bob: still there\n"
    assert "Users online => alice" in bob.received()


def test_what_is_sent_while_a_name_is_removed_does_not_go_to_the_one_before() -> None:
    server = MemoryServer()
    server.log_in("alice").send("/quit")
    server.end_hold()
    server = MemoryServer(store=MemoryStore(server.store.connection))
    bob = server.log_in("bob")
    server.store.slow_reads = True
    bob.send("alice-Hi")
    server.store.read()
    removed = user_id(server, "alice")
    administration.remove_user(server.store.connection, "alice", server.date)
    administration.add_user(server.store.connection, "alice", "alice", None, lambda: 0)
    server.hub.account_changed(AccountChange(1, removed, server.date(), "removed"))
    server.store.slow_reads = False
    server.store.answer_reads()
    server.end_hold()
    assert server.store.queued("alice") == ["Hi"]


def test_a_removed_user_is_disconnected_and_what_comes_meanwhile_harms_nobody() -> None:
    server = MemoryServer()
    alice, bob = server.log_in("alice"), server.log_in("bob")
    connection = server.store.connection
    user = connection.execute("SELECT id FROM users WHERE key = 'alice'").fetchone()[0]
    administration.remove_user(connection, "alice", server.date)
    # The daemon has not seen it yet.
    bob.send("alice-one")
    server.end_hold()
    assert alice.received() == "bob: one\n"
    alice.transport.reading = False
    bob.send("alice-two", "/confirm on", "bob-me")
    server.end_hold()
    assert "Delivered to bob." in bob.received()
    server.hub.account_changed(AccountChange(1, user, server.date(), "removed"))
    server.end_hold()
    bob.send("bob-still fine")
    assert "bob: still fine" in bob.received()
