"""A connection of the generator: what is still to be written, and what was read."""

import socket
import time
from typing import Final

SILENCE_SECONDS: Final = 30.0
"""After how long without a byte a login or a single answer is given up."""

WRITE_BYTES: Final = 128 * 1024
READ_BYTES: Final = 512 * 1024
SLACK_BYTES: Final = 64 * 1024

MARKED_BYTES: Final = 320
"""Room for each unit that has a mark in place of a size."""


class Closed(Exception):
    """The server has closed a connection."""


class Connection:
    """A socket, the bytes to be written to it, and the bytes that came.

    Up to `allowed` bytes of `out` may be written. Of what comes, units are counted:
    `size` is that of each, after `skip` bytes; with a `mark` each has one instead.
    What comes is kept, in `inbox`, if there is room made for it.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.out = memoryview(b"")
        self.sent = 0
        self.allowed = 0
        self.unit_sent = 1
        self.least = 0
        self.pending = b""
        self.size = 0
        self.mark = b""
        self.skip = 0
        self.expected = 0
        self.filled = 0
        self.done = 0
        self.keeps = False
        self.inbox = bytearray(SLACK_BYTES)
        self._room = memoryview(self.inbox)

    def read_until(self, end: bytes) -> bytes:
        """Return what comes, up to `end`, which must be the last that comes."""
        data = b""
        while not data.endswith(end):
            chunk = self.socket.recv(READ_BYTES)
            if not chunk:
                raise Closed(f"after {data[-200:]!r}")
            data += chunk
        return data

    def read_past(self, part: bytes) -> bytes:
        """Return what comes, until `part` is in it, with what came behind."""
        data = b""
        while part not in data:
            chunk = self.socket.recv(READ_BYTES)
            if not chunk:
                raise Closed(f"after {data[-200:]!r}")
            data += chunk
        return data

    def read_until_quiet(self, seconds: float = 0.1) -> bytes:
        """Return what comes, until nothing more comes for so long."""
        data = b""
        self.socket.settimeout(SILENCE_SECONDS)
        while True:
            try:
                chunk = self.socket.recv(READ_BYTES)
            except TimeoutError:
                self.socket.settimeout(SILENCE_SECONDS)
                if not data:
                    raise
                return data
            if not chunk:
                raise Closed(f"after {data[-200:]!r}")
            data += chunk
            self.socket.settimeout(seconds)

    def write(self, data: bytes) -> None:
        """Send something at once."""
        self.socket.sendall(data)

    def load(self, out: bytes, unit: int, window: int) -> None:
        """Have bytes to be written, in units, so many of them before any answer."""
        self.out, self.sent, self.unit_sent = memoryview(out), 0, unit
        self.allowed = min(window * unit, len(out))
        # Else each answer would be followed by a write of one message, and a window
        # of many be much the same as one of few.
        self.least = window * unit // 2

    def expect(
        self, count: int, *, size: int = 0, mark: bytes = b"", skip: int = 0
    ) -> None:
        """Have so many units be expected, and keep what comes."""
        self.expected, self.size, self.mark, self.skip = count, size, mark, skip
        # Touched before the clock runs: new pages cost the generator time.
        self.inbox = bytearray(b"\0" * ((size or MARKED_BYTES) * count + SLACK_BYTES))
        self._room = memoryview(self.inbox)
        self.filled = self.done = 0
        self.keeps = True

    def count_only(self, size: int) -> None:
        """Have units be counted as they come, and not be kept."""
        self.size, self.filled, self.done = size, 0, 0

    def allow(self, units: int) -> None:
        """Let more units be written."""
        self.allowed = min(self.allowed + units * self.unit_sent, len(self.out))

    @property
    def worthwhile(self) -> bool:
        """Whether enough may be written, or all that is left."""
        return self.allowed - self.sent >= self.least or self.allowed == len(self.out)

    def send(self) -> bool:
        """Write what may be written; return whether the socket took it all."""
        if self.pending:
            try:
                self.pending = self.pending[self.socket.send(self.pending) :]
            except BlockingIOError:
                return False
            if self.pending:
                return False
        if self.sent < self.allowed:
            end = min(self.allowed, self.sent + WRITE_BYTES)
            try:
                self.sent += self.socket.send(self.out[self.sent : end])
            except BlockingIOError:
                return False
            return self.sent == self.allowed
        return True

    def receive(self) -> bool:
        """Read once, and count units; return whether the connection still stands."""
        if self.keeps:
            before = self.filled
            room = self._room[before : before + READ_BYTES]
            if not room:
                raise Closed(f"more came than is due: {bytes(self.inbox[-200:])!r}")
            try:
                got = self.socket.recv_into(room)
            except ConnectionResetError:
                return False
            self.filled = before + got
            if self.mark:
                # A mark may have begun in what came before.
                start = max(0, before - len(self.mark) + 1)
                self.done += self.inbox.count(self.mark, start, self.filled)
            elif self.size:
                self.done = max(0, (self.filled - self.skip) // self.size)
        else:
            try:
                got = self.socket.recv_into(self._room)
            except ConnectionResetError:
                return False
            self.filled += got
            if self.size:
                self.done = self.filled // self.size
        return got > 0

    @property
    def received(self) -> memoryview:
        """What came and was kept."""
        return self._room[: self.filled]

    def close(self) -> None:
        """Close it, and let go of what was kept."""
        self.socket.close()
        self.out = memoryview(b"")
        self._room.release()
        self.inbox = bytearray()


def connect(port: int, patience: float = 5.0) -> Connection:
    """Return a new connection; a server whose backlog is full is asked again."""
    until = time.monotonic() + patience
    while True:
        try:
            return Connection(port)
        except (ConnectionRefusedError, ConnectionResetError):
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
