"""``python -m torture``: rounds until the time is over, then a table.

The exit status is 1 if a promise was broken.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import TextIO

from torture.faults import FAULTS, cannot_pull_cables
from torture.plan import plan_round
from torture.programs import missing_nc
from torture.report import as_json, lines_of, table
from torture.rounds import Result, play


def main() -> int:
    """Run the rounds that the command line asks for."""
    arguments = _arguments()
    news = sys.stderr if arguments.json else sys.stdout
    left_out = {
        name: why for name in arguments.faults if (why := FAULTS[name].missing())
    }
    faults = [name for name in arguments.faults if name not in left_out]
    print(f"seed {arguments.seed}, faults: {', '.join(faults) or 'none'}", file=news)
    for name, why in left_out.items():
        print(f"left out: {name} ({why})", file=news)
    if "cut" in faults and (why := cannot_pull_cables()):
        print(f"left out: pulled cables ({why})", file=news)
    if why := missing_nc():
        print(f"left out: netcats ({why})", file=news)
    news.flush()
    results = list(_results(arguments, faults or ["none"], news))
    print(
        as_json(arguments.seed, left_out, results) if arguments.json else table(results)
    )
    broken = any(each.verdict.findings for each in results)
    print(f"seed {arguments.seed}: {'FAILED' if broken else 'all kept'}", file=news)
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=600, help="for how long (600)")
    length.add_argument("--rounds", type=int, help="how many rounds, however long")
    length.add_argument("--round", type=int, help="only this round of the seed")
    parser.add_argument(
        "--seed", default=token_hex(4), help="repeats the plans of a run"
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=list(FAULTS),
        help=f"of {','.join(FAULTS)} (all)",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="rounds at once"
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for what failing rounds leave"
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    return parser.parse_args()


def _faults(text: str) -> list[str]:
    names = [each.strip() for each in text.split(",") if each.strip()]
    if unknown := [each for each in names if each not in FAULTS]:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}")
    return names


def _results(
    arguments: argparse.Namespace, faults: Sequence[str], news: TextIO
) -> Iterator[Result]:
    """Play rounds, several at once, and say at once what is wrong."""
    nc = missing_nc() is None
    numbers = iter([arguments.round]) if arguments.round is not None else count()
    if arguments.rounds is not None:
        numbers = iter(range(arguments.rounds))
    timed = arguments.rounds is None and arguments.round is None
    deadline = monotonic() + arguments.seconds if timed else float("inf")
    context = multiprocessing.get_context("spawn")
    under_way: set[Future[Result]] = set()
    with ProcessPoolExecutor(arguments.jobs, context) as pool:
        while True:
            while len(under_way) < arguments.jobs and monotonic() < deadline:
                number = next(numbers, None)
                if number is None:
                    break
                plan = plan_round(arguments.seed, number, faults, nc=nc)
                under_way.add(pool.submit(play, plan, arguments.keep))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for each in done:
                result = each.result()
                for line in lines_of(result):
                    print(line, file=news, flush=True)
                yield result


if __name__ == "__main__":
    sys.exit(main())
