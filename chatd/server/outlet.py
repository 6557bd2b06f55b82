"""The outlet: bytes out, and how far they got.

Everything that a connection writes goes through its outlet, which counts. It tells two
things apart. *Drained* means that this process holds nothing of what was written any
more: time for the next page. *Acknowledged* means that the kernel at the other end has
it, as far as the connection's gauge can tell.

While anything is awaited it also looks for life: a peer's machine that answers nothing
at all is dead, however long the system would go on trying. One that only takes nothing
answers, and is never cut off.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IPullProducer,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection as TCPConnection
from twisted.logger import Logger
from zope.interface import implementer

from chatd.server.gauges import gauge_for, under_tls
from chatd.server.tcp import TCPInfo, Transport, tcp_info, tcp_socket, tune
from chatd.server.ticker import Ticker

SILENCE_SECONDS: Final = 50.0
"""How long a machine may answer nothing while bytes to it are on their way."""

UNANSWERED_PROBES: Final = 3
"""How many questions a machine that took nothing may leave unanswered besides.

The system asks at growing intervals, in the end every two minutes.
"""

SELDOM: Final = 32
"""How many writes pass until it is tried again whether a slow peer has become near."""

MAX_UNSENT: Final = 256 * 1024 * 1024
"""Bytes that slow peers may hold in all before each may have only little."""


BARE: tuple[type, ...] = (TCPConnection,)
"""Transports with nothing but a socket behind them: it can be written to past them."""


class Traffic:
    """What all outlets of the daemon hold together."""

    def __init__(self) -> None:
        self.unsent = 0
        """How many bytes were written and are still in this process."""

    @property
    def crowded(self) -> bool:
        """Whether slow peers hold so much memory that each may have only little."""
        return self.unsent > MAX_UNSENT


class Listener(Protocol):
    """Who follows what a peer acknowledges."""

    def progress(self, acknowledged: int) -> None:
        """Take note of the bytes known to be acknowledged, whenever that has grown."""


@implementer(IPullProducer)
class Outlet:
    """Writes to one transport.

    `listener` is told of progress. `silence` is after how many seconds a peer's
    machine is dead.
    """

    __slots__ = (
        "_acknowledged",
        "_awaited_since",
        "_awaiting_drain",
        "_corked",
        "_drained",
        "_gauge",
        "_handed",
        "_kept",
        "_lost",
        "_own",
        "_ticker",
        "_transport",
        "_unhurried",
        "listener",
        "traffic",
        "watched",
        "written",
    )

    _log = Logger()
    silence = SILENCE_SECONDS

    def __init__(
        self,
        transport: Transport,
        ticker: Ticker,
        traffic: Traffic,
        listener: Listener,
    ) -> None:
        self._transport = transport
        tune(under_tls(transport))
        self._gauge = gauge_for(transport)
        self._ticker = ticker
        self.traffic = traffic
        """What all outlets hold together."""
        self.listener: Listener | None = listener
        self._awaited_since = 0.0
        self._handed = 0
        self._acknowledged = 0
        self._awaiting_drain = False
        # What was written in this turn, while the transport has nothing else to send.
        self._kept: list[bytes] | None = None
        self._corked = False
        # None under TLS, where what is written is not what is sent.
        self._own = (
            cast(TCPConnection, transport) if isinstance(transport, BARE) else None
        )
        self._drained: Sequence[Callable[[], object]] = ()
        self._lost = False
        # After how many more writes it is looked at once again.
        self._unhurried = 0
        self.written = 0
        self.watched = False
        """Whether something follows at once from what is acknowledged."""

    @property
    def unsent(self) -> int:
        """How many bytes this process may still hold; 0 once all have left."""
        return self.written - self._handed

    @property
    def outstanding(self) -> int:
        """How many bytes written are not known to be acknowledged."""
        return self.written - self._acknowledged

    def write(self, data: bytes) -> None:
        """Write; after the connection is lost this does nothing."""
        if self._lost or not data:
            return
        if self.written == self._acknowledged:
            self._awaited_since = self._ticker.clock.seconds()
        size = len(data)
        self.written += size
        self.traffic.unsent += size
        if self._own is None or self._awaiting_drain:
            self._pass_on(data)
            return
        if self._kept is None:
            if not self._corked:
                self._ticker.flush_later(self)
            self._kept = [data]
        else:
            self._kept.append(data)

    def cork(self) -> None:
        """Send nothing until `uncork`: what was written would only go in two parts."""
        self._corked = True

    def uncork(self) -> None:
        """Send again what is written, at the turn's end."""
        if self._corked:
            self._corked = False
            if self._kept is not None:
                self._ticker.flush_later(self)

    def flush(self) -> None:
        """Send what was written in this turn, at once: that saves two turns.

        What the kernel does not take is left to the transport. So is an error: there it
        comes again, and ends the connection as ever.
        """
        if self._corked:
            return
        kept, self._kept = self._kept, None
        if self._lost or kept is None or self._own is None:
            return
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        sent = 0
        if self._own.connected and not self._own.disconnecting:
            try:
                sent = self._own.socket.send(data)
            except OSError:
                sent = 0
            self._handed += sent
            self.traffic.unsent -= sent
        if sent < len(data):
            self._pass_on(data[sent:])
            return
        self._handed = self.written  # the same number, and one object less
        if self._drained:
            self._tell_drained()
        if self.watched:
            self._look_at_once()
        elif not self._lost:
            self._ticker.add(self)

    @property
    def near(self) -> bool:
        """Whether what was sent so far was acknowledged at once."""
        own = self._own
        return (
            own is not None
            and self._unhurried <= 0
            and self.written == self._acknowledged
            and bool(own.connected)
            and not own.disconnecting
        )

    def send_now(self, data: bytes) -> bool:
        """Send what may be sent without waiting for the turn's end, as `near` says.

        Returns whether the peer's machine has it already, and all before it: then there
        is no progress to be told of. If not, it is on its way like what `write` takes.
        """
        sent, size = 0, len(data)
        self.written += size
        if self._own is not None:
            try:
                sent = self._own.socket.send(data)
            except OSError:
                sent = 0
        if sent == size:
            self._handed = written = self.written
            if self._gauge.acknowledged(written, written) == written:
                self._acknowledged = written
                return True
            self._unhurried = SELDOM
            self._awaited_since = self._ticker.clock.seconds()
            self._ticker.add(self)
        else:
            self._handed += sent
            self._awaited_since = self._ticker.clock.seconds()
            self.traffic.unsent += size - sent
            self._pass_on(data[sent:])
        return False

    def _look_at_once(self) -> None:
        """Look, if what is sent is acknowledged as fast as it can be asked for.

        That is what peers on this machine do, unless they only listen.
        """
        self._unhurried -= 1
        if self._unhurried > 0:
            self._ticker.add(self)
            return
        self.look()
        self._unhurried = SELDOM if self._acknowledged < self.written else 0

    def _pass_on(self, data: bytes) -> None:
        self._gauge.write(self._transport, data)
        if not self._awaiting_drain:
            # A slow peer may take long to drain it, and acknowledges as it goes.
            self._ticker.add(self)
            # A pull producer is asked at once, and again when all is written.
            self._producing.registerProducer(self, False)
            self._awaiting_drain = True

    @property
    def _producing(self) -> Transport:
        # Under TLS the one above knows nothing of what the one below still holds.
        return cast(Transport, under_tls(self._transport))

    def drained(self) -> Deferred[None]:
        """Fire when all that was written has left, or the connection is lost."""
        if self._lost or not self.unsent:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._drained = [*self._drained, partial(done.callback, None)]
        return done

    def call_when_drained(self, call: Callable[[], object]) -> None:
        """Call back when all has left that was written, or the connection is lost."""
        if self._lost or not self.unsent:
            call()
        else:
            self._drained = [*self._drained, call]

    def resumeProducing(self) -> None:
        """Take note that the transport has written everything (`IPullProducer`)."""
        if not self._awaiting_drain:
            return
        self._awaiting_drain = False
        self._producing.unregisterProducer()
        self._hand_over()
        # First: what `look` reports may lead to writing more.
        self._tell_drained()
        self.look()

    def stopProducing(self) -> None:
        """Take note that the connection is lost (`IPullProducer`)."""

    def look(self) -> None:
        """See what has been acknowledged, and go on looking if that is not all."""
        if self._lost:
            return
        acknowledged = self._gauge.acknowledged(self._handed, self.written)
        if acknowledged is None:
            return  # the socket has failed: what the peer has is not known
        if acknowledged < self.written:
            self._ticker.add(self)
        if acknowledged > self._acknowledged:
            self._acknowledged = acknowledged
            awaited = acknowledged < self.written
            self._awaited_since = self._ticker.clock.seconds() if awaited else 0.0
            if self.listener is not None:
                self.listener.progress(acknowledged)
        elif acknowledged < self.written:
            self._look_for_life()

    def _look_for_life(self) -> None:
        silence = self._ticker.clock.seconds() - self._awaited_since
        if silence < self.silence:
            return
        connection = tcp_socket(self._producing)
        info = None if connection is None else tcp_info(connection)
        if info is not None and _is_dead(info, self.silence):
            self._log.info(
                "{peer} has answered nothing for {silence:.0f} s: cut off",
                peer=getattr(self._transport.getPeer(), "host", "a peer"),
                silence=info.silence,
            )
            self._transport.abortConnection()

    def close(self) -> bool:
        """Close at once if all was sent and the peer has ended; return whether.

        The transport by itself would first wait until it could write.
        """
        own = self._own
        if own is None or self.unsent or self._awaiting_drain or not own.connected:
            return False
        own.connectionLost(connectionDone)
        return True

    def lost(self) -> None:
        """Let go of everything: the connection is lost."""
        self._lost = True
        self._kept = None
        self._hand_over()
        self._ticker.remove(self)
        self._tell_drained()
        # What refers to each other is left to Python's search for cycles, which stops
        # all others meanwhile.
        self.listener = None

    def _hand_over(self) -> None:
        self.traffic.unsent -= self.unsent
        self._handed = self.written

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, ()
        for each in drained:
            each()


def _is_dead(info: TCPInfo, silence: float) -> bool:
    """Whether a machine to which bytes are on their way must be gone.

    A living one acknowledges what is sent to it again, or answers that it takes
    nothing.
    """
    unanswered = info.retransmitted > 0 or info.probes >= UNANSWERED_PROBES
    return unanswered and info.silence >= silence
