"""What every test gets: the checks that pytest-twisted leaves out, and the settings.

pytest-twisted runs tests in the reactor but looks at nothing afterwards: a failure that
was only logged, a delayed call or an open socket passes. The fixture `logged_errors`,
which every test has, makes each of them an error of the test that caused it.

The reactor is installed after this file has been imported: nothing here may import it
at module level.
"""

import gc
import os
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from coverage import Coverage
from hypothesis import HealthCheck, Phase, settings
from twisted.internet import task
from twisted.logger import LogEvent, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure
from xdist.scheduler import LoadScopeScheduling

INTEGRATION = Path(__file__).parent / "integration"
SYSTEM = Path(__file__).parent / "system"

# "everyday", or one named by CHATD_HYPOTHESIS: "thorough" is for a night, "hunt" only
# says whether there is anything, the same each time, and "ci" gives one commit the same
# examples in every run, and fewer of them: it has ten minutes for everything. None has
# deadlines: a busy machine is no bug.
settings.register_profile(
    "everyday",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", settings.get_profile("everyday"), max_examples=5_000
)
settings.register_profile(
    "hunt",
    settings.get_profile("everyday"),
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    print_blob=False,
)
settings.register_profile(
    "ci",
    settings.get_profile("everyday"),
    derandomize=True,
    database=None,
    max_examples=30,
)
settings.load_profile(os.environ.get("CHATD_HYPOTHESIS", "everyday"))


# What whoever runs the tests has set for themselves is not what is tested.
for _name in list(os.environ):
    if _name.startswith("CHAT_") or _name in ("NO_COLOR", "XDG_CONFIG_HOME"):
        del os.environ[_name]


def pytest_configure(config: pytest.Config) -> None:
    """Begin logging, to nobody.

    Until then Twisted keeps the last 65,536 events, and whatever they refer to, alive:
    a Deferred among it would never be reported as unhandled.
    """
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    # Hundreds of processes are started: each would compile everything again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # In the background, or under nohup, they would ignore them too: a handler of ours
    # is none of theirs.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    if config.pluginmanager.has_plugin("xdist"):
        config.pluginmanager.register(ForWorkers())


def pytest_collection_finish() -> None:
    """Spare later garbage collections what was imported until here: it stays."""
    gc.collect()
    gc.freeze()


# Workers ----------------------------------------------------------------------------

IN_ONE_WORKER = {
    "tests/system/test_packaging.py",  # takes its archives from one build of them
    "tests/system/test_readme.py",  # looks at one installation
    "tests/system/test_real_conversations.py",  # has all its daemons in one process
    "tests/system/test_running.py",  # listens on port 5555
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have one more than there are cores: some tests wait for a time to pass."""
    return len(os.sched_getaffinity(0)) + 1


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each test to the next worker that is free, and a module of those to one.

    They come first. Groups by xdist's own mark have no effect under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if path in IN_ONE_WORKER else nodeid


class ForWorkers:
    """What only pytest-xdist knows to call."""

    @pytest.hookimpl
    def pytest_xdist_make_scheduler(
        self, config: pytest.Config, log: Any
    ) -> LoadScopeScheduling:
        """Distribute the tests in our way."""
        return Scheduling(config, log)


# Skips ------------------------------------------------------------------------------


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CHATD_TESTS_NO_SKIP is set."""
    if not os.environ.get("CHATD_TESTS_NO_SKIP"):
        return
    if report.skipped and not hasattr(report, "wasxfail"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        report.outcome = "failed"
        report.longrepr = f"CHATD_TESTS_NO_SKIP is set, but {report.nodeid}: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, Any]:
    """Refuse tests that skip themselves or are marked so."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, Any]:
    """Refuse test modules that skip themselves while they are imported."""
    report = yield
    _refuse_skip(report)
    return report


# Coverage ---------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _measured(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Measure only what covers something: the rest would take twice as long.

    Programs that tests start are measured only with the mark `measured`, which is for
    what runs in no other tests; to start them takes most of a system test's time. With
    the mark `unmeasured` nothing is, for what runs in other tests too.
    """
    measuring = Coverage.current()
    if request.node.get_closest_marker("measured") is None:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    marked = request.node.get_closest_marker("unmeasured") is not None
    if measuring is None or not (marked or SYSTEM in request.path.parents):
        yield
        return
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()


# What a test leaves behind ----------------------------------------------------------


class LoggedErrors:
    """The failures that were logged during one test."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        """Observe one log event."""
        failure = event.get("log_failure")
        if failure is None and event.get("isError"):  # twisted.python.log.err
            failure = event.get("failure")
        if failure is not None:
            self._failures.append(failure)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Take out and return the failures of these types; without types, all.

        A test that expects failures flushes them and looks at what it got.
        """
        taken = [f for f in self._failures if not types or f.check(*types)]
        self._failures = [f for f in self._failures if f not in taken]
        return taken


class _Leftovers:
    """What the reactor has to do now that it did not have to do before."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self._calls_before = set(reactor.getDelayedCalls())
        self._selectables_before = self._selectables()

    def _selectables(self) -> set[Any]:
        return {*self._reactor.getReaders(), *self._reactor.getWriters()}

    def calls(self) -> set[Any]:
        return set(self._reactor.getDelayedCalls()) - self._calls_before

    def sockets(self) -> set[Any]:
        return self._selectables() - self._selectables_before

    def turn(self, seconds: float = 0) -> None:
        pytest_twisted.blockon(task.deferLater(self._reactor, seconds))

    def settle(self) -> None:
        """Let what is about to end come to its end.

        The server learns that a client has gone some turns after the client does.
        """
        for _ in range(3):
            self.turn()
        deadline = time.monotonic() + 10
        while self.sockets() and time.monotonic() < deadline:
            self.turn(0.01)

    def take(self) -> list[str]:
        """Describe what is left; cancel the calls, or they run in the next test."""
        found = [f"left open: {s!r}" for s in self.sockets()]
        for call in self.calls():
            found.append(f"left to be called: {call}")
            call.cancel()
        return found


@pytest.fixture(scope="session")
def _started_reactor() -> None:
    """Let the reactor install what it needs itself, such as its waker."""
    _Leftovers().turn()


@pytest.fixture(autouse=True)
def logged_errors(
    request: pytest.FixtureRequest, _started_reactor: None
) -> Iterator[LoggedErrors]:
    """Fail a test that logs failures it does not flush, or leaves the reactor work.

    Everywhere the check costs microseconds; only integration tests pay for a garbage
    collection, which brings failures to light that nobody handled.
    """
    errors = LoggedErrors()
    leftovers = _Leftovers()
    thorough = INTEGRATION in request.path.parents
    globalLogPublisher.addObserver(errors)
    try:
        yield errors
        if thorough:
            gc.collect()
        if thorough or leftovers.calls() or leftovers.sockets():
            leftovers.settle()
    finally:
        globalLogPublisher.removeObserver(errors)
    problems = leftovers.take()
    problems += [f"logged: {failure.getTraceback()}" for failure in errors.flush()]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
