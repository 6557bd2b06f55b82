"""Puts together what was measured, and with what; and publishes it in the docs."""

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from harness.plots import draw
from harness.samples import Samples
from harness.tables import WIDTH, table
from peers.base import Peer
from rows.base import Row

_BEGIN: Final = "<!-- measured -->\n"
_END: Final = "<!-- /measured -->\n"


def about(machine: str, peers: Sequence[Peer], how: str) -> str:
    """Return what was measured, and how, in Markdown."""
    lines = [
        fill(f"{time.strftime('%Y-%m-%d', time.gmtime())}. {how}", WIDTH),
        "",
        fill(f"{'. '.join(machine.splitlines())}.", WIDTH),
        "",
        "| | version | settings |",
        "| --- | --- | --- |",
    ]
    for peer in peers:
        if peer.missing():
            lines.append(f"| {peer.name} | not installed: left out | |")
        else:
            lines.append(f"| {peer.name} | {peer.version()} | {peer.settings} |")
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], samples: Samples, folder: Path) -> None:
    """Write tables.md and the plots from all that was measured."""
    parts = [line for row in rows for line in table(row, samples)]
    (folder / "tables.md").write_text("\n".join(parts), encoding="utf-8")
    if not draw(rows, samples, folder):
        print("No plots: .venv/bin/pip install -e '.[bench]' brings what draws them.")


def publish(folder: Path, document: Path) -> None:
    """Put what was written into the document, between its two marks."""
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RuntimeError(f"{document} lacks its marks")
    shown = list(_show(folder, document))
    measured = "\n".join(
        [
            (folder / "about.md").read_text(encoding="utf-8"),
            *shown,
            (folder / "tables.md").read_text(encoding="utf-8"),
        ]
    )
    document.write_text(before + begin + measured + end + after, encoding="utf-8")


def _show(folder: Path, document: Path) -> Iterable[str]:
    for picture in sorted(folder.glob("*.png")):
        name = f"{document.stem}-{picture.name}"
        shutil.copyfile(picture, document.with_name(name))
        yield f"![{picture.stem}]({name})\n"
