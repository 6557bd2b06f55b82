"""chatd, the daemon of this project, in its text form."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import chatd
import twisted
from chatd.wire.text import GOODBYE, HINT
from harness.connection import Connection, connect
from harness.texts import MARK
from peers.base import StoringPeer

RAISED: Final = {
    "--max-line-rate": "1000000000",
    "--max-line-burst": "1000000000",
    "--max-queue-messages": "10000000",
    "--max-queue-bytes": "10G",
    "--max-queue-share": "100",
    "--max-connections": "20000",
}
"""What would else be the answer to a benchmark: that it is too much."""

_HINT: Final = HINT.encode() + b"\n"


class Chatd(StoringPeer):
    """`twistd -n chatd`, with the limits raised that a benchmark runs into."""

    name = "chatd"
    program = "twistd"
    settings = "--port with backlog=4096, " + ", ".join(map(" ".join, RAISED.items()))
    stores = "on disk, synced"
    kept_mark = MARK
    options: ClassVar[dict[str, str]] = RAISED
    logged_in = (_HINT,)

    def __init__(self, database: Path | None = None) -> None:
        self._database = database

    def missing(self) -> str:
        """Return whether it is not installed beside this Python."""
        return "" if Path(self.path).exists() else self.path

    @property
    def path(self) -> str:
        """The installed twistd."""
        return str(Path(sysconfig.get_path("scripts"), "twistd"))

    def version(self) -> str:
        """Return its version, and Twisted's."""
        return f"{chatd.__version__}, Twisted {twisted.__version__}"

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Return the command; its database is new, unless one was made before."""
        return [
            *(self.path, "-n", "--pidfile=", "chatd"),
            *("--port", f"tcp:{port}:backlog=4096:interface=127.0.0.1"),
            *("--db", str(self._database or folder / "server.db")),
            *(part for option in self.options.items() for part in option),
        ]

    def hello(self, name: str) -> bytes:
        """Return one's name."""
        return f"{name}\n".encode()

    def finish(self, connection: Connection, name: str) -> None:
        """Read up to the hint that ends the greeting."""
        connection.read_until(_HINT)

    def log_in_to_send(self, connection: Connection, name: str) -> None:
        """Log in to send only."""
        connection.write(f"/send-only {name}\n".encode())
        connection.read_until(b"\n")

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return a line."""
        return b"%b-%b\n" % (target.encode(), text)

    def make_known(self, port: int, name: str) -> None:
        """Log in once, and leave."""
        connection = connect(port)
        connection.write(f"{name}\n/quit\n".encode())
        connection.read_until(GOODBYE.encode() + b"\n")
        connection.close()
