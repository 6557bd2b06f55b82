"""Many clients, each with a single line in flight."""

from collections.abc import Iterator

from harness.credit import ByPartner
from harness.pump import pump
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

CLIENTS = 400


class Turns(Row):
    """Each client writes to the next one, and again when that one has it."""

    name = "turns"
    title = "400 clients, a line at a time"
    goal = "the CPU a message of ngIRCd"
    needs = frozenset({"route"})
    figures = ("CPU us/message", "messages/s", "generator us/message")

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        messages = bench.messages(self.name, peer.name, most=400_000, first=20_000)
        who = names("s", CLIENTS)
        # Client i's all go to client i + 1.
        traffic = Traffic(who, [*who[1:], who[0]], max(2, messages // CLIENTS), False)
        with peer.server(bench.new_folder()) as server:
            clients = peer.receivers(server.port, who)
            with closing(clients):
                size, _ = probe(peer, clients[0], clients[1], (who[0], who[1]))
                receivers = [*clients[1:], clients[0]]
                for number, client in enumerate(clients):
                    block, unit = write_block(peer, traffic, number)
                    client.load(block, unit, 1)
                    client.expect(traffic.each, size=size)
                credit = ByPartner(dict(zip(receivers, clients, strict=True)))
                with busy(server) as seconds:
                    outcome = pump(clients, credit=credit)
                verdict = judge_all(traffic, receivers)
        arrived = max(1, traffic.total - verdict.lost)
        rate = arrived / outcome.seconds
        bench.rates[self.name, peer.name] = rate
        figures = {
            "CPU us/message": seconds[0] / arrived * 1e6,
            "messages/s": rate,
            "generator us/message": outcome.generator_seconds / arrived * 1e6,
        }
        yield self.sample(peer, figures, trouble_of(verdict, outcome.closed))
