"""An account: where to connect, as whom, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chatd.client.settings.address import Server

if TYPE_CHECKING:
    from chatd.client.connection.trust import Trust


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's name on a server.

    `timeout` is in seconds. Without `trust` there is no TLS. `password` is one that was
    given beforehand.
    """

    user: str
    host: str
    port: int
    timeout: float
    trust: Trust | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def server(self) -> str:
        """The server, as people write it."""
        return str(Server(self.host, self.port))

    @property
    def private(self) -> bool:
        """Whether nobody else can read what is sent."""
        return self.trust is not None or Server(self.host).is_this_machine
