"""Measures chatd beside its peers: `python bench --rows routed,turns`.

The server runs on one core, this generator on another; runs are interleaved, so that
what else the machine does slows all alike. What is measured is added to a file, a line
a run, and the tables are made from it.
"""

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from harness.connection import Closed
from harness.cores import pin_generator
from harness.figures import machine
from harness.process import Failed
from harness.samples import Sample, Samples
from harness.tables import table
from peers.all import all_peers
from peers.base import Peer
from rows.all import all_rows
from rows.base import Bench, Row

OUT = Path("build/bench")

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
    for number in range(rounds):
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


def _run(row: Row, peer: Peer, bench: Bench) -> list[Sample]:
    try:
        return list(row.run(bench, peer))
    except (Closed, Failed, OSError, RuntimeError, sqlite3.Error) as failed:
        return [row.sample(peer, {}, f"{type(failed).__name__}: {failed}")]


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
    options = parser.parse_args()
    rows = choose("row", options.rows, rows)
    found = []
    for peer in choose("peer", options.peers, peers):
        if peer.missing():
            print(f"{peer.name} is left out: {peer.missing()} is not installed")
        else:
            found.append(peer)
    rounds = 1 if options.quick else options.rounds
    if options.quick:
        # What was measured well is not to be replaced by this.
        options.out /= "quick"
    samples = Samples(options.out / "results.jsonl")
    samples.forget(row.name for row in rows)
    if not pin_generator():
        print("There is one core only: server and generator share it.")
    with tempfile.TemporaryDirectory(prefix="chatd-bench-") as temporary:
        print(machine(Path(temporary)))
        bench = Bench(Path(temporary), options.seconds, options.quick)
        for row in rows:
            print(f"{row.title}", flush=True)
            measure(row, found, rounds, bench, samples)
    for row in rows:
        print("\n".join(table(row, samples)))
    lines = [line for row in all_rows() for line in table(row, samples)]
    (options.out / "tables.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
