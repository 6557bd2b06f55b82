"""Connections to the daemon, in the text form: one at a time, or many at once."""

import selectors
import socket
import time
from collections.abc import Mapping
from typing import Final, Self

from chatd.wire.text import GOODBYE, HINT, PROMPT

SILENCE_SECONDS: Final = 60.0
"""After how long without a byte a benchmark gives up."""

_CHUNK: Final = 1024 * 1024
_PROMPT: Final = PROMPT.encode()
_HINT: Final = HINT.encode() + b"\n"


class Link:
    """A connection, with its prompt already read. A context manager that closes it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.read_past(_PROMPT)

    def __enter__(self) -> Self:
        """Return the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.socket.close()

    def log_in(self, name: str) -> None:
        """Log in, and read up to the hint that ends the greeting."""
        self.write(f"{name}\n")
        self.read_past(_HINT)

    def log_in_to_send(self, name: str) -> None:
        """Log in to send only."""
        self.ask(f"/send-only {name}")

    def ask(self, line: str) -> str:
        """Send a line, and return the one that answers it."""
        self.write(f"{line}\n")
        return self.read_line()

    def write(self, text: str) -> None:
        """Send text."""
        self.socket.sendall(text.encode())

    def read_line(self) -> str:
        """Return the next line, without its end."""
        return self.read_past(b"\n").decode().removesuffix("\n")

    def read_past(self, end: bytes) -> bytes:
        """Return what comes, up to and with `end`."""
        while end not in self._unread:
            data = self.socket.recv(_CHUNK)
            if not data:
                raise RuntimeError(f"closed after {self._unread[-200:]!r}")
            self._unread += data
        upto = self._unread.index(end) + len(end)
        read, self._unread = self._unread[:upto], self._unread[upto:]
        return read

    def leave(self) -> None:
        """Say /quit, wait until everything is safe and the daemon closes."""
        self.write("/quit\n")
        self.read_past(GOODBYE.encode() + b"\n")
        while self.socket.recv(_CHUNK):
            pass
        self.socket.close()


class Received:
    """What one connection received in an exchange.

    `last` is how many seconds the last expected line took from the beginning of the
    exchange; `missing` how many did not come, negative for more than were expected.
    """

    def __init__(self, expected: int) -> None:
        self.last = 0.0
        self.missing = expected
        self._chunks: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether as many lines came as were expected, or more."""
        return self.missing <= 0

    @property
    def lines(self) -> list[str]:
        """All lines in order, without their ends."""
        *lines, tail = b"".join(self._chunks).decode().split("\n")
        if tail:
            raise RuntimeError(f"a line without an end: {tail!r}")
        return lines

    def take(self, data: bytes, elapsed: float) -> None:
        """Take bytes that came after so many seconds."""
        # Only counted here: to look at the lines would slow the generator.
        self._chunks.append(data)
        if not self.complete:
            self.last = elapsed
        self.missing -= data.count(b"\n")


def exchange(
    outgoing: Mapping[Link, bytes], expected: Mapping[Link, int]
) -> dict[Link, Received]:
    """Write to connections, and read from all, until the expected lines have come.

    Each of those written to is also among the expected, perhaps with 0 lines. Raises
    `RuntimeError` if nothing comes for `SILENCE_SECONDS`, or if one is closed.
    """
    received = {link: Received(count) for link, count in expected.items()}
    unsent = {link: memoryview(data) for link, data in outgoing.items()}
    waiting = {link for link, count in expected.items() if count > 0}
    with selectors.DefaultSelector() as selector:
        for link in expected:
            link.socket.setblocking(False)
            events = selectors.EVENT_READ
            if link in unsent:
                events |= selectors.EVENT_WRITE
            selector.register(link.socket, events, link)
        begun = time.perf_counter()
        while waiting or unsent:
            ready = selector.select(SILENCE_SECONDS)
            if not ready:
                missing = sum(received[link].missing for link in waiting)
                raise RuntimeError(f"silence, and {missing} lines are missing")
            for key, mask in ready:
                link = key.data
                if mask & selectors.EVENT_READ:
                    data = link.socket.recv(_CHUNK)
                    if not data:
                        if link in waiting or link in unsent:
                            raise RuntimeError("closed before the end")
                        selector.unregister(link.socket)
                        continue
                    received[link].take(data, time.perf_counter() - begun)
                    if received[link].complete:
                        waiting.discard(link)
                if mask & selectors.EVENT_WRITE and link in unsent:
                    unsent[link] = unsent[link][link.socket.send(unsent[link]) :]
                    if not unsent[link]:
                        del unsent[link]
                        selector.modify(link.socket, selectors.EVENT_READ, link)
    for link in expected:
        link.socket.settimeout(SILENCE_SECONDS)
    return received


def take_turns(
    pairs: Mapping[Link, tuple[Link, bytes]], rounds: int
) -> tuple[float, list[float]]:
    """Have each sender write its line again whenever its receiver has got it.

    `pairs` has the sender and its line for each receiver. Returns the seconds that all
    took, and those that each message took.
    """
    left = dict.fromkeys(pairs, rounds)
    written: dict[Link, float] = {}
    unfinished = dict.fromkeys(pairs, b"")
    taken: list[float] = []
    with selectors.DefaultSelector() as selector:
        begun = time.perf_counter()
        for receiver, (sender, line) in pairs.items():
            selector.register(receiver.socket, selectors.EVENT_READ, receiver)
            written[receiver] = time.perf_counter()
            sender.socket.sendall(line)
        while left:
            ready = selector.select(SILENCE_SECONDS)
            if not ready:
                raise RuntimeError(f"silence, and {len(left)} messages are missing")
            for key, _ in ready:
                receiver = key.data
                data = unfinished[receiver] + receiver.socket.recv(_CHUNK)
                unfinished[receiver] = data
                if not data.endswith(b"\n"):
                    continue
                now = time.perf_counter()
                taken.append(now - written[receiver])
                sender, line = pairs[receiver]
                text = line.partition(b"-")[2]
                if not data.endswith(b": " + text) or data.count(b"\n") != 1:
                    raise RuntimeError(f"not what was sent: {data!r}")
                unfinished[receiver] = b""
                left[receiver] -= 1
                if left[receiver]:
                    written[receiver] = now
                    sender.socket.sendall(line)
                else:
                    del left[receiver]
                    selector.unregister(receiver.socket)
        return time.perf_counter() - begun, taken
