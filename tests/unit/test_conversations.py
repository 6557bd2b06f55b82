"""Every conversation of tests/conversations, with a daemon in memory; and the runner.

The same conversations are held with an installed daemon in tests/system.
"""

from pathlib import Path

import pytest
from conversation import BadScript, MemoryDaemon, WrongTurn, fits, hold, parse

CONVERSATIONS = sorted((Path(__file__).parents[1] / "conversations").glob("*.chat"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_the_daemon_in_memory_says_what_the_conversation_says(path: Path) -> None:
    script = parse(path.read_text(encoding="utf-8"))
    hold(script, MemoryDaemon(script.limits))
