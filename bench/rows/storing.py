"""Messages to who is away: how fast they are taken, and given out again."""

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from harness.connection import Connection, connect
from harness.credit import by_answers
from harness.figures import percentile
from harness.process import Server
from harness.pump import Outcome, pump
from harness.samples import Sample
from harness.texts import Traffic, Verdict, names, text_of
from peers.base import Peer, StoringPeer
from rows.base import Bench, Row, busy, closing, judge_all, trouble_of, write_block

SENDERS = 10
WINDOW = 1000
NOBODY = "r99999"
"""Gets what is sent to find something out."""


def answer_size(peer: StoringPeer, sender: Connection, name: str) -> int:
    """Return the size of an answer that says that a message is kept."""
    sender.write(peer.stored(peer.message(name, NOBODY, text_of(0, 0), 65_534)))
    return len(sender.read_until_quiet())


def log_in(peer: StoringPeer, server: Server, who: Sequence[str]) -> list[Connection]:
    """Return connections of people who send what is to be kept."""
    senders = [connect(server.port) for _ in who]
    for sender, name in zip(senders, who, strict=True):
        peer.log_in_to_store(sender, name)
    return senders


def store(
    peer: StoringPeer, server: Server, traffic: Traffic, window: int = WINDOW
) -> tuple[Outcome, int]:
    """Send all that there is; return also how many were not answered."""
    for name in (NOBODY, *traffic.receivers):
        peer.make_known(server.port, name)
    senders = log_in(peer, server, traffic.senders)
    with closing(senders):
        size = 0
        if not peer.stored_mark:
            size = answer_size(peer, senders[0], traffic.senders[0])
        for number, sender in enumerate(senders):
            sender.load(*write_block(peer, traffic, number, peer.stored), window)
            sender.expect(traffic.each, size=size, mark=peer.stored_mark)
        outcome = pump(senders, credit=by_answers(senders), silence=10)
        answered = sum(each.done for each in senders)
    return outcome, traffic.total - answered


def drain(
    peer: StoringPeer, server: Server, traffic: Traffic
) -> tuple[Outcome, Verdict]:
    """Log all receivers in, and read what was kept for them."""
    receivers: list[Connection] = []
    for number, name in enumerate(traffic.receivers):
        receiver = connect(server.port)
        receivers.append(receiver)
        peer.prepare(receiver, name)
        size = 0
        if not peer.kept_mark:
            size = len(peer.message("", name, text_of(0, 0), 0))
        receiver.expect(
            traffic.count(number),
            size=size,
            mark=peer.kept_mark,
            skip=peer.greeting_bytes,
        )
        receiver.load(peer.come_back(name), 1, 1 << 20)
    with closing(receivers):
        outcome = pump(
            receivers,
            acknowledge=peer.acknowledge if peer.acknowledges else None,
            silence=10,
        )
        verdict = judge_all(traffic, receivers)
    return outcome, verdict


class Accepted(Row):
    """10 senders to 10 users who are away; then all that was kept is looked at."""

    name = "accepted"
    title = "Accepted for users who are away, 10 senders, 1,000 in flight each"
    goal = (
        "Mosquitto's rate, whose messages stay in memory; chatd's are on disk, synced"
    )
    needs = frozenset({"store"})
    figures = ("messages/s", "CPU us/message", "generator us/message")
    note = (
        "Afterwards each user logs in, and gets what was kept: losses and order are of"
        " that."
    )

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        assert isinstance(peer, StoringPeer)
        messages = bench.messages(self.name, peer.name, most=1_000_000, first=20_000)
        away = names("r", SENDERS)
        traffic = Traffic(names("s", SENDERS), away, messages // SENDERS)
        with peer.server(bench.new_folder()) as server:
            with busy(server) as seconds:
                outcome, unanswered = store(peer, server, traffic)
            _, verdict = drain(peer, server, traffic)
        rate = (traffic.total - unanswered) / outcome.seconds
        bench.rates[self.name, peer.name] = rate
        figures = {
            "messages/s": rate,
            "CPU us/message": seconds[0] / traffic.total * 1e6,
            "generator us/message": outcome.generator_seconds / traffic.total * 1e6,
        }
        trouble = trouble_of(verdict, outcome.closed)
        if unanswered:
            trouble = f"{trouble}, " * bool(trouble) + f"{unanswered:,} not answered"
        yield self.sample(peer, figures, trouble)


class AcceptedJson(Accepted):
    """The same in the JSON form, with ids."""

    name = "json-accepted"
    title = "JSON form, ids and acks on: accepted for users who are away"
    goal = "Mosquitto's QoS 1"
    needs = frozenset({"acknowledged"})


class Answered(Row):
    """One sender, who waits for each answer before the next message."""

    name = "answered"
    title = "One sender, a user who is away, waiting for each answer"
    goal = "p50 1 ms; chatd's messages are on disk, synced"
    needs = frozenset({"store"})
    figures = ("p50 ms", "p99 ms")
    warms_up = False

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        assert isinstance(peer, StoringPeer)
        count = 50 if bench.quick else int(bench.seconds * 500)
        sender_name, away = "s00000", "r00000"
        traffic = Traffic([sender_name], [away], count)
        taken = []
        with peer.server(bench.new_folder()) as server:
            for name in (NOBODY, away):
                peer.make_known(server.port, name)
            (sender,) = log_in(peer, server, [sender_name])
            with closing([sender]):
                size = answer_size(peer, sender, sender_name)
                for number in range(count):
                    text = text_of(0, number)
                    line = peer.message(sender_name, away, text, number)
                    line = peer.stored(line)
                    begun = time.perf_counter()
                    sender.write(line)
                    if peer.stored_mark:
                        sender.read_past(peer.stored_mark)
                    left = 0 if peer.stored_mark else size
                    while left > 0:
                        left -= len(sender.socket.recv(left))
                    taken.append(time.perf_counter() - begun)
            _, verdict = drain(peer, server, traffic)
        figures = {
            "p50 ms": percentile(taken, 50) * 1e3,
            "p99 ms": percentile(taken, 99) * 1e3,
        }
        yield self.sample(peer, figures, trouble_of(verdict, 0))


class Drain(Row):
    """A user logs in for whom there are many messages."""

    name = "drain"
    title = "Drain of 100,000 queued messages at login"
    goal = "150,000 messages/s"
    needs = frozenset({"store"})
    figures = ("messages/s", "CPU us/message", "generator us/message")
    note = "From the connection to the last message, the greeting included."
    warms_up = False
    length: ClassVar[int] = 100_000

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        assert isinstance(peer, StoringPeer)
        length = 2_000 if bench.quick else self.length
        figures, trouble = measure_queue(bench, peer, length)
        del figures["stored/s"]
        yield self.sample(peer, figures, trouble)


def measure_queue(
    bench: Bench, peer: StoringPeer, length: int, senders: Sequence[str] = ()
) -> tuple[dict[str, float], str]:
    """Fill one user's queue, and drain it."""
    senders = senders or names("s", min(SENDERS, length))
    traffic = Traffic(senders, names("r", 1), length // len(senders))
    with peer.server(bench.new_folder()) as server:
        stored, unanswered = store(peer, server, traffic)
        with busy(server) as seconds:
            outcome, verdict = drain(peer, server, traffic)
    trouble = trouble_of(verdict, outcome.closed)
    if unanswered:
        trouble = f"{trouble}, " * bool(trouble) + f"{unanswered:,} not answered"
    total = traffic.total
    return {
        "messages/s": (total - verdict.lost) / outcome.seconds,
        "stored/s": (total - unanswered) / stored.seconds,
        "CPU us/message": seconds[0] / total * 1e6,
        "generator us/message": outcome.generator_seconds / total * 1e6,
    }, trouble
