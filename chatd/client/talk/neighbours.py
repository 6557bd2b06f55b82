"""What the core of the client needs of a connection and of a history."""

from typing import Protocol

from twisted.internet.defer import Deferred

from chatd.client.talk import arrivals, lookups, outbox, reception
from chatd.wire.message import Message


class Link(Protocol):
    """What the core needs of a connection: `connection.link.Link` has it."""

    def start(self) -> None:
        """Connect, and tell the core what comes of it."""

    def send(self, line: str) -> None:
        """Send a line; only while logged in."""

    def leave(self) -> None:
        """Say that nothing follows; only while logged in."""

    def hold(self, reason: str) -> None:
        """Read nothing for a reason."""

    def release(self, reason: str) -> None:
        """Drop a reason."""

    def remember(self, password: str) -> None:
        """Log in with this password from now on."""

    def stop(self) -> Deferred[None]:
        """Close the connection for good."""


class Keeper(
    arrivals.Keeper, lookups.Keeper, outbox.Keeper, reception.Keeper, Protocol
):
    """What the core needs of a history: `history.history.History` has it."""

    def waiting(self) -> Deferred[list[Message]]:
        """Return what an earlier run has kept and not sent."""

    def correspondents(self, limit: int) -> Deferred[list[str]]:
        """Return with whom one talked on this server, the last first."""

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        """Keep that a message sent was delivered."""

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept."""
