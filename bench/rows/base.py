"""What a row of the report is: a load, put on each peer that can bear it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from harness.connection import Connection
from harness.process import Server
from harness.samples import Sample
from harness.texts import MARK, Verdict, judge, text_of
from harness.texts import Traffic as Traffic
from peers.base import Peer


@dataclass
class Bench:
    """How runs are made: seconds of load each, and where files may be.

    `rates` remembers what a peer did in a row, so that the next run lasts as long.
    """

    folder: Path
    seconds: float = 3.0
    quick: bool = False
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    _runs: int = 0

    def new_folder(self) -> Path:
        """Return a folder for one server's files."""
        self._runs += 1
        return self.folder / f"run{self._runs}"

    def messages(self, row: str, peer: str, *, most: int, first: int) -> int:
        """Return how many messages take about as long as a run should."""
        if self.quick:
            return min(first, 2_000)
        rate = self.rates.get((row, peer))
        return (
            first if rate is None else max(first, min(most, int(rate * self.seconds)))
        )


class Row(ABC):
    """A load. `needs` is what peers must be able to do; `figures` are shown in order.

    `goal` says what is asked of chatd; `note` what weakens the figures.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    goal: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset({"route"})
    figures: ClassVar[Sequence[str]]
    note: ClassVar[str] = ""
    most_rounds: ClassVar[int] = 100
    grows: ClassVar[bool] = False
    """Whether it is measured at several amounts of something."""

    warms_up: ClassVar[bool] = True
    """Whether a first run, not counted, tells how many messages a run should have."""

    def fits(self, peer: Peer) -> bool:
        """Return whether a peer can do this."""
        return bool(self.needs & peer.can)

    @abstractmethod
    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""

    def sample(
        self, peer: Peer, figures: dict[str, float], trouble: str = "", at: int = 0
    ) -> Sample:
        """Return what was measured."""
        return Sample(self.name, peer.name, figures, trouble, at)


@contextmanager
def closing(connections: Sequence[Connection]) -> Iterator[None]:
    """Close all at the end."""
    try:
        yield
    finally:
        for each in connections:
            each.close()


@contextmanager
def busy(server: Server) -> Iterator[list[float]]:
    """Put the seconds that a server was busy into the list, at the end."""
    result: list[float] = []
    before = server.processor_seconds
    yield result
    result.append(server.processor_seconds - before)


def probe(
    peer: Peer, sender: Connection, receiver: Connection, names: tuple[str, str]
) -> tuple[int, int]:
    """Send one message; return the size of what arrives, and where its text begins."""
    text = text_of(0, 9_999_999)
    sender.write(peer.message(*names, text, 0))
    came = receiver.read_until_quiet()
    if text not in came:
        raise RuntimeError(f"{peer.name}: {came!r} came in place of a message")
    return len(came), came.index(MARK)


def write_block(
    peer: Peer,
    traffic: Traffic,
    sender: int,
    finish: Callable[[bytes], bytes] = bytes,
) -> tuple[bytes, int]:
    """Return all that a sender writes, and the size of each message in it.

    `finish` has the last word on each message.
    """
    name = traffic.senders[sender]
    block = b"".join(
        finish(
            peer.message(
                *(name, traffic.target(sender, number)),
                *(text_of(sender, number), number),
            )
        )
        for number in range(traffic.each)
    )
    return block, len(block) // traffic.each


def judge_all(traffic: Traffic, receivers: Sequence[Connection]) -> Verdict:
    """See what each receiver got of what was due to it."""
    verdict = Verdict()
    for number, receiver in enumerate(receivers):
        verdict += judge(receiver.received, traffic.due(number))
    return verdict


def trouble_of(verdict: Verdict, closed: int) -> str:
    """Return what was wrong, or nothing."""
    said = "" if verdict == Verdict() else str(verdict)
    if closed:
        said = f"{said}, " * bool(said) + f"{closed} connections cut"
    return said
