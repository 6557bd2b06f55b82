"""What docs/security.md says of those who mean harm, with a daemon in memory.

There, under "How each is tried", stands which test is for which sentence.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from argon2 import PasswordHasher
from harm import ESCAPES, HARMFUL
from memory import Client, MemoryServer, MemoryStore
from proxying import v1
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from chatd.credentials import Policy
from chatd.limits import Limits
from chatd.passwords import encode
from chatd.server.linger import LINGER_SECONDS
from chatd.server.proxied import LOOPBACK, ProxyFactory
from chatd.store import administration
from chatd.throttle import FREE
from chatd.wire.answers import ANSWERS
from chatd.wire.display import neutralise

AWAY: Final = "192.0.2.1"
GOOD: Final = "correct horse battery"
OTHER: Final = "another horse battery"
PROMPT: Final = "Enter your username: "
WRONG: Final = ANSWERS["wrong-password"].text


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return what is logged during the test, as it comes."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        found.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def program(server: MemoryServer, name: str | None = None) -> Client:
    """Return a connection that speaks JSON, perhaps logged in."""
    client = server.connect()
    client.send("/json")
    if name is not None:
        client.send(json.dumps({"type": "login", "user": name}))
    client.received()
    return client


# Names --------------------------------------------------------------------------------


def test_no_name_is_taken_over_while_somebody_else_is_logged_in_under_it() -> None:
    server = MemoryServer()
    server.log_in("alice")
    thief = server.log_in("alice")
    thief.send("/password", GOOD, GOOD)
    in_use = ANSWERS["name-in-use"].text.format(name="alice")
    assert thief.lines()[2:] == [in_use]
    found = server.store.connection.execute("SELECT password FROM users").fetchall()
    assert found == [(None,)]


# Guessing -----------------------------------------------------------------------------


def test_a_password_has_15_characters_at_least() -> None:
    server = MemoryServer()
    alice = server.log_in("alice")
    alice.send("/password", "x" * 14, "x" * 14)
    assert "A password has 15 to 128 characters; this has 14." in alice.received()
    alice.send("/password", "x" * 15, "x" * 15)
    assert "From now on every login as alice needs" in alice.received()


def closed_with_alice() -> MemoryServer:
    """Return a daemon where alice has a password, and nobody registers."""
    store = MemoryStore()
    administration.add_user(store.connection, "alice", "alice", encode(GOOD), lambda: 0)
    return MemoryServer(
        store=store, policy=Policy(registration=False, plaintext_passwords=True)
    )


def hashes(server: MemoryServer) -> list[str]:
    """Return the list that each comparison with a hash adds a line to."""
    made: list[str] = []
    run = server.factory.gate._hasher._run

    def count(work: Callable[[], Any]) -> Deferred[Any]:
        made.append("one")
        return run(work)

    server.factory.gate._hasher._run = count  # type: ignore[method-assign]
    return made


def test_each_guess_costs_a_hash_that_is_slow_to_make() -> None:
    server = closed_with_alice()
    found = server.store.connection.execute("SELECT password FROM users").fetchone()
    # 19 MiB, and 2 passes over them.
    assert found[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    made = hashes(server)
    for number, given in enumerate((OTHER, "too short", GOOD), 1):
        client = server.connect()
        client.send("alice", given)
        assert len(made) == number
        assert ("Welcome" in client.received()) is (given == GOOD)


def test_an_unknown_name_is_answered_like_a_wrong_password_after_the_same_time() -> (
    None
):
    server = closed_with_alice()
    made = hashes(server)

    def guess(name: str, number: int) -> tuple[str, float]:
        """Return the answer, and after how many seconds it came."""
        client = server.connect(f"192.0.2.{number}")
        before = server.clock.seconds()
        client.send(name, OTHER)
        said = client.received()
        while WRONG not in said:
            server.clock.advance(0.5)
            said += client.received()
        return said, server.clock.seconds() - before

    answers = {}
    for first, name in ((0, "alice"), (100, "nobody.at.all")):
        answers[name] = [guess(name, first + each) for each in range(FREE + 3)]
    assert answers["alice"] == answers["nobody.at.all"]
    assert [seconds for _, seconds in answers["alice"]] == [0, 0, 0, 1, 2, 4]
    assert len(made) == 2 * (FREE + 3)


# The disk, connections, bytes ---------------------------------------------------------


def test_whoever_sends_without_end_fills_no_more_than_a_queue() -> None:
    server = MemoryServer(Limits(queue_messages=100, new_names=3))
    server.log_in("bob").send("/quit")
    server.end_hold()
    answers = []
    for name in ("mallory", "mallory2", "mallory3", "mallory4"):
        client = server.connect(AWAY)
        client.send(name, *["bob-x"] * 200, "/quit")
        server.end_hold()
        answers.append(client.received())
    full = ANSWERS["queue-full"].text.format(name="bob")
    assert [full in each for each in answers] == [True, True, True, False]
    assert [each.count("Message stored.") for each in answers] == [50, 50, 0, 0]
    assert [each.count("Nothing was sent") for each in answers] == [150, 150, 200, 0]
    assert "Too many new names from your address (3 an hour)." in answers[3]
    assert len(server.store.queued("bob")) == 100


@pytest.mark.parametrize("drop", [b"a", b"\xff\xf1", b"\r", b"\x00"])
def test_who_drips_bytes_has_no_more_than_the_time_for_a_login(drop: bytes) -> None:
    server = MemoryServer()
    dripping = server.connect()
    for _ in range(59):
        dripping.send_bytes(drop)
        server.clock.advance(1)
    assert dripping.received() == PROMPT
    server.clock.advance(1)
    assert dripping.received() == (
        "\nNo login within 60 seconds. Please connect again.\n"
    )
    assert dripping.transport.write_closed
    server.clock.advance(LINGER_SECONDS)
    assert dripping.transport.closed


# Terminals and the log ----------------------------------------------------------------

TYPED: Final[dict[str, list[str]]] = {
    "a name": [f"x{ESCAPES}"],
    "a name that only sends": [f"/send-only x{ESCAPES}"],
    "a command instead of a name": [f"/{ESCAPES}"],
    "a first line of a browser": [f"GET /{ESCAPES} HTTP/1.1"],
    "the words after /json": [f"/json {ESCAPES}", ESCAPES],
    "a password": ["owner", ESCAPES],
    "a target": ["mallory", f"{ESCAPES}-Hi"],
    "one of several targets": ["mallory", f"bob,x{ESCAPES}-Hi"],
    "a message to oneself": ["mallory", f"mallory-{ESCAPES}"],
    "no message": ["mallory", ESCAPES],
    "a command": ["mallory", f"/x{ESCAPES}"],
    "who": ["mallory", f"/who {ESCAPES}"],
    "users": ["mallory", f"/users {ESCAPES}"],
    "confirm": ["mallory", f"/confirm {ESCAPES}"],
    "a password in the command": ["mallory", f"/password {ESCAPES}"],
    "a new password": ["mallory", "/password", ESCAPES, ESCAPES],
    "two passwords": ["mallory", "/password", ESCAPES, f"{ESCAPES}{ESCAPES}"],
}
"""Every field of the text form that somebody who connects can fill in."""

SENT: Final[dict[str, dict[str, Any]]] = {
    "no type": {"type": ESCAPES},
    "a key": {"type": "ping", ESCAPES: ESCAPES},
    "what is required": {"type": "ping", "require": [ESCAPES]},
    "a user": {"type": "login", "user": f"x{ESCAPES}"},
    "a password": {"type": "login", "user": "owner", "password": ESCAPES},
    "a device": {"type": "login", "user": "carol", "device": ESCAPES},
    "a target": {"type": "send", "to": ESCAPES, "text": "Hi"},
    "several targets": {"type": "send", "to": ["bob", ESCAPES], "text": "Hi"},
    "an id": {"type": "send", "to": "bob", "text": "Hi", "id": ESCAPES},
    "a wish": {"type": "send", "to": "bob", "text": "Hi", "want": ESCAPES},
    "a sequence": {"type": "ack", "seq": ESCAPES},
    "who": {"type": "who", "prefix": ESCAPES},
    "users": {"type": "users", "prefix": ESCAPES},
    "a new password": {"type": "password", "new": ESCAPES},
    "an old password": {"type": "password", "new": GOOD, "old": ESCAPES},
}
"""Every field of the JSON form that a program can fill in."""

LOGGED: Final = re.compile(
    r"Refused 127\.0\.0\.1:\d+: [a-z0-9-]+"
    r"|[a-z]+ (logged in|left) from (127\.0\.0\.1|192\.0\.2\.1):\d+(, a new name)?"
    r"|[a-z]+ set a password from 127\.0\.0\.1:\d+"
    r"|Further refusals of 127\.0\.0\.1:\d+ are not logged"
)
"""All lines that a daemon logs of them."""


def house() -> tuple[MemoryServer, Client]:
    """Return a daemon with a name that has a password, and bob, who is there."""
    server = MemoryServer()
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD)
    administration.add_user(server.store.connection, "owner", "owner", cheap, lambda: 0)
    return server, server.log_in("bob")


def check(client: Client, bob: Client, logged: list[str]) -> str:
    """See that nothing harmful came to a screen or into the log; return what came."""
    said = client.received()
    for each in (said, bob.received(), *logged):
        assert not HARMFUL.search(each), HARMFUL.search(each)
    assert [each for each in logged if not LOGGED.fullmatch(each)] == []
    return said


@pytest.mark.parametrize("lines", TYPED.values(), ids=TYPED.keys())
def test_no_control_character_that_is_typed_reaches_a_screen_or_the_log(
    lines: list[str], logged: list[str]
) -> None:
    server, bob = house()
    client = server.connect()
    client.send(*lines)
    said = check(client, bob, logged)
    assert said.startswith(PROMPT)
    assert said.count("\n") >= 1
    client.vanish()
    check(client, bob, logged)


@pytest.mark.parametrize("fields", SENT.values(), ids=SENT.keys())
def test_no_control_character_that_a_program_sends_reaches_a_screen_or_the_log(
    fields: dict[str, Any], logged: list[str]
) -> None:
    server, bob = house()
    client = program(server, None if fields["type"] == "login" else "mallory")
    client.send(json.dumps(fields))
    (line,) = check(client, bob, logged).splitlines()
    # Not even a program, which may print what it was answered.
    assert line.isascii()
    client.send(json.dumps(fields, ensure_ascii=False))
    check(client, bob, logged)


def test_control_characters_are_shown_as_what_they_are_not(logged: list[str]) -> None:
    server, bob = house()
    shown = neutralise(ESCAPES)
    assert set(shown) & set(ESCAPES) == set("]0;t[2J1mx")
    mallory = server.log_in("mallory")
    mallory.send(f"bob-{ESCAPES}", f"/{ESCAPES}")
    client = program(server, "prog")
    client.send(json.dumps({"type": "send", "to": "bob", "text": f"{ESCAPES}\n\x9b"}))
    assert bob.lines() == [f"mallory: {shown}", f"prog: {shown}", "prog: \ufffd"]
    assert mallory.lines() == [
        ANSWERS["unknown-command"].text.format(command=f"/{shown}")
    ]
    bob.send("/quit")
    server.end_hold()
    mallory.send(f"bob-{ESCAPES}")
    server.end_hold()
    again = server.connect()
    again.send("bob")
    queued = again.lines()[-1]
    assert re.fullmatch(re.escape(f"mallory: {shown}") + r" \(.{19} UTC\)", queued)


@pytest.mark.parametrize(
    "header",
    [
        v1(AWAY),
        f"PROXY UNKNOWN {ESCAPES}\r\n".encode(),
        b"PROXY TCP6 fe80::1%\x1b[2J ::1 1 1\r\n",
    ],
    ids=["good", "unknown", "with a zone"],
)
def test_no_control_character_of_a_proxy_reaches_a_screen_or_the_log(
    header: bytes, logged: list[str]
) -> None:
    server, bob = house()
    port = ProxyFactory(server.factory, LOOPBACK)
    client = server.connect_to(port, IPv4Address("TCP", "127.0.0.1", 4000))
    client.send_bytes(header + b"mallory\n")
    check(client, bob, logged)
    assert ("Refused 127.0.0.1:4000: no-proxy-header" in logged) is (b"\x1b" in header)


def test_nobody_writes_a_line_of_their_own_into_the_log(logged: list[str]) -> None:
    server, bob = house()
    own = "Refused 192.0.2.9:1: wrong-password"
    lines = [
        ending + own + ending
        for ending in ("", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\\n", "%0a")
    ]
    client = server.connect()
    client.send(*lines, "mallory", *lines, *(f"bob-{each}" for each in lines))
    client.send(*(f"/{each}" for each in lines))
    sender = program(server, "prog")
    for text in (own, f"\n{own}\n"):
        sender.send(
            json.dumps({"type": "send", "to": "bob", "text": text, "id": own}),
            json.dumps({"type": "send", "to": text, "text": text}),
            json.dumps({"type": text}),
        )
    check(client, bob, logged)
    assert not [each for each in logged if "192.0.2.9" in each]
    assert len(logged) > len(lines)


def test_no_secret_that_is_sent_comes_into_the_log_or_the_database(
    logged: list[str],
) -> None:
    server, bob = house()
    secret = "sesame open sesame"
    client = server.connect()
    client.send("owner", secret, secret, "", f"/{secret}")
    client.send("mallory", f"/password {secret}")
    client.send("/password", secret, f"{secret}2", "/password", secret, secret)
    login = {"type": "login", "user": "owner", "password": secret}
    for each in (json.dumps(login), json.dumps(login)[:-1], f'{{"type":"{secret}"}}'):
        program(server).send(each)
    changing = program(server, "prog")
    changing.send(json.dumps({"type": "password", "new": secret, "old": secret}))
    server.end_hold()
    check(client, bob, logged)
    kept = "\n".join(server.store.connection.iterdump())
    assert kept.count("$argon2id$") == 3
    assert secret not in kept + "\n".join(logged)


# Web pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [1 << 20, 20_014], ids=["whole", "cut in the line"])
@pytest.mark.parametrize("address", ["/", "/" + "x" * 20_000], ids=["short", "long"])
@pytest.mark.parametrize("method", ["GET", "POST", "get"])
def test_a_web_page_cannot_post_a_conversation(
    method: str, address: str, packet: int
) -> None:
    server = MemoryServer()
    bob = server.log_in("bob")
    browser = server.connect()
    posted = (
        f"{method} {address} HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n"
        "mallory\nbob-a letter from a web page\n/quit\n"
    ).encode()
    for start in range(0, len(posted), packet):
        browser.send_bytes(posted[start : start + packet])
    assert browser.received() == f"{PROMPT}\n{ANSWERS['not-http'].text}\n"
    assert browser.transport.write_closed
    bob.send("/users")
    assert bob.lines() == ["Client book => bob"]


def test_a_long_line_of_a_person_ends_no_conversation() -> None:
    server = MemoryServer()
    alice = server.connect()
    alice.send("hello " + "x" * 20_000, "alice")
    assert "Welcome, alice." in alice.received()
