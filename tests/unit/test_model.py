"""The promise about messages, against any sequence of what can happen.

Three users send to each other over connections that stop reading, end their input and
vanish, while the disk is slow, full or broken and the daemon is killed. Programs send
again, with the same ids, what was not answered or failed for a time; they acknowledge
what they get, some at once and some late. Whatever the order: what was accepted
arrives, in order, and not twice on one connection, nor twice in a queue; what was
refused is seen by nobody; and in the end nobody waits for an answer.
"""

import gc
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from memory import Client, MemoryServer, MemoryTransport, NearTransport
from twisted.internet.defer import Deferred

from chatd.hub import delivery, hub
from chatd.limits import Limits
from chatd.store import queues
from chatd.store.records import StoreFailure

if TYPE_CHECKING:
    from conftest import LoggedErrors

EXAMPLES = int(os.environ.get("CHATD_MODEL_EXAMPLES", "60"))

NAMES = ("ann", "bob", "cleo")
WHICH = st.integers(0, 9)

STEPS = ("write", "read", "catch_up", "answer_reads")
"""What a disk may do next: carry out what waits for it, and tell of it."""

# Small, so that a few messages reach every one of them.
LIMITS = Limits(
    queue_messages=25,
    queue_share=70,
    unacknowledged=80,
    pending_messages=4,
    pending_bytes=40,
    all_pending_bytes=34,
    unread_answers=150,
    recent_bytes=12,
    all_recent_bytes=20,
    connections_by_user=4,
)

MESSAGE = re.compile(r"(\w+): (m\d+)(?: \(.* UTC\))?")
ACCEPTED = re.compile(r"(?:Delivered to|Stored for) (\w+)\.")
STORED = re.compile(r"User '(\w+)' is offline\. Message stored\.")
REFUSED = re.compile(
    r"(?:Could not store the message to|The queue of|Nothing was sent to) '(\w+)'.*"
)
NO_ANSWERS = (
    "Welcome, ",
    "Client book => ",
    "Users online => ",
    "Type <target>",
    "Anybody can log in as ",
    "You have ",
    "Your ",
    "Every message is answered.",
    delivery.MISSED,
    "Goodbye.",
    "The server is stopping.",
)
FAILED = "Something went wrong in the server"


@dataclass(eq=False)
class Stream:
    """What one program, or one text connection, sends: it keeps to an order.

    A program goes on with its stream on its next connection.
    """

    attempts: int = 0
    again: list[tuple[str, int]] = field(default_factory=list)
    """Target and attempt of each message that had failed for a time."""


@dataclass(eq=False)
class Sent:
    """One message to one target; `accepted` is None until there is an answer.

    `attempt` says where in its stream it was sent last, and `attempts` each time that
    may have been the one that counts: it may be shown already when it is sent again.
    """

    number: int
    target: str
    stream: Stream
    accepted: bool | None = None
    delivered: bool = False
    temporary: bool = False
    attempt: int = 0
    attempts: list[int] = field(default_factory=list)
    unsure: bool = False
    """Whether it was sent before and not answered: then a refusal says nothing."""
    behind: bool = False
    """Whether it was sent behind one to this target that failed for a time."""

    def send(self) -> None:
        self.behind = False
        self.unsure |= self.attempt > 0 and self.accepted is not False
        if not self.unsure:
            self.attempts.clear()
        self.stream.attempts += 1
        self.attempt = self.stream.attempts
        self.attempts.append(self.attempt)
        if self.temporary:
            self.stream.again.append((self.target, self.attempt))
        self.accepted, self.temporary = None, False


@dataclass(eq=False)
class Line:
    """A line that was sent: the same text to each target."""

    sent: list[Sent]

    @property
    def awaited(self) -> Sent | None:
        return next((each for each in self.sent if each.accepted is None), None)

    @property
    def is_settled(self) -> bool:
        return all(each.accepted for each in self.sent)


@dataclass(eq=False)
class Connection:
    """A connection as its user sees it."""

    client: Client
    name: str
    program: bool
    receive: bool
    prompt: bool = True
    """Whether it acknowledges what it gets when it reads; for a program."""
    confirm: bool = True
    """Whether each message has an answer; else only `Goodbye.` tells, for a person."""
    refusals: int = 0
    stream: Stream = field(default_factory=Stream)
    lines: list[Line] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    safe: int = 0
    """How many of them it has acknowledged; for a program."""
    welcome: bool = False
    failed: bool = False
    leaving: bool = False
    goodbye: bool = False

    @property
    def awaited(self) -> Line | None:
        if not self.confirm:
            return None
        return next((line for line in self.lines if line.awaited is not None), None)

    @property
    def has(self) -> list[str]:
        """What nobody may lose any more: for a person, all that their machine has."""
        return self.texts[: self.safe] if self.program else self.texts

    def send(self, number: int, targets: Iterable[str], *, want: bool = False) -> str:
        return self.send_again(
            Line([Sent(number, target, self.stream) for target in targets]), want=want
        )

    def send_again(self, line: Line, *, want: bool = False) -> str:
        for sent in line.sent:
            sent.send()
        self.lines.append(line)
        number = line.sent[0].number
        targets = [sent.target for sent in line.sent]
        if not self.program:
            return f"{','.join(targets)}-m{number}"
        fields = {"type": "send", "to": targets, "text": f"m{number}"}
        return json.dumps(
            {**fields, "id": str(number), **({"want": "stored"} if want else {})}
        )

    def acknowledge(self, texts: int) -> None:
        """Say that the first texts are safe."""
        if self.safe < texts and not self.goodbye:
            self.safe = texts
            self.client.send(json.dumps({"type": "ack", "seq": texts}))

    def read(self) -> None:
        """Take in what has arrived, and acknowledge it if that is done at once."""
        self.take_in()
        if self.program and self.prompt and not self.client.transport.closed:
            self.acknowledge(len(self.texts))
            self.take_in()

    def take_in(self) -> None:
        """Take in what has arrived."""
        for line in self.client.lines():
            if self.program and line.startswith("{"):
                self._read_object(json.loads(line))
            else:
                self._read_text(line.removeprefix("Enter your username: "))

    def _read_text(self, line: str) -> None:
        if self.failed or not line:
            return
        message = MESSAGE.fullmatch(line)
        accepted, refused = ACCEPTED.fullmatch(line), REFUSED.fullmatch(line)
        if message:
            self.texts.append(message[2])
        elif not self.confirm and self._read_without_confirmation(line):
            pass
        elif accepted:
            self._answered(accepted[1], accepted=True)
        elif refused:
            self._answered(refused[1], accepted=False)
        elif line.startswith(FAILED) and self.welcome:
            self._line_failed()
        elif line.startswith(NO_ANSWERS):
            self.welcome |= line.startswith("Welcome")
            self.goodbye |= line == "Goodbye."
        else:
            assert not self.welcome, line
            self.failed = True

    def _read_without_confirmation(self, line: str) -> bool:
        """Take in an answer that does not say which message it is about."""
        if line == "Goodbye." and not self.refusals:
            for sent in (each for line in self.lines for each in line.sent):
                sent.accepted = True
        failed = line.startswith(FAILED) and self.welcome
        if failed or REFUSED.fullmatch(line):
            self.refusals += 1
            return True
        return STORED.fullmatch(line) is not None

    def _read_object(self, fields: dict[str, Any]) -> None:
        match fields["type"]:
            case "message":
                assert fields["to"] == self.name
                self.texts.append(fields["text"])
                assert fields["seq"] == len(self.texts)
            case "accepted" if fields["status"] == "stored":
                self._answered(fields["to"], accepted=True)
            case "accepted":
                number = int(fields["id"])
                sent = next(
                    sent
                    for line in reversed(self.lines)
                    for sent in line.sent
                    if (sent.number, sent.target) == (number, fields["to"])
                )
                if sent.accepted is None:
                    self._answered(fields["to"], accepted=True)
                assert sent.accepted
                sent.delivered = True
            case "error" if fields["code"] == "shutting-down":
                pass
            case "error" if not self.welcome and "id" not in fields:
                self.failed = True
            case "error" if "to" in fields:
                self._answered(
                    fields["to"], accepted=False, temporary=fields["temporary"]
                )
            case "error":
                self._line_failed()
            case "welcome":
                self.welcome = True
            case "goodbye":
                self.goodbye = True
            case other:
                assert other in ("hello", "notice")

    def _answered(
        self, target: str, *, accepted: bool, temporary: bool = False
    ) -> None:
        line = self.awaited
        assert line is not None, "an answer to nothing"
        sent = line.awaited
        assert sent is not None
        assert sent.target == target, "an answer out of order"
        assert not (accepted and sent.behind and not sent.unsure), (
            f"m{sent.number} to {target} would overtake one that failed"
        )
        sent.accepted = accepted
        sent.temporary = temporary
        if temporary:
            # Once a failed one was sent again, its sender has taken note of that.
            again = (
                attempt
                for to, attempt in self.stream.again
                if to == target and attempt > sent.attempt
            )
            until = next(again, self.stream.attempts + 1)
            for later in (each for line in self.lines for each in line.sent):
                if later.target == target and sent.attempt < later.attempt < until:
                    later.behind |= later.accepted is None

    def _line_failed(self) -> None:
        line = self.awaited
        assert line is not None, "a failure of nothing"
        for sent in line.sent:
            assert sent.accepted is None
            sent.accepted = False


class Daemon(RuleBasedStateMachine):
    """What can happen, and what must hold whatever has."""

    def __init__(self) -> None:
        super().__init__()
        self._patches = [
            patch.object(queues, "PAGE_MESSAGES", 3),
            patch.object(queues, "ROW_BYTES", 12),
            patch.object(delivery, "PAGE_BYTES", 8),
            patch.object(hub, "IDLE_RECEIVERS", 2),
        ]
        for each in self._patches:
            each.start()
        self.server = MemoryServer(LIMITS)
        self.open: list[Connection] = []
        self.gone: list[Connection] = []
        self.numbers = 0
        for name in NAMES:
            self.server.log_in(name).vanish()
        self.server.settle()

    @property
    def everybody(self) -> list[Connection]:
        return self.open + self.gone

    # What users do.

    @initialize(programs=st.lists(st.booleans(), min_size=3, max_size=6))
    def begin(self, programs: list[bool]) -> None:
        for number, program in enumerate(programs):
            name = NAMES[number % len(NAMES)]
            # The lines of those who ask for no confirmation are taken together.
            confirm = number % 2 == 0
            self.connect(
                name,
                program,
                receive=True,
                reading=True,
                prompt=True,
                confirm=confirm,
            )

    @rule(
        name=st.sampled_from(NAMES),
        program=st.booleans(),
        receive=st.sampled_from([True, True, True, False]),
        reading=st.sampled_from([True, True, False]),
        prompt=st.booleans(),
        confirm=st.booleans(),
        near=st.booleans(),
    )
    def connect(
        self,
        name: str,
        program: bool,
        receive: bool,
        reading: bool,
        prompt: bool = True,
        confirm: bool = True,
        near: bool = False,
    ) -> None:
        kind = NearTransport if near else MemoryTransport
        client = self.server.connect(kind=kind)
        confirm |= program
        connection = Connection(client, name, program, receive, prompt, confirm)
        self.open.append(connection)
        connection.client.transport.reading = reading
        if program:
            login = {"type": "login", "user": name, "receive": receive}
            connection.client.send("/json", json.dumps(login))
        else:
            how = name if receive else f"/send-only {name}"
            connection.client.send(how, *(["/confirm on"] if confirm else []))

    @precondition(lambda self: self.open)
    @rule(
        which=WHICH,
        to=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
        count=st.sampled_from([1, 2, 5]),
        want=st.booleans(),
    )
    def send(self, which: int, to: list[str], count: int, want: bool = False) -> None:
        connection = self._pick(which)
        if connection.leaving:
            return
        if not connection.confirm:
            to = to[:1]
        lines = []
        for _ in range(count):
            self.numbers += 1
            lines.append(connection.send(self.numbers, to, want=want))
        connection.client.send(*lines)

    @precondition(lambda self: self.gone)
    @rule(which=WHICH, again=st.integers(0, 3))
    def come_back(self, which: int, again: int) -> None:
        """A program goes on: it sends again what had no answer, and some that had."""
        left = [each for each in self.gone if each.program and not each.leaving]
        if not left or not (gone := left[which % len(left)]).welcome:
            return
        gone.leaving = True  # nobody goes on with it twice
        answered = [line for line in gone.lines if line.awaited is None]
        settled = takewhile(lambda line: line.is_settled, reversed(answered))
        lines = [
            *reversed(list(islice(settled, again))),
            *(line for line in gone.lines if line.awaited is not None),
        ]
        self.connect(gone.name, program=True, receive=gone.receive, reading=True)
        connection = self.open[-1]
        connection.stream = gone.stream
        gone.lines = [line for line in gone.lines if line not in lines]
        connection.client.send(*map(connection.send_again, lines))

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def send_what_failed_again(self, which: int) -> None:
        """A program tries again what failed for a time, in its order."""
        connection = self._pick(which)
        if not connection.program or connection.leaving:
            return
        connection.read()
        failed = [
            sent
            for line in connection.lines
            for sent in line.sent
            if sent.accepted is False and sent.temporary
        ]
        for sent in failed:
            line = next(each for each in connection.lines if sent in each.sent)
            line.sent.remove(sent)
        connection.lines = [line for line in connection.lines if line.sent]
        again = [connection.send_again(Line([sent])) for sent in failed]
        connection.client.send(*again)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, texts=st.integers(1, 5))
    def acknowledge(self, which: int, texts: int) -> None:
        connection = self._pick(which)
        if connection.program and connection.receive:
            connection.acknowledge(min(connection.safe + texts, len(connection.texts)))

    @precondition(lambda self: self.open)
    @rule(
        which=WHICH,
        name=st.sampled_from(NAMES),
        program=st.booleans(),
        steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=6),
        behind=st.integers(0, 2),
        fails=st.booleans(),
        at_once=st.booleans(),
    )
    def a_login_and_a_message_meet(
        self,
        which: int,
        name: str,
        program: bool,
        steps: list[str],
        behind: int = 0,
        fails: bool = False,
        at_once: bool = False,
        queued: int = 2,
    ) -> None:
        """The queue is read while a message to it is written; either may be first.

        Others may wait `behind` it, and it may be refused, in the very turn in which
        what was read arrives.
        """
        store = self.server.store
        sender = self._pick(which)
        for connection in list(self.open):
            if connection.name == name and connection is not sender:
                connection.client.vanish()
                self._is_gone(connection)
        self.send(self.open.index(sender), [name], queued)
        self._mend()
        store.slow_reads = True
        self.connect(name, program, receive=True, reading=True)
        self._step("answer_reads")  # whether the name is known
        self._step("answer_reads")  # who there is
        self.server.wait(0.05)  # the greeting is acknowledged: there is room again
        store.slow = True
        for _ in range(1 + behind):
            self.send(self.open.index(sender), [name], 1)
        store.broken = fails
        for step in steps:
            getattr(store, step)()
            if not at_once:
                self.server.settle()
        self.server.settle()
        store.broken = False

    @precondition(lambda self: self.open)
    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def a_login_meets_what_waits_behind_a_refusal(self, which: int, name: str) -> None:
        """Nobody is shown what would overtake a message that was just refused."""
        self.a_login_and_a_message_meet(
            which,
            name,
            program=False,
            steps=["catch_up", "answer_reads"],
            behind=1,
            fails=True,
            at_once=True,
            queued=1,  # little, so that the login is live in this very turn
        )

    @precondition(lambda self: self.open)
    @rule(which=WHICH, name=st.sampled_from(NAMES), goes=st.booleans())
    def what_was_shown_cannot_be_written(
        self, which: int, name: str, goes: bool
    ) -> None:
        """What comes next can, and somebody new comes for both."""
        self._mend()
        sender = self._pick(which)
        self.connect(name, program=True, receive=True, reading=True, prompt=False)
        self._let_time_pass(1)
        self.server.store.broken = True
        self.send(self.open.index(sender), [name], 2)
        self.server.clock.advance(0.2)
        self.server.settle()
        for connection in list(self.open):
            if goes and connection.name == name and connection is not sender:
                connection.client.vanish()
                self._is_gone(connection)
        self.server.store.broken = False
        self.send(self.open.index(sender), [name], 1)
        self.connect(name, program=True, receive=True, reading=True)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, name=st.sampled_from(NAMES))
    def one_who_is_behind_comes_to_what_could_not_be_written(
        self, which: int, name: str
    ) -> None:
        """What was shown to another is written before what is newer."""
        self._mend()
        sender = self._pick(which)
        for connection in list(self.open):
            if connection.name == name and connection is not sender:
                connection.client.vanish()
                self._is_gone(connection)
        self.connect(name, program=False, receive=True, reading=True)
        self.connect(name, program=True, receive=True, reading=True)
        behind, live = self.open[-2:]
        self._let_time_pass(1)
        behind.client.transport.reading = False
        for _ in range(3):
            self.send(self.open.index(sender), [name], 4)
            live.read()
            self._let_time_pass(1)
        self.server.store.broken = True
        self.send(self.open.index(sender), [name], 2)
        self.server.clock.advance(0.2)
        self.server.settle()
        live.client.vanish()
        self._is_gone(live)
        self.server.store.broken = False
        self.server.store.slow = True
        self.send(self.open.index(sender), [name], 1)
        self._step("catch_up")
        if not behind.client.transport.closed:
            behind.client.resume_reading()
        self._mend()

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def what_was_delivered_cannot_be_taken_out(self, name: str, count: int) -> None:
        """It leaves the queue all the same, once it can be written."""
        self._mend()
        for connection in list(self.open):
            if connection.name == name:
                connection.client.vanish()
                self._is_gone(connection)
        self.connect(name, program=True, receive=True, reading=True)
        program = self.open[-1]
        self._let_time_pass(1)
        if program.failed:
            return
        program.prompt = False
        self.send(self.open.index(program), [name], count)
        self._let_time_pass(1)
        program.take_in()
        self.server.store.broken = True
        program.acknowledge(len(program.texts))
        self._let_time_pass(1)
        self.server.store.broken = False
        self._let_time_pass(3)
        left = set(self.server.store.queued(name)) & set(program.texts)
        assert program.client.transport.closed or not left, "what came waits for ever"

    @rule(name=st.sampled_from(NAMES), programs=st.tuples(st.booleans(), st.booleans()))
    def two_come_at_once(self, name: str, programs: tuple[bool, bool]) -> None:
        """What waits goes to one of them, not to both."""
        self._mend()
        for connection in list(self.open):
            if connection.name == name:
                connection.client.vanish()
                self._is_gone(connection)
        waiting = set(self.server.store.queued(name))
        theirs = [each for each in [*self.open, *self.gone] if each.name == name]
        # What somebody has may be in the queue still, if it could not be taken out.
        taken = {text for each in theirs for text in each.has}
        for program in programs:
            self.connect(name, program, receive=True, reading=True)
        both = self.open[-2:]
        self._let_time_pass(1)
        for _ in waiting:
            for connection in both:
                connection.read()
        if any(each.failed for each in both):
            return  # earlier ones still have lines to be processed
        first, second = (waiting & set(each.texts) for each in both)
        assert not first & second, "both get what waited"
        assert waiting - taken <= first | second, "nobody gets what waited"

    @rule(name=st.sampled_from(NAMES))
    def more_is_sent_than_there_is_room_for(self, name: str) -> None:
        """What does not fit is refused, and nothing else."""
        for connection in list(self.open):
            if connection.name == name:
                connection.client.vanish()
                self._is_gone(connection)
        for other in NAMES:
            if other != name:
                self.connect(other, program=True, receive=False, reading=True)
                self.send(len(self.open) - 1, [name], 16)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def send_and_leave(self, which: int, name: str, count: int) -> None:
        """Goodbye is said after a commit that takes its time."""
        connection = self._pick(which)
        self.server.store.slow = True
        self.send(self.open.index(connection), [name], count)
        self.leave(self.open.index(connection), by_command=True)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, to=st.sampled_from(NAMES), count=st.integers(1, 20))
    def send_much(self, which: int, to: str, count: int) -> None:
        self.send(which, [to], count)

    @precondition(lambda self: self.open)
    @rule(talks=st.lists(st.tuples(WHICH, st.sampled_from(NAMES)), max_size=8))
    def talk(self, talks: list[tuple[int, str]]) -> None:
        for which, to in talks:
            self.send(which, [to], 1)

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def stop_reading(self, which: int) -> None:
        self._pick(which).client.transport.reading = False

    @precondition(lambda self: self.open)
    @rule(name=st.sampled_from(NAMES), others=st.integers(1, 6))
    def come_while_another_reads_nothing(self, name: str, others: int) -> None:
        """The queue goes to the first; who comes then waits for that one, or not."""
        for connection in self.open:
            if connection.name == name:
                connection.client.transport.reading = False
        self.send_much(others, name, others)
        self.connect(name, program=True, receive=True, reading=True)

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def read_on(self, which: int) -> None:
        self._pick(which).client.resume_reading()

    @precondition(lambda self: self.open)
    @rule(which=WHICH)
    def vanish(self, which: int) -> None:
        connection = self._pick(which)
        connection.client.vanish()
        self._is_gone(connection)

    @precondition(lambda self: self.open)
    @rule(which=WHICH, by_command=st.booleans())
    def leave(self, which: int, by_command: bool) -> None:
        connection = self._pick(which)
        if connection.leaving:
            return
        connection.leaving = True
        if not by_command:
            connection.client.end_input()
        elif connection.program:
            connection.client.send('{"type":"quit"}')
        else:
            connection.client.send("/quit")

    # What happens to the daemon.

    @rule(
        slow=st.sampled_from([False, False, True]),
        slow_reads=st.sampled_from([False, False, True]),
    )
    def the_disk_is(self, slow: bool, slow_reads: bool) -> None:
        store = self.server.store
        store.slow, store.slow_reads = slow, slow_reads
        if not slow:
            store.catch_up()
        if not slow_reads:
            store.answer_reads()
        self.server.settle()

    @rule(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=3))
    def the_disk_gets_on(self, steps: list[str]) -> None:
        for step in steps:
            self._step(step)

    @rule(
        lack=st.sampled_from([None, None, None, "disk full"]),
        broken=st.sampled_from([False, False, False, True]),
        unreadable=st.sampled_from([False, False, False, True]),
    )
    def the_disk_fails(self, lack: str | None, broken: bool, unreadable: bool) -> None:
        store = self.server.store
        store.lack, store.broken, store.unreadable = lack, broken, unreadable

    @rule(
        seconds=st.sampled_from([0.1, 1, 10]), jump=st.sampled_from([0, 0, -3600, 3600])
    )
    def time_passes(self, seconds: float, jump: int) -> None:
        self.server.jump += jump
        self.server.clock.advance(seconds)
        self.server.settle()

    @rule(
        end=st.sampled_from(["", "", "", "killed", "stopped"]),
        programs=st.lists(st.booleans(), max_size=4),
    )
    def the_daemon_ends(self, end: str, programs: list[bool]) -> None:
        if end == "stopped":
            self._stop()
        if end:
            self._kill()
            self.begin(programs)

    def _kill(self) -> None:
        server = self.server.killed()
        for connection in list(self.open):
            self._is_gone(connection)
        self.server = server

    def _stop(self) -> None:
        self._mend()
        before = list(self.open)
        stopped = Deferred.fromCoroutine(self.server.factory.finish_conversations())
        self._let_time_pass()
        assert stopped.called, "the stop does not end"
        for connection in before:
            connection.read()
            if connection.client.transport.reading and not connection.failed:
                assert connection.awaited is None, "a line read is not answered"
        assert self.server.journal.waiting == 0

    def _step(self, step: str) -> None:
        getattr(self.server.store, step)()
        self.server.settle()

    def _pick(self, which: int) -> Connection:
        return self.open[which % len(self.open)]

    def _is_gone(self, connection: Connection) -> None:
        connection.read()
        self.open.remove(connection)
        self.gone.append(connection)

    def _mend(self) -> None:
        """Give the daemon a disk as it should be."""
        store = self.server.store
        store.lack, store.broken, store.unreadable = None, False, False
        store.slow = store.slow_reads = False
        store.catch_up()
        store.answer_reads()
        self.server.settle()

    def _let_time_pass(self, seconds: int = 30) -> None:
        self.server.end_hold()
        for _ in range(seconds):
            self.server.clock.advance(1)
            self.server.settle()

    def _let_everybody_read(self) -> None:
        """Read and acknowledge until nothing more comes for a while."""
        came, quiet = 0, 0
        while quiet < 5:
            for connection in self.open:
                connection.read()
            self._let_time_pass(1)
            before, came = came, sum(len(each.texts) for each in self.open)
            quiet = quiet + 1 if came == before else 0

    # What must hold.

    @invariant()
    def everything_accepted_is_where_it_should_be(self) -> None:
        for connection in self.open:
            connection.read()
        # An acknowledgement may have brought something to those who had read.
        for connection in self.open:
            connection.take_in()
        for name, all_sent in self._sent().items():
            queue = self.server.store.queued(name)
            assert len(set(queue)) == len(queue)
            assert len(queue) <= LIMITS.queue_messages, "a queue is over its bound"
            theirs = [each for each in self.everybody if each.name == name]
            received = {text for each in theirs for text in each.texts}
            self._check_order(queue, all_sent, before=received)
            safe = {text for each in theirs for text in each.has}
            for text, sent in all_sent.items():
                if sent.accepted:
                    assert text in safe or text in queue, f"{text} is lost"
                    assert text in safe or not sent.delivered, f"nobody has {text}"
                elif sent.accepted is False and not sent.unsure:
                    assert text not in received, f"{text} was refused, and seen"
                    assert text not in queue, f"{text} was refused, and stored"

    @invariant()
    def nobody_gets_a_message_twice_or_out_of_order(self) -> None:
        all_sent = self._sent()
        for connection in self.everybody:
            texts = connection.texts
            assert len(set(texts)) == len(texts), "twice on one connection"
            before = {
                text
                for other in self.everybody
                if other is not connection and other.name == connection.name
                for text in other.texts
            }
            self._check_order(texts, all_sent[connection.name], before)

    @invariant()
    def goodbye_is_said_to_who_has_every_answer(self) -> None:
        for connection in self.everybody:
            if connection.goodbye:
                assert connection.awaited is None
                assert connection.leaving

    @invariant()
    def the_figures_are_those_of_the_rows(self) -> None:
        self.server.check_figures()

    def _sent(self) -> dict[str, dict[str, Sent]]:
        """Return what was sent to whom, by its text."""
        found: dict[str, dict[str, Sent]] = {name: {} for name in NAMES}
        for connection in self.everybody:
            for line in connection.lines:
                for sent in line.sent:
                    found[sent.target][f"m{sent.number}"] = sent
        return found

    def _check_order(
        self, texts: list[str], all_sent: dict[str, Sent], before: set[str]
    ) -> None:
        # Attempts rise with time: those of one stream must do so wherever they are.
        last: dict[Stream, int] = {}
        for text in texts:
            sent = all_sent[text]
            if sent.unsure and text in before:
                continue  # it had come before the daemon died, and was sent again
            behind = last.get(sent.stream, 0)
            attempt = next((each for each in sent.attempts if each > behind), None)
            assert attempt, f"{text} to {sent.target} is out of order in {texts}"
            last[sent.stream] = attempt

    def teardown(self) -> None:
        """See that in the end everybody has everything, and nobody waits."""
        try:
            self._end_well()
        finally:
            for each in self._patches:
                each.stop()

    def _end_well(self) -> None:
        self._mend()
        for connection in self.open:
            connection.prompt = True
            connection.read()
        if self.numbers % 2:
            # Who waits for a stuck one takes over after a while, one after another...
            self._let_time_pass(60)
        else:
            # ... or as soon as that has gone.
            self._let_time_pass(2)
            for connection in list(self.open):
                if not connection.client.transport.reading:
                    connection.client.vanish()
                    self._is_gone(connection)
            self.server.settle()
        self._let_everybody_read()
        for connection in self.open:
            ended = connection.failed or connection.leaving
            reads = connection.receive and connection.client.transport.reading
            if reads and not ended:
                queue = self.server.store.queued(connection.name)
                assert queue == [], "a stuck receiver holds up another"
        for connection in self.open:
            connection.client.resume_reading()
        self._let_everybody_read()
        self._let_time_pass()
        self._let_everybody_read()
        self.everything_accepted_is_where_it_should_be()
        self.nobody_gets_a_message_twice_or_out_of_order()
        for connection in self.open:
            if connection.failed:
                continue
            if connection.client.transport.closed and not connection.welcome:
                continue  # the login took too long, and that it failed was not read
            assert connection.welcome, "a login hangs"
            assert connection.awaited is None, "a message has no answer"
            assert connection.goodbye == connection.leaving, "a goodbye hangs"
        server = self.server
        assert server.journal.waiting == 0
        assert server.factory.lines_waiting == 0
        assert server.hub.pending._bytes == 0
        assert server.factory.traffic.unsent == 0
        for connection in list(self.open):
            connection.client.vanish()
            self._is_gone(connection)
        server.settle()
        assert server.factory.all_gone().called, "a connection was not counted out"
        assert server.hub.online(10, "").names == []
        for name in NAMES:
            self.connect(name, program=True, receive=True, reading=True)
            (last,) = self.open
            self._let_time_pass()
            self._let_everybody_read()
            assert server.store.queued(name) == [], "a queue is not drained"
            last.client.vanish()
            self._is_gone(last)
        server.settle()
        self.everything_accepted_is_where_it_should_be()
        self.nobody_gets_a_message_twice_or_out_of_order()
        server.check_figures()
        self._let_time_pass()
        assert server.clock.getDelayedCalls() == [], "something is left to be done"


@pytest.mark.unmeasured
@pytest.mark.timeout(600 + EXAMPLES)  # a failure takes a while to be made small
def test_whatever_happens_what_was_accepted_arrives_once_and_in_order(
    logged_errors: "LoggedErrors",
) -> None:
    try:
        run_state_machine_as_test(
            Daemon,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=50,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        gc.collect()
        logged_errors.flush(StoreFailure)
