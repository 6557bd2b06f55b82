"""Figures: many measurements in few words, and the machine they were taken on."""

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import twisted

SYNCS: Final = 50


def spread(values: Sequence[float], unit: float, digits: int = 2) -> str:
    """Return median, minimum and maximum, each divided by a unit."""
    middle, low, high = (
        f"{value / unit:,.{digits}f}"
        for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({low} - {high})"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    index = -(-len(values) * percent // 100) - 1
    return sorted(values)[max(0, int(index))]


def machine(folder: Path) -> str:
    """Return what figures depend on, in a few lines; `folder` is where data is kept."""
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, Twisted {twisted.__version__},"
        f" SQLite {sqlite3.sqlite_version}, {os.cpu_count()} processors,"
        f" load {load:.2f}\n"
        "A write of 4 KiB to the disk, with fdatasync:"
        f" {spread(_sync_seconds(folder), 1e-3)} ms"
    )


def _sync_seconds(folder: Path) -> list[float]:
    """Return how long the disk takes: no commit is faster."""
    path = folder / "sync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    path.unlink()
    return taken
