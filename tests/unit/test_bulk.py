"""The faster path makes no difference, but for the time it takes.

Everything is tried twice: with it, and with every line taken by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import Client, MemoryServer, MemoryTransport, NearTransport

from chatd.hub.accepted import AcceptedRun
from chatd.hub.receiver import Receiver
from chatd.limits import Limits
from chatd.server import bulk
from chatd.server.textform import TextForm

if TYPE_CHECKING:
    from conftest import LoggedErrors

pytestmark = pytest.mark.skipif(
    not bulk.ENABLED, reason="the faster path is switched off"
)

SENDERS = ("ann", "ben")
RECEIVERS = ("live", "twice", "json", "away", "slow", "gone")

LIMITS = Limits(
    line=60,
    message=40,
    queue_messages=12,
    queue_bytes=300,
    unacknowledged=100_000,
    pending_messages=7,
    pending_bytes=10_000,
    line_burst=30,
    line_rate=10,
)

usual = st.sampled_from(["away", "live", "twice", "json", "slow"])
targets = usual | st.sampled_from([*RECEIVERS, *SENDERS, "Live", "Away", "nobody"])
harmless = st.sampled_from(["x", "Hi there", "é", "a-b", " ", "\t"])
words = harmless | st.sampled_from(["", "x\r", "\x1b[2J", "\u202e", "\x85", "y" * 41])
plain = st.builds("{}-{}".format, usual, harmless).map(str.encode)
rare = st.builds("{}-{}".format, targets, words).map(str.encode)
odd = st.sampled_from(
    [
        b"/who",
        b"/confirm on",
        b"/confirm off",
        b"live,away-two",
        b"live",
        b"",
        b"live-\xff",
        b"live-\xc2",
        b"/nonsense",
        b"-x",
    ]
)
lines = st.lists(plain, min_size=1, max_size=12) | st.lists(
    plain | plain | rare | odd, min_size=1, max_size=30
)
chunks = st.builds(
    lambda lines, end: end.join(lines) + end, lines, st.sampled_from([b"\n", b"\r\n"])
)

SENDING = st.tuples(
    st.just("send"),
    st.sampled_from(SENDERS),
    chunks,
    st.sampled_from([1000, 1000, 50, 7]),
)
USUAL = st.tuples(
    st.sampled_from(["settle", "tick", "wait", "stuck", "reads", "slow disk", "disk"])
)
FAILING = st.tuples(st.sampled_from(["broken", "full", "mended"]))

Steps: TypeAlias = Sequence[tuple[object, ...]]

while_all_works = st.lists(SENDING | USUAL, min_size=1, max_size=12)
while_disks_fail = st.lists(
    SENDING | USUAL | st.tuples(st.sampled_from(["slow disk", "disk"])) | FAILING,
    min_size=1,
    max_size=12,
)

TIME = re.compile(r" \(\d{4}-.* UTC\)$|\"time\":\"[^\"]*\"|\"id\":\"[^\"]*\"")

# Of messages that go with one transaction the first may fail, or all of them.
REFUSED = re.compile(
    r"(Could not store the message to ('.*') \(.*\)\. Nothing was sent; .*"
    r"|Nothing was sent to ('.*'): an earlier .*)"
)


@dataclass
class House:
    """A daemon, those who send, and those who are there, or not, to receive."""

    kind: type[MemoryTransport]
    limits: Limits
    clients: dict[str, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = MemoryServer(self.limits)
        for name in RECEIVERS:
            self.server.log_in(name).vanish()
        for name in (*SENDERS, "live", "twice", "slow", "gone"):
            self.clients[name] = self.server.log_in(name, self.kind)
        self.clients["twice, too"] = self.server.log_in("twice")
        program = self.clients["json"] = self.server.connect()
        program.send("/json", '{"type":"login","user":"json"}')
        self.clients["slow"].transport.reading = False
        for client in self.clients.values():
            client.received()

    def do(self, step: tuple[object, ...]) -> None:
        """Do one thing; those who send are closed for no reason but their own."""
        server, store = self.server, self.server.store
        match step:
            case ("send", str(name), bytes(chunk), int(cut)):
                protocol = self.clients[name].protocol
                for start in range(0, len(chunk), cut):
                    protocol.dataReceived(chunk[start : start + cut])
            case ("settle",):
                server.settle()
            case ("tick",):
                server.wait(0.03)
            case ("wait",):
                server.wait(1)
            case ("stuck",):
                self.clients["live"].transport.reading = False
            case ("reads",):
                self.clients["live"].resume_reading()
            case ("slow disk",):
                store.slow = True
            case ("disk",):
                store.slow = False
                store.catch_up()
            case ("broken",):
                store.broken = True
            case ("full",):
                store.lack = "disk full"
            case ("mended",):
                store.broken, store.lack = False, None

    def end(self) -> None:
        """Let everything come to an end."""
        for step in ("mended", "disk", "reads"):
            self.do((step,))
        self.server.wait(40)
        self.clients["slow"].resume_reading()
        self.server.wait(40)


@dataclass
class Result:
    """What everybody was told in the end, and what is in the queues."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    messages: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    queues: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def play(
    steps: Steps,
    kind: type[MemoryTransport],
    limits: Limits,
    *,
    fast: bool,
) -> Result:
    with patch.object(TextForm, "takes_chunks", fast):
        house = House(kind, limits)
        for step in steps:
            house.do(step)
        house.end()
    result = Result()
    for name, client in house.clients.items():
        for line in client.lines():
            line = REFUSED.sub(r"\2\3 refused", TIME.sub("", line))
            message = re.match(r"(ann|ben): |.*\"from\":\"(ann|ben)\"", line)
            if message:
                # Those of several senders may be mixed in any way.
                sender = message[1] or message[2]
                line = re.sub(r'"seq":\d+|,"queued":(true|false)', "", line)
                result.messages.setdefault((name, sender), []).append(line)
            else:
                result.answers.setdefault(name, []).append(line)
    for name in RECEIVERS:
        for *_, sender, text in house.server.store.rows(name):
            result.queues.setdefault((name, sender), []).append(text)
    house.server.check_figures()
    assert house.server.hub.pending._bytes == 0
    assert house.server.journal.waiting == 0
    return result


# What of a sender's lines is settled is counted for a turn's lines together: that
# decides when it goes on, and so who has room then. So not both are narrow.
NARROW_QUEUES = replace(LIMITS, pending_messages=1_000)
SHORT_PAUSES = replace(LIMITS, queue_messages=1_000, queue_bytes=100_000)


@pytest.mark.unmeasured
@given(steps=while_all_works, limits=st.sampled_from([NARROW_QUEUES, SHORT_PAUSES]))
def test_the_faster_path_makes_no_difference(steps: Steps, limits: Limits) -> None:
    kind = MemoryTransport
    fast = play(steps, kind, limits, fast=True)
    assert fast == play(steps, kind, limits, fast=False)


# In which turn somebody has acknowledged decides who has room in the next, and so what
# is shown before a disk fails, and what is refused then. Not so with wide limits.
WIDE = replace(
    LIMITS,
    pending_messages=1_000,
    queue_messages=1_000,
    queue_bytes=100_000,
)


@given(steps=while_disks_fail)
def test_the_faster_path_makes_no_difference_when_disks_fail(steps: Steps) -> None:
    kind = MemoryTransport
    fast = play(steps, kind, WIDE, fast=True)
    assert fast == play(steps, kind, WIDE, fast=False)


@given(steps=while_disks_fail)
def test_nor_do_receivers_that_acknowledge_at_once(steps: Steps) -> None:
    fast = play(steps, NearTransport, WIDE, fast=True)
    assert fast == play(steps, MemoryTransport, WIDE, fast=False)


def test_what_fails_for_one_receiver_takes_nothing_from_the_others(
    logged_errors: "LoggedErrors",
) -> None:
    server = MemoryServer()
    ann, dan = server.log_in("ann"), server.log_in("dan")
    bob, cleo = server.log_in("bob"), server.log_in("cleo")
    for client in (ann, dan, bob, cleo):
        client.received()
    accept_run = Receiver.accept_run

    def fails_for_bob(receiver: Receiver, run: AcceptedRun) -> bool:
        if receiver.name == "bob":
            raise ZeroDivisionError
        return accept_run(receiver, run)

    with patch.object(Receiver, "accept_run", fails_for_bob):
        ann.protocol.dataReceived(b"bob-one\ncleo-one\n")
        dan.protocol.dataReceived(b"bob-two\ncleo-two\n")
        server.settle()

    assert cleo.lines() == ["ann: one", "dan: two"]
    assert bob.lines() == []
    assert len(logged_errors.flush(ZeroDivisionError)) == 1
    ann.send("/quit")
    server.wait(60)
    assert "Goodbye." not in ann.lines()


def test_what_was_taken_when_an_earlier_message_fails_is_refused_with_it() -> None:
    server = MemoryServer()
    server.log_in("bob").vanish()
    ann = server.log_in("ann")
    server.store.slow = True
    ann.send("bob-one")
    server.store.lack = "disk full"
    # In the very turn in which the disk's answer comes.
    ann.protocol.dataReceived(b"bob-two\n")
    server.store.catch_up()
    server.store.slow, server.store.lack = False, None
    server.settle()
    first, second = ann.lines()
    assert first.startswith("Could not store the message to 'bob' (disk full).")
    assert second.startswith("Nothing was sent to 'bob': an earlier message")
    assert server.store.queued("bob") == []
