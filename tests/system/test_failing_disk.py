"""A disk that fails to sync: what was refused stays away, and a stop says what it lost.

strace answers the calls instead of the kernel; everything else is as it always is.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon, WaitUntil

pytestmark = pytest.mark.slow

STORED = "User 'bob' is offline. Message stored.\n"
REFUSED = (
    "Could not store the message to 'bob' (disk error)."
    " Nothing was sent; try again later.\n"
)


class Trace(Protocol):
    def __call__(self, daemon: "Daemon", injection: str) -> None:
        """Let syncs of a daemon fail, or be slow, from now on."""


@pytest.fixture
def trace(
    needs: Callable[[str], str], wait_until: "WaitUntil", tmp_path: Path
) -> Iterator[Trace]:
    """Trace daemons, as strace's ``inject`` says."""
    strace = needs("strace")
    tracers = []

    def trace(daemon: "Daemon", injection: str) -> None:
        said = tmp_path / "strace.err"
        calls = "fsync,fdatasync"
        with said.open("wb") as output:
            tracers.append(
                subprocess.Popen(
                    [
                        *(strace, "-f", "-o", "/dev/null"),
                        *("-p", str(daemon.process.pid), "-e", f"trace={calls}"),
                        *("-e", f"inject={calls}:{injection}"),
                    ],
                    stderr=output,
                )
            )
        threads = Path(f"/proc/{daemon.process.pid}/task")

        def all_traced() -> bool:
            with suppress(FileNotFoundError):  # a thread has ended meanwhile
                states = [each / "status" for each in threads.iterdir()]
                return all("TracerPid:\t0" not in each.read_text() for each in states)
            return False

        wait_until(all_traced, "strace to be attached")

    yield trace
    for each in tracers:
        with suppress(ProcessLookupError):
            each.send_signal(signal.SIGINT)
        each.wait()


def test_what_was_refused_for_a_failed_sync_is_not_there_after_a_crash(
    start_daemon: "StartDaemon", connect: "Connect", trace: Trace
) -> None:
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    alice = connect(daemon, "alice")
    alice.send("bob-kept")
    alice.expect(STORED)
    daemon.tolerated = {"Traceback", "critical"}
    trace(daemon, "error=EIO")

    alice.send("bob-refused")
    alice.expect(REFUSED)
    daemon.kill()

    bob = connect(start_daemon(), "bob")
    said = bob.leave()
    assert "kept" in bob.heard
    assert "refused" not in bob.heard + said


def test_a_stop_counts_what_it_could_not_bring_to_disk_and_ends_with_1(
    start_daemon: "StartDaemon", connect: "Connect", trace: Trace
) -> None:
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    alice = connect(daemon, "alice")
    daemon.tolerated = {"Traceback", "critical"}
    daemon.expected_status = 1
    # Slow, too: so the stop comes while the first line is being written.
    trace(daemon, "error=EIO:delay_enter=1000000")

    alice.send("bob-one", "bob-two", "bob-three")
    connect(daemon)  # whoever comes later is greeted later: the lines have been taken
    status = daemon.stop()

    assert status == 1
    assert "Lines that could not be brought to disk: 3\n" in daemon.log()
    assert alice.rest().count(REFUSED) == 3
