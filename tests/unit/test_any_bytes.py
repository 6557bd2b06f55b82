"""Whatever bytes come, in whatever packets: nothing fails, and all mean the same.

A stream is sent to a daemon in memory twice, in pieces and whole. What everybody
reads, and what waits for whom, must not differ.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory import Client, MemoryServer
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from chatd.hub.accepted import AcceptedRun
from chatd.hub.delivery import Delivery
from chatd.wire import text
from chatd.wire.answers import ANSWERS
from chatd.wire.block import Block
from chatd.wire.message import Message

pytestmark = [
    pytest.mark.timeout(
        900
    ),  # for CHATD_HYPOTHESIS=thorough; everyday it takes seconds
    pytest.mark.unmeasured,
]

MESSAGE_LINE = re.compile(r"^[^ ]+: ")
WELCOME = re.compile(r"Enter your username: Welcome, [^ ]+\.( You are new here\.)?")
TELNET_REFUSAL = re.compile(rb"\xff[\xfe\xfc].", re.DOTALL)
MADE_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")

# Streams -----------------------------------------------------------------------------


def request(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def one_of(listed: str, *others: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for one of the listed, which are separated by bars."""
    return st.sampled_from([*(each.encode() for each in listed.split("|")), *others])


def now_and_then(
    usual: st.SearchStrategy[bytes], *others: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    """Return a strategy for what is usual, and at times for one of the others.

    `one_of` gives every strategy the same weight, one that is named twice too.
    """
    choices = [usual] * 3 * len(others) + list(others)
    return st.sampled_from(choices).flatmap(lambda choice: choice)


texts = one_of(
    "Hi|a-b| x |\tx|\x1b[31m|x\rcarol: y|\x00|a: b|/quit|é|\u2028\u202e\x85|",
    b"\xff",
    b"\xe9",
)
names = one_of(
    f"alice|bob|carol|BOB| bob |Юлия|zed||a b|password|me:|{'x' * 33}", b"\xff"
)
targets = now_and_then(
    one_of("bob|carol|alice|bob,carol,zed"),
    st.lists(names, min_size=1, max_size=3).map(b",".join),
)
messages = st.builds(lambda to, body: to + b"-" + body, targets, texts)
commands = one_of(
    "/help|/who|/who b|/users|/users c|/confirm on|/confirm off|/confirm|/foo|/"
    "|/json|/json x|/send-only|/send-only alice|/send-only carol|/quit"
)
logins = st.sampled_from(
    [
        *(request(type="login", user=name) for name in ("alice", "bob", "carol", "-")),
        request(type="login", user="alice", receive=False),
        request(type="login"),
    ]
)
sends = st.builds(
    lambda to, body: request(type="send", to=to, text=body),
    st.sampled_from(["bob", "carol", "alice", "zed", ["bob", "zed", "carol"], "-"]),
    st.sampled_from(["Hi", "one\ntwo", "\x1b\r\n\u2028", ""]),
)
requests = st.sampled_from(
    [
        *(request(type=kind) for kind in ("who", "users", "ping", "quit", "foo")),
        request(type="send", to=["carol", "alice"], text="Hi", id="m1"),
        request(type="ping", require=[[]]),
        b'{"type":"send","to":"carol","text":"\\ud800"}',
        b"[" * 500,
        b"{",
    ]
)
# Around the limits of a message, of a line of text and of one of JSON.
long_lines = st.builds(
    lambda before, byte, limit, more: before + byte * (limit + more - len(before)),
    one_of("|bob-|/who |alice,bob-"),
    one_of("x| "),
    st.sampled_from([12_288, 12_292, 16_384]),
    st.integers(-2, 3),
)
long_requests = st.builds(
    lambda more: b'{"type":"ping"}' + b" " * (131_072 - 15 + more), st.integers(-2, 3)
)
# Offers and requests, commands, a subnegotiation and its end, halves of all these.
telnet = st.sampled_from(
    b"\xff\xfb\x1f|\xff\xfd\x01|\xff\xfe\n|\xff\xfc\xff|\xff\xf1|\xff\xff|\xff|\xfb"
    b"|\xff\xfa\x18\x00X\n|\xff\xf0|\xff\xec".split(b"|")
)
line_ends = now_and_then(one_of("\n|\r\n"), one_of("\n\n|\r|"))


def pieces(
    usual: st.SearchStrategy[bytes], *others: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    """Return a strategy for lines with their ends, and for what comes in between."""
    ended = st.builds(
        lambda line, end: line + end, now_and_then(usual, *others), line_ends
    )
    odd = one_of("\x16|\x16\x03|GET / HTTP/1.1\r\n|PROXY x\r\n")
    return now_and_then(ended, telnet, odd)


def stream_of(
    beginning: st.SearchStrategy[bytes], rest: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    """Return a strategy for streams that begin so."""
    rests = st.lists(rest, max_size=12).map(b"".join)
    return st.builds(lambda first, then: first + then, beginning, rests)


# Most of what may happen happens after a login.
text_streams = stream_of(
    one_of("alice\n|carol\n|bob\n|/send-only alice\n|alice\n/confirm on\n"),
    pieces(messages, commands, commands, names, long_lines, requests, st.binary()),
)
json_streams = stream_of(
    logins.map(lambda login: b"/json\n" + login + b"\n"),
    pieces(sends, requests, requests, logins, messages, long_requests, st.binary()),
)
streams = st.one_of(
    text_streams,
    json_streams,
    stream_of(st.just(b""), pieces(names, commands, messages, requests, st.binary())),
)


@dataclass(frozen=True)
class Packets:
    """How a stream is cut into packets; turns pass after a packet, or do not."""

    cuts: Sequence[int] = ()
    pauses: Sequence[bool] = (True,)
    one_byte_each: bool = False

    def of(self, stream: bytes) -> Iterator[tuple[bytes, bool]]:
        places = [cut % (len(stream) + 1) for cut in self.cuts]
        if self.one_byte_each:
            # Long runs stay together: they would take long, and mean nothing new.
            places += [at for at in range(len(stream)) if stream[at] not in b"x [."]
        ends = sorted({0, len(stream), *places})
        for number, (start, end) in enumerate(pairwise(ends)):
            yield stream[start:end], self.pauses[number % len(self.pauses)]


packets = st.builds(
    Packets,
    cuts=st.lists(st.integers(0, 1 << 18), max_size=12),
    pauses=st.lists(st.booleans(), min_size=1, max_size=4),
    one_byte_each=st.booleans(),
)
WHOLE = Packets()
BYTE_BY_BYTE = Packets(one_byte_each=True)
HELD_BYTES = Packets(pauses=(False,), one_byte_each=True)
TWO_LINES_FOR_BOB = (
    b'/json\n{"type":"login","user":"alice"}\n'
    b'{"type":"send","to":"bob","text":"one\\n\\u001btwo"}\n'
)
# Telnet's end of a file, behind it.
FIVE_OBJECTS_AND_AN_END = (
    b'/json\n{"type":"login","user":"alice"}\n'
    + 5 * b'{"type":"send","to":"bob","text":"Hi"}\n'
    + b"\xff\xec"
)


# What becomes of them ----------------------------------------------------------------


@implementer(ILogObserver)
class Failures:
    """What is logged as a failure while it is asked for."""

    def __init__(self) -> None:
        self.tracebacks: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.tracebacks.append(event["log_failure"].getTraceback())


@contextmanager
def no_logged_failure() -> Iterator[None]:
    """Fail if anything logs a failure."""
    failures = Failures()
    globalLogPublisher.addObserver(failures)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(failures)
    assert failures.tracebacks == []


class Shown:
    """The lines that show messages to text connections, as the daemon makes them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._message_lines = text.message_lines
        self._block_lines = text.block_lines
        self._write_run = Delivery.write_run

    def __call__(self, message: Message, *, queued: bool) -> list[str]:
        lines = self._message_lines(message, queued=queued)
        self.lines += lines
        return lines

    def of_block(self, block: Block, *, queued: bool) -> tuple[bytes, "array[int]"]:
        lines, lengths = self._block_lines(block, queued=queued)
        self.lines += lines.decode().split("\n")[:-1]
        return lines, lengths

    def of_run(self, delivery: Delivery, run: AcceptedRun, lines: bytes) -> None:
        self.lines += lines.decode().split("\n")[:-1]
        self._write_run(delivery, run, lines)


@dataclass
class Understood:
    """What became of a stream.

    `closed` is whether the daemon closed before the input ended. `answers` are what the
    connection read but for messages and reports of delivery, which may come between
    any two of them. Reports to several receivers come in no order.
    """

    closed: bool
    refusals: list[bytes]
    answers: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    bob: list[str] = field(default_factory=list)
    queues: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)


def read(client: Client) -> str:
    """Return all that a client has read, with made ids left out."""
    data = TELNET_REFUSAL.sub(b"", client.transport.received)
    return MADE_ID.sub("ID", data.decode())


LOGGED_IN = re.compile(r'Welcome, (\w+)\.|"type":"welcome","user":"(\w+)"')
MESSAGE_FROM = re.compile(r'(\w+): |.*"from":"(\w+)"')


def after_the_greeting(output: str) -> list[str]:
    """Return the lines of a text connection after its login."""
    lines = output.split("\n")
    for number, line in enumerate(lines, 1):
        if WELCOME.fullmatch(line):
            return lines[number:]
    return []


def wait(server: MemoryServer) -> None:
    """Let a second pass: the daemon waits for nothing longer than that here."""
    for _ in range(4):
        server.settle()
        server.clock.advance(0.25)
    server.settle()


def send(stream: bytes, cut: Packets, *, end: bool) -> Understood:
    """Send a stream to a new daemon; bob is online, carol was, and has a message."""
    server = MemoryServer()
    carol = server.log_in("carol")
    carol.send("/quit")
    bob = server.log_in("bob")
    bob.send("carol-before")
    sender = server.connect()
    shown = Shown()
    with (
        no_logged_failure(),
        patch.object(text, "message_lines", shown),
        patch.object(text, "block_lines", shown.of_block),
        patch.object(Delivery, "write_run", lambda *args: shown.of_run(*args)),
    ):
        for packet, pause in cut.of(stream):
            sender.protocol.dataReceived(packet)
            if pause:
                server.settle()
        wait(server)
        closed = sender.transport.write_closed
        if end and not closed:
            sender.end_input()
            wait(server)
    understood = Understood(
        closed=closed,
        refusals=TELNET_REFUSAL.findall(sender.transport.received),
        bob=read(bob).split("\n"),
    )
    mine = read(sender)
    json_form = '{"type":"hello",' in mine
    for line in mine.split("\n"):
        if '"type":"message"' in line if json_form else MESSAGE_LINE.match(line):
            understood.messages.append(line)
        elif '"status":"delivered"' in line:
            understood.delivered.append(line)
        else:
            understood.answers.append(line)
    understood.delivered.sort()
    users = server.store.connection.execute("SELECT id, key, name FROM users")
    understood.users, keys = [], {}
    for user, key, user_name in sorted(users):
        keys[user] = key
        understood.users.append(user_name)
    for _, target, sender_name, body in server.store.rows():
        understood.queues.setdefault(keys[target], []).append((sender_name, body))
    assert ANSWERS["internal"].text not in mine
    assert not CONTROL.search(mine + read(bob))
    looking_so = [
        line
        for output in (understood.bob, [] if json_form else mine.split("\n"))
        for line in after_the_greeting("\n".join(output))
        if MESSAGE_LINE.match(line)
    ]
    assert Counter(looking_so) == Counter(shown.lines)
    return understood


def confirmed_late(answers: list[str]) -> list[str]:
    """Return the answers as they are if no receiver answers in time."""
    return [line.replace("Delivered to", "Stored for") for line in answers]


def unstored(answers: list[str]) -> list[str]:
    """Return them without those to programs that a message was stored.

    It may have been delivered, which is said apart from the answers here.
    """
    late = confirmed_late(answers)
    return [line for line in late if '"type":"accepted"' not in line]


def stored(answers: list[str]) -> Counter[str]:
    """Return what programs were told of messages, as if none was delivered at once."""
    return Counter(
        line.replace('"delivered"', '"stored"')
        for line in answers
        if '"type":"accepted"' in line
    )


def assert_alike_but_for_own(one: Understood, other: Understood) -> None:
    """Compare messages. Who leaves does not wait for the last ones to himself."""
    fewer, more = sorted((one.messages, other.messages), key=len)
    assert more[: len(fewer)] == fewer
    logins = [each for each in map(LOGGED_IN.search, one.answers) if each is not None]
    names = {login[1] or login[2] for login in logins}
    for message in more[len(fewer) :]:
        sender = MESSAGE_FROM.match(message)
        assert sender is not None
        assert (sender[1] or sender[2]) in names


def from_others(
    queues: dict[str, list[tuple[str, str]]],
) -> dict[str, list[tuple[str, str]]]:
    """Return the queues without what their owners sent themselves."""
    without = {
        key: [each for each in queue if each[0].lower() != key]
        for key, queue in queues.items()
    }
    return {key: queue for key, queue in without.items() if queue}


@settings(max_examples=3 * settings().max_examples)
@given(stream=streams, cut=packets, end=st.booleans())
@example(stream=b"alice\nalice-Hi\n/quit\n\xff\n", cut=BYTE_BY_BYTE, end=False)
@example(stream=b"alice\n\xff\xecbob-Hi\n", cut=BYTE_BY_BYTE, end=False)
@example(stream=b"alice\n" + b"x" * 16_384 + b"\r\n", cut=BYTE_BY_BYTE, end=False)
@example(stream=b"alice\n" + b"x" * 16_386, cut=BYTE_BY_BYTE, end=False)
@example(stream=b"/json\n" + b"x" * 16_386, cut=BYTE_BY_BYTE, end=True)
@example(stream=b"\x16\x03\x01alice\n", cut=BYTE_BY_BYTE, end=False)
@example(stream=b"alice\r\nbob-x\rcarol: y\x1b", cut=BYTE_BY_BYTE, end=True)
@example(stream=b"bob\nbob-Hi\n", cut=WHOLE, end=False)
@example(stream=b"bob\n/help\n/help\nbob-Hi\r", cut=BYTE_BY_BYTE, end=True)
@example(stream=b"carol\ncarol-Hi\n\xff\xec", cut=HELD_BYTES, end=False)
@example(stream=FIVE_OBJECTS_AND_AN_END, cut=BYTE_BY_BYTE, end=False)
@example(stream=TWO_LINES_FOR_BOB, cut=BYTE_BY_BYTE, end=True)
def test_what_is_understood_does_not_depend_on_the_packets(
    stream: bytes, cut: Packets, end: bool
) -> None:
    whole = send(stream, WHOLE, end=end)
    cut_up = send(stream, cut, end=end)
    if not whole.closed:
        if end:
            assert_alike_but_for_own(whole, cut_up)
            cut_up.messages = whole.messages
        assert cut_up == whole
        return
    # Who leaves does not wait for messages to himself, which stay queued, nor for the
    # news that one was delivered; and telnet's requests after the end mean nothing.
    assert cut_up.closed
    assert_alike_but_for_own(whole, cut_up)
    assert whole.refusals[: len(cut_up.refusals)] == cut_up.refusals
    if not (whole.delivered or cut_up.delivered):
        assert confirmed_late(cut_up.answers) == confirmed_late(whole.answers)
    assert unstored(cut_up.answers) == unstored(whole.answers)
    # A program is told of each message once at least, that it is stored or more.
    assert stored(cut_up.answers) <= stored(whole.answers + whole.delivered)
    assert stored(whole.answers) <= stored(cut_up.answers + cut_up.delivered)
    assert from_others(cut_up.queues) == from_others(whole.queues)
    assert (cut_up.bob, cut_up.users) == (whole.bob, whole.users)
