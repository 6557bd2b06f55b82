"""Connections to the daemon, in the text form, one at a time."""

import socket
from typing import Final, Self

from chatd.wire.text import GOODBYE, HINT, PROMPT

SILENCE_SECONDS: Final = 60.0
"""After how long without a byte a benchmark gives up."""

_CHUNK: Final = 1024 * 1024
_PROMPT: Final = PROMPT.encode()
_HINT: Final = HINT.encode() + b"\n"


class Link:
    """A connection, with its prompt already read. A context manager that closes it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.read_past(_PROMPT)

    def __enter__(self) -> Self:
        """Return the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.socket.close()

    def log_in(self, name: str) -> None:
        """Log in, and read up to the hint that ends the greeting."""
        self.write(f"{name}\n")
        self.read_past(_HINT)

    def log_in_to_send(self, name: str) -> None:
        """Log in to send only."""
        self.ask(f"/send-only {name}")

    def ask(self, line: str) -> str:
        """Send a line, and return the one that answers it."""
        self.write(f"{line}\n")
        return self.read_line()

    def write(self, text: str) -> None:
        """Send text."""
        self.socket.sendall(text.encode())

    def read_line(self) -> str:
        """Return the next line, without its end."""
        return self.read_past(b"\n").decode().removesuffix("\n")

    def read_past(self, end: bytes) -> bytes:
        """Return what comes, up to and with `end`."""
        while end not in self._unread:
            data = self.socket.recv(_CHUNK)
            if not data:
                raise RuntimeError(f"closed after {self._unread[-200:]!r}")
            self._unread += data
        upto = self._unread.index(end) + len(end)
        read, self._unread = self._unread[:upto], self._unread[upto:]
        return read

    def leave(self) -> None:
        """Say /quit, wait until everything is safe and the daemon closes."""
        self.write("/quit\n")
        self.read_past(GOODBYE.encode() + b"\n")
        while self.socket.recv(_CHUNK):
            pass
        self.socket.close()
