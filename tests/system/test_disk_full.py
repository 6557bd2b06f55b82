"""A full disk: what cannot be stored is refused, everything else goes on."""

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon

pytestmark = pytest.mark.slow

STORED = "User 'bob' is offline. Message stored.\n"
NOT_STORED = (
    "Could not store the message to 'bob' (disk full)."
    " Nothing was sent; try again later.\n"
)
NOT_REGISTERED = (
    "Could not register the name 'newcomer' (disk full). Please try again later.\n"
    "Enter your username: "
)


class Disk(Protocol):
    """A daemon on a disk that can be made full."""

    daemon: "Daemon"

    def fill(self) -> None: ...

    def make_room(self) -> None: ...


class LittleLeft:
    """A disk with less room than the daemon is told to keep free."""

    def __init__(self, start_daemon: "StartDaemon") -> None:
        self._start = start_daemon
        self.daemon = start_daemon()

    def fill(self) -> None:
        self.daemon.stop()
        self.daemon = self._start("--min-free-disk=999999G")

    def make_room(self) -> None:
        self.daemon.stop()
        self.daemon = self._start()


class SmallDisk:
    """A file system of its own, which another file fills but for `left` bytes.

    The daemon is told to keep twice as much free.
    """

    def __init__(self, start_daemon: "StartDaemon", left: int) -> None:
        self._left = left
        mount = 'mount -t tmpfs -o size=4m tmpfs . && cd "$PWD" && exec "$@"'
        self.daemon = start_daemon(
            f"--min-free-disk={2 * left or 1}",
            under=[*NAMESPACE, "sh", "-c", mount, "sh"],
        )
        # Only the daemon's own view of the file system has the small one.
        root = Path(f"/proc/{self.daemon.process.pid}/root")
        self._filler = root / self.daemon.folder.relative_to("/") / "filler"
        if not left:
            # Not even that somebody came or went can be written then.
            self.daemon.tolerated = {"Traceback", "critical"}

    def fill(self) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while shutil.disk_usage(self._filler.parent).free > self._left:
                filler.write(b"x" * 4096)

    def make_room(self) -> None:
        self._filler.unlink()


def namespace() -> list[str]:
    """Return a command that runs another where it may mount; empty if none can."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        with suppress(OSError):
            mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                return command
    return []


NAMESPACE: Final = namespace()

DISKS: dict[str, Callable[["StartDaemon"], Disk]] = {"little left": LittleLeft}
if NAMESPACE:
    DISKS["nearly full"] = lambda start: SmallDisk(start, 1 << 20)
    DISKS["full"] = lambda start: SmallDisk(start, 0)


def numbers(said: str) -> list[int]:
    """Return the numbers that alice's messages begin with, in their order."""
    return [int(each) for each in re.findall(r"^alice: (\d+).*\n", said, re.M)]


@pytest.mark.parametrize("make_disk", DISKS.values(), ids=list(DISKS))
def test_a_full_disk_keeps_nobody_from_logging_in_and_reading(
    make_disk: Callable[["StartDaemon"], Disk],
    start_daemon: "StartDaemon",
    connect: "Connect",
) -> None:
    disk = make_disk(start_daemon)
    for name in ("bob", "carol"):
        connect(disk.daemon, name).leave()
    alice = connect(disk.daemon, "alice")
    alice.send(*(f"bob-{number}" for number in range(10)))
    assert alice.leave() == STORED * 10 + "Goodbye.\n"

    disk.fill()
    alice = connect(disk.daemon, "alice")
    for stored in range(10, 5_000):
        alice.send(f"bob-{stored} {'x' * 1000}")
        answer = alice.expect("\n")
        if answer != STORED:
            break
    assert answer == NOT_STORED
    alice.send("bob-first", "bob-second")
    assert alice.leave() == f"{NOT_STORED * 2}Goodbye.\n"
    newcomer = connect(disk.daemon)
    newcomer.send("newcomer")
    assert newcomer.expect("Enter your username: ") == NOT_REGISTERED
    newcomer.close()
    assert connect(disk.daemon, "carol").leave() == "Goodbye.\n"
    said = connect(disk.daemon, "bob").leave()
    assert numbers(said) == list(range(stored))
    assert said.endswith("Goodbye.\n")

    disk.make_room()
    alice = connect(disk.daemon, "alice")
    alice.send("bob-5000")
    assert alice.leave() == f"{STORED}Goodbye.\n"
    said = connect(disk.daemon, "bob").leave()
    assert numbers(said) == [5_000]
