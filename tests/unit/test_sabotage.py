"""That each sabotage still has something to break."""

import ast
import shutil
from pathlib import Path

import pytest

from torture.sabotage import ROOT, apply
from torture.sabotages import SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_a_sabotage_changes_the_source_as_it_is(
    sabotage: Sabotage, tmp_path: Path
) -> None:
    files = {each.file for each in sabotage.changes}
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    apply(sabotage.changes, tmp_path)
    for file in files:
        changed = (tmp_path / file).read_text(encoding="utf-8")
        assert changed != (ROOT / file).read_text(encoding="utf-8")
        ast.parse(changed)


def test_no_two_sabotages_have_one_name() -> None:
    assert len({each.name for each in SABOTAGES}) == len(SABOTAGES)
