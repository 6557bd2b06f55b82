"""How soon a key is seen at the prompt of `chat`, while messages come.

The client runs at a terminal of its own, through an emulator: a key counts as seen once
its cell shows it, above a thousand messages a second from somebody else. The figures
inform, and never fail.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from harness.daemon import Daemon
from harness.figures import machine, percentile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from terminal import Terminal

KEYS: Final = "abcdefghijklmnopqrstuvwxyz"
CTRL_U: Final = "\x15"
PAUSES: Final = (0.031, 0.053, 0.087, 0.023, 0.071)
"""Seconds between two keys, one after the other."""

PACE_SECONDS: Final = 0.01
"""How often the sender sends a few."""

SENDER: Final = f"""
import socket, sys, time
port, rate = int(sys.argv[1]), float(sys.argv[2])
link = socket.create_connection(("127.0.0.1", port))
link.sendall(b"bob\\n")
begun, number = time.monotonic(), 0
while True:
    time.sleep({PACE_SECONDS})
    due = int((time.monotonic() - begun) * rate)
    lines = "".join(f"alice-message {{n}} and so on\\n" for n in range(number, due))
    link.sendall(lines.encode())
    number = due
"""


@contextmanager
def sender(port: int, rate: float) -> Iterator[None]:
    """Let bob send so many messages a second to alice."""
    if not rate:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(port), str(rate)],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Recorded(Terminal):
    """A terminal that can put off drawing: an emulator takes longer than the client."""

    def __init__(self, command: Sequence[str | Path], **fields: Any) -> None:
        self._recording = False
        self._chunks: list[tuple[float, bytes]] = []
        super().__init__(command, **fields)

    def feed(self, data: bytes) -> None:
        """Draw what the program has written, or keep it with its time."""
        if self._recording:
            self._chunks.append((time.perf_counter(), data))
        else:
            super().feed(data)

    def type_for(self, seconds: float) -> list[tuple[float, str]]:
        """Type; return when which line should be seen from."""
        self._recording = True
        keys: list[tuple[float, str]] = []
        until, typed = time.perf_counter() + seconds, ""
        while time.perf_counter() < until:
            self._read_for(PAUSES[len(keys) % len(PAUSES)])
            if typed == KEYS:
                self.type(CTRL_U)
                typed = ""
            else:
                typed += KEYS[len(typed)]
                keys.append((time.perf_counter(), f"alice> {typed}"))
                self.type(typed[-1])
        self._read_for(3)
        self._recording = False
        return keys

    def seen(self, keys: list[tuple[float, str]]) -> list[float]:
        """Draw what was written meanwhile; return how long each key took."""
        taken: list[float] = []
        for came, data in self._chunks:
            self.feed(data)
            line = self.line(self.cursor[1])
            while keys and keys[0][0] < came and line.startswith(keys[0][1]):
                taken.append(came - keys.pop(0)[0])
        if keys:
            raise RuntimeError(f"not seen: {keys[0][1]}")
        return taken

    def _read_for(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self.read(left)


def last_message(terminal: Terminal) -> int:
    """Return the number of the last message that is seen."""
    numbers = re.findall(r"message (\d+) and so on", "\n".join(terminal.lines()[-200:]))
    return int(numbers[-1]) if numbers else 0


def processor_seconds(pid: int) -> float:
    """Return how long a process has had a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each rate")
    parser.add_argument("--columns", type=int, default=80, help="of the terminal")
    parser.add_argument(
        "--rates", default="0,100,1000", help="messages a second, for example 0,1000"
    )
    options = parser.parse_args()
    chat = Path(sysconfig.get_path("scripts"), "chat")
    with tempfile.TemporaryDirectory(prefix="chatd-echo-") as temporary:
        folder = Path(temporary)
        print(machine(folder))
        print(
            "from a key to its cell, in ms: median, 99th percentile, worst (how many)"
        )
        with Daemon(folder / "server.db") as daemon:
            for rate in map(float, options.rates.split(",")):
                home = folder / f"home-{rate:g}"
                home.mkdir()
                env = {"HOME": str(home), "XDG_DATA_HOME": str(home), "TZ": "UTC"}
                command = [chat, f"alice@127.0.0.1:{daemon.port}"]
                terminal = Recorded(command, columns=options.columns, env=env)
                with closing(terminal):
                    terminal.expect("/help")
                    with sender(daemon.port, rate):
                        begun = time.monotonic()
                        had = processor_seconds(terminal.process.pid)
                        keys = terminal.type_for(options.seconds)
                        had = processor_seconds(terminal.process.pid) - had
                        seconds = time.monotonic() - begun
                    taken = terminal.seen(keys)
                    shown = last_message(terminal) / seconds
                figures = (percentile(taken, each) * 1e3 for each in (50, 99, 100))
                print(
                    f"  {rate:6g} messages/s: {'  '.join(f'{f:6.1f}' for f in figures)}"
                    f"  ({len(taken)}); {shown:.0f} a second seen, chat took"
                    f" {100 * had / seconds:.0f} % of a processor"
                )


if __name__ == "__main__":
    main()
