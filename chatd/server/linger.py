"""A connection that is closed, and not gone: what it sends is dropped for a while."""

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.server.outlet import Outlet
from chatd.server.tcp import Transport

LINGER_SECONDS: Final = 5.0
"""How long a closed connection's input is read and dropped, before it is cut."""

LINGER_WHEN_READ_SECONDS: Final = 1.0
"""The same once the peer has acknowledged everything.

Some netcats end on their own input only, or when they are cut: a person who has typed
``/quit`` should not have to wait.
"""


class Linger:
    """Cuts a connection off some time after it was closed, if its peer does not."""

    def __init__(
        self, transport: Transport, outlet: Outlet, clock: IReactorTime
    ) -> None:
        self._transport = transport
        self._outlet = outlet
        self._clock = clock
        self._calls: list[IDelayedCall] = []

    def begin(self) -> None:
        """Wait, if that has not begun."""
        if not self._calls:
            call_later = self._clock.callLater
            self._calls = [
                call_later(LINGER_WHEN_READ_SECONDS, self._cut_if_read),
                call_later(LINGER_SECONDS, self._transport.abortConnection),
            ]

    def end(self) -> None:
        """Wait no longer: the connection is gone."""
        for call in self._calls:
            if call.active():
                call.cancel()

    def _cut_if_read(self) -> None:
        if not self._outlet.outstanding:
            self._transport.abortConnection()
