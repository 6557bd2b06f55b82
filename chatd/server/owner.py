"""What a connection needs of whoever made it."""

from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from chatd.hub.gate import Gate
from chatd.hub.hub import Hub
from chatd.limits import Limits
from chatd.server.deadlines import Deadlines
from chatd.server.form import Form
from chatd.server.outlet import Traffic
from chatd.server.ticker import Ticker
from chatd.turn import Turn


class Owner(Protocol):
    """What a connection needs of its factory."""

    hub: Hub
    gate: Gate
    limits: Limits
    clock: IReactorTime
    turn: Turn
    ticker: Ticker
    traffic: Traffic
    logins: Deadlines

    def joined(self, connection: Any) -> Form:
        """Count a connection in, and return its first form."""

    def left(self, connection: Any) -> None:
        """Count a connection out; called once."""
