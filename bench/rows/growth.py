"""How cost grows with connections, users and queues."""

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from harness.database import name_of
from harness.figures import percentile
from harness.samples import Sample
from harness.texts import names
from harness.visits import visit
from peers.base import Peer, StoringPeer
from peers.chatd import Chatd
from rows.base import Bench, Row, closing
from rows.latency import take_times
from rows.people import SETTLE_SECONDS, known
from rows.routed import route
from rows.storing import measure_queue

LATENCY_RATE = 1_000
LOGINS = 200


class Growth(Row):
    """A row that is measured at several amounts of something."""

    warms_up = False
    grows = True
    most_rounds = 3
    amounts: ClassVar[Sequence[int]]
    quick_amounts: ClassVar[Sequence[int]]

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once, at each amount."""
        for at in self.quick_amounts if bench.quick else self.amounts:
            if at <= self.most(peer):
                figures, trouble = self.measure(bench, peer, at)
                yield self.sample(peer, figures, trouble, at)

    def most(self, peer: Peer) -> int:
        """Return how many a peer can have."""
        return peer.most_users

    def measure(
        self, bench: Bench, peer: Peer, at: int
    ) -> tuple[dict[str, float], str]:
        """Measure one peer at one amount."""
        raise NotImplementedError


class Connections(Growth):
    """With so many idle connections beside those that are measured."""

    name = "connections"
    title = "Growth with connections: idle ones beside those that are measured"
    goal = "throughput, latency and login time the same, memory in proportion"
    figures = ("messages/s", "p50 ms", "p99 ms", "login p50 ms", "MiB")
    amounts = (10, 100, 1_000, 10_000)
    quick_amounts = (10, 100)

    def fits(self, peer: Peer) -> bool:
        """Return whether one can log in by writing something once."""
        return super().fits(peer) and not peer.logs_in_by_steps

    def measure(
        self, bench: Bench, peer: Peer, at: int
    ) -> tuple[dict[str, float], str]:
        """Measure one peer at one amount."""
        count = 2_000 if bench.quick else _messages(bench, peer)
        with peer.server(bench.new_folder()) as server:
            idle = peer.receivers(server.port, names("i", at))
            with closing(idle):
                time.sleep(SETTLE_SECONDS)
                memory = server.resident_bytes / 2**20
                hellos = map(peer.hello, names("s", _logins(bench, peer)))
                visits = visit(server.port, hellos, peer.logged_in, 1)
                # The names may be gone only a moment later.
                time.sleep(SETTLE_SECONDS)
                seconds = 0.2 if bench.quick else 1.0
                times, wrong = take_times(peer, server, LATENCY_RATE, seconds)
                figures, trouble = route(peer, server, count)
        bench.rates[self.name, peer.name] = figures["messages/s"]
        return {
            "messages/s": figures["messages/s"],
            "p50 ms": times["p50 ms"],
            "p99 ms": times["p99 ms"],
            "login p50 ms": percentile(visits.taken, 50) * 1e3,
            "MiB": memory,
        }, trouble or wrong


class Users(Growth):
    """With so many known users, of whom few are there."""

    name = "users"
    title = "Growth with users: so many known, few of them there"
    goal = "a million within 1.5 times a thousand"
    figures = (
        *("messages/s", "p50 ms", "login p50 ms", "stored p50 ms"),
        *("ms to accepting", "MiB"),
    )
    amounts = (10, 1_000, 100_000, 1_000_000)
    quick_amounts = (10, 1_000)

    def fits(self, peer: Peer) -> bool:
        """Return whether it is chatd: others keep no users, or not in this way."""
        return type(peer) is Chatd

    def measure(
        self, bench: Bench, peer: Peer, at: int
    ) -> tuple[dict[str, float], str]:
        """Measure one peer at one amount."""
        count = 2_000 if bench.quick else _messages(bench, peer)
        logins = _logins(bench, peer)
        daemon = Chatd(known(bench, at))
        with daemon.server(bench.new_folder()) as server:
            time.sleep(SETTLE_SECONDS)
            memory = server.resident_bytes / 2**20
            # Another one each time, spread over all, where there are enough.
            who = [name_of(turn * max(1, at // logins) % at) for turn in range(logins)]
            hellos = map(daemon.hello, who)
            visits = visit(server.port, hellos, daemon.logged_in, 1)
            time.sleep(SETTLE_SECONDS)
            stored = []
            (sender,) = daemon.senders(server.port, ["s00000"])
            for name in who:
                begun = time.perf_counter()
                sender.write(daemon.message("s00000", name, b"Hello!", 0))
                sender.read_until(b"stored.\n")
                stored.append(time.perf_counter() - begun)
            sender.close()
            seconds = 0.2 if bench.quick else 1.0
            times, wrong = take_times(daemon, server, LATENCY_RATE, seconds)
            figures, trouble = route(daemon, server, count)
        bench.rates[self.name, peer.name] = figures["messages/s"]
        return {
            "messages/s": figures["messages/s"],
            "p50 ms": times["p50 ms"],
            "login p50 ms": percentile(visits.taken, 50) * 1e3,
            "stored p50 ms": percentile(stored, 50) * 1e3,
            "ms to accepting": server.accepting_after * 1e3,
            "MiB": memory,
        }, trouble or wrong


class Queue(Growth):
    """So many messages for one user: stored, and drained at login."""

    name = "queue"
    title = "Growth with the queue of one user"
    goal = "a million within 1.5 times a thousand"
    needs = frozenset({"store"})
    figures = ("stored/s", "messages/s", "drain ms")
    amounts = (10, 1_000, 100_000, 1_000_000)
    quick_amounts = (10, 1_000)
    note = "messages/s is the drain, from the connection to the last message."

    def most(self, peer: Peer) -> int:
        """Return how many messages a peer can keep."""
        return peer.most_kept if isinstance(peer, StoringPeer) else 0

    def measure(
        self, bench: Bench, peer: Peer, at: int
    ) -> tuple[dict[str, float], str]:
        """Measure one peer at one amount."""
        assert isinstance(peer, StoringPeer)
        figures, trouble = measure_queue(bench, peer, at)
        drain = at / figures["messages/s"] * 1e3
        return {
            "stored/s": figures["stored/s"],
            "messages/s": figures["messages/s"],
            "drain ms": drain,
        }, trouble


def _logins(bench: Bench, peer: Peer) -> int:
    if peer.logs_in_slowly:
        return 2
    return 20 if bench.quick else LOGINS


def _messages(bench: Bench, peer: Peer) -> int:
    """Return how many messages take a second, by what was measured before."""
    rows = ("connections", "users", "routed")
    found = [bench.rates.get((row, peer.name), 0.0) for row in rows]
    return int(min(1_000_000, max(found))) or 40_000
