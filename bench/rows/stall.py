"""How soon a receiver that stopped reading is back at the rate of before."""

import select
import time
from collections.abc import Iterator
from typing import Final

from harness.connection import READ_BYTES, Connection
from harness.samples import Sample
from harness.texts import text_of
from peers.base import Peer
from peers.chatd import Chatd
from rows.base import Bench, Row, closing

STOPPED_SECONDS: Final = 0.2
BLOCK: Final = 50_000
"""Messages that are sent over and over; what comes is compared with them."""

WINDOW_SECONDS: Final = 0.1


class Stall(Row):
    """One sends to another without a pause; the receiver stops reading for 200 ms."""

    name = "stall"
    title = "A receiver stopped for 200 ms, in a pipelined run of one to one"
    goal = "the rate comes back"
    figures = ("messages/s before", "messages/s after", "ms until it was back")
    note = (
        "Back means 80 % of the rate before, over 0.1 s. What comes is compared with"
        " what was sent, byte by byte. Peers cut such a receiver off, or keep all in"
        " memory."
    )
    warms_up = False

    def fits(self, peer: Peer) -> bool:
        """Return whether it is chatd: others promise nothing here."""
        return type(peer) is Chatd

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure once."""
        steady = 0.5 if bench.quick else bench.seconds
        with peer.server(bench.new_folder()) as server:
            receivers = peer.receivers(server.port, ["r00000"])
            senders = peer.senders(server.port, ["s00000"])
            with closing([*receivers, *senders]):
                stream = _Stream(peer, senders[0], receivers[0])
                stream.run(steady, reading=True)
                stream.run(STOPPED_SECONDS, reading=False)
                read_on = time.perf_counter()
                stream.run(2 * steady, reading=True)
        end = stream.arrived[-1][0]
        before = stream.rate(read_on - STOPPED_SECONDS - steady / 2, steady / 2)
        figures = {
            "messages/s before": before,
            "messages/s after": stream.rate(end - steady / 2, steady / 2),
        }
        trouble = stream.trouble
        for step in range(int(2 * steady / WINDOW_SECONDS)):
            begin = read_on + step * WINDOW_SECONDS
            if stream.rate(begin, WINDOW_SECONDS) >= 0.8 * before:
                back = begin + WINDOW_SECONDS - read_on
                figures["ms until it was back"] = back * 1e3
                break
        else:
            trouble = trouble or f"not back within {2 * steady:g} s"
        yield self.sample(peer, figures, trouble)


class _Stream:
    """Bytes that go round from a sender to a receiver, and when they arrived."""

    def __init__(self, peer: Peer, sender: Connection, receiver: Connection) -> None:
        texts = [text_of(0, number) for number in range(BLOCK)]
        lines = (peer.message("s00000", "r00000", text, 0) for text in texts)
        self._out = memoryview(b"".join(lines))
        expected = b"".join(b"s00000: %b\n" % text for text in texts)
        self._size = len(expected) // BLOCK
        self._expected = memoryview(expected)
        self._sender, self._receiver = sender.socket, receiver.socket
        self._written = self._read = 0
        self.arrived: list[tuple[float, int]] = []
        self.trouble = ""

    def run(self, seconds: float, *, reading: bool) -> None:
        """Write and read for so long, or only write."""
        for each in (self._sender, self._receiver):
            each.setblocking(False)
        until = time.perf_counter() + seconds
        with select.epoll() as epoll:
            epoll.register(self._sender.fileno(), select.EPOLLOUT)
            if reading:
                epoll.register(self._receiver.fileno(), select.EPOLLIN)
            while (left := until - time.perf_counter()) > 0:
                for descriptor, _ in epoll.poll(left):
                    if descriptor == self._sender.fileno():
                        self._write()
                    else:
                        self._take(self._receiver.recv(READ_BYTES))

    def rate(self, begin: float, seconds: float) -> float:
        """Return how many messages a second came from then on for so long."""
        came = sum(got for when, got in self.arrived if 0 <= when - begin < seconds)
        return came / self._size / seconds

    def _write(self) -> None:
        start = self._written % len(self._out)
        self._written += self._sender.send(self._out[start : start + 128 * 1024])

    def _take(self, data: bytes) -> None:
        self.arrived.append((time.perf_counter(), len(data)))
        while data and not self.trouble:
            start = self._read % len(self._expected)
            wanted = self._expected[start : start + len(data)]
            if data[: len(wanted)] != wanted:
                self.trouble = f"not what was sent: {data[:100]!r}"
            self._read += len(wanted)
            data = data[len(wanted) :]
