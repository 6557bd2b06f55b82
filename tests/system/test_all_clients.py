"""chat, nc and telnet in one conversation, over a daemon that is killed in between."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from tests.system.conftest import SitAt, StartDaemon

pytestmark = pytest.mark.slow

CHAT: Final = Path(sys.executable).with_name("chat")
HINT: Final = "(/help lists the commands)"


def test_chat_nc_and_telnet_converse_over_a_daemon_that_is_killed_and_comes_back(
    start_daemon: "StartDaemon",
    sit_at: "SitAt",
    needs: Callable[[str], str],
    tmp_path: Path,
    port: int,
) -> None:
    nc = [needs("nc.openbsd"), "127.0.0.1", str(port)]
    telnet = [needs("telnet"), "127.0.0.1", str(port)]
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)

    bob = sit_at(nc, terminal=False)
    bob.expect("Enter your username: ")
    bob.send("bob")
    bob.expect(HINT)
    carol = sit_at(telnet, terminal=True)
    carol.expect("Enter your username: ")
    carol.type("carol")
    carol.expect(HINT)
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    alice = Terminal([CHAT, f"alice@127.0.0.1:{port}"], columns=80, env=home)
    try:
        alice.expect(HINT)
        alice.type("bob,carol-Who is for lunch?\r")
        bob.expect("alice: Who is for lunch?\n")
        carol.expect("alice: Who is for lunch?")
        bob.send("alice,carol-Me")
        alice.expect("bob  Me")
        carol.expect("bob: Me")

        daemon.kill()
        alice.expect("was lost")
        daemon = start_daemon(*listen)
        alice.expect(f"Connected to 127.0.0.1:{port} again.")
        alice.type("bob,carol-Still here?\r")
        alice.expect("→ bob  Still here? ✓")
        alice.expect("→ carol  Still here? ✓")

        bob = sit_at(nc, terminal=False)
        bob.expect("Enter your username: ")
        bob.send("bob")
        # A daemon that was killed may deliver again what it had no time to remove.
        bob.expect("alice: Still here? (")
        bob.send("alice-Yes", "/quit")
        bob.expect("Goodbye.\n")
        alice.expect("bob  Yes")
        carol = sit_at(telnet, terminal=True)
        carol.expect("Enter your username: ")
        carol.type("carol")
        carol.expect("alice: Still here? (")
        carol.expect(" UTC)\n")
        carol.type("alice-Me too")
        alice.expect("carol  Me too")

        alice.type("/quit\r")
        assert alice.ended() == 0
    finally:
        alice.close()
