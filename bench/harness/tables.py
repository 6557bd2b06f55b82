"""The report's tables, in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median
from textwrap import fill
from typing import Final

from harness.samples import Sample, Samples
from rows.base import Row

WIDTH: Final = 92
"""Of lines of prose, which documents here keep to."""

_DIGITS: Final = {"messages/s": 0, "logins/s": 0, "ms to accepting": 0}


def spread(values: Sequence[float], digits: int) -> str:
    """Return median, and minimum and maximum if there are several."""
    middle = f"{median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f} - {max(values):,.{digits}f})"


def table(row: Row, samples: Samples) -> Iterable[str]:
    """Yield the lines of a row's table, with its heading."""
    by_peer = samples.by_peer(row.name)
    if not by_peer:
        return
    yield f"### {row.title}"
    yield ""
    yield fill(f"`{row.name}`; asked: {row.goal}.", WIDTH)
    yield ""
    yield f"| | {' | '.join(row.figures)} | |"
    yield f"| --- |{' ---: |' * len(row.figures)} --- |"
    for peer, those in _rows(by_peer):
        cells = [_cell(each, those) for each in row.figures]
        trouble = "; ".join(sorted({each.trouble for each in those if each.trouble}))
        yield f"| {peer} | {' | '.join(cells)} | {trouble} |"
    if row.note:
        yield ""
        yield fill(row.note, WIDTH)
    yield ""


def _rows(by_peer: dict[str, list[Sample]]) -> Iterable[tuple[str, list[Sample]]]:
    """Yield the samples of each peer, and of each amount where there are several."""
    for peer, those in by_peer.items():
        for at in sorted({each.at for each in those}):
            some = [each for each in those if each.at == at]
            yield (f"{peer}, {at:,}" if at else peer), some


def _cell(figure: str, those: Sequence[Sample]) -> str:
    values = [each.figures[figure] for each in those if figure in each.figures]
    if not values:
        return "-"
    digits = _DIGITS.get(figure, 2 if median(values) < 100 else 0)
    return spread(values, digits)
