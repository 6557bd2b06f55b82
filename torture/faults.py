"""What goes wrong in a round: one fault, struck several times while all are busy."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar, Final

from torture.daemon import Daemon
from torture.link import Address
from torture.programs import Client
from torture.stage import Stage


@dataclass(frozen=True)
class Setting:
    """How a daemon is run so that a fault can strike it.

    `folder` is where its database lies, `address` where it listens if not on loopback.
    """

    folder: Path
    options: Sequence[str] = ()
    under: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    address: Address | None = None


@dataclass
class Victims:
    """What there is to strike; `clients` are the bundled ones."""

    stage: Stage
    daemon: Daemon
    clients: list[Client] = field(default_factory=list)


class Fault:
    """Nothing goes wrong; the others say what does.

    `tolerant` says that the daemon may log tracebacks: its disk fails.
    """

    name: ClassVar[str] = "none"
    tolerant: ClassVar[bool] = False

    def __init__(self, dice: Random) -> None:
        self.dice = dice

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be had on this machine."""
        return None

    def prepare(self, folder: Path) -> Setting:
        """Make what it needs, in a folder; return how the daemon is to be run."""
        return Setting(folder)

    def clear(self) -> None:
        """Take away what `prepare` has made."""

    async def strike(self, victims: Victims) -> None:
        """Go wrong, and be over at the end."""
        await asyncio.sleep(1)

    async def _some_time(self, victims: Victims) -> None:
        """Let some work be done, much or little."""
        events = self.dice.choice([1, 50, 500, 2000])
        await victims.stage.progress(self.dice.randint(1, events), 0.7)


class Kill(Fault):
    """``kill -9`` of the daemon, which is started again at once."""

    name = "kill"

    async def strike(self, victims: Victims) -> None:
        """Kill it one to three times."""
        for _ in range(self.dice.randint(1, 3)):
            await self._some_time(victims)
            await victims.daemon.kill()
            await victims.daemon.start()
        await self._some_time(victims)


class Stop(Fault):
    """SIGTERM under load; the daemon is started again."""

    name = "stop"

    async def strike(self, victims: Victims) -> None:
        """Stop it one to three times."""
        for _ in range(self.dice.randint(1, 3)):
            await self._some_time(victims)
            await victims.daemon.stop()
            await victims.daemon.start()
        await self._some_time(victims)


class Sigstop(Fault):
    """SIGSTOP of the daemon and of clients, and SIGCONT."""

    name = "sigstop"

    async def strike(self, victims: Victims) -> None:
        """Freeze the daemon or a client, several times."""
        for _ in range(self.dice.randint(1, 4)):
            await self._some_time(victims)
            seconds = self.dice.choice([0.05, 0.3, 1.2]) * self.dice.random()
            if victims.clients and self.dice.random() < 0.5:
                await self.dice.choice(victims.clients).freeze(seconds)
                continue
            victims.daemon.freeze()
            await asyncio.sleep(seconds)
            victims.daemon.thaw()


class Cut(Fault):
    """Connections that break: reset, gone silent one by one, or the cable pulled.

    The cable is the link between two network namespaces; without root it is left out.
    """

    name = "cut"

    def __init__(self, dice: Random) -> None:
        super().__init__(dice)
        self._space = f"torture{os.getpid()}"
        self._cable = dice.random() < 0.3 and cannot_pull_cables() is None

    def prepare(self, folder: Path) -> Setting:
        """Lay the cable, if there is to be one."""
        if not self._cable:
            return Setting(folder)
        number = os.getpid() % 16_000
        net = f"10.{213 + number // 8000}.{number // 32 % 250}"
        ours, theirs = (f"{net}.{number % 32 * 4 + each}" for each in (1, 2))
        space, here = self._space, f"tort{os.getpid()}"
        self.clear()
        for command in (
            f"netns add {space}",
            f"link add {here} type veth peer name cable netns {space}",
            f"addr add {ours}/30 dev {here}",
            f"link set {here} up",
            f"-n {space} addr add {theirs}/30 dev cable",
            f"-n {space} link set cable up",
            f"-n {space} link set lo up",
        ):
            _ip(command)
        return Setting(
            folder,
            under=("ip", "netns", "exec", space),
            address=Address(theirs, 15555),
        )

    def clear(self) -> None:
        """Take the cable away."""
        if self._cable:
            with suppress(subprocess.CalledProcessError):
                _ip(f"netns delete {self._space}")

    async def strike(self, victims: Victims) -> None:
        """Cut some, or all, several times."""
        for _ in range(self.dice.randint(1, 4)):
            await self._some_time(victims)
            seconds = self.dice.choice([0.1, 0.5, 1.5]) * self.dice.random()
            if self._cable and self.dice.random() < 0.6:
                _ip(f"-n {self._space} link set cable down")
                await asyncio.sleep(seconds)
                _ip(f"-n {self._space} link set cable up")
                continue
            links = victims.stage.links()
            cut = self.dice.sample(links, self.dice.randint(0, len(links)))
            if self.dice.random() < 0.5:
                for each in cut:
                    each.mute()
                await asyncio.sleep(seconds)
            for each in cut:
                each.kill()


class Fsync(Fault):
    """A disk that says EIO to fsync; sometimes the daemon is killed meanwhile."""

    name = "fsync"
    tolerant = True

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be had: strace, or the right to trace."""
        if shutil.which("strace") is None:
            return "strace is missing: apt install strace"
        return (
            None if _works("strace", "-qqo", "/dev/null", "true") else "no tracing here"
        )

    async def strike(self, victims: Victims) -> None:
        """Attach strace, which answers some of the calls itself."""
        for _ in range(self.dice.randint(1, 2)):
            await self._some_time(victims)
            when = self.dice.choice(["1+", "2+2", "1+5", "3", "1"])
            calls = "fsync,fdatasync"
            tracer = await asyncio.create_subprocess_exec(
                *(
                    "strace",
                    "-qq",
                    "-f",
                    "-o",
                    "/dev/null",
                    "-p",
                    str(victims.daemon.pid),
                ),
                *(
                    "-e",
                    f"trace={calls}",
                    "-e",
                    f"inject={calls}:error=EIO:when={when}",
                ),
                stderr=subprocess.DEVNULL,
            )
            killed = self.dice.random() < 0.5
            seconds = self.dice.uniform(0.2, 0.8)
            if killed and self.dice.random() < 0.6:
                # Before anything else is written: what was refused must stay away.
                await victims.stage.refusal(seconds)
            else:
                await asyncio.sleep(seconds)
            if killed:
                await victims.daemon.kill()
                await victims.daemon.start()
            with suppress(ProcessLookupError):
                tracer.send_signal(signal.SIGINT)
            await tracer.wait()
        await self._some_time(victims)


class Full(Fault):
    """A disk of its own (tmpfs) that another file fills, and leaves again."""

    name = "full"
    tolerant = True
    _SIZE: Final = 24 * 1024 * 1024

    def __init__(self, dice: Random) -> None:
        super().__init__(dice)
        self._disk: Path | None = None
        self._kept_free = dice.choice([1, 64 * 1024, 512 * 1024])
        self._left = dice.choice([0, self._kept_free // 2])

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be had: only root may mount."""
        return (
            None
            if _works("unshare", "-m", "mount", "-t", "tmpfs", "t", "/mnt")
            else ("no right to mount a small disk: run as root")
        )

    def prepare(self, folder: Path) -> Setting:
        """Mount the disk."""
        self._disk = folder / "disk"
        self._disk.mkdir()
        _run(
            "mount", "-t", "tmpfs", "-o", f"size={self._SIZE}", "tmpfs", str(self._disk)
        )
        return Setting(self._disk, options=(f"--min-free-disk={self._kept_free}",))

    def clear(self) -> None:
        """Unmount it."""
        if self._disk is not None:
            _run("umount", "--lazy", str(self._disk))
            self._disk = None

    async def strike(self, victims: Victims) -> None:
        """Fill it, two or three times."""
        assert self._disk is not None
        filler = self._disk / "filler"
        for _ in range(self.dice.randint(2, 3)):
            await self._some_time(victims)
            with filler.open("wb") as file, suppress(OSError):
                free = shutil.disk_usage(self._disk).free - self._left
                os.posix_fallocate(file.fileno(), 0, max(1, free))
            await asyncio.sleep(self.dice.uniform(0.1, 0.7))
            if self.dice.random() < 0.2:
                await victims.daemon.kill()
                filler.unlink()
                await victims.daemon.start()
            filler.unlink(missing_ok=True)
        await self._some_time(victims)


class Clock(Fault):
    """A clock that is set forth and back, by seconds or by days."""

    name = "clock"

    def __init__(self, dice: Random) -> None:
        super().__init__(dice)
        self._file = Path()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be had: libfaketime."""
        return None if _faketime() else "libfaketime is missing: apt install faketime"

    def prepare(self, folder: Path) -> Setting:
        """Let the daemon have its time from a library that looks into a file."""
        self._file = folder / "clock"
        self._set(0)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return Setting(folder, environment=environment)

    async def strike(self, victims: Victims) -> None:
        """Set it several times; it stays as it is then."""
        for _ in range(self.dice.randint(1, 4)):
            await self._some_time(victims)
            self._set(
                self.dice.choice([1, 60, 3600, 86400]) * self.dice.choice([1, -1])
            )
        await self._some_time(victims)

    def _set(self, seconds: int) -> None:
        # At once: half a file would be half a time.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="ascii")
        new.replace(self._file)


class ClientKill(Fault):
    """``kill -9`` of the bundled client, as sender and as receiver."""

    name = "client-kill"

    async def strike(self, victims: Victims) -> None:
        """Kill them one by one."""
        for _ in range(self.dice.randint(2, 5)):
            # They take a while to come up.
            await asyncio.sleep(self.dice.choice([0.2, 1.2]) * self.dice.random())
            await self._some_time(victims)
            if victims.clients:
                await self.dice.choice(victims.clients).kill()


FAULTS: Final[dict[str, type[Fault]]] = {
    each.name: each
    for each in (Kill, Stop, Sigstop, Cut, Fsync, Full, Clock, ClientKill)
}


def cannot_pull_cables() -> str | None:
    """Return why there are no network namespaces to lay a cable between."""
    if os.geteuid() != 0:
        return "no right to make network namespaces: run as root"
    if shutil.which("ip") is None:
        return "ip is missing: apt install iproute2"
    name = f"tried{os.getpid()}"
    if not _works("ip", "netns", "add", name):
        return "no network namespaces here"
    laid = _works("ip", "link", "add", name, "type", "veth", "peer", "x", "netns", name)
    _works("ip", "netns", "delete", name)
    return None if laid else "no veth links here"


def _faketime() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def _ip(command: str) -> None:
    _run("ip", *command.split())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _works(*command: str) -> bool:
    try:
        _run(*command)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
