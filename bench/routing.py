"""How many messages a second go through the daemon, and how long one takes.

The daemon is a process of its own; this one writes and reads for all clients, over
plain sockets. Every message is counted where it arrives, and its place among those of
its sender checked: figures are printed only if all arrived, once and in order, and
the exit status says so. The figures themselves never fail.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from harness.daemon import Daemon
from harness.figures import machine, percentile, spread
from harness.link import Link, exchange, take_turns

from chatd.wire import text

RAISED: Final = {
    "--max-line-rate": "1000000000",
    "--max-line-burst": "1000000000",
    "--max-queue-messages": "1000000",
    "--max-queue-bytes": "1G",
    "--max-queue-share": "100",
}
MESSAGE_BYTES: Final = 64
GREETING_LINES: Final = 5  # before the announcement of a backlog
CONFIRMED_EVERY: Final = 20  # confirmations take so much longer than other answers


class Wrong(Exception):
    """Lines that are missing, doubled, out of order or not what was expected."""


def numbered(number: int) -> str:
    """Return a message of `MESSAGE_BYTES` that begins with its number."""
    return f"{number:07} {'':x>{MESSAGE_BYTES - 8}}"


def expect(lines: Sequence[str], wanted: Sequence[str]) -> None:
    """See that exactly the wanted lines were read."""
    if lines == wanted:
        return
    for line, other in zip(lines, wanted, strict=False):
        if line != other:
            raise Wrong(f"{line!r} was read where {other!r} was expected")
    raise Wrong(f"{len(lines)} lines were read where {len(wanted)} were expected")


@dataclass(frozen=True)
class Load:
    """Who sends, who receives, and how many messages each sender sends.

    Message k of sender i goes to receiver i + k, counted in a circle.
    """

    senders: Sequence[str]
    receivers: Sequence[str]
    messages: int

    @property
    def total(self) -> int:
        """How many messages there are in all."""
        return len(self.senders) * self.messages

    def targets_of(self, sender: int) -> list[str]:
        """Return to whom a sender sends, message by message."""
        circle = len(self.receivers)
        return [self.receivers[(sender + k) % circle] for k in range(self.messages)]

    def lines_of(self, sender: int) -> bytes:
        """Return all that a sender writes, /quit last."""
        targets = enumerate(self.targets_of(sender))
        lines = [f"{target}-{numbered(number)}" for number, target in targets]
        return "\n".join([*lines, "/quit\n"]).encode()

    def due_to(self, receiver: int) -> dict[str, list[int]]:
        """Return the numbers of what a receiver is to get, in order, by sender."""
        circle = len(self.receivers)
        return {
            name: list(range((receiver - sender) % circle, self.messages, circle))
            for sender, name in enumerate(self.senders)
        }

    def count_to(self, receiver: int) -> int:
        """Return how many messages a receiver is to get."""
        return sum(map(len, self.due_to(receiver).values()))

    def check(self, receiver: int, lines: Sequence[str]) -> None:
        """See that a receiver got its messages, each once and in order."""
        name, due = self.receivers[receiver], self.due_to(receiver)
        got: dict[str, list[int]] = {sender: [] for sender in due}
        for line in lines:
            sender, _, message = line.partition(": ")
            if sender not in due or not message[:7].isdecimal():
                raise Wrong(f"{name} got {line!r}")
            got[sender].append(int(message[:7]))
        for sender, numbers in due.items():
            if got[sender] != numbers:
                raise Wrong(
                    f"{name} got {len(got[sender])} messages of {sender}, of whom"
                    f" {len(numbers)} were due, or not in order"
                )


@dataclass
class Case:
    """One kind of load, and what was measured of it, round by round.

    `rates` are messages a second. `busy` is how many seconds the daemon kept
    processors busy for each message, and `generator` which part of the time this
    process did. `p50` and `p99` are seconds.
    """

    rates: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def add_times(self, taken: Sequence[float]) -> None:
        """Add what each message of a round took."""
        self.p50.append(percentile(taken, 50))
        self.p99.append(percentile(taken, 99))


class Round:
    """Puts every load on a daemon, whose database was empty, one after another.

    `clients` send `messages` together where they do not wait, and `singles` each
    where they do.
    """

    def __init__(
        self,
        daemon: Daemon,
        cases: defaultdict[str, Case],
        clients: int,
        messages: int,
        singles: int,
    ) -> None:
        self._daemon = daemon
        self._cases = cases
        self._clients = clients
        self._messages = messages // clients
        self._singles = singles

    def play(self) -> None:
        """Put every load on the daemon. Raises `Wrong`."""
        self._send_to_connected()
        self._send_to_offline(self._load("many", self._clients), "as many users")
        self._send_to_offline(self._load("one", 1), "one user")
        self._send_one_at_a_time()
        self._send_in_turns()

    def _send_to_connected(self) -> None:
        load = self._load("there", self._clients)
        with ExitStack() as closing:
            receivers = [self._receiver(closing, name) for name in load.receivers]
            senders = [self._sender(closing, name) for name in load.senders]
            outgoing = {link: load.lines_of(i) for i, link in enumerate(senders)}
            expected = dict.fromkeys(senders, 1)
            expected |= {link: load.count_to(i) for i, link in enumerate(receivers)}
            with self._measured("to as many connected users", load.total) as case:
                received = exchange(outgoing, expected)
            case.rates.append(load.total / max(received[r].last for r in receivers))
            for link in senders:
                expect(received[link].lines, [text.GOODBYE])
            for number, link in enumerate(receivers):
                load.check(number, received[link].lines)
                self._expect_silence(link)

    def _send_to_offline(self, load: Load, whom: str) -> None:
        for name in load.receivers:
            self._register(name)
        with ExitStack() as closing:
            senders = [self._sender(closing, name) for name in load.senders]
            outgoing = {link: load.lines_of(i) for i, link in enumerate(senders)}
            expected = dict.fromkeys(senders, load.messages + 1)
            with self._measured(f"stored for {whom}", load.total) as case:
                received = exchange(outgoing, expected)
            case.rates.append(load.total / max(each.last for each in received.values()))
            for number, link in enumerate(senders):
                stored = map(text.stored_offline, load.targets_of(number))
                expect(received[link].lines, [*stored, text.GOODBYE])
        self._drain(load, whom)

    def _drain(self, load: Load, whom: str) -> None:
        with ExitStack() as closing:
            outgoing, expected = {}, {}
            for number, name in enumerate(load.receivers):
                link = closing.enter_context(Link(self._daemon.port))
                outgoing[link] = f"{name}\n".encode()
                expected[link] = GREETING_LINES + 1 + load.count_to(number)
            with self._measured(f"drained by {whom}", load.total) as case:
                received = exchange(outgoing, expected)
            case.rates.append(load.total / max(each.last for each in received.values()))
            for number, link in enumerate(received):
                lines = received[link].lines[GREETING_LINES:]
                expect(lines[:1], [text.backlog(load.count_to(number))])
                load.check(number, lines[1:])
                link.leave()
        for name in load.receivers:
            with Link(self._daemon.port) as link:
                link.log_in(name)
                self._expect_silence(link)

    def _send_one_at_a_time(self) -> None:
        there, away, line = "single.there", "single.away", numbered(0)
        self._register(away)
        with ExitStack() as closing:
            receiver = self._receiver(closing, there)
            sender = self._sender(closing, "single.sender")

            def deliver() -> None:
                sender.write(f"{there}-{line}\n")
                expect([receiver.read_line()], [f"single.sender: {line}"])

            def store() -> None:
                expect([sender.ask(f"{away}-{line}")], [text.stored_offline(away)])

            def confirm() -> None:
                answer = sender.ask(f"{there}-{line}")
                expect([receiver.read_line()], [f"single.sender: {line}"])
                expect([answer], [text.confirmed(there, delivered=True)])

            self._repeat("until it arrives", deliver, self._singles)
            self._repeat("until it is stored", store, self._singles)
            expect([sender.ask("/confirm on")], [text.confirming(True)])
            few = self._singles // CONFIRMED_EVERY
            self._repeat("until it is confirmed", confirm, few)

    def _repeat(self, what: str, send: Callable[[], None], times: int) -> None:
        taken = []
        with self._measured(what, times) as case:
            for _ in range(times):
                begun = time.perf_counter()
                send()
                taken.append(time.perf_counter() - begun)
        case.rates.append(times / sum(taken))
        case.add_times(taken)

    def _send_in_turns(self) -> None:
        load = self._load("turn", self._clients)
        with ExitStack() as closing:
            pairs = {}
            for sender, receiver in zip(load.senders, load.receivers, strict=True):
                link = self._receiver(closing, receiver)
                line = f"{receiver}-{numbered(0)}\n".encode()
                pairs[link] = (self._sender(closing, sender), line)
            what = f"until it arrives, {self._clients} senders"
            with self._measured(what, self._clients * self._singles) as case:
                seconds, taken = take_turns(pairs, self._singles)
            case.rates.append(len(taken) / seconds)
            case.add_times(taken)

    @contextmanager
    def _measured(self, what: str, messages: int) -> Iterator[Case]:
        case = self._cases[what]
        busy, own = self._daemon.processor_seconds, time.process_time()
        begun = time.perf_counter()
        yield case
        elapsed = time.perf_counter() - begun
        case.generator.append((time.process_time() - own) / elapsed)
        case.busy.append((self._daemon.processor_seconds - busy) / messages)

    def _load(self, kind: str, receivers: int) -> Load:
        return Load(
            [f"{kind}.sender{number}" for number in range(self._clients)],
            [f"{kind}.receiver{number}" for number in range(receivers)],
            self._messages,
        )

    def _receiver(self, closing: ExitStack, name: str) -> Link:
        link = closing.enter_context(Link(self._daemon.port))
        link.log_in(name)
        return link

    def _sender(self, closing: ExitStack, name: str) -> Link:
        link = closing.enter_context(Link(self._daemon.port))
        link.log_in_to_send(name)
        return link

    def _register(self, name: str) -> None:
        with Link(self._daemon.port) as link:
            link.log_in(name)
            link.leave()

    def _expect_silence(self, link: Link) -> None:
        """See that nothing more came, or was queued."""
        expect([link.ask("/confirm off")], [text.confirming(False)])


def show(cases: dict[str, Case]) -> None:
    """Print the figures, those without times of single messages first."""
    busy = "busy us/message: how long the daemon kept processors busy for each"
    print(
        f"\nmedian (least - most); {busy}\n"
        "generator: how busy this process was; near 100 % the daemon was not at its"
        " limit\n"
    )
    for timed in (False, True):
        print(
            f"{'one message at a time' if timed else 'pipelined':32}"
            f"{'messages/s':>27}{'busy us':>9}{'generator':>11}"
            + (f"{'p50 ms':>23}{'p99 ms':>23}" if timed else "")
        )
        for what, case in cases.items():
            if bool(case.p50) != timed:
                continue
            line = (
                f"{what:32}{spread(case.rates, 1, 0):>27}"
                f"{median(case.busy) * 1e6:9.1f}{median(case.generator):11.0%}"
            )
            if timed:
                line += f"{spread(case.p50, 1e-3):>23}{spread(case.p99, 1e-3):>23}"
            print(line)
        print()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--clients", type=int, default=20, help="senders, and as many receivers")
    add("--messages", type=int, default=100_000, help="in all, of each pipelined load")
    add("--singles", type=int, default=1_000, help="of each sender that waits")
    add("--rounds", type=int, default=5, help="how often everything is measured")
    add("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    if options.quick:
        options.messages, options.singles, options.rounds = 5_000, 60, 1
    raised = [part for option in RAISED.items() for part in option]
    cases: defaultdict[str, Case] = defaultdict(Case)
    with tempfile.TemporaryDirectory(prefix="chatd-routing-") as temporary:
        print(machine(Path(temporary)))
        print(
            "By default a connection is slowed to 1,000 lines a second after the first"
            f" 10,000, so the daemon runs with\n  {' '.join(raised)}"
        )
        for number in range(options.rounds):
            with Daemon(Path(temporary, f"{number}.db"), *raised) as daemon:
                sizes = options.clients, options.messages, options.singles
                try:
                    Round(daemon, cases, *sizes).play()
                except Wrong as wrong:
                    sys.exit(f"WRONG: {wrong}")
    show(cases)


if __name__ == "__main__":
    main()
