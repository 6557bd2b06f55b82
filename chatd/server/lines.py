"""A `LineReceiver` that stays linear, whatever it is sent.

Twisted's `LineReceiver` splits one line at a time off its buffer, which copies the rest
each time: a packet full of newlines freezes the reactor. This one splits what arrives
once, and keeps the complete lines until they are taken. What its users rely on is the
same: lines arrive one by one, none while paused, raw mode takes over within a chunk.
Lines that are too long are skipped to their end, and reported once each.
"""

from collections import deque

from twisted.protocols.basic import LineReceiver


class LinearLineReceiver(LineReceiver):
    """Receives lines that end in LF or CRLF.

    `MAX_LENGTH` is the longest line in bytes, without its end. Lines that were received
    are delivered even after the connection is lost, as long as it is not paused.
    """

    delimiter = b"\n"
    MAX_LENGTH = 16384

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._tail = bytearray()
        self._skipping = False
        self._delivering = False
        self._raw = False
        self.takes_chunks = False
        """Whether `take_chunk` is asked before lines are taken one by one."""

    @property
    def lines_waiting(self) -> int:
        """How many complete lines were received and not delivered yet."""
        return len(self._lines)

    @property
    def something_waits(self) -> bool:
        """Whether anything was received and not delivered yet."""
        return bool(self._lines or self._tail)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the transport, and deliver the lines they complete."""
        if self._raw:
            # Behind what waits; it may be paused, or not be done with what was before.
            self._tail += data
            self.deliver_lines()
            return
        busy = self._lines or self._skipping or self._delivering or self.paused
        if self.takes_chunks and not busy:
            data = self._take_first(data)
        *complete, rest = data.split(b"\n")
        if complete:
            if self._skipping:
                self._skipping = False
            else:
                self._lines.append(bytes(self._tail) + complete[0])
                self._tail.clear()
            self._lines.extend(complete[1:])
        if not self._skipping:
            self._tail += rest
        self.deliver_lines()

    def _take_first(self, data: bytes) -> bytes:
        """Take what can be taken at once; return what is left."""
        end = data.rfind(b"\n") + 1
        if not end:
            return data
        chunk = bytes(self._tail) + data[:end]
        taken = self.take_chunk(chunk)
        if not taken:
            return data
        self._tail.clear()
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
                    if len(line) > self.MAX_LENGTH:
                        self.line_too_long(line)
                    else:
                        self.lineReceived(line)
                else:
                    break
        finally:
            self._delivering = False
        # Judged only now: a line before it may have changed what is too long, or still
        # wait for its answer. One byte more may be the CR of an allowed line.
        if not self.paused and len(self._tail) > self.MAX_LENGTH + 1:
            begin = bytes(self._tail)
            self._tail.clear()
            self._skipping = True
            self.line_too_long(begin)

    def take_tail(self) -> None:
        """Take the bytes after the last line end for a line: the input has ended."""
        if self._tail and not self._raw:
            self._lines.append(bytes(self._tail))
            self._tail.clear()
            self.deliver_lines()

    def _take_waiting(self) -> None:
        chunk = b"\n".join(self._lines) + b"\n"
        taken = self.take_chunk(chunk)
        if taken == len(chunk):
            self._lines.clear()
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
        data = b"".join(line + b"\n" for line in self._lines) + bytes(self._tail)
        self._lines.clear()
        self._tail.clear()
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
