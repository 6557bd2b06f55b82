"""What everybody else notices while a long queue drains to an ``nc``.

Two people talk, one writes to somebody who is away, and new connections log in, one of
these after the other: first alone, and then while the queue drains. What comes out of
the ``nc`` is checked, each message and their order.

The figures inform, and never fail: a busy machine is no bug.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from chatd.store import transactions
from chatd.store.records import Batch
from chatd.wire.block import Block, Part, Row
from chatd.wire.message import Message
from harness.daemon import Daemon
from harness.figures import machine
from harness.link import Link

AT_ONCE: Final = 10_000
"""How many messages one transaction brings into the queue."""

TEXT: Final = "x" * 56
"""With the number before it a message has 64 bytes."""

ALONE_SECONDS: Final = 5.0
PAUSE: Final = 0.004
"""Seconds between two measurements: others are not to be a load of their own."""

Seconds = defaultdict[str, list[float]]


def fill(database: Path, messages: int, together: int) -> None:
    """Bring messages for bob into a database, without a daemon."""
    now = int(time.time() * 1000)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        user = transactions.find_user(connection, "bob")
        if user is None:
            raise RuntimeError("bob is unknown")
        for first in range(1, messages + 1, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, messages + 1))
            rows = [(user.id, row) for row in rows_of(numbers, now, together)]
            transactions.write(connection, Batch(messages=rows))
            connection.commit()


def rows_of(numbers: Sequence[int], now: int, together: int) -> Iterator[Row]:
    """Return messages, so many of them at a time kept together."""
    for at in range(0, len(numbers), together):
        some = numbers[at : at + together]
        texts = "\n".join(map(text_of, some)).encode()
        if together > 1:
            yield Block(some[0], "bob", now, [Part("filler", len(some), texts)])
        else:
            yield Message(some[0], "", "filler", "bob", texts.decode(), now, 64)


def text_of(number: int) -> str:
    """Return the text of a message."""
    return f"{number:07} {TEXT}"


class Others:
    """Those who go on as before, and what each thing took them, in seconds."""

    def __init__(self, port: int, running: ExitStack) -> None:
        self._port = port
        self._alice = running.enter_context(Link(port))
        self._alice.log_in_to_send("alice")
        self._carol = running.enter_context(Link(port))
        self._carol.log_in("carol")

    def go_on(self, until: Callable[[], bool]) -> Seconds:
        """Do one thing after the other."""
        seconds: Seconds = defaultdict(list)
        while not until():
            for name, act in (
                ("a message to somebody who is there", self._talk),
                ("a message to somebody who is away, stored", self._leave_a_message),
                ("a login", self._visit),
            ):
                time.sleep(PAUSE)
                begun = time.perf_counter()
                after = act()
                seconds[name].append(time.perf_counter() - begun)
                after()
        return seconds

    def _talk(self) -> Callable[[], None]:
        self._alice.write("carol-Hello!\n")
        if self._carol.read_line() != "alice: Hello!":
            raise RuntimeError("not what was sent")
        return lambda: None

    def _leave_a_message(self) -> Callable[[], None]:
        answer = self._alice.ask("dave-Hello!")
        if not answer.endswith("Message stored."):
            raise RuntimeError(answer)
        return lambda: None

    def _visit(self) -> Callable[[], None]:
        link = Link(self._port)
        link.log_in("visitor")
        return link.leave


def check(output: Path, messages: int) -> None:
    """See that each message came once, and in order."""
    expected = 1
    with output.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("filler: "):
                if not line.startswith(f"filler: {expected:07} "):
                    raise RuntimeError(f"{expected} should come, not: {line!r}")
                expected += 1
    if expected != messages + 1:
        raise RuntimeError(f"{messages + 1 - expected} messages are missing")


def show(alone: Seconds, meanwhile: Seconds) -> None:
    """Print both, and what the drain makes of each."""
    print("milliseconds: median, 99th percentile, maximum (how often)")
    for name, before in alone.items():
        print(f"  {name}")
        for when, seconds in (("alone", before), ("meanwhile", meanwhile[name])):
            ordered = sorted(seconds)
            figures = (ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99))
            cells = "  ".join(f"{1000 * each:8.2f}" for each in (*figures, ordered[-1]))
            print(f"    {when:10} {cells}  ({len(ordered)})")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="how long the queue is"
    )
    parser.add_argument(
        "--together",
        type=int,
        default=100,
        help="how many of them came at once, and are kept together",
    )
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    if options.quick:
        options.messages = 20_000
    nc = shutil.which("nc")
    if nc is None:
        sys.exit("nc is missing: apt install netcat-openbsd")
    with tempfile.TemporaryDirectory(prefix="chatd-backlog-") as temporary:
        folder = Path(temporary)
        print(machine(folder))
        database, output = folder / "server.db", folder / "output"
        with Daemon(database) as daemon:
            for name in ("bob", "dave"):
                link = Link(daemon.port)
                link.log_in(name)
                link.leave()
        fill(database, options.messages, options.together)
        with ExitStack() as running:
            daemon = running.enter_context(Daemon(database))
            others = Others(daemon.port, running)
            until = time.monotonic() + ALONE_SECONDS
            alone = others.go_on(lambda: time.monotonic() > until)
            last = f"filler: {text_of(options.messages)}".encode()
            with output.open("wb") as stdout, output.open("rb") as written:
                begun = time.perf_counter()
                process = subprocess.Popen(
                    [nc, "127.0.0.1", str(daemon.port)],
                    stdin=subprocess.PIPE,
                    stdout=stdout,
                )
                assert process.stdin is not None
                process.stdin.write(b"bob\n")
                process.stdin.flush()

                def drained() -> bool:
                    size = output.stat().st_size
                    written.seek(max(0, size - 400))
                    return last in written.read()

                meanwhile = others.go_on(drained)
                took = time.perf_counter() - begun
                process.stdin.write(b"/quit\n")
                process.stdin.close()
                process.wait(60)
            memory = daemon.resident_bytes / 2**20
        check(output, options.messages)
        rate = options.messages / took
        print(
            f"{options.messages:,} messages drained to nc in {took:.1f} s:"
            f" {rate:,.0f} a second, in order; the daemon has {memory:.0f} MiB"
        )
        show(alone, meanwhile)


if __name__ == "__main__":
    main()
