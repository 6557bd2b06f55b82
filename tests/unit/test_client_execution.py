"""The command of each message: how it is found, told, run, and run again."""

import errno
import os
import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chatd.client.connection.events import Incoming
from chatd.client.script import execution
from chatd.client.script.execution import BadCommand, Execution, parse_command
from chatd.client.script.listening import Unhandled
from chatd.client.statuses import Status
from chatd.wire.message import Message

TIME = 1_795_000_000_007


def incoming(text: str = "Hi", *, id: str = "id-1", queued: bool = False) -> Incoming:
    return Incoming(Message(1, id, "bob", "alice", text, TIME, 0), queued)


class Child:
    """A process, played by the test (`IProcessTransport`)."""

    def __init__(self, protocol: Any, command: list[bytes], told: Any) -> None:
        self.protocol = protocol
        self.command = command
        self.told = told
        self.input = b""
        self.closed = False
        self.signals: list[str] = []
        self.gone = False

    def write(self, data: bytes) -> None:
        self.input += data

    def closeStdin(self) -> None:
        self.closed = True

    def loseConnection(self) -> None:
        self.closed = True

    def signalProcess(self, name: str) -> None:
        assert not self.gone
        self.signals.append(name)

    def end(self, status: int = 0, signal: int | None = None) -> None:
        self.gone = True
        how = ProcessTerminated(status, signal) if status or signal else ProcessDone(0)
        self.protocol.processExited(Failure(how))


class Reactor(Clock):
    """A reactor that starts no processes."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []
        self.error: OSError | None = None

    def spawnProcess(
        self,
        protocol: Any,
        program: bytes,
        arguments: Any,
        environment: Any,
        **how: Any,
    ) -> None:
        assert how == {"childFDs": {0: "w", 1: 1, 2: 2}}
        if self.error is not None:
            raise self.error
        child = Child(protocol, [program, *arguments], environment)
        self.children.append(child)
        protocol.makeConnection(child)


class Run:
    """A command, and what becomes of one message."""

    def __init__(self, attempts: int | None = None, **fields: Any) -> None:
        self.reactor = Reactor()
        self.told: list[str] = []
        self.execution = Execution(
            ["/bin/do", "do", "it"],
            self.reactor,
            self.told.append,
            attempts,
            {b"PATH": b"/bin"},
        )
        self.results: list[Any] = []
        self.handling: Deferred[None] = self.execution.handle(incoming(**fields))
        self.handling.addBoth(self.results.append)

    @property
    def child(self) -> Child:
        return self.reactor.children[-1]

    def unhandled(self) -> Unhandled:
        (failure,) = self.results
        assert isinstance(failure.value, Unhandled)
        return failure.value


# The command -------------------------------------------------------------------------


def test_a_command_is_split_into_words_and_found_on_the_path() -> None:
    program = sys.executable
    found = parse_command(f"{program} -c 'print(1)' \"two words\" $HOME ; rm *")
    assert found == [
        program,
        program,
        "-c",
        "print(1)",
        "two words",
        "$HOME",
        ";",
        "rm",
        "*",
    ]
    assert parse_command("sh")[0].endswith("/sh")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no command."),
        ("'a", '"\'a" is no command: no closing quotation.'),
        ("/no/such", "there is no program '/no/such' that can be run."),
        ("/etc/passwd", "there is no program '/etc/passwd' that can be run."),
        ("/etc", "there is no program '/etc' that can be run."),
    ],
)
def test_what_cannot_be_run_is_said_so(text: str, why: str) -> None:
    with pytest.raises(BadCommand) as error:
        parse_command(text)
    assert str(error.value) == why


# One run -----------------------------------------------------------------------------


def test_a_command_is_told_everything_and_is_done_with_status_0() -> None:
    run = Run(text="Grüße\nx\x00y", queued=True)
    assert run.child.command == [b"/bin/do", b"do", b"it"]
    assert (run.child.input.decode(), run.child.closed) == ("Grüße\nx\x00y", True)
    assert run.child.told == {
        b"PATH": b"/bin",
        b"CHAT_FROM": b"bob",
        b"CHAT_TO": b"alice",
        b"CHAT_ID": b"id-1",
        b"CHAT_TIME": b"2026-11-18T11:06:40.007Z",
        b"CHAT_QUEUED": b"true",
    }
    assert run.results == []
    run.child.end()
    assert (run.results, run.told) == ([None], [])


def test_what_no_environment_takes_is_replaced() -> None:
    assert Run(id="a\x00b").child.told[b"CHAT_ID"] == "a\ufffdb".encode()


def test_a_command_that_fails_is_run_again_after_growing_pauses() -> None:
    run = Run()
    run.child.end(3)
    run.reactor.advance(0.99)
    assert len(run.reactor.children) == 1
    run.reactor.advance(0.01)
    run.child.end(signal=9)
    run.reactor.advance(2)
    assert run.child.input == b"Hi"
    assert run.told == [
        "The command failed for message id-1 from bob (status 3, attempt 1); running"
        " it again in 1 s.",
        "The command failed for message id-1 from bob (SIGKILL, attempt 2); running"
        " it again in 2 s.",
    ]
    run.child.end()
    assert run.results == [None]


def test_pauses_grow_to_a_minute_and_no_further() -> None:
    run = Run()
    for _ in range(8):
        run.child.end(1)
        run.reactor.advance(execution.LONGEST_PAUSE_SECONDS)
    pauses = [each.rpartition(" in ")[2] for each in run.told]
    assert pauses == [
        "1 s.",
        "2 s.",
        "4 s.",
        "8 s.",
        "16 s.",
        "32 s.",
        "60 s.",
        "60 s.",
    ]


def test_the_next_message_begins_with_a_short_pause_again() -> None:
    run = Run()
    run.child.end(1)
    run.reactor.advance(1)
    run.child.end()
    run.execution.handle(incoming(id="id-2"))
    run.child.end(1)
    assert run.told[-1].endswith(
        "message id-2 from bob (status 1, attempt 1); running it again in 1 s."
    )


def test_after_so_many_attempts_it_is_given_up() -> None:
    run = Run(attempts=2)
    run.child.end(1)
    run.reactor.advance(1)
    run.child.end(1)
    unhandled = run.unhandled()
    assert unhandled.status == Status.COMMAND_FAILED
    assert str(unhandled) == (
        "The command failed for message id-1 from bob (status 1, attempt 2). It comes"
        " again."
    )


def test_a_program_that_is_gone_is_a_failure_like_others() -> None:
    run = Run()
    run.child.end(1)
    run.reactor.error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    run.reactor.advance(1)
    assert "(it cannot be run: No such file or directory, attempt 2)" in run.told[-1]
    run.reactor.error = None
    run.reactor.advance(2)
    run.child.end()
    assert run.results == [None]


# The end -----------------------------------------------------------------------------


def test_what_runs_when_it_stops_may_come_to_its_end() -> None:
    run = Run()
    run.execution.stop()
    run.child.end()
    assert run.results == [None]


def test_what_fails_when_it_stops_is_not_run_again() -> None:
    run = Run()
    run.execution.stop()
    run.child.end(signal=2)
    assert run.unhandled().status == Status.NOT_ACCEPTED
    assert run.reactor.getDelayedCalls() == []


def test_what_waits_to_be_run_again_when_it_stops_is_not() -> None:
    run = Run()
    run.child.end(1)
    run.execution.stop()
    assert run.unhandled().status == Status.NOT_ACCEPTED
    assert run.reactor.getDelayedCalls() == []


def test_what_has_no_time_left_is_ended() -> None:
    run = Run()
    run.execution.abandon()
    assert run.child.signals == ["TERM"]
    run.child.end(signal=15)
    run.execution.abandon()
