"""How long a message takes, at rates that every server bears."""

from collections.abc import Iterator
from typing import ClassVar

from harness.figures import percentile
from harness.paced import pace
from harness.process import Server
from harness.samples import Sample
from harness.texts import Traffic, names
from peers.base import Peer
from rows.base import (
    Bench,
    Row,
    busy,
    closing,
    judge_all,
    probe,
    trouble_of,
    write_block,
)

CLIENTS = 100


def take_times(
    peer: Peer, server: Server, rate: float, seconds: float, count: int = CLIENTS
) -> tuple[dict[str, float], str]:
    """Send at a rate; return the figures, and what was wrong."""
    who = names("l", count)
    # Shifted by 37, so that sender and receiver are never next to each other.
    each = max(1, int(rate * seconds) // count)
    traffic = Traffic(who, [*who[37:], *who[:37]], each, False)
    clients = peer.receivers(server.port, who)
    with closing(clients):
        receivers = [*clients[37:], *clients[:37]]
        size, offset = probe(peer, clients[0], clients[37], (who[0], who[37]))
        for number, client in enumerate(clients):
            client.load(*write_block(peer, traffic, number), 0)
            client.expect(traffic.each, size=size)
        with busy(server) as spent:
            paced = pace(
                clients, receivers, rate=rate, each=each, key_offset=offset + 2
            )
        verdict = judge_all(traffic, receivers)
    figures = {
        "p50 ms": percentile(paced.taken, 50) * 1e3,
        "p99 ms": percentile(paced.taken, 99) * 1e3,
        "CPU us/message": spent[0] / traffic.total * 1e6,
        "generator late p99 ms": percentile(paced.late, 99) * 1e3,
    }
    return figures, trouble_of(verdict, 0)


class Latency(Row):
    """100 clients that write to each other, one after the other, at a steady rate."""

    name = "latency2k"
    title = "Latency at 2,000 messages/s, 100 connections"
    goal = "p50 0.15 ms, p99 0.5 ms"
    needs = frozenset({"route"})
    figures = ("p50 ms", "p99 ms", "CPU us/message", "generator late p99 ms")
    note = "From just before the write until it was read; the generator never sleeps."
    rate: ClassVar[int] = 2_000
    clients: ClassVar[int] = CLIENTS
    warms_up = False

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        seconds = 0.2 if bench.quick else bench.seconds
        with peer.server(bench.new_folder()) as server:
            figures, trouble = take_times(
                peer, server, self.rate, seconds, self.clients
            )
        yield self.sample(peer, figures, trouble)


class LatencyMore(Latency):
    """The same, five times as often."""

    name = "latency10k"
    title = "Latency at 10,000 messages/s, 100 connections"
    rate = 10_000


class TurnsAtAPace(Latency):
    """400 clients, and what a server spends on each message while it is not busy."""

    name = "turns10k"
    title = "400 clients, a line at a time, at 10,000 messages/s"
    goal = "the CPU a message of ngIRCd"
    figures = ("CPU us/message", "p50 ms", "p99 ms", "generator late p99 ms")
    rate = 10_000
    clients = 400
