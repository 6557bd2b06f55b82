"""Measures chatd beside its peers: `python bench --rows routed,turns`.

The server runs on one core, this generator on another; runs are interleaved, so that
what else the machine does slows all alike. What is measured is added to a file, a line
a run, and the tables are made from it.
"""

import argparse
import compileall
import resource
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import chatd
from harness.connection import Closed
from harness.cores import pin_generator
from harness.figures import machine
from harness.process import Failed
from harness.report import about, publish, write
from harness.samples import Sample, Samples
from harness.tables import table
from peers.all import all_peers
from peers.base import Peer
from rows.all import all_rows
from rows.base import Bench, Row

OUT = Path("build/bench")
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"

Named = TypeVar("Named", Peer, Row)


def measure(
    row: Row, peers: Sequence[Peer], rounds: int, bench: Bench, samples: Samples
) -> None:
    """Measure a row: all peers, one after the other, and then again."""
    fitting = [peer for peer in peers if row.fits(peer)]
    if row.warms_up and not bench.quick:
        for peer in list(fitting):
            for sample in _run(row, peer, bench):
                if not sample.figures:
                    print(f"  {peer.name} left out: {sample.trouble}", flush=True)
                    fitting.remove(peer)
    for number in range(min(rounds, row.most_rounds)):
        for peer in fitting:
            for sample in _run(row, peer, bench):
                samples.add(sample)
                figures = ", ".join(
                    f"{value:,.4g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
                    for unit, value in sample.figures.items()
                )
                at = f" at {sample.at:,}" if sample.at else ""
                print(
                    f"  {number + 1} {peer.name}{at}: {figures} {sample.trouble}",
                    flush=True,
                )


def _run(row: Row, peer: Peer, bench: Bench) -> Iterator[Sample]:
    try:
        yield from row.run(bench, peer)
    except (Closed, Failed, OSError, RuntimeError, sqlite3.Error) as failed:
        yield row.sample(peer, {}, f"{type(failed).__name__}: {failed}")


def choose(what: str, given: str, those: Sequence[Named]) -> Sequence[Named]:
    """Return those whose names were given, with a comma between."""
    wanted = [each.strip().lower() for each in given.split(",") if each.strip()]
    known = {each.name.lower(): each for each in those}
    unknown = set(wanted) - set(known)
    if unknown:
        sys.exit(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return [each for name, each in known.items() if not wanted or name in wanted]


def main() -> None:
    """Measure, and write the tables."""
    rows, peers = all_rows(), all_peers()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--rows", default="", help=f"some of {','.join(each.name for each in rows)}")
    add("--peers", default="", help=f"some of {','.join(each.name for each in peers)}")
    add("--rounds", type=int, default=5, help="runs of each peer a row (5)")
    add("--seconds", type=float, default=3.0, help="of load a run (3)")
    add("--out", type=Path, default=OUT, help=f"where results are put ({OUT})")
    add("--quick", action="store_true", help="only see that it works")
    add("--report", action="store_true", help="measure nothing, write the report anew")
    add("--publish", action="store_true", help=f"put the report into {DOCUMENT.name}")
    options = parser.parse_args()
    if options.quick:
        # What was measured well is not to be replaced by this.
        options.out /= "quick"
    samples = Samples(options.out / "results.jsonl")
    if not options.report:
        chosen = choose("peer", options.peers, peers)
        rows = choose("row", options.rows, rows)
        run_all(rows, chosen, samples, options)
    write(all_rows(), samples, options.out)
    for row in rows:
        print("\n".join(table(row, samples)))
    if options.publish:
        publish(options.out, DOCUMENT)
    ours = [each for each in samples.all if each.peer.startswith("chatd")]
    sys.exit(any(each.trouble for each in ours))


def run_all(
    rows: Sequence[Row],
    peers: Sequence[Peer],
    samples: Samples,
    options: argparse.Namespace,
) -> None:
    """Measure all rows."""
    # Whoever stops this stops the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    # As pip does when it installs; not all environments let Python do so by itself.
    compileall.compile_dir(Path(chatd.__file__).parent, quiet=2)
    found = []
    for peer in peers:
        if peer.missing():
            print(f"{peer.name} is left out: {peer.missing()} is not installed")
        else:
            found.append(peer)
    rounds = 1 if options.quick else options.rounds
    samples.forget(row.name for row in rows)
    cores = "a core each" if pin_generator() else "one core for both"
    how = (
        f"Medians of {rounds} runs of {options.seconds:g} s with minimum and maximum,"
        f" those of all peers in turn; server and generator: {cores}."
    )
    with tempfile.TemporaryDirectory(prefix="chatd-bench-") as temporary:
        described = machine(Path(temporary))
        print(f"{how}\n{described}")
        text = about(described, all_peers(), how)
        (options.out / "about.md").write_text(text, encoding="utf-8")
        bench = Bench(Path(temporary), options.seconds, options.quick)
        for row in rows:
            print(f"{row.title}", flush=True)
            measure(row, found, rounds, bench, samples)


if __name__ == "__main__":
    main()
