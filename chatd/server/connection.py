"""A connection: from the first byte to the last, whichever form it speaks.

Bytes come in, telnet's sequences are taken out, lines go to the connection's *form*:
the greeting first, then the text or the JSON form. Lines are taken one at a time: while
one waits for the store, or the connection is to be slowed, the next stays where it is,
and in the end the transport is not read any more.

What was read is honoured. Complete lines are processed though the connection is lost
meanwhile, and an end of input, which many netcats send right after the last line, only
ends the input: answers and messages still go out, then ``Goodbye.``, then the end.
"""

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.accounts import Origin
from chatd.server.form import ENDED, Form
from chatd.server.lines import LinearLineReceiver
from chatd.server.linger import Linger
from chatd.server.outlet import Outlet
from chatd.server.owner import Owner
from chatd.server.pace import Pace
from chatd.server.refusals import RefusalLog
from chatd.server.tcp import Transport, read_at_once
from chatd.wire.answers import Refusal
from chatd.wire.foreign import TLS_HELLO, begins_http, is_http
from chatd.wire.telnet import TelnetFilter

NOTHING: Final[frozenset[str]] = frozenset()
"""The same for all: another empty set would take 216 bytes."""


@implementer(IHalfCloseableProtocol)
class Connection(LinearLineReceiver):
    """One connection to the daemon.

    The form uses `hold` and `release` to be given no further line for a reason, and
    `hang_up` to end. `unwelcome` is why it is refused before it says anything.
    """

    _log = Logger()
    transport: Transport  # type: ignore[assignment]
    unwelcome: Refusal | None = None
    closed = False  # the conversation is over, though bytes may still come
    input_ended = False
    cut = False  # so it is unknown whether more was sent
    _peer_ended = False
    _rushing = False
    _processed: Sequence[Deferred[None]] = ()
    _linger: Linger | None = None

    def __init__(self, owner: Owner, origin: Origin) -> None:
        super().__init__()
        self.owner = owner
        self.origin = origin
        self.form: Form = ENDED
        self.takes_chunks = False
        self.outlet: Outlet
        self.MAX_LENGTH = owner.limits.line
        self._pace = Pace(self, owner.limits, owner.clock.seconds())
        self._head: bytes | None = b""
        self._first_line = True
        self._holds = NOTHING
        # What most connections never need is made when it is.
        self._telnet: TelnetFilter | None = None
        self._refusals: RefusalLog | None = None

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin (`IProtocol`)."""
        if ISSLTransport.providedBy(self.transport):
            self.origin = self.origin._replace(private=True)
        owner = self.owner
        self.outlet = Outlet(self.transport, owner.ticker, owner.traffic, self.form)
        owner.logins.begin(self)
        owner.turn.at_end(self._read_at_once)
        self.form = owner.joined(self)

    def _read_at_once(self) -> None:
        """Take what a script has sent without waiting for the prompt."""
        if self.alive and not (self.closed or self.paused):
            read_at_once(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes, without what is not the client's text (`IProtocol`)."""
        if self.closed:
            return
        if self._head is not None:
            # A TLS hello shows in its first two bytes, which may come apart.
            self._head += data
            if self._head == TLS_HELLO[:1]:
                return
            data, self._head = self._head, None
            if data.startswith(TLS_HELLO):
                self._log.info("TLS at a plain port from {origin}", origin=self.origin)
                self.hang_up()
                return
        sequences = data.count(b"\xff")
        if self._telnet is None and not sequences:
            super().dataReceived(data)
            return
        if sequences:
            self._pace.sequences(sequences, self.owner.clock.seconds())
        super().dataReceived(self.telnet.feed(data))
        replies = self.telnet.take_replies()
        if replies:
            self.outlet.write(replies)
        if self.telnet.input_ended:
            self._end_input()

    def take_chunk(self, chunk: bytes) -> int:
        """Have the form take as many lines as it can take at once."""
        if self._rushing or self.closed:
            return 0
        most = self._pace.at_once(self.owner.clock.seconds())
        taken, lines = self.form.take_chunk(chunk, most)
        if taken:
            self._pace.lines(lines)
        return taken

    def lineReceived(self, line: bytes) -> None:
        """Take a line, and have its form process it."""
        # What was taken before it comes first.
        self.owner.hub.runs.accept()
        if not self._rushing:
            self._pace.line(self.owner.clock.seconds())
        first, self._first_line = self._first_line, False
        if first and is_http(line):
            self.dismiss(Refusal("not-http"))
            return
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.refuse(Refusal("not-utf8"))
            return
        try:
            waiting = self.form.line(text)
        except Refusal as refusal:
            self.refuse(refusal)
        except Exception:
            self._failed(Failure())
        else:
            if waiting is not None:
                self._wait_for(waiting)

    def _wait_for(self, line: Deferred[None]) -> None:
        if not line.addErrback(self._failed).called:
            self.hold("line")
            _ = line.addCallback(lambda _: self.release("line"))

    def line_too_long(self, begin: bytes) -> None:
        """Answer a line that was skipped."""
        first, self._first_line = self._first_line, False
        if first and begins_http(begin):
            self.dismiss(Refusal("not-http"))
            return
        self.refuse(Refusal("too-long", limit=self.MAX_LENGTH))

    def readConnectionLost(self) -> None:
        """Take note of the peer's last byte (`IHalfCloseableProtocol`)."""
        self._peer_ended = True
        if getattr(self.transport, "truncated", False):
            self.cut = True
        if not self.closed:
            self._end_input()
        elif self.alive:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Take note of our last byte (`IHalfCloseableProtocol`)."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Honour the lines already read; the connection is gone (`IProtocol`)."""
        super().connectionLost(reason)
        if self._linger is not None:
            self._linger.end()
        if self.closed:
            self.outlet.lost()
            self._gone()
        else:
            self.logged_in()
            self.form.disconnected()
            # Lines that waited until the answers were read are taken now.
            self.outlet.lost()
            self._settle()

    # What forms call.

    @property
    def telnet(self) -> TelnetFilter:
        """What takes telnet's sequences out, and knows what was agreed on."""
        if self._telnet is None:
            self._telnet = TelnetFilter()
        return self._telnet

    @property
    def at_rest(self) -> bool:
        """Whether all lines read so far are processed."""
        return not (self._delivering or self._holds or self.lines_waiting)

    def become(self, form: Form) -> None:
        """Go on in another form."""
        self.form = form
        self.takes_chunks = form.takes_chunks
        self.outlet.listener = form
        self.outlet.watched = True

    def logged_in(self) -> None:
        """Take note that the login came in time, or that none is awaited."""
        self.owner.logins.end(self)

    def write(self, data: bytes) -> None:
        """Write, if anybody is there."""
        self.outlet.write(data)

    def refuse(self, refusal: Refusal) -> None:
        """Answer and log a refusal."""
        self.log_refusal(refusal)
        self.form.refuse(refusal)

    def log_refusal(self, refusal: Refusal) -> None:
        """Log a refusal."""
        if self._refusals is None:
            self._refusals = RefusalLog()
        self._refusals.add(self.origin, refusal)

    def dismiss(self, refusal: Refusal) -> None:
        """Refuse the whole connection: answer, then close.

        Nobody is logged in, or is to be: who does not even read the answer is cut.
        """
        self.refuse(refusal)
        self.hang_up()
        if self.alive:
            self._begin_to_linger()

    def hold(self, reason: str) -> None:
        """Take no further lines for a reason; several may hold at once."""
        if self.closed or (self._rushing and reason != "line"):
            return
        if not self._holds:
            self.paused = True
            self.form.held()
        self._holds |= {reason}
        # A line does not wait long: reading goes on until something waits behind it.
        if reason != "line" or self.something_waits:
            self.pauseProducing()

    def hold_for(self, seconds: float, reason: str) -> None:
        """Take no further lines for a reason, and drop that after some time."""
        self.hold(reason)
        self.owner.clock.callLater(seconds, self.release, reason)

    def release(self, reason: str) -> None:
        """Drop a reason; lines are taken again after the last."""
        self._holds = (self._holds - {reason}) or NOTHING
        if self._holds or not self.paused:
            return
        self.form.released()
        if self._rushing:
            self.paused = False
            self.deliver_lines()
        else:
            self.resumeProducing()
        self._settle()

    def deliver_lines(self) -> None:
        """Deliver the lines that wait, and say so when all are processed."""
        super().deliver_lines()
        if self.at_rest:
            self.form.idle()

    async def stop(self) -> None:
        """Read nothing more, process what was read, answer it, and close.

        Returns when that is done but for the peer's reading it.
        """
        if self.closed:
            return  # and still reads: the end of its input has to be seen
        self._rushing = True
        self.transport.pauseProducing()
        for reason in self._holds - {"line"}:
            self.release(reason)
        if self._holds or self.lines_waiting:
            processed: Deferred[None] = Deferred()
            self._processed = [*self._processed, processed]
            await processed
        try:
            await self.form.stop()
        finally:
            self.hang_up()
            if self.alive:
                # Whoever does not even read the last answer is not waited for.
                self._begin_to_linger()

    def hang_up(self) -> None:
        """Close, once everything written has left.

        Our side is closed first, and the rest of the input dropped for a while: to
        close with input unread would destroy the last answers on their way.
        """
        if self.closed:
            return
        self._conclude()
        if self.alive:
            if not self._peer_ended:
                self.transport.resumeProducing()
            self.outlet.uncork()
            self.outlet.call_when_drained(self._half_close)
        else:
            self._gone()

    def _conclude(self) -> None:
        self.closed = True
        self.logged_in()
        self.clearLineBuffer()
        self._holds = NOTHING
        self.paused = False
        form, self.form = self.form, ENDED
        self.outlet.listener = self.form
        self.outlet.watched = False
        form.close()
        self._tell_processed()

    def _gone(self) -> None:
        self._pace.end()
        self.owner.left(self)

    def _half_close(self) -> None:
        if not self.alive:
            return
        if self._peer_ended and self.outlet.close():
            return
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if self._peer_ended or half_close is None:
            self.transport.loseConnection()
        else:
            half_close()
        self._begin_to_linger()

    def _begin_to_linger(self) -> None:
        if self._linger is None:
            self._linger = Linger(self.transport, self.outlet, self.owner.clock)
            self._linger.begin()

    def too_late(self) -> None:
        """End: nobody has logged in."""
        self.dismiss(Refusal("login-timeout", limit=self.owner.limits.login_time))

    def _end_input(self) -> None:
        if not self.input_ended:
            self.input_ended = True
            self._settle()

    def _settle(self) -> None:
        """Go on to what follows the last line, if all are processed."""
        if self.closed or self._holds or self.lines_waiting:
            return
        if self.input_ended:
            if self._head:
                head, self._head = self._head, None
                super().dataReceived(head)
            # A last line without its end counts too, unless the connection was cut.
            if not self.cut:
                self.take_tail()
            if self.closed or self._holds:
                return
            if self._telnet is not None and self._telnet.in_sequence:
                # It may have swallowed lines: do not let them pass for sent.
                self._telnet = None
                self.refuse(Refusal("not-utf8"))
        self._tell_processed()
        if self.closed:
            return  # by what was just told
        if not self.alive:
            self._conclude()
            self._gone()
        elif self.input_ended:
            self.form.end()

    def _tell_processed(self) -> None:
        if self._processed:
            processed, self._processed = self._processed, ()
            for each in processed:
                each.callback(None)

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, Refusal):
            self.refuse(failure.value)
            return
        self._log.failure("A line from {origin} failed", failure, origin=self.origin)
        self.form.refuse(Refusal("internal"))
