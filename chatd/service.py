"""The service: starts everything in order, and stops it in order."""

import atexit
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.application.service import Service
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.address import IPv4Address as TCP4Address
from twisted.internet.address import IPv6Address as TCP6Address
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chatd import __version__
from chatd.accounts import Accounts, Origin
from chatd.certificates import CertificateError
from chatd.clock import wall_clock
from chatd.credentials import Policy
from chatd.hub.gate import Gate
from chatd.hub.hub import Hub
from chatd.journal import Journal
from chatd.limits import HOUR, Limits
from chatd.listening import NoIPv6, TLSEndpoint
from chatd.passwords import THREADS, Hasher
from chatd.server.factory import ChatFactory
from chatd.server.tcp import tune_port
from chatd.store.opening import StoreError, open_database
from chatd.store.store import Store

T = TypeVar("T")

COLLECTED_AFTER: Final = 50_000
"""How many objects may come before Python looks for cycles among them.

Its own figure is 700: then it is looked for all the time among messages on their way,
which have none.
"""

ANSWER_SECONDS: Final = 10.0
"""How long a stop waits until everything sent is on disk and answered."""

GONE_SECONDS: Final = 6.0
"""How long a stop waits until all connections are closed: they linger less."""

LOOK_SECONDS: Final = 1.0
"""How often it is looked for what an administrator has changed."""

OPEN_TO_ALL: Final = Policy()

OTHER_FILES: Final = 64
"""Open files beside those of connections."""


class StartError(SystemExit, Exception):
    """The daemon cannot start; the one argument says why, in a line.

    That line is logged where this is raised. It is a `SystemExit`, so that the process
    ends with status 1 and no traceback; an `Exception`, so that twistd reports it to
    whoever started a background one.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = 1


class ChatService(Service):
    """The daemon, from its start to its stop.

    `reactor` is the global reactor, or a test's. `expire` is after how many seconds
    without a login a name's queue is dropped, None for never. `checkers`, if any, know
    who may log in; else the database does.
    """

    _log = Logger()
    name = "chatd"

    def __init__(
        self,
        reactor: Any,
        endpoints: list[IStreamServerEndpoint],
        database: Path,
        limits: Limits,
        expire: float | None = None,
        policy: Policy = OPEN_TO_ALL,
        checkers: Sequence[ICredentialsChecker] = (),
    ) -> None:
        self._reactor = reactor
        self._endpoints = endpoints
        self._database = database
        self._limits = limits
        self._expire = expire
        self._policy = policy
        self._checkers = tuple(checkers)
        self._threads = ThreadPool(0, THREADS, "passwords")
        self._looking: LoopingCall | None = None
        self._factory = ChatFactory(limits, reactor)
        self._ports: list[IListeningPort] = []
        self._store: Store
        self._journal: Journal
        self._hourly: LoopingCall | None = None
        self._trouble: StartError | None = None
        self.unsaved = 0
        """How many lines a stop could not bring to disk."""

    # Starting.

    def privilegedStartService(self) -> None:
        """Listen, perhaps on ports that only root may. Raises `StartError`."""
        for endpoint in self._endpoints:
            listening = endpoint.listen(self._factory)
            _ = listening.addCallbacks(self._listens, self._cannot_listen)
            if self._trouble is not None:
                raise self._trouble
        super().privilegedStartService()

    def startService(self) -> None:
        """Open the database, and be ready for connections. Raises `StartError`."""
        limits, reactor = self._limits, self._reactor
        self._raise_file_limit()
        gc.freeze()
        gc.set_threshold(COLLECTED_AFTER)
        try:
            opened = open_database(self._database)
        except StoreError as error:
            self._log.critical("Cannot start: {error}", error=error)
            raise StartError(str(error)) from None
        for note in opened.notes:
            self._log.warn("{note}", note=note)
        self._store = Store(
            opened, reactor, max_bytes=limits.database, min_free=limits.free_disk
        )
        self._journal = Journal(self._store, reactor, self._factory.turn)
        accounts = Accounts(self._store, self._journal, limits, reactor, wall_clock)
        hub = Hub(
            self._store,
            self._journal,
            accounts,
            limits,
            reactor,
            wall_clock,
            self._factory.turn,
        )
        self._factory.hub = hub
        self._factory.gate = Gate(
            hub,
            self._store,
            Hasher(self._in_thread),
            self._policy,
            reactor,
            wall_clock,
            self._checkers,
        )
        self._threads.start()
        self._looking = LoopingCall(self._see_changes, hub)
        self._looking.clock = reactor
        _ = self._looking.start(LOOK_SECONDS)
        self._hourly = LoopingCall(self._tidy, hub)
        self._hourly.clock = reactor
        _ = self._hourly.start(HOUR)
        reactor.callWhenRunning(self._ready)
        super().startService()

    def _listens(self, port: IListeningPort) -> None:
        self._ports.append(port)
        tune_port(port)
        address: object = port.getHost()
        if isinstance(address, TCP4Address | TCP6Address):
            address = Origin(address.host, address.port, True)
        elif isinstance(address, UNIXAddress):
            address = os.fsdecode(address.name or b"")
        self._log.info("Listening on {address}", address=str(address))

    def _cannot_listen(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, NoIPv6):
            self._log.info("This machine has no IPv6")
            return
        trouble = _why_not_listening(error)
        self._log.critical("Cannot start: {trouble}", trouble=trouble)
        self._trouble = StartError(trouble)
        if self._reactor.running:
            # An endpoint that takes its time; the others listen already.
            _exit_with(1)
            self._stop_reactor()

    def _raise_file_limit(self) -> None:
        """Make room for as many open files as there may be connections."""
        needed = self._limits.connections + OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft >= needed:
            return
        possible = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        except (OSError, ValueError):
            possible = soft
        if possible < needed:
            self._log.warn(
                "Only {possible} files may be open: fewer connections than the"
                " {connections} allowed will find room",
                possible=possible,
                connections=self._limits.connections,
            )

    def _ready(self) -> None:
        self._handle_signals()
        self._log.info(
            "chatd {version} is ready: {users} users in {path}",
            version=__version__,
            users=self._store.users,
            path=str(self._database.resolve()),
        )

    def _handle_signals(self) -> None:
        # Twisted's own handlers make twistd end as if killed; a stop that saved
        # everything is a success, and says so by its exit status.
        def stop(number: int, frame: object) -> None:
            self._reactor.callFromThread(self._stopped_by, number)

        def load_again(number: int, frame: object) -> None:
            self._reactor.callFromThread(self._load_again)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, load_again)
        if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
            # twistd begins a new log file on this; without one it would kill us.
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def _in_thread(self, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._threads, work)

    def _see_changes(self, hub: Hub) -> Deferred[None]:
        return Deferred.fromCoroutine(self._act_on_changes(hub)).addErrback(
            lambda failure: self._log.failure(
                "Changes of accounts cannot be read", failure=failure
            )
        )

    async def _act_on_changes(self, hub: Hub) -> None:
        for change in await self._store.account_changes():
            hub.account_changed(change)

    def _load_again(self) -> None:
        """Load renewed certificates; connections that there are go on with the old."""
        certificates = [
            each.certificate
            for each in self._endpoints
            if isinstance(each, TLSEndpoint)
        ]
        if not certificates:
            self._log.info("SIGHUP: there is nothing to load again")
        in_thread = partial(
            deferToThreadPool, self._reactor, self._reactor.getThreadPool()
        )
        for certificate in certificates:
            _ = certificate.load_again(in_thread)

    def _tidy(self, hub: Hub) -> Deferred[None]:
        return Deferred.fromCoroutine(self._forget_what_is_old(hub)).addErrback(
            lambda failure: self._log.failure("Expiring failed", failure=failure)
        )

    async def _forget_what_is_old(self, hub: Hub) -> None:
        await hub.forget_ids()
        if self._expire is not None:
            await hub.expire(self._expire)

    # Stopping.

    def _stopped_by(self, number: int) -> None:
        self._log.info("Stopping: {name}", name=signal.Signals(number).name)
        self._stop_reactor()

    def _stop_reactor(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self._log.info("Already stopping")

    def stopService(self) -> Deferred[None]:
        """Bring everything that was read to disk, answer, and close.

        Bounded in time whatever the peers or the disk do.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop()).addErrback(self._stop_failed)

    async def _stop(self) -> None:
        for each in (self._hourly, self._looking):
            if each is not None and each.running:
                each.stop()
        await gatherResults(
            [_deferred(port.stopListening()) for port in self._ports],
            consumeErrors=True,
        ).addErrback(self._log_stop_failure)
        journal, factory = self._journal, self._factory
        refused_before = journal.refused
        answered = Deferred.fromCoroutine(factory.finish_conversations())
        in_time = await self._within(ANSWER_SECONDS, answered)
        in_time = in_time and await self._within(ANSWER_SECONDS, journal.flushed())
        await self._within(GONE_SECONDS, factory.all_gone())
        in_time = in_time and await self._within(ANSWER_SECONDS, journal.flushed())
        self.unsaved = (
            journal.refused - refused_before + journal.waiting + factory.lines_waiting
        )
        if self.unsaved:
            self._log.critical(
                "Lines that could not be brought to disk: {count}", count=self.unsaved
            )
        self._threads.stop()
        if self.unsaved or not in_time:
            _exit_with(1)
        if in_time:
            # Blocks no longer than the transaction under way.
            self._store.close()
        self._log.info("Stopped")

    def _stop_failed(self, failure: Failure) -> None:
        self._log.failure("The stop failed", failure=failure)
        _exit_with(1)

    async def _within(self, seconds: float, done: Deferred[None]) -> bool:
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            done.cancel()

        call = self._reactor.callLater(seconds, give_up)
        try:
            await done
        except Exception:
            if not late:
                raise
        finally:
            if call.active():
                call.cancel()
        # What gathers others may end in order when it is cancelled.
        return not late

    def _log_stop_failure(self, failure: Failure) -> None:
        self._log.failure("Closing a port failed", failure=failure)


def _deferred(result: object) -> Deferred[object]:
    if isinstance(result, Deferred):
        return result
    done: Deferred[object] = Deferred()
    done.callback(result)
    return done


def _why_not_listening(error: object) -> str:
    if isinstance(error, CertificateError):
        return f"cannot serve TLS: {error}"
    if not isinstance(error, CannotListenError):
        return f"cannot listen: {error}"
    reason = getattr(error.socketError, "strerror", None) or error.socketError
    where = error.port
    if error.interface:
        where = str(Origin(error.interface, error.port, True))
    return f"cannot listen on {where}: {reason}"


def _exit_with(status: int) -> None:
    """Make the process end with a status once the reactor has stopped.

    twistd offers no way to do so; threads that hang on a disk are not waited for.
    """

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)
