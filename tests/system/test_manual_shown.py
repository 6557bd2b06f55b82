"""The manual pages, as the programs that show them take them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "man").iterdir())


def shown(*command: str | Path) -> str:
    """Return what a program shows; it must not complain."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_groff_has_nothing_to_complain_of(
    page: Path, needs: Callable[[str], str]
) -> None:
    assert shown(needs("groff"), "-man", "-Tutf8", "-ww", "-P-c", page)


def test_man_shows_examples_and_options_such_that_they_can_be_copied(
    needs: Callable[[str], str],
) -> None:
    text = shown(needs("man"), "--warnings", "-l", PAGES[0].with_name("chat.1"))
    assert "echo 'bob-Backup done' | chat backup@host\n" in text
    assert "\n       --tls, --no-tls\n" in text
    for title in ("NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
        assert f"\n{title}\n" in text
