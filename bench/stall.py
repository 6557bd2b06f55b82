"""How soon a receiver that stopped reading is back at the rate of before.

One sends to another as fast as the daemon reads, without a pause. The receiver stops
reading for a while, and then reads on: first what was written to disk meanwhile, then
what still comes. What is printed is how long that takes until messages arrive again at
the rate at which they did before. Every message is counted, and their order checked.

The figures inform, and never fail: a busy machine is no bug.
"""

import argparse
import multiprocessing
import selectors
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Final

from harness.daemon import Daemon
from harness.figures import machine, spread
from harness.link import SILENCE_SECONDS, Link

RAISED: Final = {
    "--max-line-rate": "1000000000",
    "--max-line-burst": "1000000000",
    "--max-queue-messages": "10000000",
    "--max-queue-bytes": "10G",
    "--max-queue-share": "100",
}
AT_ONCE: Final = 500
"""How many lines the sender writes in one call."""

WINDOW: Final = 0.1
"""Seconds over which a rate is taken."""

MESSAGE: Final = "x" * 56
"""With the number before it a message has 64 bytes."""

PREFIX: Final = b"alice: "


def send(port: int, stop: Event) -> None:
    """Send until told to stop; then say how many there were, and leave."""
    with Link(port) as link:
        link.log_in_to_send("alice")
        for first in count(1, AT_ONCE):
            if stop.is_set():
                link.write("bob-end\n")
                link.leave()
                return
            numbers = range(first, first + AT_ONCE)
            link.write("".join(f"bob-{each:07} {MESSAGE}\n" for each in numbers))


class Receiver:
    """Reads what comes, and checks it; `arrived` has a time and a count a read."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tail = b""
        self._expected = 1
        self.ended = False
        self.arrived: list[tuple[float, int]] = []

    def read(self, until: float) -> None:
        """Read up to a time, or to the end of what is sent."""
        link = self._link
        link.socket.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(link.socket, selectors.EVENT_READ)
            while not self.ended and (left := until - time.perf_counter()) > 0:
                if selector.select(min(left, SILENCE_SECONDS)):
                    self._take(link.socket.recv(1 << 20))
        link.socket.settimeout(SILENCE_SECONDS)

    def rate(self, begin: float, end: float) -> float:
        """Return how many messages a second came between two times."""
        came = sum(lines for when, lines in self.arrived if begin <= when < end)
        return came / (end - begin)

    def _take(self, data: bytes) -> None:
        if not data:
            raise RuntimeError("closed before the end")
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            if line == b"alice: end":
                self.ended = True
            elif line[: len(PREFIX) + 7] == PREFIX + b"%07d" % self._expected:
                self._expected += 1
            else:
                raise RuntimeError(f"{self._expected} should come, not {line!r}")
        self.arrived.append((time.perf_counter(), len(lines)))


def measure(
    database: Path, stopped: float, steady: float
) -> tuple[float, float, float | None]:
    """Return the rates before and at the end, and after how long it was back.

    None for the latter means that it was not, as long as was looked.
    """
    context = multiprocessing.get_context("spawn")
    options = [each for pair in RAISED.items() for each in pair]
    with ExitStack() as running:
        daemon = running.enter_context(Daemon(database, *options))
        link = running.enter_context(Link(daemon.port))
        link.log_in("bob")
        receiver = Receiver(link)
        stop = context.Event()
        sender = context.Process(target=send, args=(daemon.port, stop))
        sender.start()
        # Its start is no part of the run.
        while not receiver.arrived:
            receiver.read(time.perf_counter() + WINDOW)
        begun = time.perf_counter()
        receiver.read(begun + steady)
        time.sleep(stopped)
        read_on = time.perf_counter()
        receiver.read(read_on + 2 * steady)
        last = time.perf_counter()
        stop.set()
        receiver.read(last + SILENCE_SECONDS)
        sender.join()
        if not receiver.ended or sender.exitcode:
            raise RuntimeError("not all came")
        link.leave()
    before = receiver.rate(begun + steady / 2, begun + steady)
    after = receiver.rate(last - steady / 2, last)
    back = None
    for step in range(int(2 * steady / WINDOW)):
        begin = read_on + step * WINDOW
        # What piled up comes faster than what is new: so only what follows it counts.
        if receiver.rate(begin, begin + WINDOW) >= 0.8 * before:
            back = begin + WINDOW - read_on
            break
    return before, after, back


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stopped", type=float, default=0.2, help="seconds (0.2)")
    parser.add_argument("--rounds", type=int, default=5, help="how often (5)")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    steady = 0.5 if options.quick else 3.0
    rounds = 1 if options.quick else options.rounds
    with tempfile.TemporaryDirectory(prefix="chatd-stall-") as temporary:
        folder = Path(temporary)
        print(machine(folder))
        results = [
            measure(folder / f"{each}.db", options.stopped, steady)
            for each in range(rounds)
        ]
    print(f"a receiver stopped for {options.stopped:g} s: median (least - most)")
    print(f"  messages a second before   {spread([r[0] for r in results], 1, 0)}")
    print(f"  messages a second after    {spread([r[1] for r in results], 1, 0)}")
    print(f"  after, to before           {spread([r[1] / r[0] for r in results], 1)}")
    back = [each for _, _, each in results if each is not None]
    if back:
        print(f"  ms until the rate was back {spread(back, 1e-3, 0)}")
    if len(back) < rounds:
        print(f"  not back within {2 * steady:g} s: {rounds - len(back)} times")
    print(f"  all in order, each once; {median([r[0] for r in results]):,.0f} a second")


if __name__ == "__main__":
    main()
