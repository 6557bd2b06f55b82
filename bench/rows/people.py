"""What it takes to have many people: their memory, and their logins."""

import time
from collections.abc import Iterator
from pathlib import Path

from harness.database import build, name_of
from harness.figures import percentile
from harness.process import Server
from harness.samples import Sample
from harness.texts import names
from harness.visits import visit
from peers.base import Peer
from peers.chatd import Chatd
from rows.base import Bench, Row, closing

IDLE = 10_000
SETTLE_SECONDS = 0.5


class Idle(Row):
    """Memory of connections that are logged in, and say nothing."""

    name = "idle"
    title = f"{IDLE:,} idle connections, logged in"
    goal = "3 KiB each"
    figures = ("KiB each", "ms each to log in")
    note = "The growth of the server's resident memory; sockets are the kernel's."
    warms_up = False

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        count = min(100 if bench.quick else IDLE, peer.most_users)
        with peer.server(bench.new_folder()) as server:
            time.sleep(SETTLE_SECONDS)
            before, begun = server.resident_bytes, time.perf_counter()
            connections = peer.receivers(server.port, names("i", count))
            taken = time.perf_counter() - begun
            with closing(connections):
                time.sleep(SETTLE_SECONDS)
                grown = server.resident_bytes - before
        figures = {
            "KiB each": grown / count / 1024,
            "ms each to log in": taken / count * 1e3,
        }
        trouble = "" if count == IDLE or bench.quick else f"of {count:,} only"
        yield self.sample(peer, figures, trouble)


def known(bench: Bench, users: int) -> Path:
    """Return a database of chatd's with so many users; it is made once."""
    path = bench.folder / f"users{users}.db"
    if not path.exists():
        build(path, users)
    return path


def log_in_often(peer: Peer, server: Server, who: Iterator[str]) -> dict[str, float]:
    """Log in under each name, many at the same time; return the figures."""
    hellos = [peer.hello(name) for name in who]
    before = server.processor_seconds
    visits = visit(server.port, iter(hellos), peer.logged_in, peer.at_once)
    return {
        "logins/s": len(hellos) / visits.seconds,
        "CPU us/login": (server.processor_seconds - before) / len(hellos) * 1e6,
        "p50 ms": percentile(visits.taken, 50) * 1e3,
        "generator us/login": visits.generator_seconds / len(hellos) * 1e6,
    }


class Logins(Row):
    """Logins under known names; connections included, many at the same time."""

    name = "logins"
    title = "Logins, with 10,000 and with 1,000,000 known users"
    goal = "8,000 logins/s, the same with either"
    figures = ("logins/s", "CPU us/login", "p50 ms", "generator us/login")
    note = (
        "A connection each, until the greeting has come. Peers keep no users, so theirs"
        " are without a list of them. 100 log in at the same time; with ngIRCd 8, for"
        " which its listening socket has room, and with InspIRCd 2,000, as it lets"
        " people in once a second."
    )
    warms_up = False

    def fits(self, peer: Peer) -> bool:
        """Return whether one can log in by writing something once."""
        return super().fits(peer) and not peer.logs_in_by_steps

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        count = min(300 if bench.quick else 10_000, peer.most_users)
        if not isinstance(peer, Chatd):
            with peer.server(bench.new_folder()) as server:
                figures = log_in_often(peer, server, iter(names("s", count)))
            yield self.sample(peer, figures)
            return
        for users in (1_000, 10_000) if bench.quick else (10_000, 1_000_000):
            daemon = Chatd(known(bench, users))
            with daemon.server(bench.new_folder()) as server:
                spread = (name_of(each * (users // count)) for each in range(count))
                figures = log_in_often(daemon, server, spread)
            yield self.sample(peer, figures, at=users)


class Start(Row):
    """From exec to the first connection; and the memory then."""

    name = "start"
    title = "From exec to accepting; idle memory"
    goal = "400 ms; 50 MiB"
    figures = ("ms to accepting", "MiB idle")
    warms_up = False

    def run(self, bench: Bench, peer: Peer) -> Iterator[Sample]:
        """Measure one peer once."""
        with peer.server(bench.new_folder()) as server:
            time.sleep(SETTLE_SECONDS)
            figures = {
                "ms to accepting": server.accepting_after * 1e3,
                "MiB idle": server.resident_bytes / 2**20,
            }
        yield self.sample(peer, figures)
