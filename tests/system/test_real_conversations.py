"""Every conversation of tests/conversations, with an installed daemon.

Each has a daemon to itself, with a database of its own; all these run in one process.
tests/unit holds the same conversations in memory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from conversation import SocketDaemon, hold, options, parse

if TYPE_CHECKING:
    from tests.system.conftest import Several

pytestmark = pytest.mark.slow

CONVERSATIONS: Final = {
    path.stem: parse(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "conversations").glob("*.chat"))
}


@pytest.fixture(scope="module")
def daemons(several: "Several") -> dict[str, SocketDaemon]:
    """Return a daemon for each conversation."""
    started = several.start([options(each.limits) for each in CONVERSATIONS.values()])
    return {
        name: SocketDaemon(daemon.port)
        for name, daemon in zip(CONVERSATIONS, started, strict=True)
    }


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_daemon_says_what_the_conversation_says(
    name: str, daemons: dict[str, SocketDaemon]
) -> None:
    hold(CONVERSATIONS[name], daemons[name])
