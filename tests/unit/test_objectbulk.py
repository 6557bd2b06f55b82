"""The faster path of the JSON form makes no difference, but for the time it takes.

Everything is tried twice: with it, and with every line taken by itself.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from memory import Client, MemoryServer, MemoryTransport, NearTransport

from chatd.limits import Limits
from chatd.server import bulk
from chatd.server.objectform import ObjectForm
from chatd.server.textform import TextForm

pytestmark = pytest.mark.skipif(
    not bulk.ENABLED, reason="the faster path is switched off"
)

SENDERS = ("ann", "ben")
PROGRAMS = ("json", "both", "idle")
RECEIVERS = (*PROGRAMS, "live", "away", "gone")

LIMITS = Limits(
    json_line=300,
    message=40,
    queue_messages=12,
    queue_bytes=300,
    unacknowledged=1500,
    pending_bytes=10_000,
    line_burst=30,
    line_rate=10,
)

usual = st.sampled_from(["away", "live", "json", "both", "idle"])
targets = usual | st.sampled_from([*RECEIVERS, *SENDERS, "Live", "JSON", "nobody", "-"])
harmless = st.sampled_from(["x", "Hi there", "é", 'a"b', "\\", "\t", "[1]", "{}"])
words = harmless | st.sampled_from(
    ["", "x\r\ny", "x\ny", "\x1b[2J", "\u202e", "\x85", "y" * 41, "\ud800", "😀", 5]
)
# "@" stands for a new id, higher than all before; "@@" for the one used last.
ids = st.sampled_from(["@"] * 6 + ["@@", "0", "a b", "", "é", '"', "z" * 65, 7])


def sending(to: object, text: object, id: object, spaces: bool = False) -> bytes:
    fields = {"type": "send", "to": to, "text": text, "id": id}
    return json.dumps(fields, separators=None if spaces else (",", ":")).encode()


plain = st.builds(sending, usual, harmless, st.just("@"), st.booleans())
rare = st.builds(sending, targets, words, ids, st.booleans())
odd = st.sampled_from(
    [
        b'{"type":"ping"}',
        b'{"type":"ack","seq":0}',
        b'{"type":"ack","seq":1}',
        b'{"type":"ack","seq":true}',
        b'{"type":"ack","seq":1e0}',
        b'{"type":"ack","seq":-1}',
        b'{"type":"ack","seq":99999999999999999999}',
        b'{"type":"ack","seq":1,"seq":0}',
        b'{"type":"send","to":"live","text":"no id"}',
        b'{"type":"send","to":["live","away"],"text":"x","id":"@"}',
        b'{"type":"send","to":"away","text":"x","id":"@","want":"stored"}',
        b'{"type":"send","to":"away","text":"x","id":"@","require":["then"]}',
        b'{"type":"send","to":"away","text":"x","id":"@","more":NaN}',
        b'{"type":"send","to":"away","text":NaN,"id":"@"}',
        b'{"type":"send","to":"live","text":"x","text":"y","id":"@"}',
        b'{"type":"send","to":"live","text":"\\ud83d","id":"@"}',
        b'{"type":"send","to":"live","text":"\\ud83d\\ude00","id":"@"}',
        b'{"type":"send","to":"live","id":"@"} ',
        b' {"type":"send","to":"live","text":"x","id":"@"}',
        b'{"type":"send","to":"live","text":"x","id":"@"}\r',
        b'{"type":"ack","seq":0},{"type":"ack","seq":0}',
        b'{"type":"ack","seq":0}{"type":"ack","seq":0}',
        b'{"a":[{}',
        b"{}]}",
        b'{"type":"ack"',
        b'"seq":0}',
        b',"seq":0}',
        b"[]",
        b"[" * 40,
        b'{"a":' * 20 + b"1" + b"}" * 20,
        b"1" * 250,
        b"null",
        b"\xff",
        b"\xc2",
        b"",
        b'{"type":"send","to":"live","text":"' + b"w" * 280 + b'","id":"@"}',
    ]
)
chunks = st.lists(plain, min_size=1, max_size=12) | st.lists(
    plain | plain | plain | rare | odd, min_size=1, max_size=30
)

steps = st.lists(
    st.tuples(
        st.just("send"),
        st.sampled_from(SENDERS),
        chunks,
        st.sampled_from([1000, 1000, 1000, 50, 7]),
    )
    | st.tuples(st.just("text"), st.sampled_from(["live-x\n", "json-x\naway-y\n"]))
    | st.tuples(st.just("ack"), st.sampled_from(PROGRAMS[:2]), st.integers(0, 4))
    | st.tuples(st.sampled_from(["settle", "tick", "tick", "wait", "stuck", "reads"]))
    | st.tuples(st.sampled_from(["slow disk", "disk", "broken", "full", "mended"])),
    min_size=1,
    max_size=12,
)

# Those that the server makes; and when it was.
MADE = re.compile(r'"time":"[^"]*"|"id":"[0-9a-f-]{36}"')

# Of messages that go with one transaction the first may fail, or all of them.
REFUSED = re.compile(r'"code":"(not-stored|out-of-order)"(.*"to":"[^"]*").*')


@dataclass
class House:
    """A daemon, those who send, and those who are there, or not, to receive."""

    kind: type[MemoryTransport]
    patient: bool
    server: MemoryServer = field(default_factory=lambda: MemoryServer(LIMITS))
    clients: dict[str, Client] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in RECEIVERS:
            self.server.log_in(name).vanish()
        for name in ("live", "gone", "tom"):
            self.clients[name] = self.server.log_in(name, self.kind)
        self.clients["both, as text"] = self.server.log_in("both", self.kind)
        for name in (*SENDERS, *PROGRAMS):
            program = self.clients[name] = self.server.connect()
            program.send("/json", json.dumps({"type": "login", "user": name}))
        for name in SENDERS:
            # Its highest id is looked up with the first.
            self.clients[name].protocol.dataReceived(
                sending("gone", "x", "000") + b"\n"
            )
            self.ids[name] = 1000
        self.server.wait(1)
        for client in self.clients.values():
            client.received()
        self.clients["gone"].vanish()

    def numbered(self, name: str, line: bytes) -> bytes:
        """Return a line with ids in it."""
        if b'"@@"' in line:
            return line.replace(b"@@", b"%d" % self.ids[name])
        if b'"@"' in line:
            self.ids[name] += 1
            return line.replace(b"@", b"%d" % self.ids[name])
        return line

    def do(self, step: tuple[Any, ...]) -> None:
        """Do one thing; those who send are closed for no reason but their own."""
        server, store = self.server, self.server.store
        match step:
            case ("send", name, lines, cut):
                chunk = b"".join(self.numbered(name, line) + b"\n" for line in lines)
                protocol = self.clients[name].protocol
                for start in range(0, len(chunk), cut):
                    protocol.dataReceived(chunk[start : start + cut])
            case ("text", lines):
                self.clients["tom"].protocol.dataReceived(lines.encode())
            case ("ack", name, but):
                self.ack(name, but)
            case ("settle",):
                server.settle()
            case ("tick",):
                server.wait(0.03)
            case ("wait",):
                server.wait(1)
            case ("stuck",):
                if self.patient:
                    # What a near one has at once the other one has by then, too.
                    server.wait(0.03)
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

    def ack(self, name: str, but: int = 0) -> None:
        """Acknowledge what a program has got, but for the last so many messages."""
        # Not all is written to it in the same turn by both paths.
        self.server.settle()
        client = self.clients[name]
        seen = self.seen[name] = self.seen.get(name, "") + client.received()
        last = seen.count('"type":"message"') - but
        if last > 0:
            client.protocol.dataReceived(b'{"type":"ack","seq":%d}\n' % last)

    def end(self) -> None:
        """Let everything come to an end."""
        for step in ("mended", "disk", "reads"):
            self.do((step,))
        self.server.wait(40)
        for _ in range(3):
            for name in PROGRAMS:
                self.ack(name)
            self.server.wait(1)


@dataclass
class Result:
    """What everybody was told in the end, and what is in the queues."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    messages: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    queues: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def play(
    steps: Sequence[tuple[Any, ...]],
    kind: type[MemoryTransport],
    *,
    fast: bool,
    patient: bool,
) -> Result:
    with (
        patch.object(ObjectForm, "takes_chunks", fast),
        patch.object(TextForm, "takes_chunks", fast),
    ):
        house = House(kind, patient)
        for step in steps:
            house.do(step)
        house.end()
    result = Result()
    for name, client in house.clients.items():
        for line in (house.seen.get(name, "") + client.received()).split("\n"):
            line = REFUSED.sub(r"refused\2", MADE.sub("", line))
            message = re.match(r"(ann|ben|tom): |.*\"from\":\"(\w+)\"", line)
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
    for ids in house.server.hub._resends._senders.values():
        assert ids._count == sum(
            getattr(each, "count", 1) for each in ids._known.values()
        )
    return result


def messages(*targets: str) -> list[bytes]:
    return [sending(target, "x", "@") for target in targets]


@given(steps=steps, kind=st.sampled_from([MemoryTransport, NearTransport]))
@example(
    # Half of what was taken together is acknowledged, the rest is stored meanwhile.
    steps=[
        ("send", "ann", messages("json", "json", "away", "json", "live"), 1000),
        ("ack", "json", 1),
        ("wait",),
        ("ack", "json", 0),
    ],
    kind=MemoryTransport,
)
@example(
    # What is sent again is on its way to the disk.
    steps=[
        ("slow disk",),
        ("send", "ann", messages("away", "away"), 1000),
        ("settle",),
        ("send", "ann", [sending("away", "x", "@@"), sending("away", "y", "@@")], 1000),
        ("broken",),
        ("disk",),
        ("send", "ann", messages("away"), 1000),
    ],
    kind=MemoryTransport,
)
@example(
    # What is not taken together, though it was looked at, has a text that is none.
    steps=[
        (
            "send",
            "ann",
            [
                sending("json", "x", "@"),
                sending("away", "x", "@@"),
                sending("away", 5, "@"),
            ],
            1000,
        )
    ],
    kind=MemoryTransport,
)
@example(
    # It comes while its commit fails.
    steps=[
        ("send", "ann", messages("json", "json"), 1000),
        ("slow disk",),
        ("wait",),
        ("ack", "json", 0),
        ("broken",),
        ("disk",),
        ("mended",),
        ("send", "ann", messages("json"), 1000),
    ],
    kind=MemoryTransport,
)
def test_the_faster_path_makes_no_difference(
    steps: Sequence[tuple[Any, ...]], kind: type[MemoryTransport]
) -> None:
    patient = kind is not MemoryTransport
    fast = play(steps, kind, fast=True, patient=patient)
    slow = play(steps, MemoryTransport, fast=False, patient=patient)
    assert fast == slow


def test_a_fast_program_is_held_until_its_messages_are_settled() -> None:
    server = MemoryServer(Limits(pending_messages=7))
    server.log_in("away").vanish()
    ann = server.connect()
    ann.send("/json", '{"type":"login","user":"ann"}')
    ann.send(sending("away", "0", "000").decode())
    ann.received()
    server.store.slow = True
    texts = [str(number) for number in range(1, 30)]
    ann.send(*[sending("away", each, f"{each:0>3}").decode() for each in texts])
    assert server.journal.waiting == 7
    server.store.slow = False
    server.store.catch_up()
    server.settle()
    assert server.store.queued("away") == ["0", *texts]
    ids = [json.loads(line)["id"] for line in ann.lines()]
    assert ids == [f"{each:0>3}" for each in texts]


def test_a_name_that_is_no_text_is_no_name() -> None:
    server = MemoryServer()
    server.log_in("away").vanish()
    ann = server.connect()
    ann.send("/json", '{"type":"login","user":"ann"}')
    ann.send(sending("away", "0", "000").decode())
    ann.received()
    ann.send(sending("\ud800", "x", "001").decode(), '{"type":"ping"}')
    codes = [json.loads(line).get("code") for line in ann.lines()]
    assert codes == ["bad-json", None]


def test_what_is_known_of_ids_keeps_no_texts() -> None:
    server = MemoryServer()
    server.log_in("away").vanish()
    ann, bob = server.connect(), server.connect()
    for client, name in (ann, "ann"), (bob, "bob"):
        client.send("/json", json.dumps({"type": "login", "user": name}))
    ann.send(sending("away", "0", "000").decode())
    targets = ["bob", "bob", "away", "bob"]
    lines = [sending(to, "x", f"00{at}") for at, to in enumerate(targets, 1)]
    ann.send(*[line.decode() for line in lines])
    bob.send('{"type":"ack","seq":2}')
    server.end_hold()
    user = server.hub._receivers["ann"].id
    (series,) = server.hub._resends.of(user)._series
    assert [(list(each), each.apart) for each in series.parts] == [
        ([], True),
        ([], False),
    ]
    ann.received()
    ann.send(*[line.decode() for line in lines])
    statuses = [json.loads(line)["status"] for line in ann.lines()]
    assert statuses == ["delivered", "delivered", "stored", "stored"]
    server.check_figures()
