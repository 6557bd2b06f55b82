"""What was measured: one sample a run, a line of JSON each in a file."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One run of one peer.

    `figures` are by unit, such as "messages/s". `at` is how many of what grows there
    were, if the row is about growth. `trouble` says what was lost, doubled or out of
    order, or why there are no figures.
    """

    row: str
    peer: str
    figures: Mapping[str, float]
    trouble: str = ""
    at: int = 0


class Samples:
    """All samples of a file; new ones are added to it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.all: list[Sample] = []
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            self.all = [Sample(**json.loads(line)) for line in lines]

    def forget(self, rows: Iterable[str]) -> None:
        """Drop what was measured before of some rows."""
        dropped = set(rows)
        self.all = [each for each in self.all if each.row not in dropped]
        text = "".join(_line(each) for each in self.all)
        self._path.write_text(text, encoding="utf-8")

    def add(self, sample: Sample) -> None:
        """Add a sample, in memory and to the file."""
        self.all.append(sample)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(sample))

    def by_peer(self, row: str) -> dict[str, list[Sample]]:
        """Return a row's samples, peer by peer."""
        found: defaultdict[str, list[Sample]] = defaultdict(list)
        for each in self.all:
            if each.row == row:
                found[each.peer].append(each)
        return dict(found)


def _line(sample: Sample) -> str:
    return json.dumps(asdict(sample)) + "\n"
