"""The daemon of a round: started, killed, stopped and started again on one database."""

import asyncio
import re
import signal
import sysconfig
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from torture.database import wrong_figures
from torture.ledger import DaemonEnded, Ledger, Trouble
from torture.link import Address
from torture.stage import PATIENCE

TWISTD: Final = Path(sysconfig.get_path("scripts"), "twistd")

_READY: Final = b"is ready"
_NOT_SAVED: Final = re.compile(rb"Lines that could not be brought to disk: (\d+)")
_TROUBLE: Final = re.compile(rb".*(?:Traceback|Unhandled|#critical).*")


class Daemon:
    """``twistd -n chatd`` on an address and a database.

    `under` is a command that runs it. With `tolerant` its log may have tracebacks: the
    disk fails. Each run has a log of its own.
    """

    def __init__(
        self,
        folder: Path,
        logs: Path,
        address: Address,
        ledger: Ledger,
        options: Sequence[str],
        *,
        under: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        tolerant: bool = False,
    ) -> None:
        self.database = folder / "server.db"
        self.tolerant = tolerant
        self._logs = logs
        self._ledger = ledger
        self._environment = environment
        self._command = [
            *under,
            *(str(TWISTD), "-n", "--pidfile=", "chatd"),
            f"--port=tcp:{address.port}:interface={address.host}",
            f"--db={self.database}",
            *options,
        ]
        self._runs = 0
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def _log(self) -> Path:
        return self._logs / f"daemon-{self._runs}.log"

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `DaemonFailed`."""
        self._runs += 1
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=self._environment,
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.running and _READY not in self._log.read_bytes():
                    await asyncio.sleep(0.01)
                if self.running:
                    return
        what = f"the daemon did not come up: see {self._log.name}"
        self._ledger.add(Trouble(what))
        raise DaemonFailed(what)

    async def kill(self) -> None:
        """``kill -9``."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()
        self._look_back(clean=False)

    async def stop(self) -> None:
        """Stop it in order; if it says that not all is saved, it may."""
        assert self._process is not None
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._process.wait()
        except TimeoutError:
            self._ledger.add(Trouble(f"SIGTERM did not end the daemon in {PATIENCE} s"))
            await self.kill()
            return
        unsaved = _NOT_SAVED.search(self._log.read_bytes())
        if status != (1 if unsaved else 0):
            said = unsaved[0].decode() if unsaved else "nothing of unsaved lines"
            self._ledger.add(Trouble(f"exit status {status}, and the log says {said}"))
        elif unsaved and not self.tolerant:
            self._ledger.add(Trouble(unsaved[0].decode()))
        self._look_back(clean=status == 0)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def end(self) -> None:
        """Be gone, in whatever way."""
        if self.running:
            self._signal(signal.SIGKILL)
            assert self._process is not None
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _look_back(self, *, clean: bool) -> None:
        """See what it has left behind."""
        self._ledger.add(DaemonEnded(clean))
        found = _TROUBLE.findall(self._log.read_bytes())
        if found and not self.tolerant:
            line = found[0].decode(errors="replace")[:200]
            self._ledger.add(Trouble(f"{self._log.name}: {line}"))
        for each in wrong_figures(self.database):
            self._ledger.add(Trouble(f"after {self._log.name}: {each}"))


class DaemonFailed(Exception):
    """The daemon cannot be used any more: the round is over."""
