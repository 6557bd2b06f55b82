"""Messages to who is there: pipelined, and with few in flight."""

from collections.abc import Iterator
from typing import ClassVar

from harness.credit import ByTag
from harness.process import Server
from harness.pump import pump
from harness.samples import Sample
from harness.texts import TAGS, Traffic, names
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

CLIENTS = 20


def route(
    peer: Peer, server: Server, messages: int, window: int = 0
) -> tuple[dict[str, float], str]:
    """Route so many messages; return the figures, and what was wrong.

    With a window no sender has more than so many on their way.
    """
    sender_names, receiver_names = names("s", CLIENTS), names("r", CLIENTS)
    mixed = "copy" not in peer.can
    traffic = Traffic(sender_names, receiver_names, messages // CLIENTS, mixed)
    receivers = peer.receivers(server.port, receiver_names)
    senders = peer.senders(server.port, sender_names)
    everybody = [*receivers, *senders]
    with closing(everybody):
        first = (sender_names[0], receiver_names[0])
        size, offset = probe(peer, senders[0], receivers[0], first)
        for number, sender in enumerate(senders):
            block, unit = write_block(peer, traffic, number)
            sender.load(block, unit, window or traffic.each)
        for number, receiver in enumerate(receivers):
            receiver.expect(traffic.count(number), size=size)
        credit = ByTag(senders, TAGS[:CLIENTS], offset + 1, size)
        with busy(server) as seconds:
            outcome = pump(
                everybody,
                credit=credit if window else None,
                acknowledge=peer.acknowledge if peer.acknowledges else None,
            )
        verdict = judge_all(traffic, receivers)
    arrived = max(1, traffic.total - verdict.lost)
    figures = {
        "messages/s": arrived / outcome.seconds,
        "CPU us/message": seconds[0] / arrived * 1e6,
        "generator us/message": outcome.generator_seconds / arrived * 1e6,
    }
    return figures, trouble_of(verdict, outcome.closed)


class Routed(Row):
    """20 senders to 20 receivers; each message goes to the next receiver."""

    name = "routed"
    title = "Routed, 20 senders to 20 receivers, mixed targets, pipelined"
    goal = "twice the fastest peer"
    needs = frozenset({"route", "route acknowledged", "copy"})
    figures = ("messages/s", "CPU us/message", "generator us/message")
    note = (
        "The raw copy shows what the generator can do: it writes and reads the same"
        " bytes, but sender i's all go to receiver i."
    )
    window: ClassVar[int] = 0
    most: ClassVar[int] = 3_000_000

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        messages = bench.messages(self.name, peer.name, most=self.most, first=40_000)
        with peer.server(bench.new_folder()) as server:
            figures, trouble = route(peer, server, messages, self.window)
        bench.rates[self.name, peer.name] = figures["messages/s"]
        yield self.sample(peer, figures, trouble)


class RoutedFew(Routed):
    """The same, with at most 50 of each sender not yet delivered."""

    name = "routed50"
    title = "Routed, the same, 50 undelivered in flight a sender"
    goal = "1.2 times the fastest peer"
    note = "A sender writes again when half of its 50 have been delivered, or more."
    window = 50
