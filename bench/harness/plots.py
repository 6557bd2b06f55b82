"""The report's plots, as PNG files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from harness.samples import Sample, Samples
from rows.base import Row

_COLUMNS: Final = 3
_OURS: Final = "#c0392b"
_OTHERS: Final = "#7f8c8d"


def draw(rows: Sequence[Row], samples: Samples, folder: Path) -> list[Path]:
    """Draw all that was measured; return the files, or none without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    bars = [row for row in rows if not row.grows and samples.by_peer(row.name)]
    files = []
    if bars:
        files.append(_draw_bars(bars, samples, folder / "rows.png"))
    for row in rows:
        if row.grows and samples.by_peer(row.name):
            files.append(_draw_growth(row, samples, folder / f"{row.name}.png"))
    return files


def _draw_bars(rows: Sequence[Row], samples: Samples, path: Path) -> Path:
    figure, axes = _grid(len(rows))
    for row, ax in zip(rows, axes, strict=False):
        unit = row.figures[0]
        labels, middles, errors = [], [], []
        for peer, those in samples.by_peer(row.name).items():
            for at in sorted({each.at for each in those}):
                values = [
                    each.figures[unit]
                    for each in those
                    if each.at == at and unit in each.figures
                ]
                if values and peer != "raw copy":
                    labels.append(f"{peer}, {at:,}" if at else peer)
                    middles.append(median(values))
                    errors.append((min(values), max(values)))
        low = [middle - each[0] for middle, each in zip(middles, errors, strict=True)]
        high = [each[1] - middle for middle, each in zip(middles, errors, strict=True)]
        colours = [_OURS if each.startswith("chatd") else _OTHERS for each in labels]
        ax.barh(labels, middles, xerr=[low, high], color=colours, capsize=2)
        ax.invert_yaxis()
        ax.set_title(row.name, fontsize=10)
        better = "more" if unit.endswith("/s") else "less"
        ax.set_xlabel(f"{unit} ({better} is better)", fontsize=8)
        ax.tick_params(labelsize=7)
    return _save(figure, path)


def _draw_growth(row: Row, samples: Samples, path: Path) -> Path:
    figure, axes = _grid(len(row.figures))
    for unit, ax in zip(row.figures, axes, strict=False):
        for peer, those in samples.by_peer(row.name).items():
            points = sorted(_medians(unit, those))
            if points:
                ours = peer.startswith("chatd")
                ax.plot(
                    [at for at, _ in points],
                    [value for _, value in points],
                    label=peer,
                    marker="o",
                    markersize=3,
                    linewidth=2.5 if ours else 1,
                    **({"color": _OURS} if ours else {}),
                )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(unit, fontsize=10)
        ax.set_xlabel(row.name, fontsize=8)
        ax.tick_params(labelsize=7)
        ax.grid(visible=True, alpha=0.3)
    axes[0].legend(fontsize=6)
    return _save(figure, path)


def _medians(unit: str, those: Sequence[Sample]) -> Iterable[tuple[int, float]]:
    for at in {each.at for each in those}:
        values = [
            each.figures[unit]
            for each in those
            if each.at == at and unit in each.figures
        ]
        if values:
            yield at, median(values)


def _grid(count: int) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot

    lines = -(-count // _COLUMNS)
    columns = min(count, _COLUMNS)
    size = (4.2 * columns, 2.7 * lines)
    figure, axes = pyplot.subplots(lines, columns, figsize=size, squeeze=False)
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.tight_layout()
    # Nothing in it that differs from run to run but the figures.
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
    return path
