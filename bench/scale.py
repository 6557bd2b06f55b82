"""What a login, a look-up and a message cost with few users, and with many.

Two daemons run side by side, one knowing few users and one knowing many, and are asked
in turn, so that whatever else the machine does slows both. A round starts both anew,
the one with few users on a new copy of its database: otherwise it would soon have no
name left that was never sent to.

The figures inform, and never fail: a busy machine is no bug. What costs more with more
names in the answer (ten names, or fifty and the number of the others) is no bug either.
"""

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

from harness.daemon import Daemon
from harness.database import build, name_of
from harness.figures import machine, spread
from harness.link import Link

FEW: Final = 10
WITHIN: Final = 1.5
PAUSE: Final = 0.004
"""Seconds before each request: what the one before left behind is written by then."""


class Side:
    """One of the two daemons, and what was measured of it.

    `seconds` has the measurements by what was measured; so has `bytes`.
    """

    def __init__(self, original: Path, users: int, *, copied: bool) -> None:
        self.users = users
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.bytes: defaultdict[str, list[float]] = defaultdict(list)
        self._original = original
        self._copied = copied
        self._new_names = map(name_of, count(2 * 10**9))
        self._untouched: Iterator[int] = iter(range(users))

    def start(self, running: ExitStack) -> None:
        """Start the daemon for a round, and log in whoever asks in it."""
        database = self._original
        if self._copied:
            database = database.with_name("round.db")
            for old in database.parent.glob("round.db*"):
                old.unlink()
            shutil.copyfile(self._original, database)
            self._untouched = iter(range(self.users))
        begun = time.perf_counter()
        daemon = running.enter_context(Daemon(database))
        self._port = daemon.port
        self.seconds["start, to 'Listening'"].append(daemon.listening_after)
        self._sender = running.enter_context(Link(daemon.port))
        self.seconds["start, to the first prompt"].append(time.perf_counter() - begun)
        self.bytes["memory, idle"].append(daemon.resident_bytes)
        self._daemon = daemon
        self._asker = running.enter_context(Link(daemon.port))
        self._asker.log_in(self._next_name())
        self._sender.log_in_to_send(self._next_name())
        # For the logins, and for the messages.
        self._one = self._next_name()
        self._log_in(self._one)
        self._visitor.leave()
        self._other = self._next_name()
        self._send(self._other)

    def end(self) -> None:
        """Take the last measurement of a round."""
        self.bytes["memory, after a round"].append(self._daemon.resident_bytes)

    def log_in(self) -> None:
        """Log in under a known name: each time another one, where there are many."""
        name = self._one if self._copied else self._next_name()
        self._time("login, known name", lambda: self._log_in(name))

    def register(self) -> None:
        """Log in under a new name."""
        name = next(self._new_names)
        self._time("login, new name", lambda: self._log_in(name))

    def send_first(self) -> None:
        """Send to somebody who is away, and was never sent to."""
        name = self._next_name()
        self._time("first message to somebody", lambda: self._send(name))

    def send_next(self) -> None:
        """Send to somebody who is away, and was sent to before."""
        self._time("next message to somebody", lambda: self._send(self._other))

    def send_to_nobody(self) -> None:
        """Send to a name that nobody has."""
        name = next(self._new_names)

        def send() -> None:
            self._expect(f"{name}-Hello!", f"User '{name}' not found.")

        self._time("message to an unknown name", send)

    def list_one(self) -> None:
        """List the users whose name begins as only one does."""
        self._list(self._other)

    def list_some(self) -> None:
        """List the users whose name begins with a letter."""
        self._list("m")

    def list_all(self) -> None:
        """List all users."""
        self._list("")

    def list_online(self) -> None:
        """List who is online."""
        self._time(
            "/who", lambda: self._expect("/who", "Users online => ", self._asker)
        )

    def _list(self, prefix: str) -> None:
        def ask() -> None:
            self._expect(f"/users {prefix}", "Client book => ", self._asker)

        what = {"": "/users", "m": "/users, one letter"}.get(prefix, "/users, one name")
        self._time(what, ask)

    def _log_in(self, name: str) -> None:
        self._visitor = Link(self._port)
        self._visitor.log_in(name)

    def _send(self, name: str) -> None:
        stored = f"User '{name}' is offline. Message stored."
        self._expect(f"{name}-Hello!", stored)

    def _expect(self, line: str, beginning: str, link: Link | None = None) -> None:
        answer = (link or self._sender).ask(line)
        if not answer.startswith(beginning):
            raise RuntimeError(f"{line!r} was answered {answer!r}")

    def _time(self, what: str, request: Callable[[], None]) -> None:
        time.sleep(PAUSE)
        begun = time.perf_counter()
        request()
        self.seconds[what].append(time.perf_counter() - begun)
        if what.startswith("login"):
            self._visitor.leave()

    def _next_name(self) -> str:
        return name_of(next(self._untouched))


def play_round(sides: Sequence[Side], repeats: int) -> None:
    """Start both daemons, and ask them in turn."""
    with ExitStack() as running:
        for side in sides:
            side.start(running)
        # First of all, as few names were never sent to.
        requests = [Side.send_first] * (FEW - 4)
        for _ in range(repeats):
            requests += [Side.log_in, Side.register, Side.send_to_nobody]
            requests += [Side.send_next] * 4
            requests += [Side.list_one, Side.list_some, Side.list_all, Side.list_online]
        for turn, request in enumerate(requests):
            for side in sides if turn % 2 else reversed(sides):
                request(side)
        for side in sides:
            side.end()


def show(small: Side, large: Side) -> None:
    """Print both sides' figures, and how they compare."""
    print(
        f"\n{'median (least - most)':32}{f'{small.users:,} users':>25}"
        f"{f'{large.users:,} users':>25}{'ratio':>8}  within {WITHIN}x"
    )
    for unit, name, of in (
        (1e-3, "ms", lambda side: side.seconds),
        (2**20, "MiB", lambda side: side.bytes),
    ):
        for what, few in of(small).items():
            many = of(large)[what]
            ratio = median(many) / median(few)
            print(
                f"{f'{what} [{name}]':32}{spread(few, unit):>25}"
                f"{spread(many, unit):>25}{ratio:8.2f}"
                f"  {'yes' if ratio <= WITHIN else 'no'}"
            )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--users", type=int, default=1_000_000, help="how many are many"
    )
    parser.add_argument("--rounds", type=int, default=10, help="starts of both daemons")
    parser.add_argument("--repeats", type=int, default=20, help="of requests a round")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    if options.quick:
        options.users, options.rounds, options.repeats = 20_000, 2, 2
    options.users = max(options.users, options.rounds * (options.repeats + FEW))
    with tempfile.TemporaryDirectory(prefix="chatd-scale-") as temporary:
        folder = Path(temporary)
        print(machine(folder))
        few, many = folder / "few.db", folder / "many.db"
        for users, path in ((FEW, few), (options.users, many)):
            seconds = build(path, users)
            size = path.stat().st_size / 2**20
            print(f"A database of {users:,} users: {size:,.1f} MiB in {seconds:.1f} s")
        small = Side(few, FEW, copied=True)
        large = Side(many, options.users, copied=False)
        for number in range(options.rounds):
            order = (small, large) if number % 2 else (large, small)
            play_round(order, options.repeats)
        show(small, large)


if __name__ == "__main__":
    main()
