"""Messages that are acknowledged on both sides: the JSON form beside MQTT's QoS 1."""

from collections.abc import Iterator

from harness.credit import by_answers
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

CLIENTS = 20
WINDOW = 50


class Acknowledged(Row):
    """20 senders to 20 receivers; senders wait for what they are told."""

    name = "json"
    title = (
        "JSON form, ids and acks on: routed, 20 to 20, mixed targets, 50 in flight a"
        " sender"
    )
    goal = "Mosquitto's QoS 1"
    needs = frozenset({"acknowledged"})
    figures = ("messages/s", "CPU us/message", "generator us/message")
    note = (
        "Counted when the receiver has acknowledged, and the sender was told: by chatd"
        " that the receiver has it, by Mosquitto that the broker has."
    )

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        messages = bench.messages(self.name, peer.name, most=1_000_000, first=20_000)
        sender_names, receiver_names = names("s", CLIENTS), names("r", CLIENTS)
        traffic = Traffic(sender_names, receiver_names, messages // CLIENTS)
        with peer.server(bench.new_folder()) as server:
            receivers = peer.receivers(server.port, receiver_names)
            senders = peer.senders(server.port, sender_names)
            with closing([*receivers, *senders]):
                size = answer = 0
                if not peer.delivery_mark:
                    first = (sender_names[0], receiver_names[0])
                    size, _ = probe(peer, senders[0], receivers[0], first)
                    answer = len(senders[0].read_until_quiet())
                for number, sender in enumerate(senders):
                    sender.load(*write_block(peer, traffic, number), WINDOW)
                    sender.expect(traffic.each, size=answer, mark=peer.answer_mark)
                for number, receiver in enumerate(receivers):
                    due = traffic.count(number)
                    receiver.expect(due, size=size, mark=peer.delivery_mark)
                who = set(receivers)
                with busy(server) as seconds:
                    outcome = pump(
                        [*receivers, *senders],
                        credit=by_answers(senders),
                        acknowledge=lambda inbox, before, after: (
                            peer.acknowledge(inbox, before, after)
                            if inbox in who
                            else b""
                        ),
                    )
                verdict = judge_all(traffic, receivers)
                unanswered = traffic.total - sum(each.done for each in senders)
        arrived = max(1, traffic.total - verdict.lost)
        rate = arrived / outcome.seconds
        bench.rates[self.name, peer.name] = rate
        figures = {
            "messages/s": rate,
            "CPU us/message": seconds[0] / arrived * 1e6,
            "generator us/message": outcome.generator_seconds / arrived * 1e6,
        }
        trouble = trouble_of(verdict, outcome.closed)
        if unanswered:
            trouble = f"{trouble}, " * bool(trouble) + f"{unanswered:,} not answered"
        yield self.sample(peer, figures, trouble)
