"""The plain front end on pipes and files: what is read, what is written, the end."""

import os
import pty
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed

from chatd.client.frontends.completion import Completions
from chatd.client.frontends.frontend import MAX_TYPED, Kind, Line
from chatd.client.frontends.plain import Plain
from chatd.wire.message import Message

SECONDS = 60


class Core:
    """A core that writes down what is typed; it has room for `room` lines more."""

    user = "alice"

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.when_entered: Deferred[None] | None = None
        self.ends = 0
        self.held = False
        self.output_losses = 0
        self.room = 1_000_000
        self.input_ended: Deferred[None] = Deferred()
        self.full: Deferred[None] = Deferred()
        self.incoming_held: Deferred[None] = Deferred()
        self._waiting: Deferred[None] | None = None

    def enter(self, text: str) -> None:
        self.room -= 1
        self.entered.append(text)
        if self.when_entered is not None:
            self.when_entered.callback(None)

    def end_of_input(self) -> None:
        self.ends += 1
        self.input_ended.callback(None)

    def typing(self, text: str) -> None:
        raise AssertionError("a pipe has nothing half typed")

    def completions(self) -> Completions:
        return Completions([], {})

    def longest(self) -> int:
        return MAX_TYPED

    def focus(self) -> str:
        return ""

    def destination(self, typed: str) -> str:
        return ""

    def unread(self) -> list[tuple[str, int]]:
        return []

    def when_room(self) -> Deferred[None]:
        if self.room > 0:
            return succeed(None)
        self._waiting = Deferred()
        if not self.full.called:
            from twisted.internet import reactor

            reactor.callLater(0, self.full.callback, None)  # type: ignore[attr-defined]
        return self._waiting

    def make_room(self, room: int) -> None:
        self.room = room
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        waiting.callback(None)

    def hold_incoming(self) -> None:
        self.held = True
        if not self.incoming_held.called:
            self.incoming_held.callback(None)

    def release_incoming(self) -> None:
        self.held = False

    def output_lost(self) -> None:
        self.output_losses += 1


async def within(work: Deferred[None]) -> None:
    from twisted.internet import reactor

    await work.addTimeout(SECONDS, reactor)  # type: ignore[arg-type]


class Desk:
    """The plain front end, with pipes or files in place of the standard streams."""

    def __init__(self, stdin: int | None = None, stdout: int | None = None) -> None:
        from twisted.internet import reactor

        self._to_close: list[int] = []
        self.stdin, self.typing = self.pipe() if stdin is None else (stdin, -1)
        self.output, self.stdout = self.pipe() if stdout is None else (-1, stdout)
        self.errors, self.stderr = self.pipe()
        if self.output >= 0:
            os.set_blocking(self.output, False)
        self.core = Core()
        self.plain = Plain(reactor, self.stdin, self.stdout, self.stderr)  # type: ignore[arg-type]
        self.ended: Deferred[None]

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._to_close += ends
        return ends

    def start(self) -> None:
        self.ended = self.plain.start(self.core)

    def type(self, data: bytes) -> None:
        os.write(self.typing, data)

    def close_one(self, descriptor: int) -> None:
        self._to_close.remove(descriptor)
        os.close(descriptor)

    async def end(self) -> None:
        self.plain.stop()
        await within(self.ended)

    async def read_some(self) -> bytes:
        """Return what there is of the output, a turn of the reactor later."""
        from twisted.internet import reactor, task

        await task.deferLater(reactor, 0)  # type: ignore[arg-type]
        with suppress(BlockingIOError):
            return os.read(self.output, 1 << 20)
        return b""

    def written(self) -> tuple[bytes, bytes]:
        """Close both outputs, and return what was written to them."""
        self.close_one(self.stdout)
        self.close_one(self.stderr)
        return drained(self.output), drained(self.errors)

    def close(self) -> None:
        for each in self._to_close:
            os.close(each)


def drained(descriptor: int) -> bytes:
    data = b""
    while more := os.read(descriptor, 65536):
        data += more
    return data


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


@pytest_twisted.ensureDeferred
async def test_lines_are_entered_and_the_end_of_the_input_is_told_once(
    desk: Desk,
) -> None:
    desk.start()
    desk.type("bob-Hé\r\n\ncarol-Hi\nlast, without an end".encode())
    desk.close_one(desk.typing)
    await within(desk.core.input_ended)
    assert desk.core.entered == ["bob-Hé", "", "carol-Hi", "last, without an end"]
    await desk.end()
    assert desk.core.ends == 1


@pytest_twisted.ensureDeferred
async def test_bytes_that_are_no_utf8_are_handed_over_for_the_core_to_refuse(
    desk: Desk,
) -> None:
    desk.start()
    desk.type(b"bob-\xff\n")
    desk.close_one(desk.typing)
    await within(desk.core.input_ended)
    assert desk.core.entered == ["bob-\udcff"]
    await desk.end()


@pytest.mark.parametrize("end", [b"\nbob-Hi\n", b""])
@pytest_twisted.ensureDeferred
async def test_a_line_that_is_too_long_is_cut_but_still_too_long(
    tmp_path: Path, end: bytes
) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"bob-" + b"x" * (2 * MAX_TYPED) + end)
    with file.open("rb") as stream:
        desk = Desk(stdin=stream.fileno())
        desk.start()
        await within(desk.core.input_ended)
        assert MAX_TYPED < len(desk.core.entered[0]) < MAX_TYPED + 70_000
        assert desk.core.entered[1:] == (["bob-Hi"] if end else [])
        await desk.end()
        desk.close()


@pytest_twisted.ensureDeferred
async def test_no_more_is_read_than_the_core_has_room_for(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_text("".join(f"bob-{number}\n" for number in range(100_000)))
    with file.open("rb") as stream:
        desk = Desk(stdin=stream.fileno())
        desk.core.room = 10
        desk.start()
        await within(desk.core.full)
        assert len(desk.core.entered) == 10
        assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) <= 2 * 65536
        desk.core.make_room(5)
        assert len(desk.core.entered) == 15
        assert desk.core.ends == 0
        desk.core.make_room(1_000_000)
        await within(desk.core.input_ended)
        assert desk.core.entered == [f"bob-{number}" for number in range(100_000)]
        await desk.end()
        desk.close()


@pytest_twisted.ensureDeferred
async def test_a_stop_while_lines_wait_for_room_enters_no_more(desk: Desk) -> None:
    desk.core.room = 1
    desk.start()
    desk.type(b"1\n2\n3\n")
    await within(desk.core.full)
    await desk.end()
    desk.core.make_room(10)
    assert desk.core.entered == ["1"]


@pytest_twisted.ensureDeferred
async def test_messages_and_answers_go_to_the_output_the_rest_to_the_errors(
    desk: Desk,
) -> None:
    desk.plain.show(Line(Kind.NOTICE, "before the start"))
    desk.start()
    for kind in Kind:
        desk.plain.show(Line(kind, f"{kind.name} \u202f\ud800"))
    await desk.end()
    desk.plain.show(Line(Kind.MESSAGE, "after the end"))
    output, errors = desk.written()
    assert output.decode() == "MESSAGE \u202f?\nANSWER \u202f?\nafter the end\n"
    assert errors.decode() == "before the start\nNOTICE \u202f?\nERROR \u202f?\n"


@pytest_twisted.ensureDeferred
async def test_where_both_are_one_stream_the_order_holds() -> None:
    desk = Desk()
    os.dup2(desk.stdout, desk.stderr)
    desk = again(desk)
    desk.start()
    kinds = [Kind.MESSAGE, Kind.ERROR, Kind.ANSWER, Kind.NOTICE]
    for kind in kinds:
        desk.plain.show(Line(kind, kind.name))
    await desk.end()
    output, _ = desk.written()
    assert output.decode().split() == [kind.name for kind in kinds]
    desk.close()


def again(desk: Desk) -> Desk:
    """Make the front end anew, which looks at its streams when it is made."""
    from twisted.internet import reactor

    desk.plain = Plain(reactor, desk.stdin, desk.stdout, desk.stderr)  # type: ignore[arg-type]
    return desk


@pytest_twisted.ensureDeferred
async def test_everything_shown_is_written_before_the_end(desk: Desk) -> None:
    desk.start()
    lines = [f"bob: {number} {'x' * 100}" for number in range(10_000)]
    for line in lines:
        desk.plain.show(Line(Kind.MESSAGE, line))
    await within(desk.core.incoming_held)
    desk.plain.stop()
    desk.plain.stop()
    assert not desk.ended.called
    data = b""
    while not desk.ended.called:
        data += await desk.read_some()
    rest, _ = desk.written()
    assert (data + rest).decode().splitlines() == lines


@pytest_twisted.ensureDeferred
async def test_nothing_is_received_while_nobody_reads_the_output(desk: Desk) -> None:
    desk.start()
    desk.plain.show(Line(Kind.MESSAGE, "x" * 1_000_000))
    await within(desk.core.incoming_held)
    assert desk.core.held
    size = 0
    while desk.core.held:
        size += len(await desk.read_some())
    await desk.end()
    output, _ = desk.written()
    assert size + len(output) == 1_000_001


@pytest_twisted.ensureDeferred
async def test_who_only_sends_needs_no_reader(desk: Desk) -> None:
    desk.start()
    desk.close_one(desk.output)
    desk.type(b"bob-Hi\n")
    desk.close_one(desk.typing)
    await within(desk.core.input_ended)
    assert desk.core.output_losses == 0
    await desk.end()


@pytest_twisted.ensureDeferred
async def test_the_core_is_told_when_something_cannot_be_shown(desk: Desk) -> None:
    from twisted.internet import reactor, task

    desk.start()
    desk.close_one(desk.output)
    while not desk.core.output_losses:
        desk.plain.show(Line(Kind.MESSAGE, "bob: Hi"))
        await task.deferLater(reactor, 0)  # type: ignore[arg-type]
    await desk.end()


@pytest_twisted.ensureDeferred
async def test_the_streams_are_left_as_they_were(desk: Desk) -> None:
    desk.start()
    assert not os.get_blocking(desk.stdin)
    desk.close_one(desk.typing)
    await within(desk.core.input_ended)
    await desk.end()
    assert os.get_blocking(desk.stdin)
    assert os.get_blocking(desk.stdout)


@pytest_twisted.ensureDeferred
async def test_regular_files_and_the_null_device_will_do(tmp_path: Path) -> None:
    target = tmp_path / "output"
    empty = os.open(os.devnull, os.O_RDONLY)
    with target.open("wb") as stream:
        desk = Desk(stdin=empty, stdout=stream.fileno())
        desk.start()
        await within(desk.core.input_ended)
        desk.plain.show(Line(Kind.MESSAGE, "bob: Hi"))
        await desk.end()
        desk.close()
    os.close(empty)
    assert target.read_text() == "bob: Hi\n"


@pytest_twisted.ensureDeferred
async def test_errors_are_written_whole_however_slow_their_reader(
    desk: Desk,
) -> None:
    from twisted.internet import threads

    os.set_blocking(desk.stderr, False)
    desk.start()

    def read_all() -> None:
        size = 0
        while size < 300_001:
            size += len(os.read(desk.errors, 65536))

    reading = threads.deferToThread(read_all)
    desk.plain.show(Line(Kind.ERROR, "x" * 300_000))
    await within(reading)
    await desk.end()


# Hidden input ------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Yield both ends of a terminal."""
    ends = pty.openpty()
    yield ends
    for each in ends:
        os.close(each)


def echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


@pytest.mark.parametrize("how", ["shown", "rescued"])
@pytest_twisted.ensureDeferred
async def test_a_terminal_does_not_show_what_is_hidden(
    terminal: tuple[int, int], how: str
) -> None:
    keyboard, screen = terminal
    before = termios.tcgetattr(screen)
    desk = Desk(stdin=screen)
    desk.start()
    os.write(keyboard, b"bob-half")
    shown = b""
    while shown != b"bob-half":  # only then the terminal has it
        shown += os.read(keyboard, 1)
    desk.plain.hide_input(True)
    desk.plain.hide_input(True)
    assert not echoes(screen)
    entered: Deferred[None] = Deferred()
    desk.core.when_entered = entered
    os.write(keyboard, b"secret\n")
    await within(entered)
    assert desk.core.entered == ["secret"]
    if how == "shown":
        desk.plain.hide_input(False)
    else:
        desk.plain.rescue()
    assert termios.tcgetattr(screen) == before
    assert os.read(keyboard, 4096) == b"\r\n"
    await desk.end()
    desk.close()


@pytest_twisted.ensureDeferred
async def test_the_end_shows_again_what_is_typed(terminal: tuple[int, int]) -> None:
    desk = Desk(stdin=terminal[1])
    desk.start()
    desk.plain.hide_input(True)
    await desk.end()
    desk.close()
    assert echoes(terminal[1])


@pytest_twisted.ensureDeferred
async def test_in_a_pipe_there_is_nothing_to_hide(desk: Desk) -> None:
    desk.start()
    desk.type(b"bob-Hi\n")
    desk.plain.hide_input(True)
    desk.plain.hide_input(False)
    desk.close_one(desk.typing)
    await within(desk.core.input_ended)
    assert desk.core.entered == ["bob-Hi"]
    await desk.end()


@pytest_twisted.ensureDeferred
async def test_no_bell_rings_where_there_is_no_terminal(desk: Desk) -> None:
    from twisted.internet import reactor

    desk.plain = Plain(reactor, desk.stdin, desk.stdout, desk.stderr, bell=True)  # type: ignore[arg-type]
    desk.start()
    desk.plain.received(Message(1, "id", "bob", "alice", "Hi \a", 0, 5), queued=False)
    await desk.end()
    output, errors = desk.written()
    assert (output.decode(), errors) == ("bob: Hi \ufffd\n", b"")
