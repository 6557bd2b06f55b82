"""`chat` with pipes for its streams: what it says line by line, and how it ends."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

CHAT: Final = str(Path(sys.executable).with_name("chat"))
DEADLINE: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """What became of a run."""

    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> tuple[str, str]:
        return self.stdout, self.stderr

    @property
    def complaint(self) -> str:
        """The one line on standard error, where there is no more than that."""
        (line,) = self.stderr.splitlines()
        assert self.stdout == ""
        return line

    @property
    def failure(self) -> str:
        """That line, as a command begins it with its program's name."""
        assert self.complaint.startswith("chat: ")
        return self.complaint.removeprefix("chat: ")


class Running:
    """A run that goes on."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def type(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines))

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read_line(self, stream: IO[bytes] | None) -> str:
        """Return the next line; the program is killed if none comes."""
        assert stream is not None
        killer = threading.Timer(DEADLINE, self.process.kill)
        killer.start()
        try:
            return stream.readline().decode().removesuffix("\n")
        finally:
            killer.cancel()

    def output(self) -> str:
        return self.read_line(self.process.stdout)

    def error(self) -> str:
        return self.read_line(self.process.stderr)

    def end(self, stdin: bytes | str = b"") -> Ended:
        """Write this, end the input, and wait for the end."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        output, errors = self.process.communicate(data or None, DEADLINE)
        status = self.process.returncode
        return Ended(status, (output or b"").decode(), (errors or b"").decode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with suppress(ValueError):  # the streams were read to their end
            self.process.communicate()


class Start(Protocol):
    def __call__(self, *arguments: str, **options: Any) -> Running:
        """Run `chat` with these arguments, and go on."""


class Chat(Protocol):
    def __call__(
        self, *arguments: str, stdin: bytes | str = "", **options: Any
    ) -> Ended:
        """Run `chat` with these arguments to its end, with this for its input."""


@contextmanager
def starting(home: Path) -> Iterator[Start]:
    """Let programs be started in a home; end those that still run."""
    running: list[Running] = []

    def start(*arguments: str, **options: Any) -> Running:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CHAT_", "XDG_"))
        }
        settings: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "bufsize": 0,  # what was not read as a line is left for the end
            "cwd": home,
            "env": environment | {"HOME": str(home)},
        }
        process = subprocess.Popen([CHAT, *arguments], **{**settings, **options})
        running.append(Running(process))
        return running[-1]

    try:
        yield start
    finally:
        for each in running:
            each.close()
