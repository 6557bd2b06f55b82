"""One run of the client: everything put together, and ended in order.

Nothing here imports the reactor before `run` is called: which one it is, whoever calls
decides.
"""

import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.client.connection.account import Account
from chatd.client.connection.link import Link
from chatd.client.connection.secrets import OwnPassword
from chatd.client.connection.trust import Asker
from chatd.client.frontends.frontend import FrontEnd, Kind, Line
from chatd.client.history.file import OpenedHistory
from chatd.client.history.history import History
from chatd.client.statuses import Status
from chatd.client.talk.core import ChatCore
from chatd.client.talk.past import recall
from chatd.clock import run_evenly
from chatd.wire.display import neutralise

ATTEMPT_SECONDS: Final = 10.0
"""How long one attempt to connect may take."""

INTERRUPT_SECONDS: Final = 5.0
"""How long the end may take after a signal."""

EXIT_SECONDS: Final = 1.0
"""How long the reactor may take to end, once there is nothing to wait for."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    account: Account,
    opened: OpenedHistory,
    front_end: FrontEnd,
    reactor: Any,
    *,
    interactive: bool,
    presence: bool,
    recent: int = 0,
) -> int:
    """Run the reactor until the conversation is over; return the exit status.

    See `ChatCore` for `interactive` and `presence`. `recent` is how many messages of
    before are shown at the start, where somebody sits.
    """
    secured = security(account, front_end, reactor)

    async def converse() -> int:
        for note in opened.notes:
            front_end.show(Line(Kind.NOTICE, note))
        history = History(opened, reactor, account.server)
        if interactive:
            await recall(history, front_end, account.server, recent)
        core = ChatCore(
            front_end,
            history,
            reactor,
            user=account.user,
            server=account.server,
            interactive=interactive,
            timeout=account.timeout,
            private=account.private,
            presence=presence,
        )
        asker = core.questions if interactive else None
        own = OwnPassword(
            account.user,
            private=account.private,
            given=account.password,
            asker=asker,
        )
        handle_signals(reactor, core.interrupt, front_end.rescue)
        try:
            link = Link(secured(asker), reactor, account.user, core, own)
            return await core.run(link)
        finally:
            history.close()

    return run_reactor(reactor, front_end, converse)


def run_reactor(
    reactor: Any, front_end: FrontEnd, work: Callable[[], Coroutine[Any, Any, int]]
) -> int:
    """Run the reactor until a coroutine has ended; return its result, a status."""
    statuses: list[int] = []
    _begin_logging(front_end)

    def ended(result: int | Failure) -> None:
        if isinstance(result, Failure):
            _show_failure(front_end, result)
            statuses.append(Status.NOT_ACCEPTED)
        else:
            statuses.append(result)
        _exit_in_time(statuses[0])
        reactor.stop()

    def begin() -> None:
        _ = Deferred.fromCoroutine(work()).addBoth(ended)

    run_evenly(reactor)
    reactor.callWhenRunning(begin)
    reactor.run()
    return statuses[0] if statuses else Status.NOT_ACCEPTED


def security(
    account: Account, front_end: FrontEnd, reactor: Any
) -> Callable[[Asker | None], IStreamClientEndpoint]:
    """Return what makes the server's endpoint, as secure as it has to be.

    Without an asker nobody can be asked about a certificate. The authorities are read
    here, before the reactor runs.
    """
    trust = account.trust

    def endpoint() -> IStreamClientEndpoint:
        return HostnameEndpoint(
            reactor, account.host, account.port, timeout=ATTEMPT_SECONDS
        )

    if trust is None:
        return lambda _: endpoint()
    # Not at the top: it needs OpenSSL.
    from chatd.client.connection.tls import Authorities, TLSEndpoint

    authorities = Authorities(account.host)

    def tell(line: str) -> None:
        front_end.show(Line(Kind.NOTICE, neutralise(line)))

    def secured(asker: Asker | None) -> IStreamClientEndpoint:
        return TLSEndpoint(
            endpoint(), reactor, authorities, trust, asker, tell, ATTEMPT_SECONDS
        )

    return secured


def _exit_in_time(status: int) -> None:
    """See that the reactor's end does not wait for a thread that looks up a name."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (status,))
    timer.daemon = True
    timer.start()


def handle_signals(
    reactor: Any,
    interrupt: Callable[[int], None],
    rescue: Callable[[], None],
    seconds: float = INTERRUPT_SECONDS,
) -> None:
    """End in order at the first signal; at the second, or after `seconds`, at once.

    Then only `rescue` is called: it leaves a terminal as it was.
    """
    caught: list[int] = []

    def end_now(number: int) -> None:
        rescue()
        os._exit(128 + number)

    def handle(number: int, frame: object) -> None:
        if caught:
            end_now(number)
        caught.append(number)
        reactor.callFromThread(interrupt, 128 + number)
        reactor.callFromThread(reactor.callLater, seconds, end_now, number)

    # In place of the reactor's own, which would end it with all under way.
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def _begin_logging(front_end: FrontEnd) -> None:
    """Show failures that nobody expected, in a line each; log nothing else."""

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            _show_failure(front_end, failure)

    globalLogBeginner.beginLoggingTo(
        [observe], discardBuffer=True, redirectStandardIO=False
    )


def _show_failure(front_end: FrontEnd, failure: Failure) -> None:
    what = " ".join(failure.getErrorMessage().split())
    kind = type(failure.value).__name__
    line = f"Something went wrong in chat: {kind}: {what}"
    front_end.show(Line(Kind.ERROR, neutralise(line)))
