"""The line receiver: the same lines however they arrive, and no more work than needed.

The users of the receiver are those who write a protocol on top of it.
"""

import sys
from collections.abc import Callable, Iterable
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver

from chatd.server import lines
from chatd.server.lines import LinearLineReceiver

LIMIT = 8
TOO_LONG = "too long"

Seen = bytes | str | tuple[str, bytes]


class Recorder(LinearLineReceiver):
    """Records what it is given: lines, "too long", and raw data as ("raw", data).

    `react` is called with each line, before the receiver goes on.
    """

    MAX_LENGTH = LIMIT

    def __init__(self, react: Callable[["Recorder", bytes], None] | None = None):
        super().__init__()
        self.seen: list[Seen] = []
        self.react = react
        self.react_raw: Callable[[Recorder, bytes], None] | None = None
        self.makeConnection(StringTransport())

    def lineReceived(self, line: bytes) -> None:
        self.seen.append(line)
        if self.react is not None:
            self.react(self, line)

    def line_too_long(self, begin: bytes) -> None:
        assert len(begin) > self.MAX_LENGTH
        self.seen.append(TOO_LONG)

    def rawDataReceived(self, data: bytes) -> None:
        self.seen.append(("raw", data))
        if self.react_raw is not None:
            self.react_raw(self, data)

    def feed(self, *chunks: bytes) -> "Recorder":
        for chunk in chunks:
            self.dataReceived(chunk)
        return self

    def taken(self) -> list[Seen]:
        """Return what was seen since this was asked last."""
        seen, self.seen = self.seen, []
        return seen


def every_split(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    return ((data[:at], data[at:]) for at in range(len(data) + 1))


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut data into chunks of these sizes, and a last one of what is left."""
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [*chunks, data]


def pause_at(*lines: bytes) -> Callable[[Recorder, bytes], None]:
    def react(receiver: Recorder, line: bytes) -> None:
        if line in lines:
            receiver.pauseProducing()

    return react


# What arrives, and what is seen of it.
STREAMS: dict[str, tuple[bytes, list[Seen]]] = {
    "nothing": (b"", []),
    "a line": (b"Hi\n", [b"Hi"]),
    "an empty line": (b"\n", [b""]),
    "several lines": (b"a\n\nb\n", [b"a", b"", b"b"]),
    "the end may have a CR": (b"a\r\nb\n\r\n", [b"a", b"b", b""]),
    "only one CR belongs to the end": (b"a\r\r\n\r\r\n", [b"a\r", b"\r"]),
    "a CR within a line is data": (b"a\rb\n\rc\n", [b"a\rb", b"\rc"]),
    "a line without its end is awaited": (b"a\nb", [b"a"]),
    "NUL and 255 are data": (b"\x00\n\xff\n", [b"\x00", b"\xff"]),
    "the longest line": (b"12345678\na\n", [b"12345678", b"a"]),
    "the longest line with a CR": (b"12345678\r\na\n", [b"12345678", b"a"]),
    "a byte too many": (b"123456789\na\n", [TOO_LONG, b"a"]),
    "a byte too many with a CR": (b"123456789\r\na\n", [TOO_LONG, b"a"]),
    "two CR too many": (b"12345678\r\r\na\n", [TOO_LONG, b"a"]),
    "a long line between others": (
        b"a\n" + b"x" * 50 + b"\nb\n",
        [b"a", TOO_LONG, b"b"],
    ),
    "two long lines": (b"x" * 20 + b"\n" + b"y" * 20 + b"\n", [TOO_LONG, TOO_LONG]),
    "a long line without its end": (b"a\n" + b"x" * 50, [b"a", TOO_LONG]),
    "an empty line after a long one": (b"x" * 50 + b"\n\n", [TOO_LONG, b""]),
}
streams = pytest.mark.parametrize(
    ("data", "seen"), STREAMS.values(), ids=STREAMS.keys()
)


# Lines ------------------------------------------------------------------------------


@streams
def test_one_packet(data: bytes, seen: list[Seen]) -> None:
    assert Recorder().feed(data).seen == seen


@streams
def test_a_stream_split_anywhere_is_the_same_lines(
    data: bytes, seen: list[Seen]
) -> None:
    for chunks in every_split(data):
        assert Recorder().feed(*chunks).seen == seen, chunks


@streams
def test_a_stream_byte_by_byte_is_the_same_lines(data: bytes, seen: list[Seen]) -> None:
    assert Recorder().feed(*byte_by_byte(data)).seen == seen


@streams
def test_a_pause_at_every_line_changes_nothing_but_when(
    data: bytes, seen: list[Seen]
) -> None:
    receiver = Recorder(lambda receiver, line: receiver.pauseProducing())
    receiver.feed(data)
    for _ in range(len(seen)):
        receiver.resumeProducing()
    assert receiver.seen == seen


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b"x" * LIMIT])),
    st.lists(st.integers(0, 12)),
)
def test_any_split_of_any_stream_is_the_same_lines(
    pieces: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(pieces)
    whole = Recorder().feed(data)
    assert Recorder().feed(*cut(data, sizes)).seen == whole.seen
    # An independent reading of the same rules.
    *complete, rest = data.split(b"\n")
    expected: list[Seen] = []
    for line in complete:
        line = line.removesuffix(b"\r")
        expected.append(line if len(line) <= LIMIT else TOO_LONG)
    if len(rest) > LIMIT + 1:
        expected.append(TOO_LONG)
    assert whole.seen == expected


class TwistedRecorder(LineReceiver):
    """Twisted's own, in whose place ours stands."""

    delimiter = b"\n"
    MAX_LENGTH = 1_000

    def __init__(self, pauses: set[int]) -> None:
        self.seen: list[bytes] = []
        self._pauses = pauses
        self.makeConnection(StringTransport())

    def lineReceived(self, line: bytes) -> None:
        self.seen.append(line)
        if len(self.seen) in self._pauses:
            self.pauseProducing()


class OurRecorder(LinearLineReceiver):
    MAX_LENGTH = 1_000
    lineReceived = TwistedRecorder.lineReceived

    def __init__(self, pauses: set[int]) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self._pauses = pauses
        self.makeConnection(StringTransport())


@given(
    st.lists(st.binary(max_size=30).filter(lambda data: b"\r" not in data)).map(
        b"\n".join
    ),
    st.lists(st.integers(0, 40)),
    st.sets(st.integers(1, 20)),
)
def test_it_gives_the_lines_that_twisteds_own_gives_at_the_same_moments(
    data: bytes, sizes: list[int], pauses: set[int]
) -> None:
    ours, twisteds = OurRecorder(pauses), TwistedRecorder(pauses)
    for chunk in cut(data, sizes):
        ours.dataReceived(chunk)
        twisteds.dataReceived(chunk)
        assert ours.seen == twisteds.seen
        assert ours.paused == twisteds.paused
        ours.resumeProducing()
        twisteds.resumeProducing()
        assert ours.seen == twisteds.seen


# Pausing ----------------------------------------------------------------------------


def test_a_pause_within_a_packet_keeps_the_lines_after_it() -> None:
    receiver = Recorder(pause_at(b"b")).feed(b"a\nb\nc\nd")
    assert receiver.taken() == [b"a", b"b"]
    assert receiver.lines_waiting == 1
    receiver.resumeProducing()
    assert receiver.taken() == [b"c"]
    assert receiver.feed(b"e\n").taken() == [b"de"]


def test_what_arrives_during_a_pause_comes_after_what_was_there() -> None:
    receiver = Recorder(pause_at(b"a")).feed(b"a\nb\nc", b"d\ne\n")
    assert receiver.taken() == [b"a"]
    assert receiver.lines_waiting == 3
    receiver.resumeProducing()
    assert receiver.taken() == [b"b", b"cd", b"e"]


def test_a_pause_stops_the_transport_and_a_resumption_starts_it() -> None:
    receiver = Recorder(pause_at(b"a"))
    transport = receiver.transport
    assert isinstance(transport, StringTransport)
    receiver.feed(b"a\nb\n")
    assert transport.producerState == "paused"
    receiver.resumeProducing()
    assert transport.producerState == "producing"


def test_a_resumption_pauses_again_where_it_is_told_to() -> None:
    receiver = Recorder(pause_at(b"a", b"c")).feed(b"a\nb\nc\nd\n")
    receiver.resumeProducing()
    assert receiver.taken() == [b"a", b"b", b"c"]
    receiver.resumeProducing()
    assert receiver.taken() == [b"d"]


def test_nothing_is_called_too_long_during_a_pause() -> None:
    """The line that is awaited may still raise the limit, or end the conversation."""
    receiver = Recorder(pause_at(b"a")).feed(b"a\n", b"x" * 50)
    assert receiver.taken() == [b"a"]
    receiver.resumeProducing()
    assert receiver.taken() == [TOO_LONG]
    assert receiver.feed(b"x" * 50, b"x\nb\n").taken() == [b"b"]


def test_a_long_line_that_ends_during_a_pause_is_reported_once() -> None:
    receiver = Recorder(pause_at(b"a")).feed(b"a\n", b"x" * 50, b"x\nb\n")
    receiver.resumeProducing()
    assert receiver.taken() == [b"a", TOO_LONG, b"b"]


def test_lines_are_still_delivered_after_the_connection_is_lost() -> None:
    receiver = Recorder(pause_at(b"a")).feed(b"a\nb\n")
    receiver.connectionLost(connectionDone)
    receiver.resumeProducing()
    assert receiver.taken() == [b"a", b"b"]


# Re-entrancy ------------------------------------------------------------------------


def test_data_that_a_line_brings_about_comes_after_the_lines_before_it() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        if line == b"a":
            receiver.feed(b"x\ny")

    assert Recorder(react).feed(b"a\nb\nc\n", b"z\n").seen == [
        b"a",
        b"b",
        b"c",
        b"x",
        b"yz",
    ]


def test_a_line_that_pauses_and_resumes_at_once_does_not_overtake_itself() -> None:
    order: list[bytes] = []

    def react(receiver: Recorder, line: bytes) -> None:
        receiver.pauseProducing()
        receiver.resumeProducing()
        order.append(line)

    Recorder(react).feed(b"a\nb\nc\n")
    assert order == [b"a", b"b", b"c"]


def test_a_resumption_from_within_every_line_needs_no_deep_stack() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        receiver.resumeProducing()

    assert Recorder(react).feed(b"a\n" * 10_000).seen == [b"a"] * 10_000


def test_a_line_that_fails_takes_no_other_with_it() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        if line == b"bad":
            raise RuntimeError("a bug")

    receiver = Recorder(react)
    with pytest.raises(RuntimeError, match="a bug"):
        receiver.feed(b"a\nbad\nb\n")
    assert receiver.feed(b"c\n").seen == [b"a", b"bad", b"b", b"c"]


def test_what_is_dropped_within_a_packet_is_not_delivered() -> None:
    dropped = []

    def react(receiver: Recorder, line: bytes) -> None:
        if line == b"a":
            dropped.append(receiver.clearLineBuffer())

    assert Recorder(react).feed(b"a\nb\r\nc", b"d\n").seen == [b"a", b"d"]
    assert dropped == [b"b\r\nc"]


# Too long ---------------------------------------------------------------------------


def test_a_line_without_an_end_is_reported_while_it_still_arrives() -> None:
    receiver = Recorder().feed(b"a\n", b"x" * (LIMIT + 1))
    # The ninth byte may still be the CR of a line that is not too long.
    assert receiver.taken() == [b"a"]
    assert receiver.feed(b"x").taken() == [TOO_LONG]
    assert receiver.feed(*[b"x" * 100] * 100).taken() == []
    assert receiver.feed(b"\nb\n").taken() == [b"b"]


def test_what_is_skipped_is_not_kept() -> None:
    receiver = Recorder().feed(*[b"x" * 100] * 1_000)
    assert receiver.clearLineBuffer() == b""


def test_the_limit_that_a_line_sets_counts_for_the_rest_of_its_packet() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        if line == b"more":
            receiver.MAX_LENGTH = 20
        if line == b"less":
            receiver.MAX_LENGTH = 4

    longer, shorter = b"x" * 20, b"x" * 5
    data = b"more\n" + longer + b"\nless\n" + shorter + b"\n"
    expected = [b"more", longer, b"less", TOO_LONG]
    for chunks in every_split(data):
        assert Recorder(react).feed(*chunks).seen == expected, chunks


def test_the_limit_that_a_line_sets_counts_for_the_unfinished_one_after_it() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        receiver.MAX_LENGTH = 20

    receiver = Recorder(react).feed(b"more\n" + b"x" * 20)
    assert receiver.seen == [b"more"]
    assert receiver.feed(b"\n").seen == [b"more", b"x" * 20]


# The end of the input ---------------------------------------------------------------


def test_the_last_line_counts_without_its_end_once_the_input_has_ended() -> None:
    receiver = Recorder().feed(b"a\nb\r")
    receiver.take_tail()
    receiver.take_tail()
    assert receiver.seen == [b"a", b"b"]


def test_nothing_after_the_last_end_is_no_line() -> None:
    receiver = Recorder().feed(b"a\n")
    receiver.take_tail()
    assert receiver.seen == [b"a"]


def test_a_long_line_that_the_input_ends_in_is_reported_once() -> None:
    receiver = Recorder().feed(b"x" * 50)
    receiver.take_tail()
    assert receiver.seen == [TOO_LONG]


def test_a_last_line_of_one_byte_too_many_is_too_long() -> None:
    receiver = Recorder().feed(b"x" * (LIMIT + 1))
    receiver.take_tail()
    assert receiver.seen == [TOO_LONG]


def test_a_last_line_waits_for_the_end_of_a_pause() -> None:
    receiver = Recorder(pause_at(b"a")).feed(b"a\nb\nc")
    receiver.take_tail()
    assert receiver.taken() == [b"a"]
    receiver.resumeProducing()
    assert receiver.taken() == [b"b", b"c"]


# Raw mode ---------------------------------------------------------------------------


def raw_at(*lines: bytes, pause: bool = False) -> Callable[[Recorder, bytes], None]:
    def react(receiver: Recorder, line: bytes) -> None:
        if line in lines:
            receiver.setRawMode()
            if pause:
                receiver.pauseProducing()

    return react


def raw_data(receiver: Recorder) -> bytes:
    return b"".join(each[1] for each in receiver.seen if isinstance(each, tuple))


def test_raw_mode_gets_the_rest_of_the_packet_as_it_was() -> None:
    receiver = Recorder(raw_at(b"raw")).feed(b"a\nraw\nb\r\n\nc", b"d\n")
    assert receiver.seen == [b"a", b"raw", ("raw", b"b\r\n\nc"), ("raw", b"d\n")]


def test_raw_data_is_never_too_long() -> None:
    receiver = Recorder(raw_at(b"raw")).feed(b"raw\n", b"x" * 1_000)
    assert receiver.seen == [b"raw", ("raw", b"x" * 1_000)]


def test_raw_mode_pauses_too() -> None:
    receiver = Recorder(raw_at(b"raw", pause=True)).feed(b"raw\nab", b"cd\n")
    assert receiver.seen == [b"raw"]
    receiver.resumeProducing()
    assert raw_data(receiver) == b"abcd\n"


def test_raw_data_that_arrives_within_a_line_comes_after_what_was_there() -> None:
    def react(receiver: Recorder, line: bytes) -> None:
        receiver.setRawMode()
        receiver.feed(b"cd")

    receiver = Recorder(react).feed(b"raw\nab")
    assert raw_data(receiver) == b"abcd"


def test_lines_come_again_after_raw_mode() -> None:
    receiver = Recorder(raw_at(b"raw"))
    receiver.react_raw = lambda receiver, data: receiver.setLineMode(data[3:])
    receiver.feed(b"raw\nxyzb\nc", b"d\n")
    assert receiver.seen == [b"raw", ("raw", b"xyzb\nc"), b"b", b"cd"]


def test_lines_that_raw_mode_did_not_take_come_as_lines() -> None:
    receiver = Recorder(raw_at(b"raw", pause=True)).feed(b"raw\nb\nc", b"d\ne\n")
    receiver.setLineMode()
    receiver.resumeProducing()
    assert receiver.seen == [b"raw", b"b", b"cd", b"e"]


def test_changing_modes_within_a_packet_needs_no_deep_stack() -> None:
    receiver = Recorder(raw_at(b"raw"))
    receiver.react_raw = lambda receiver, data: receiver.setLineMode(data[1:])
    receiver.feed(b"raw\n!" * 2_000)
    assert [each for each in receiver.seen if each == b"raw"] == [b"raw"] * 2_000


# Cost -------------------------------------------------------------------------------


class CountingBytes(bytes):
    """Bytes that count how many of them are copied by slices, splits and sums."""

    copied = 0

    def split(self, *args: object, **kwargs: object) -> list[bytes]:  # type: ignore[override]
        type(self).copied += len(self)
        return super().split(*args, **kwargs)  # type: ignore[arg-type]

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        found = super().__getitem__(key)  # type: ignore[index]
        if isinstance(found, bytes):
            type(self).copied += len(found)
            return type(self)(found)
        return found

    def __add__(self, other: object) -> bytes:  # type: ignore[override]
        type(self).copied += len(self)
        return type(self)(super().__add__(other))  # type: ignore[operator]


class Steps:
    """Counts the lines of Python that run in the line receiver's module."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, work: Callable[[], object]) -> int:
        def trace(frame: object, event: str, argument: object) -> object:
            code: CodeType = frame.f_code  # type: ignore[attr-defined]
            if code.co_filename != lines.__file__:
                return None
            if event == "line":
                self.count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            work()
        finally:
            sys.settrace(before)
        return self.count


def steps_of_a_packet(size: int) -> int:
    receiver = Recorder()
    return Steps().of(lambda: receiver.feed(b"\n" * size))


def test_a_packet_of_newlines_costs_as_much_a_line_however_long_it_is() -> None:
    small, large = steps_of_a_packet(1_000), steps_of_a_packet(8_000)
    assert large <= 8 * small


def test_a_packet_is_copied_once_however_many_lines_it_has() -> None:
    CountingBytes.copied = 0
    data = CountingBytes(b"ab\n" * 10_000)
    assert len(Recorder().feed(data).seen) == 10_000
    assert CountingBytes.copied == len(data)


def test_lines_that_are_taken_one_by_one_cost_no_more_than_at_once() -> None:
    CountingBytes.copied = 0
    data = CountingBytes(b"ab\n" * 10_000)
    receiver = Recorder(lambda receiver, line: receiver.pauseProducing())
    receiver.feed(data)
    while receiver.lines_waiting:
        receiver.resumeProducing()
    assert len(receiver.seen) == 10_000
    assert CountingBytes.copied == len(data)


def test_lines_that_cannot_be_taken_at_once_are_not_all_looked_at_for_each() -> None:
    class Choosy(Recorder):
        takes_chunks = True
        looked_at = 0

        def take_chunk(self, chunk: bytes) -> int:
            self.looked_at += len(chunk)
            return 0

    data = b"ab\n" * 10_000
    receiver = Choosy(lambda receiver, line: receiver.pauseProducing())
    receiver.feed(data)
    while receiver.lines_waiting:
        receiver.resumeProducing()
    assert len(receiver.seen) == 10_000
    assert receiver.looked_at < 20 * len(data)


def test_a_line_that_drips_in_costs_as_much_a_byte_however_long_it_is() -> None:
    class Dripping(Recorder):
        MAX_LENGTH = 100_000

    def steps(size: int) -> int:
        receiver = Dripping()
        return Steps().of(lambda: receiver.feed(*[b"x"] * size))

    assert steps(8_000) <= 8 * steps(1_000)
