"""A server without a network, played by the tests of the client's connection."""

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from chatd.wire import objects

PROMPT = "Enter your username: \n"
HELLO = objects.hello("1.0", {"line": 131072, "message": 12288})
WELCOME = objects.welcome(
    "alice",
    new=False,
    is_open=False,
    users=[],
    more_users=0,
    online=[],
    more_online=0,
    queued=0,
)


class Wire(StringTransport):
    """A transport that ends when it is told to, at the next turn."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.protocol: Any = None
        self.gone = False
        self.stuck = False

    def loseConnection(self) -> None:
        super().loseConnection()
        if not self.stuck:
            self.clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.disconnecting = True
        self.lose(ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))

    def said(self) -> list[str]:
        """Return the lines that the client has sent since the last time."""
        lines = self.value().decode().splitlines()
        self.clear()
        return lines

    def say(self, *lines: str) -> None:
        """Send lines to the client, and let a turn pass."""
        self.protocol.dataReceived("".join(f"{line}\n" for line in lines).encode())
        self.clock.advance(0)
