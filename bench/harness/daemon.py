"""The installed daemon, as a process of its own."""

import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Final, Self

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0

_LISTENING: Final = b"Listening on 127.0.0.1:"


class Daemon:
    """`twistd -n chatd` on a port of 127.0.0.1 and a database, for a `with` block.

    `listening_after` is how many seconds passed from exec until it listens, to the
    millisecond. Its log is in `log`. Raises `RuntimeError` if it does not start, or
    does not end well.
    """

    def __init__(self, database: Path, *options: str) -> None:
        twistd = Path(sysconfig.get_path("scripts"), "twistd")
        if not twistd.exists():
            raise RuntimeError(f"{twistd} is missing: run `make test` once before")
        self._command = [
            *(str(twistd), "-n", "--pidfile=", "chatd"),
            *("--port", "tcp:0:interface=127.0.0.1", "--db", str(database)),
            *options,
        ]
        self._folder = database.parent
        self.log = database.with_suffix(".log")
        self.port = 0
        self.listening_after = 0.0
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        """Start it."""
        with self.log.open("wb") as log:
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_listening(begun)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        """Stop it, as an administrator would."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status != 0 and failure == (None, None, None):
            raise RuntimeError(f"the daemon ended with {status}: see {self.log}")

    @property
    def pid(self) -> int:
        """Its process, as a profiler wants it."""
        return self._process.pid

    @property
    def processor_seconds(self) -> float:
        """How long it has kept processors busy, all threads together."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        times = [each.read_text(encoding="ascii").split()[0] for each in threads]
        return sum(map(int, times)) / 1e9

    @property
    def resident_bytes(self) -> int:
        """How much memory it takes (RSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _wait_until_listening(self, begun: float) -> None:
        while True:
            ended = self._process.poll() is not None
            log = self.log.read_bytes()
            elapsed = time.perf_counter() - begun
            _, found, after = log.partition(_LISTENING)
            if found and b"\n" in after:
                self.port = int(after.split(b"\n")[0])
                self.listening_after = elapsed
                return
            if ended or elapsed > START_SECONDS:
                text = log.decode(errors="replace")
                raise RuntimeError(f"the daemon does not listen:\n{text}")
            time.sleep(0.001)
