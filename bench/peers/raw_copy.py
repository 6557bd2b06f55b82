"""The generator's ceiling: a server that only copies bytes, from one to another."""

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.connection import Connection
from peers.base import Peer

_SERVER = Path(__file__).with_name("raw_copy_server.py")


class RawCopy(Peer):
    """Copies what sender i writes to receiver i, unread: it has no names."""

    name = "raw copy"
    program = sys.executable
    settings = (
        "copies the bytes of sender i to receiver i: shows the generator's ceiling"
    )
    can = frozenset({"copy"})

    logged_in = (b"!",)

    def missing(self) -> str:
        """Return nothing: it is here."""
        return ""

    def version(self) -> str:
        """Return Python's."""
        return f"Python {sys.version.split()[0]}"

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Return the command."""
        return [sys.executable, str(_SERVER), str(port)]

    def hello(self, name: str) -> bytes:
        """Say one's role, s or r, and number."""
        return name.encode()

    def finish(self, connection: Connection, name: str) -> None:
        """Wait for the answer."""
        connection.read_until(b"!")

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return the same as chatd's is."""
        return b"%b-%b\n" % (target.encode(), text)
