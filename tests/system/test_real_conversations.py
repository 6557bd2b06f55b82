"""Every conversation of tests/conversations, with an installed daemon.

Each has a daemon to itself. tests/unit holds the same conversations in memory.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conversation import SocketDaemon, hold, options, parse

if TYPE_CHECKING:
    from tests.system.conftest import StartDaemon

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

CONVERSATIONS = sorted((Path(__file__).parents[1] / "conversations").glob("*.chat"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_the_daemon_says_what_the_conversation_says(
    path: Path, start_daemon: "StartDaemon"
) -> None:
    script = parse(path.read_text(encoding="utf-8"))
    daemon = start_daemon(*options(script.limits))
    hold(script, SocketDaemon(daemon.port))
