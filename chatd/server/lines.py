"""A `LineReceiver` that stays linear, whatever it is sent.

Twisted's `LineReceiver` splits one line at a time off its buffer, which copies the rest
each time: a packet full of newlines freezes the reactor. This one splits what arrives
once, and keeps the complete lines until they are taken. What its users rely on is the
same: lines arrive one by one, none while paused, raw mode takes over within a chunk.
Lines that are too long are skipped to their end, and reported once each.
"""

from collections import deque

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure


class LinearLineReceiver(LineReceiver):
    """Receives lines that end in LF or CRLF.

    `MAX_LENGTH` is the longest line in bytes, without its end. Lines that were received
    are delivered even after the connection is lost, as long as it is not paused.
    """

    delimiter = b"\n"
    MAX_LENGTH = 16384

    takes_chunks = False
    """Whether `take_chunk` is asked before lines are taken one by one."""

    _skipping = False
    _raw = False

    def __init__(self) -> None:
        # All that every connection will have. Instances share their attributes' names
        # only if they get them early: else each keeps a dictionary, of 800 bytes.
        self.paused = False
        # Most connections wait most of the time: then there is nothing to keep.
        self._lines: deque[bytes] | None = None
        self._tail: bytes | bytearray = b""
        self._delivering = False
        # How many lines are taken one by one before all that wait are tried at once
        # again, and how many it were after the last time that none could be taken so.
        self._one_by_one = 0
        self._last_one_by_one = 0

    @property
    def alive(self) -> bool:
        """Whether the connection is made, and not lost."""
        return bool(self.connected)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take note that the connection is lost (`IProtocol`)."""
        self.connected = 0

    @property
    def lines_waiting(self) -> int:
        """How many complete lines were received and not delivered yet."""
        return 0 if self._lines is None else len(self._lines)

    @property
    def something_waits(self) -> bool:
        """Whether anything was received and not delivered yet."""
        return bool(self._lines or self._tail)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the transport, and deliver the lines they complete."""
        if self._raw:
            # Behind what waits; it may be paused, or not be done with what was before.
            self._add_to_tail(data)
            self.deliver_lines()
            return
        if self.takes_chunks and not (
            self._lines or self._skipping or self._delivering or self.paused
        ):
            data = self._take_first(data)
            if not data:
                return
        *complete, rest = data.split(b"\n")
        if complete:
            if self._skipping:
                self._skipping = False
                del complete[0]
            else:
                complete[0] = bytes(self._tail) + complete[0]
                self._tail = b""
            if self._lines is None:
                self._lines = deque(complete)
            else:
                self._lines.extend(complete)
        if not self._skipping:
            self._add_to_tail(rest)
        self.deliver_lines()
        if self.paused and self.something_waits and self.transport is not None:
            self.pauseProducing()  # whoever paused it may have left the reading to this

    def _add_to_tail(self, data: bytes) -> None:
        if not self._tail:
            self._tail = data
        else:
            # It may come byte by byte.
            if isinstance(self._tail, bytes):
                self._tail = bytearray(self._tail)
            self._tail += data

    def _take_first(self, data: bytes) -> bytes:
        """Take what can be taken at once; return what is left."""
        end = data.rfind(b"\n") + 1
        if end == len(data) and not self._tail:
            taken = self.take_chunk(data)
            return data[taken:] if taken else data
        if not end:
            return data
        chunk = bytes(self._tail) + data[:end]
        taken = self.take_chunk(chunk)
        if not taken:
            return data
        self._tail = b""
        return chunk[taken:] + data[end:]

    def deliver_lines(self) -> None:
        """Deliver the lines that wait, until there are none or this is paused."""
        if self._delivering:
            return
        self._delivering = True
        try:
            if self.takes_chunks and self._lines and not (self._raw or self.paused):
                self._take_waiting()
            while not self.paused:
                if self._raw:
                    data = self.clearLineBuffer()
                    if not data:
                        return
                    self.rawDataReceived(data)
                elif self._lines:
                    line = self._lines.popleft().removesuffix(b"\r")
                    self._one_by_one -= 1
                    if len(line) > self.MAX_LENGTH:
                        self.line_too_long(line)
                    else:
                        self.lineReceived(line)
                else:
                    break
        finally:
            self._delivering = False
            if not self._lines:
                self._lines = None
        # Judged only now: a line before it may have changed what is too long, or still
        # wait for its answer. One byte more may be the CR of an allowed line.
        if not self.paused and len(self._tail) > self.MAX_LENGTH + 1:
            begin = bytes(self._tail)
            self._tail = b""
            self._skipping = True
            self.line_too_long(begin)

    def take_tail(self) -> None:
        """Take the bytes after the last line end for a line: the input has ended."""
        if self._tail and not self._raw:
            waiting = self._lines or ()
            self._lines = deque((*waiting, bytes(self._tail)))
            self._tail = b""
            self.deliver_lines()

    def _take_waiting(self) -> None:
        if self._one_by_one > 0:
            return
        chunk = b"\n".join(self._lines or ()) + b"\n"
        taken = self.take_chunk(chunk)
        # Else thousands of lines that must each wait were looked at for each of them.
        self._last_one_by_one = (
            0 if taken else min(1_000, 2 * self._last_one_by_one + 1)
        )
        self._one_by_one = self._last_one_by_one
        if taken == len(chunk):
            self._lines = None
        elif taken:
            self._lines = deque(chunk[taken:-1].split(b"\n"))

    def take_chunk(self, chunk: bytes) -> int:
        """Take as many whole lines as can be taken at once, from the first on.

        They have their ends, and may be too long. Returns how many bytes were taken.
        """
        return 0

    def line_too_long(self, begin: bytes) -> None:
        """Take note that a line was skipped; called once, in its place.

        It began so: there are more than `MAX_LENGTH` bytes of it.
        """
        raise NotImplementedError

    def resumeProducing(self) -> None:
        """Read again, and deliver the lines that waited."""
        self.paused = False
        if self.transport is not None:
            self.transport.resumeProducing()  # type: ignore[attr-defined]
        self.deliver_lines()

    def clearLineBuffer(self) -> bytes:
        """Drop, and return, what was received and not delivered."""
        data = b"".join(line + b"\n" for line in self._lines or ()) + bytes(self._tail)
        self._lines = None
        self._tail = b""
        return data

    def setRawMode(self) -> None:
        """Hand everything from here on to `rawDataReceived`, as it comes."""
        self._raw = True
        self._skipping = False
        self.line_mode = 0

    def setLineMode(self, extra: bytes = b"") -> None:
        """Go back to lines, the first of them in `extra`."""
        self._raw = False
        self.line_mode = 1
        self.dataReceived(extra + self.clearLineBuffer())
