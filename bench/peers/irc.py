"""What servers that speak IRC have in common."""

from collections.abc import Sequence
from typing import ClassVar

from harness.connection import Connection
from peers.base import Peer


class IrcPeer(Peer):
    """A server to which one logs in with NICK and USER, and sends with PRIVMSG."""

    # The end of the message of the day, or that there is none.
    logged_in: ClassVar[Sequence[bytes]] = (b" 376 ", b" 422 ")

    def hello(self, name: str) -> bytes:
        """Register."""
        return f"NICK {name}\r\nUSER {name} 0 * :x\r\n".encode()

    def finish(self, connection: Connection, name: str) -> None:
        """Wait for the end of what is said at first."""
        greeting = b""
        while not any(end in greeting for end in self.logged_in):
            came = connection.read_until(b"\n")
            for line in came.split(b"\r\n"):
                if line.startswith(b"PING "):
                    connection.write(b"PONG " + line[5:] + b"\r\n")
            greeting += came
        # Some say more after it; what answers this is the last.
        connection.write(b"PING :ready\r\n")
        while b"PONG" not in connection.read_until(b"\n"):
            pass

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return a line."""
        return b"PRIVMSG %b :%b\r\n" % (target.encode(), text)
