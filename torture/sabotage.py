"""``python -m torture.sabotage``: whether what should find a broken promise does.

Breaks one guarantee after the other in a copy of the source, and runs the model or the
torture on the copy. The exit status is 1 if one of them finds nothing wrong, or finds
something in the source as it is.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from torture.judgement import KINDS
from torture.sabotages import SABOTAGES, Change, Sabotage

ROOT: Final = Path(__file__).parents[1]

_COPIED: Final = ("chatd", "tests", "torture", "twisted", "pyproject.toml")
_ERROR: Final = re.compile(r"^E   +(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """What the model or the torture said; `what` is empty if it found nothing."""

    by: str
    what: str
    seconds: float


def apply(changes: Iterable[Change], root: Path) -> None:
    """Change files under a folder. Raises `ValueError` if a passage is not there."""
    for change in changes:
        file = root / change.file
        source = file.read_text(encoding="utf-8")
        if source.count(change.old) != 1:
            raise ValueError(f"{change.file}: not there once: {change.old!r}")
        file.write_text(source.replace(change.old, change.new), encoding="utf-8")


def main() -> int:
    """Break what the command line asks for, and print a table."""
    arguments = _arguments()
    chosen = [each for each in SABOTAGES if arguments.only in each.name]
    if not chosen:
        print(f"no such sabotage: {arguments.only}", file=sys.stderr)
        return 2
    print("| what is broken | found by | after | what it said |")
    print("| --- | --- | --- | --- |")
    failed = False
    for sabotage in (None, *chosen):
        finding = _try(sabotage, arguments)
        name = "nothing" if sabotage is None else sabotage.name
        said = finding.what.replace("|", "\\|")[:100] or "nothing"
        print(
            f"| {name} | {finding.by} | {finding.seconds:.0f} s | {said} |", flush=True
        )
        failed |= bool(finding.what) != (sabotage is not None)
    print("FAILED" if failed else "Each was found.", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m torture.sabotage", description=__doc__
    )
    parser.add_argument("--only", default="", help="those with this in their names")
    parser.add_argument(
        "--examples", type=int, default=5000, help="of the model, at most (5000)"
    )
    parser.add_argument("--rounds", type=int, default=60, help="of the torture (60)")
    parser.add_argument("--seed", default="5ab0", help="of the torture (5ab0)")
    return parser.parse_args()


def _try(sabotage: Sabotage | None, arguments: argparse.Namespace) -> Finding:
    with TemporaryDirectory(prefix="chatd-sabotage-") as folder:
        copy = Path(folder)
        _copy_to(copy)
        # Before all that is installed, the source itself among it.
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        begun = monotonic()
        if sabotage is None or sabotage.fault is None:
            apply(sabotage.changes if sabotage else (), copy)
            what = _model(copy, environment, arguments)
            return Finding("model", what, monotonic() - begun)
        apply(sabotage.changes, copy)
        what = _torture(copy, environment, sabotage.fault, arguments)
        return Finding(f"torture, {sabotage.fault}", what, monotonic() - begun)


def _copy_to(folder: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder)


def _model(
    folder: Path, environment: Mapping[str, str], arguments: argparse.Namespace
) -> str:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--timeout=0", "tests/unit/test_model.py"),
        ],
        cwd=folder,
        env={
            **environment,
            "CHATD_HYPOTHESIS": "hunt",
            "CHATD_MODEL_EXAMPLES": str(arguments.examples),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return ""
    said = _ERROR.findall(run.stdout)
    if run.returncode != 1 or not said:
        raise RuntimeError(run.stdout + run.stderr)
    return str(said[0])


def _torture(
    folder: Path,
    environment: Mapping[str, str],
    fault: str,
    arguments: argparse.Namespace,
) -> str:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torture", "--json", f"--faults={fault}"),
            *(f"--rounds={arguments.rounds}", f"--seed={arguments.seed}"),
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(run.stdout)
    if result["left_out"]:
        raise RuntimeError(f"cannot be tried on this machine: {result['left_out']}")
    figures = result["faults"]["all"]
    return ", ".join(f"{figures[kind]} {kind}" for kind in KINDS if figures[kind])


if __name__ == "__main__":
    sys.exit(main())
