"""Who watches whom, what they are told, and what that costs whom."""

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from memory import Client, MemoryServer
from twisted.internet.defer import Deferred

from chatd.hub import presence
from chatd.limits import Limits
from chatd.server import objectform
from chatd.store.records import AccountChange, StoreFailure
from chatd.wire import objects
from chatd.wire.names import Name

if TYPE_CHECKING:
    from conftest import LoggedErrors

State = tuple[str, bool]
"""A user, and whether they are online, as somebody is told."""


@pytest.fixture(autouse=True)
def _unhandled_errors(logged_errors: "LoggedErrors") -> Iterator[None]:
    """Let failures that nobody handled come to light in the test that caused them."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    """Give a daemon that knows bob and carol; in the end nothing of a watch is left."""
    server = MemoryServer()
    for name in ("bob", "carol"):
        server.log_in(name).vanish()
    yield server
    end(server)


def end(server: MemoryServer) -> None:
    """End all connections, and look whether anybody is still thought to watch."""
    for connection in list(server.factory._connections):
        connection.transport.lose()  # type: ignore[attr-defined]
        server.settle()
    watchers = server.hub.watchers
    assert (watchers._watched, watchers._changed, watchers._to_tell) == ({}, {}, [])
    assert (watchers._count, watchers._count_by_user) == (0, {})


def log_in(server: MemoryServer, name: str, **fields: object) -> Client:
    """Return a program's connection, logged in."""
    client = server.connect()
    client.send("/json", json.dumps({"type": "login", "user": name, **fields}))
    assert objects_of(client)[-1]["type"] == "welcome"
    return client


def objects_of(client: Client) -> list[dict[str, Any]]:
    """Return what came since this was asked last."""
    return [json.loads(line) for line in client.lines() if line.startswith("{")]


def states(client: Client) -> list[State]:
    """Return what came, which is nothing but presence."""
    came = objects_of(client)
    assert [each["type"] for each in came] == ["presence"] * len(came)
    return [(each["user"], each["online"]) for each in came]


def request(*names: str) -> str:
    return json.dumps({"type": "watch", "names": names})


def watch(client: Client, *names: str) -> list[State]:
    """Watch, and return what came, of earlier times too."""
    client.send(request(*names))
    return states(client)


def turn(server: MemoryServer) -> None:
    """Let one turn of the reactor pass: what it asks for at once comes in the next."""
    now = server.clock.seconds()
    for call in list(server.clock.calls):
        if call.getTime() <= now and call.active():
            server.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


def unsent(client: Client) -> int:
    return client.protocol.outlet.unsent


# What is told -----------------------------------------------------------------------


def test_each_name_is_told_in_the_order_of_the_list_doubles_once(
    server: MemoryServer,
) -> None:
    server.log_in("Dora")
    alice = log_in(server, "alice")
    assert watch(alice, "zed", "dora", " CAROL", "Zed", "alice", "carol", "bob") == [
        ("zed", False),
        ("Dora", True),
        ("carol", False),
        ("alice", True),
        ("bob", False),
    ]


def test_it_is_told_when_the_first_connection_comes_and_the_last_goes(
    server: MemoryServer,
) -> None:
    alice = log_in(server, "alice")
    assert watch(alice, "bob") == [("bob", False)]
    first = server.log_in("BOB")
    assert states(alice) == [("bob", True)]
    second = log_in(server, "bob")
    first.vanish()
    assert states(alice) == []
    second.send('{"type":"quit"}')
    assert states(alice) == [("bob", False)]
    second.vanish()
    assert states(alice) == []


def test_who_only_sends_is_not_online_and_may_watch(server: MemoryServer) -> None:
    alice = log_in(server, "alice", receive=False)
    assert watch(alice, "bob", "alice") == [("bob", False), ("alice", False)]
    bob = log_in(server, "bob", receive=False)
    assert states(alice) == []
    bob.vanish()
    server.log_in("alice")
    assert states(alice) == [("alice", True)]


def test_a_name_that_nobody_has_is_like_one_who_is_away_until_it_comes(
    server: MemoryServer,
) -> None:
    alice = log_in(server, "alice")
    assert watch(alice, "ZED", "nobody") == [("ZED", False), ("nobody", False)]
    dave = log_in(server, "dave")
    assert watch(dave, "zed") == [("zed", False)]
    zed = server.log_in("Zed")
    assert states(dave) == [("Zed", True)]
    assert states(alice) == [("Zed", True)]
    zed.vanish()
    assert states(alice) == [("Zed", False)]


def test_who_does_not_watch_is_told_nothing(server: MemoryServer) -> None:
    alice, dave = log_in(server, "alice"), log_in(server, "dave")
    watch(alice, "carol")
    server.log_in("bob").vanish()
    assert states(alice) == states(dave) == []


def test_a_later_list_replaces_the_one_before_and_an_empty_one_ends_it(
    server: MemoryServer,
) -> None:
    alice = log_in(server, "alice")
    watch(alice, "bob", "carol")
    assert watch(alice, "carol", "zed") == [("carol", False), ("zed", False)]
    server.log_in("bob")
    server.log_in("carol")
    assert states(alice) == [("carol", True)]
    assert watch(alice) == []
    assert alice.protocol.form._watcher is None  # type: ignore[attr-defined]
    server.log_in("zed")
    assert states(alice) == []
    assert watch(alice, "zed") == [("zed", True)]


def test_a_list_that_is_refused_leaves_the_one_before(server: MemoryServer) -> None:
    alice = log_in(server, "alice")
    watch(alice, "bob")
    # That it has no name is seen when some are looked at already.
    alice.send(request(*(f"u{number}" for number in range(100)), "a-b"))
    server.wait(1)
    (error,) = objects_of(alice)
    assert (error["code"], error["text"]) == (
        "bad-field",
        "Field 'names': 'a-b' cannot be a name. Nothing was sent.",
    )
    server.log_in("carol")
    server.log_in("bob")
    assert states(alice) == [("bob", True)]


def test_who_comes_and_goes_at_once_is_not_mentioned(server: MemoryServer) -> None:
    alice = log_in(server, "alice")
    watch(alice, "bob", "carol")
    online = server.log_in("carol")
    assert states(alice) == [("carol", True)]
    bob, again = server.connect(), server.connect()
    # One turn of the reactor: nothing is due before its end.
    online.transport.lose()
    bob.protocol.dataReceived(b"bob\n")
    bob.transport.lose()
    again.protocol.dataReceived(b"carol\n")
    assert again.protocol.form.session is not None  # type: ignore[attr-defined]
    server.settle()
    assert states(alice) == []


def test_the_text_form_has_no_watch(server: MemoryServer) -> None:
    alice = server.log_in("alice")
    alice.send(request("bob"), "/watch bob")
    assert [line.split(".")[0] for line in alice.lines()] == [
        "Format error",
        "Unknown command '/watch'",
    ]
    server.log_in("bob")
    assert alice.lines() == []


def test_names_that_cannot_be_looked_up_are_told_as_they_are_given(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    alice = log_in(server, "alice")
    server.store.unreadable = True
    assert watch(alice, "Bob", "Carol", "ALICE") == [
        ("Bob", False),
        ("Carol", False),
        ("alice", True),
    ]
    logged_errors.flush(StoreFailure)
    server.store.unreadable = False
    server.log_in("bob")
    assert states(alice) == [("bob", True)]


# The order of things ----------------------------------------------------------------


def test_what_is_told_first_comes_before_later_answers(server: MemoryServer) -> None:
    alice = log_in(server, "alice")
    alice.send(request("bob", "carol"), '{"type":"ping"}')
    assert [each["type"] for each in objects_of(alice)] == [
        "presence",
        "presence",
        "pong",
    ]


def test_a_late_answer_holds_back_nothing_of_it(server: MemoryServer) -> None:
    alice = log_in(server, "alice")
    server.store.slow = True
    alice.send('{"type":"send","to":"bob","text":"Hi","id":"1"}', '{"type":"ping"}')
    assert watch(alice, "carol") == [("carol", False)]
    server.log_in("carol")
    assert states(alice) == [("carol", True)]
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert [each["type"] for each in objects_of(alice)] == ["accepted", "pong"]


def test_while_names_are_looked_up_the_list_before_holds_and_messages_come(
    server: MemoryServer,
) -> None:
    alice, dave = log_in(server, "alice"), log_in(server, "dave")
    watch(alice, "carol")
    server.store.slow_reads = True
    alice.send(request("bob"), '{"type":"ping"}')
    dave.send('{"type":"send","to":"alice","text":"Hi"}')
    server.store.slow_reads = False
    server.log_in("bob")
    server.log_in("carol")
    came = objects_of(alice)
    assert [each["type"] for each in came] == ["message", "presence"]
    assert (came[1]["user"], came[1]["online"]) == ("carol", True)
    server.store.answer_reads()
    server.settle()
    # It is told as it is by now.
    came = objects_of(alice)
    assert [each["type"] for each in came] == ["presence", "pong"]
    assert (came[0]["user"], came[0]["online"]) == ("bob", True)


def test_who_is_lost_watches_nobody_though_lines_of_theirs_still_wait(
    server: MemoryServer,
) -> None:
    alice = log_in(server, "alice")
    server.store.slow_reads = True
    alice.send(request("bob"), '{"type":"send","to":"zed","text":"Hi"}')
    alice.vanish()
    server.store.answer_reads()
    server.settle()
    assert alice.protocol in server.factory._connections
    assert server.hub.watchers._watched == {}
    server.store.slow_reads = False
    server.store.answer_reads()
    server.settle()
    assert alice.protocol not in server.factory._connections


@pytest.mark.parametrize("how", ["lost", "expelled", "stopped"])
def test_who_is_gone_before_the_names_are_looked_up_watches_nobody(
    server: MemoryServer, how: str
) -> None:
    alice = log_in(server, "alice")
    server.store.slow_reads = True
    alice.send(request("bob"))
    if how == "lost":
        alice.vanish()
    elif how == "expelled":
        (session,) = server.hub._sessions
        change = AccountChange(1, session.receiver.id, server.date(), "removed")
        server.hub.account_changed(change)
    else:
        stopped = Deferred.fromCoroutine(server.factory.finish_conversations())
        server.settle()
        assert not stopped.called
    server.store.slow_reads = False
    server.store.answer_reads()
    server.wait(10)
    assert server.hub.watchers._watched == {}


def test_nothing_is_told_behind_quit(server: MemoryServer) -> None:
    alice = log_in(server, "alice")
    watch(alice, "bob")
    server.store.slow = True
    alice.send('{"type":"send","to":"carol","text":"Hi"}', '{"type":"quit"}')
    server.log_in("bob")
    assert objects_of(alice) == []
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert [each["type"] for each in objects_of(alice)] == ["accepted", "goodbye"]


def test_when_the_server_stops_nobody_is_told_that_all_others_go(
    server: MemoryServer,
) -> None:
    alice, bob = log_in(server, "alice"), log_in(server, "bob")
    watch(alice, "bob", "alice")
    watch(bob, "alice")
    server.store.slow = True
    # So alice is still there when bob is gone.
    alice.send('{"type":"send","to":"carol","text":"Hi"}')
    Deferred.fromCoroutine(server.factory.finish_conversations())
    server.settle()
    assert [each["code"] for each in objects_of(bob)] == ["shutting-down"]
    server.store.slow = False
    server.store.catch_up()
    server.wait(1)
    assert [each["type"] for each in objects_of(alice)] == ["accepted", "error"]


def test_who_is_removed_goes_offline_and_the_next_of_that_name_comes(
    server: MemoryServer,
) -> None:
    alice, bob = log_in(server, "alice"), server.log_in("bob")
    assert watch(alice, "bob") == [("bob", True)]
    (user,) = [
        session.receiver.id
        for session in server.hub._sessions
        if session.name == bob.received() or session.name == "bob"
    ]
    server.store.connection.execute("DELETE FROM users WHERE id = ?", (user,))
    server.hub.account_changed(AccountChange(1, user, server.date(), "removed"))
    server.settle()
    assert states(alice) == [("bob", False)]
    server.log_in("Bob")
    assert states(alice) == [("Bob", True)]


# Who does not read ------------------------------------------------------------------


def stuck(server: MemoryServer, *names: str) -> Client:
    """Return a watcher that reads no more, and for whom too much is written."""
    alice = log_in(server, "alice")
    watch(alice, *names)
    alice.transport.reading = False
    while not alice.protocol.form.congested:  # type: ignore[attr-defined]
        alice.send(json.dumps({"type": "who", "prefix": ""}))
        server.wait(0.1)
    return alice


def presence_of(client: Client) -> list[State]:
    """Return what came of presence, among all else."""
    return [
        (each["user"], each["online"])
        for each in objects_of(client)
        if each["type"] == "presence"
    ]


def test_who_does_not_read_is_told_once_how_it_is_when_there_is_room(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectform, "UNSENT_PRESENCE", 1_000)
    alice = stuck(server, "bob", "carol", "zed")
    written = unsent(alice)
    bob = server.log_in("bob")
    for _ in range(50):
        server.log_in("carol").vanish()
        bob.vanish()
        bob = server.log_in("bob")
    server.log_in("zed")
    assert unsent(alice) == written
    alice.resume_reading()
    # Of carol there is nothing new: she is away, as was told.
    assert presence_of(alice) == [("bob", True), ("zed", True)]
    bob.vanish()
    assert states(alice) == [("bob", False)]


def test_lists_of_one_who_does_not_read_take_no_more_than_there_is_room(
    server: MemoryServer,
) -> None:
    alice = log_in(server, "alice")
    alice.transport.reading = False
    names = [f"{number:04}{'x' * 28}" for number in range(1_000)]
    most = objectform.UNSENT_PRESENCE + presence.WRITTEN_AT_ONCE * 100
    for _ in range(10):
        alice.send(request(*names))
        server.wait(0.1)
        assert objectform.UNSENT_PRESENCE < unsent(alice) < most
    names.reverse()
    alice.send(request(*names))
    server.wait(0.1)
    server.log_in(names[-1])
    alice.resume_reading()
    told = presence_of(alice)
    assert told[-1_000:] == [(name, name == names[-1]) for name in names]
    assert unsent(alice) == 0


def test_where_memory_is_short_less_is_written(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = log_in(server, "alice")
    alice.transport.reading = False
    traffic = server.factory.traffic
    monkeypatch.setattr(type(traffic), "crowded", True)
    alice.send(request(*(f"{number:04}{'x' * 28}" for number in range(1_000))))
    server.wait(0.1)
    assert unsent(alice) < 16 * 1024 + presence.WRITTEN_AT_ONCE * 100


def test_who_is_lost_while_something_waits_to_be_told_is_forgotten(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectform, "UNSENT_PRESENCE", 1_000)
    alice = stuck(server, "bob")
    server.log_in("bob")
    alice.vanish()
    assert server.hub.watchers._watched == {}


def test_a_name_that_is_watched_no_more_is_not_told_of_when_there_is_room(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectform, "UNSENT_PRESENCE", 1_000)
    alice = stuck(server, "bob", "carol")
    server.log_in("bob")
    alice.transport.reading = False
    alice.send(request("carol"))
    alice.resume_reading()
    server.wait(1)
    assert presence_of(alice) == [("carol", False)]


# What it costs ----------------------------------------------------------------------


def test_while_nobody_is_watched_a_login_leaves_nothing_to_be_done(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[[], None]] = []
    at_end = server.factory.turn.at_end

    def counting(call: Callable[[], None]) -> None:
        asked.append(call)
        at_end(call)

    alice = log_in(server, "alice")
    watch(alice, "zed")
    monkeypatch.setattr(server.factory.turn, "at_end", counting)
    server.log_in("bob").vanish()
    assert server.hub.watchers._tell not in asked
    first, _ = server.log_in("zed"), server.log_in("zed")
    assert asked.count(server.hub.watchers._tell) == 1
    first.vanish()
    assert asked.count(server.hub.watchers._tell) == 1


def test_what_a_turn_brings_is_told_once_at_its_end(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = log_in(server, "alice")
    bob, carol = server.log_in("bob"), server.log_in("carol")
    watch(alice, "bob", "carol")
    tell, told = server.hub.watchers._tell, list[int]()
    monkeypatch.setattr(
        server.hub.watchers, "_tell", lambda: (tell(), told.append(1))[0]
    )
    bob.transport.lose()
    carol.transport.lose()
    assert states(alice) == [("bob", False), ("carol", False)]
    assert told == [1]


def test_of_many_watchers_only_some_are_told_in_a_turn(server: MemoryServer) -> None:
    most = presence.TOLD_A_TURN
    audiences = [Audience() for _ in range(2 * most + 1)]
    watchers = server.hub.watchers
    for audience in audiences:
        audience.watch(watchers, "bob")
    bob = server.log_in("bob")
    assert all(each.told == [("bob", False), ("bob", True)] for each in audiences)
    for each in audiences:
        each.told.clear()
    bob.transport.lose()
    counts = []
    while len(counts) < 9 and (not counts or counts[-1] < len(audiences)):
        turn(server)
        counts.append(sum(len(each.told) for each in audiences))
        if counts[-1] == most:
            assert audiences[0].told == [("bob", False)]
            audiences[-1].watcher.end()
            audiences[-1].told.append(("ended", False))
    # One in the middle had ended when it was its turn.
    assert counts == [most, 2 * most + 1]
    server.settle()
    for each in audiences:
        each.watcher.end()


def test_what_fails_for_one_watcher_is_told_to_the_others(
    server: MemoryServer, logged_errors: "LoggedErrors"
) -> None:
    watchers = server.hub.watchers
    audiences = [Audience() for _ in range(3)]
    for audience in audiences:
        audience.watch(watchers, "bob")
    audiences[1].broken = True
    server.log_in("bob")
    assert len(logged_errors.flush(ZeroDivisionError)) == 1
    assert [each.told[1:] for each in audiences] == [
        [("bob", True)],
        [],
        [("bob", True)],
    ]
    for each in audiences:
        each.watcher.end()


def test_all_together_watch_so_many_and_nobody_more_than_are_left_over(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "MOST_WATCHED", 9)
    alice, again, bob = (log_in(server, name) for name in ("alice", "alice", "bob"))
    assert len(watch(alice, "a", "b", "c")) == 3
    again.send(request("a", "b"))
    (error,) = objects_of(again)
    assert error == {
        "type": "error",
        "code": "too-many-watched",
        "temporary": True,
        "text": "Too many names are watched (9 in all). Nothing was changed;"
        " watch fewer, or try again later.",
    }
    assert len(watch(again, "a")) == 1
    # Others have some still, as long as any are left.
    assert len(watch(bob, "a", "b")) == 2
    bob.send(request("a", "b", "c"))
    assert [each["code"] for each in objects_of(bob)] == ["too-many-watched"]
    server.log_in("b")
    assert states(bob) == [("b", True)]
    alice.vanish()
    assert len(watch(bob, "a", "b", "c", "d")) == 4


def test_a_long_list_counts_as_a_line_for_each_32_names() -> None:
    server = MemoryServer(Limits(line_rate=10))
    alice = log_in(server, "alice")
    alice.send(request(*(f"u{number}" for number in range(32))), '{"type":"ping"}')
    assert [each["type"] for each in objects_of(alice)][-1] == "pong"
    alice.send(request(*(f"u{number}" for number in range(65))), '{"type":"ping"}')
    assert len(states(alice)) == 65
    server.wait(0.19)
    assert objects_of(alice) == []
    server.wait(0.02)
    assert [each["type"] for each in objects_of(alice)] == ["pong"]
    end(server)


def test_others_have_their_turn_while_a_long_list_is_looked_at(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    parse = objects.watched

    def counting(given: Sequence[str]) -> list[Name]:
        at_once.append(len(given))
        return parse(given)

    monkeypatch.setattr(objects, "watched", counting)
    alice, bob = log_in(server, "alice"), log_in(server, "bob")
    line = request(*(f"u{number}" for number in range(100)))
    alice.protocol.dataReceived(f"{line}\n".encode())
    assert at_once == [32]
    bob.protocol.dataReceived(b'{"type":"ping"}\n')
    turn(server)
    assert at_once == [32, 32]
    assert [each["type"] for each in objects_of(bob)] == ["pong"]
    server.settle()
    assert at_once == [32, 32, 32, 4]
    assert len(states(alice)) == 100


class Audience:
    """A watcher's connection that always has room, and keeps what it is told."""

    congested = False
    broken = False

    def __init__(self) -> None:
        self.told: list[State] = []
        self.watcher: presence.Watcher

    def watch(self, watchers: presence.Watchers, name: str) -> None:
        self.watcher = presence.Watcher(watchers, self, "alice")
        self.watcher.watch({name: name})

    def present(self, states: Sequence[State]) -> None:
        if self.broken:
            raise ZeroDivisionError
        self.told.extend(states)

    def call_when_drained(self, call: Callable[[], object]) -> None:
        raise AssertionError


# Any order of all that ---------------------------------------------------------------

NAMES = ("ann", "bob", "cleo", "zed")
WHICH = st.integers(0, 9)


class Program:
    """A program that watches, what it has read, and what it must know by then."""

    def __init__(self, client: Client, name: str, *, receive: bool) -> None:
        self.client = client
        self.name = name
        self.receive = receive
        self.names: list[str] = []
        self.told: dict[str, bool] = {}
        self.lists = 0
        """How many lists it has sent since it had read all."""

    def read(self) -> None:
        """Take in what came: of each name what was told last counts.

        Nothing is told twice but at the beginning of a list.
        """
        repeated: dict[str, int] = {}
        for name, online in presence_of(self.client):
            key = name.lower()
            if self.told.get(key) == online:
                repeated[key] = repeated.get(key, 0) + 1
            self.told[key] = online
        assert all(times <= self.lists for times in repeated.values()), repeated
        if self.client.transport.reading:
            self.lists = 0


class Watching(RuleBasedStateMachine):
    """People and programs that come, go, watch, and stop reading, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer(Limits(connections_by_user=100))
        self.people: list[tuple[Client, str]] = []
        self.programs: list[Program] = []

    @rule(name=st.sampled_from(NAMES), upper=st.booleans())
    def log_in(self, name: str, *, upper: bool) -> None:
        self.people.append((self.server.log_in(name.upper() if upper else name), name))

    @rule(name=st.sampled_from(NAMES))
    def come_and_go_at_once(self, name: str) -> None:
        client = self.server.connect()
        client.protocol.dataReceived(f"{name}\n".encode())
        client.transport.lose()
        self.server.settle()

    @precondition(lambda self: self.people)
    @rule(which=WHICH, quits=st.booleans())
    def leave(self, which: int, *, quits: bool) -> None:
        client, _ = self.people.pop(which % len(self.people))
        if quits:
            client.send("/quit")
        else:
            client.vanish()

    @rule(name=st.sampled_from(NAMES), receive=st.booleans())
    def log_in_with_json(self, name: str, *, receive: bool) -> None:
        client = log_in(self.server, name, receive=receive)
        self.programs.append(Program(client, name, receive=receive))

    @precondition(lambda self: self.programs)
    @rule(which=WHICH, names=st.lists(st.sampled_from((*NAMES, "ANN", "nobody"))))
    def watch(self, which: int, names: list[str]) -> None:
        program = self.programs[which % len(self.programs)]
        program.read()
        program.names = [name.lower() for name in names]
        program.lists += 1
        if program.client.transport.reading:
            program.told = {}
        program.client.send(request(*names))

    @precondition(lambda self: self.programs)
    @rule(which=WHICH, answers=st.integers(0, 5))
    def stop_reading(self, which: int, answers: int) -> None:
        program = self.programs[which % len(self.programs)]
        program.read()
        program.client.transport.reading = False
        program.client.send(*['{"type":"ping"}'] * answers)

    @precondition(lambda self: self.programs)
    @rule(which=WHICH)
    def read_again(self, which: int) -> None:
        self.programs[which % len(self.programs)].client.resume_reading()

    @precondition(lambda self: self.programs)
    @rule(which=WHICH, quits=st.booleans())
    def end_program(self, which: int, *, quits: bool) -> None:
        program = self.programs.pop(which % len(self.programs))
        program.read()
        if quits:
            program.client.send('{"type":"quit"}')
        program.client.vanish()

    @invariant()
    def what_is_told_is_true(self) -> None:
        self.server.settle()
        online = {name for _, name in self.people}
        online |= {each.name for each in self.programs if each.receive}
        watched: set[str] = set()
        for program in self.programs:
            watched.update(program.names)
            program.read()
            if program.client.transport.reading:
                assert {name: program.told[name] for name in program.names} == {
                    name: name in online for name in program.names
                }
            # What was asked for, some lists' first states, and what there is room for.
            assert unsent(program.client) < 100 * 2**10
        watchers = self.server.hub.watchers
        assert set(watchers._watched) == watched
        assert watchers._count == sum(len(set(each.names)) for each in self.programs)

    def teardown(self) -> None:
        for program in self.programs:
            program.client.resume_reading()
        self.what_is_told_is_true()
        end(self.server)


@pytest.mark.unmeasured
@pytest.mark.timeout(600)
def test_in_whatever_order_all_that_is_told_is_true(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So small that a few states and answers fill it, and are not told all at once.
    monkeypatch.setattr(objectform, "UNSENT_PRESENCE", 120)
    monkeypatch.setattr(presence, "WRITTEN_AT_ONCE", 1)
    monkeypatch.setattr(presence, "TOLD_A_TURN", 2)
    run_state_machine_as_test(
        Watching,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
