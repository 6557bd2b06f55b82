"""A server as a process of its own, on the server's core."""

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from harness.cores import pin_server

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0


class Failed(Exception):
    """A server did not start, or ended by itself."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A command that listens on a port of 127.0.0.1, for a `with` block.

    `accepting_after` is how many seconds passed from exec until it took a
    connection, to the millisecond. What it prints is in `log`. Raises `Failed` if it
    does not start.
    """

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        self._command = list(command)
        self._folder = folder
        self.log = folder / "log"
        self.port = port
        self.accepting_after = 0.0
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
                preexec_fn=pin_server(),
            )
        try:
            self._wait_until_accepting(begun)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, as an administrator would; what takes too long is killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process, as a profiler wants it."""
        return self._process.pid

    @property
    def processor_seconds(self) -> float:
        """How long it has kept its core busy, all threads together."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        times = [each.read_text(encoding="ascii").split()[0] for each in threads]
        return sum(map(int, times)) / 1e9

    @property
    def resident_bytes(self) -> int:
        """How much memory it takes (RSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _wait_until_accepting(self, begun: float) -> None:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5):
                    self.accepting_after = time.perf_counter() - begun
                    return
            except ConnectionRefusedError:
                pass
            ended = self._process.poll() is not None
            if ended or time.perf_counter() - begun > START_SECONDS:
                text = self.log.read_text(encoding="utf-8", errors="replace")
                raise Failed(f"{self._command[0]} does not listen:\n{text[-2000:]}")
            time.sleep(0.001)
