"""What the fuzzer begins with, and what it has once found, holds what it should."""

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))

from targets import TARGETS  # noqa: E402

INPUTS = sorted((FUZZ / "corpus").glob("*/*"))


@pytest.mark.parametrize(
    "path", INPUTS, ids=[f"{each.parent.name}-{each.name}" for each in INPUTS]
)
def test_what_was_fuzzed_is_taken_or_refused_and_harms_nobody(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_something_to_begin_with() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
