"""The yardstick: what Twisted's own LineReceiver routes, and nothing else."""

import sys
from collections.abc import Sequence
from pathlib import Path

import twisted
from harness.connection import Connection
from peers.base import Peer

_SERVER = Path(__file__).with_name("line_receiver_server.py")


class StockLineReceiver(Peer):
    """A name, then lines `target-message`: a `sendLine` each, nothing checked."""

    name = "LineReceiver"
    program = sys.executable
    settings = "a name, then target-message; the transport's write for each message"

    logged_in = (b"welcome\n",)

    def missing(self) -> str:
        """Return nothing: it is here."""
        return ""

    def version(self) -> str:
        """Return Twisted's."""
        return f"Twisted {twisted.__version__}"

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Return the command."""
        return [sys.executable, str(_SERVER), str(port)]

    def hello(self, name: str) -> bytes:
        """Say one's name."""
        return f"{name}\n".encode()

    def finish(self, connection: Connection, name: str) -> None:
        """Wait for the answer."""
        connection.read_until(b"welcome\n")

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return a line."""
        return b"%b-%b\n" % (target.encode(), text)
