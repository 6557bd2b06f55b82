"""What the fuzzer begins with, and what it has once found, holds what it should."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatd import passwords

FUZZ = Path(__file__).parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))

from targets import TARGETS  # noqa: E402

INPUTS = sorted((FUZZ / "corpus").glob("*/*"))


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep from other tests that hashing is made cheap for a fuzzer."""
    for name in ("MEMORY_KIB", "PASSES", "_NOBODYS"):
        monkeypatch.setattr(passwords, name, getattr(passwords, name))
    passwords._argon2.cache_clear()
    yield
    passwords._argon2.cache_clear()


@pytest.mark.parametrize(
    "path", INPUTS, ids=[f"{each.parent.name}-{each.name}" for each in INPUTS]
)
def test_what_was_fuzzed_is_taken_or_refused_and_harms_nobody(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_something_to_begin_with() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)
