"""docs/security.md names, for each sentence on what stops somebody, tests of it."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def rows(mark: str) -> list[list[str]]:
    """Return the cells of each row of a marked table."""
    found = re.search(
        rf"^<!-- {mark} -->\n(.*?)^<!-- /{mark} -->$", DOCUMENT, re.S | re.M
    )
    assert found, f"nothing is marked {mark}"
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in found[1].splitlines()[2:]
    ]


TRIED: Final = {said: re.findall(r"`(\w+)`", tests) for said, tests in rows("tried")}


def test_all_that_stops_somebody_is_tried() -> None:
    stops = [
        re.sub(r"\[(.*?)\]\(.*?\)", r"\1", sentence)
        for _, _, what, _ in rows("threats")
        for sentence in what.split("; ")
        if sentence
    ]
    assert len(stops) > 20
    assert list(TRIED)[: len(stops)] == stops


@pytest.mark.parametrize("said", TRIED)
def test_what_is_tried_is_said_and_its_tests_exist(said: str) -> None:
    before = DOCUMENT.partition("## How each is tried")[0]
    plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", " ".join(before.split()))
    assert said in plain
    defined = Counter(
        name
        for path in (ROOT / "tests").glob("*/test_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.M
        )
    )
    assert TRIED[said]
    assert {name: defined[name] for name in TRIED[said]} == dict.fromkeys(
        TRIED[said], 1
    )
