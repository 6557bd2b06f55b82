"""What system tests are made of: daemons, clients and other programs.

All of them are processes, or sockets to processes; no reactor has a part in these
tests. Whatever is waited for has a deadline, and what a test leaves running is ended.
"""

import os
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

import pytest

DEADLINE: Final = 60.0
"""Seconds after which what should have happened at once counts as missing."""

TWISTD: Final = Path(sys.executable).with_name("twistd")

PACKAGES: Final = {
    "bash": "bash",
    "busybox": "busybox",
    "curl": "curl",
    "fail2ban-regex": "fail2ban",
    "fish": "fish",
    "groff": "groff",
    "haproxy": "haproxy",
    "jq": "jq",
    "man": "man-db",
    "nc.openbsd": "netcat-openbsd",
    "nc.traditional": "netcat-traditional",
    "ncat": "ncat",
    "openssl": "openssl",
    "plink": "putty-tools",
    "socat": "socat",
    "sslscan": "sslscan",
    "strace": "strace",
    "telnet": "telnet",
    "zsh": "zsh",
}
"""The Debian package of each program that tests may ask for."""

TROUBLE: Final = ("Traceback", "Unhandled", "critical")
"""What a daemon's log has only if something went wrong."""


def _wait_until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE:.0f} s: {what}")
        time.sleep(0.005)


class WaitUntil(Protocol):
    def __call__(self, happened: Callable[[], object], what: str) -> None:
        """Look again and again until something has happened."""


@pytest.fixture
def wait_until() -> WaitUntil:
    """Wait for what cannot be waited for otherwise."""
    return _wait_until


# Conversations ----------------------------------------------------------------------


class Conversation:
    """Text to and from somebody, through a file descriptor that is read here.

    `heard` is everything that came so far; `was_cut` is whether the end of it was that
    the connection was reset.
    """

    def __init__(self) -> None:
        self.was_cut = False
        self._heard = bytearray()
        self._taken = 0
        self._ended = False

    def fileno(self) -> int:
        raise NotImplementedError

    def receive(self) -> bytes:
        """Return what there is; nothing at the end."""
        raise NotImplementedError

    def send_bytes(self, data: bytes) -> None:
        raise NotImplementedError

    @property
    def heard(self) -> str:
        return self._heard.decode()

    def send(self, *lines: str) -> None:
        """Send lines, in one packet if they fit into one."""
        self.send_bytes("".join(f"{line}\n" for line in lines).encode())

    def expect(self, text: str, seconds: float = DEADLINE) -> str:
        """Wait for a text; return what came up to its end, from the last such on."""
        wanted, deadline = text.encode(), time.monotonic() + seconds
        start = self._taken
        while (found := self._heard.find(wanted, start)) < 0:
            start = max(start, len(self._heard) - len(wanted) + 1)
            if not self._hear(deadline):
                self._fail(f"{text!r} did not come")
        return self._take(found + len(wanted))

    def lines_until(self, last: str, seconds: float = DEADLINE) -> list[str]:
        """Wait for a text that ends a line; return the lines that end with it."""
        return self.expect(f"{last}\n", seconds).splitlines()

    def rest(self, seconds: float = DEADLINE, *, cut: bool = False) -> str:
        """Wait for the end; return what came before it, from the last `expect` on.

        `cut` says that the connection may be cut off rather than closed.
        """
        deadline = time.monotonic() + seconds
        while self._hear(deadline):
            pass
        if not self._ended:
            self._fail("the end did not come")
        if self.was_cut and not cut:
            self._fail("it was cut off")
        return self._take(len(self._heard))

    def _hear(self, deadline: float) -> bool:
        """Wait for more; return whether some came."""
        left = deadline - time.monotonic()
        if self._ended or left <= 0 or not self._wait(left):
            return False
        data = self.receive()
        self._ended = not data
        self._heard += data
        return not self._ended

    def _wait(self, seconds: float) -> bool:
        """Wait until there is something; return whether there is."""
        poll = select.poll()  # `select.select` knows no high descriptors
        poll.register(self, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _take(self, end: int) -> str:
        taken = self._heard[self._taken : end].decode()
        self._taken = end
        return taken

    def _fail(self, what: str) -> None:
        how = "the other end closed" if self._ended else "in time"
        heard = self._heard[self._taken :][-2_000:].decode(errors="replace")
        pytest.fail(f"{what} ({how}); what came: {heard!r}")


class TextClient(Conversation):
    """A connection that speaks text: the counterpart of the program tested."""

    def __init__(
        self, address: int | str, host: str = "127.0.0.1", source: str = ""
    ) -> None:
        """Connect to a port, from an address, or to the path of a Unix socket."""
        super().__init__()
        if isinstance(address, int):
            self.socket = socket.create_connection(
                (host, address), DEADLINE, (source, 0)
            )
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(DEADLINE)
            self.socket.connect(address)

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> bytes:
        try:
            return self.socket.recv(1 << 18)
        except ConnectionResetError:
            self.was_cut = True
            return b""

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def log_in(self, name: str) -> str:
        """Log in; return what was said from the prompt to the hint."""
        self.send(name)
        return self.expect("(/help lists the commands)\n")

    def begin(self, name: str | None, header: bytes = b"") -> Self:
        """Send a header and see the prompt; with a `name`, log in."""
        self.send_bytes(header)
        self.expect("Enter your username: ")
        if name is not None:
            self.log_in(name)
        return self

    def leave(self) -> str:
        """Quit and close; return what was said from the last `expect` on."""
        self.send("/quit")
        said = self.rest()
        self.close()
        return said

    def end_input(self) -> None:
        """Close the sending side."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Cut the connection off, as the end of a program that has not read all."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def close(self) -> None:
        self.socket.close()


class TLSClient(TextClient):
    """A connection that speaks text under TLS, with whatever server there is."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._tls = context.wrap_socket(self.socket)
        self.socket = self._tls

    def receive(self) -> bytes:
        data = self._tls.recv(1 << 14)
        while self._tls.pending():  # what `select` knows nothing of
            data += self._tls.recv(1 << 14)
        return data

    @property
    def certificate(self) -> bytes:
        """The server's, in DER."""
        found = self._tls.getpeercert(binary_form=True)
        assert found is not None
        return found


class Program(Conversation):
    """A program that somebody sits at: on a terminal, or with pipes for both."""

    def __init__(self, command: Sequence[str], *, terminal: bool, cwd: Path) -> None:
        super().__init__()
        self._terminal = terminal
        if terminal:
            self._reads, slave = os.openpty()
            self._writes = self._reads
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
            os.close(slave)
            return
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._reads = os.dup(self.process.stdout.fileno())
        self._writes = os.dup(self.process.stdin.fileno())
        self.process.stdin.close()
        self.process.stdout.close()

    def fileno(self) -> int:
        return self._reads

    def receive(self) -> bytes:
        try:
            # A terminal adds a CR to each line.
            return os.read(self._reads, 1 << 16).replace(b"\r", b"")
        except OSError:  # how a terminal says that the program has gone
            return b""

    def send_bytes(self, data: bytes) -> None:
        os.write(self._writes, data)

    def type(self, line: str) -> None:
        """Send a line; on a terminal, see it there."""
        self.send(line)
        if self._terminal:
            assert self.expect("\n") == f"{line}\n"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for each in {self._reads, self._writes}:
            os.close(each)


FLOOD_PART: Final = 50
"""How many lines are sent at once."""


class Flood:
    """Sends numbered lines from a thread, until all are sent or nobody takes more.

    The test meanwhile reads the answers, or talks to others. `line` makes a line of
    its number; without a `count` there is no end to them. Where there is `room` to be
    acquired, that is done for each `FLOOD_PART` of them.
    """

    def __init__(
        self,
        client: TextClient,
        line: Callable[[int], str],
        count: int | None,
        room: threading.Semaphore | None,
    ) -> None:
        self._client = client
        self._line = line
        self._numbers = range(sys.maxsize if count is None else count)
        self._room = room
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    @property
    def sending(self) -> bool:
        """Whether there are lines left to send."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Wait until all lines are sent."""
        self._thread.join(DEADLINE)
        assert not self.sending

    def _send(self) -> None:
        left = self._numbers
        with suppress(OSError):
            while left and not self._stopping.is_set():
                if self._room is None or self._room.acquire(timeout=0.1):
                    self._client.send(*map(self._line, left[:FLOOD_PART]))
                    left = left[FLOOD_PART:]

    def stop(self) -> None:
        """Stop sending, and close the connection if that has not ended by itself."""
        self._stopping.set()
        if self.sending:
            with suppress(OSError):  # it may stand in the middle of a line
                self._client.socket.shutdown(socket.SHUT_RDWR)
        self.finish()


# The daemon -------------------------------------------------------------------------


class AnyDaemon:
    """A daemon that runs in `process`, by itself or together with others."""

    process: "subprocess.Popen[bytes]"
    port: int

    def log(self) -> str:
        raise NotImplementedError

    def wait_for_log(self, text: str) -> None:
        """Wait until the log has the text."""
        _wait_until(
            lambda: text in self.log() or self.process.poll() is not None,
            f"{text!r} in the daemon's log",
        )
        if text not in self.log():
            pytest.fail(f"the daemon ended with {self.process.returncode}")


class Daemon(AnyDaemon):
    """A running ``twistd -n chatd``.

    `addresses` are those it listens on, as in its log, and `port` is the first TCP port
    of these, 0 if there is none. `tolerated` are the words among `TROUBLE` that its log
    may have.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.tolerated: set[str] = set()
        self.expected_status = 0
        self.addresses: list[str] = []
        self.port = 0
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers, and so surely handles signals as it should."""
        self.wait_for_log("is ready")
        self.addresses = re.findall(r"Listening on (\S+)\n", self.log())
        ports = (re.search(r":(\d+)$", address) for address in self.addresses)
        self.port = next((int(found[1]) for found in ports if found), 0)
        first = TextClient(self.port or str(self.folder / self.addresses[0]))
        first.expect("Enter your username: ")
        first.reset()

    def log(self) -> str:
        return self._log.read_bytes().decode()

    def most_memory(self) -> int:
        """Return how many bytes were resident at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
        assert match
        return int(match[1]) * 1024

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order; return its exit status."""
        self.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = DEADLINE) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """``kill -9``."""
        self.expected_status = -signal.SIGKILL
        self.process.kill()
        self.process.wait(DEADLINE)

    def problems(self) -> list[str]:
        """End it if it runs; return what was not as it has to be."""
        found = []
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                found.append("SIGTERM did not stop it")
        if self.process.returncode != self.expected_status:
            found.append(f"its exit status is {self.process.returncode}")
        log = self.log()
        found += [
            f"its log has {word!r}"
            for word in TROUBLE
            if word in log and word not in self.tolerated
        ]
        print(log)  # seen if the test fails
        return found


class StartDaemon(Protocol):
    def __call__(
        self,
        *options: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        application: Path | None = None,
    ) -> Daemon:
        """Start a daemon with these options, and return once it answers.

        Without a ``--port`` it listens on a free port of 127.0.0.1, without a `cwd`
        it works in `home`. `env` is added to the environment, `under` is a command
        that runs the one after it, and an `application` file has its own options.
        """


@pytest.fixture
def port() -> int:
    """Return a free port, for a daemon that is to come back where it was.

    It is none that the kernel gives to whoever asks for any, as long as nobody has it,
    nor one that another worker takes.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        number = random.SystemRandom().randrange(10_000 + worker, 32_768, 64)
        with suppress(OSError), socket.create_server(("", number)):
            return number


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder that a test's daemons work in."""
    path = tmp_path / "home"
    path.mkdir()
    return path


class Daemons:
    """Starts daemons, as `StartDaemon` says; those that run are ended at the end."""

    def __init__(self, home: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._logs = logs
        self._environment = environment
        self._started: list[Daemon] = []
        self._number = 0

    def start(
        self,
        *options: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        application: Path | None = None,
    ) -> Daemon:
        if not any(each.startswith("--port") for each in options):
            options = ("--port", "tcp:0:interface=127.0.0.1", *options)
        what = ["chatd", *options]
        if application is not None:
            what = ["--pidfile=", "-y", str(application)]
        command = [*under, str(TWISTD), "-n", *what]
        self._number += 1
        log = self._logs / f"daemon{self._number}.log"
        environment = {**self._environment, **(env or {})}
        daemon = Daemon(command, cwd or self._home, log, environment)
        self._started.append(daemon)
        daemon.wait_until_ready()
        return daemon

    def end(self) -> None:
        """End them, and see that all is well with them."""
        ended, self._started = self._started, []
        problems = [problem for each in ended for problem in each.problems()]
        if problems:
            pytest.fail(f"the daemon: {'; '.join(problems)}", pytrace=False)


@pytest.fixture
def start_daemon(home: Path, tmp_path: Path) -> Iterator[StartDaemon]:
    """Start daemons, and see at the end that all is well with them."""
    daemons = Daemons(home, tmp_path, os.environ)
    yield daemons.start
    daemons.end()


# Many daemons in one process ---------------------------------------------------------


class Shared(AnyDaemon):
    """A daemon that has its process together with others, but nothing else.

    Its log is all that the process has logged since the daemon was `given`.
    """

    def __init__(self, host: Daemon, port: int) -> None:
        self.process = host.process
        self.port = port
        self._host = host
        self._start = 0

    def given(self) -> None:
        """Take note that somebody has it from now on."""
        self._start = len(self._host.log())

    def log(self) -> str:
        return self._host.log()[self._start :]

    def problems(self) -> list[str]:
        """Return what its log should not have."""
        log = self.log()
        print(log)  # seen if the test fails
        return [f"its log has {word!r}" for word in TROUBLE if word in log]


class Several:
    """Starts many daemons in one process, as an application file may say.

    Each has a database and a port of its own. To start so many processes would take
    longer than all that is done with them.
    """

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._home = tmp_path_factory.mktemp("several")
        self._hosts = 0
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "COVERAGE_PROCESS_CONFIG"
        }
        logs = tmp_path_factory.mktemp("logs")
        self._daemons = Daemons(self._home, logs, environment)

    def start(self, options: Sequence[Sequence[str]]) -> list[Shared]:
        """Start a daemon with each of these options, and end those before."""
        self.end()
        self._hosts += 1
        lines = [
            "from twisted.application import service",
            "from chatd.tap import Options, makeService",
            "application = service.Application('several')",
        ]
        for number, each in enumerate(options):
            name = f"chatd{self._hosts}.{number}"
            here = (f"--db={name}.db", "--port=tcp:0:interface=127.0.0.1", *each)
            lines += [
                "options = Options()",
                f"options.parseOptions({here!r})",
                "chatd = makeService(options)",
                f"chatd.setName({name!r})",
                "chatd.setServiceParent(application)",
            ]
        path = self._home / f"application{self._hosts}.tac"
        path.write_text("\n".join(lines), encoding="utf-8")
        host = self._daemons.start(application=path)
        return [Shared(host, int(each.rpartition(":")[2])) for each in host.addresses]

    def end(self) -> None:
        self._daemons.end()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """Start many daemons in one process."""
    several = Several(tmp_path_factory)
    yield several
    several.end()


SPARE: Final = 10
"""How many daemons are started at once. Each looks at its database every second."""


@pytest.fixture(scope="session")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Shared]]:
    """Start daemons for one test after the other."""
    several = Several(tmp_path_factory)

    def daemons() -> Iterator[Shared]:
        while True:
            yield from several.start([()] * SPARE)

    yield daemons()
    several.end()


@pytest.fixture
def daemon(spare: Iterator[Shared]) -> Iterator[Shared]:
    """Return a daemon that nobody else talks to, started with every option as it is.

    It is for tests of what is said; what the process does, `start_daemon` is for.
    """
    given = next(spare)
    given.given()
    yield given
    if problems := given.problems():
        pytest.fail(f"the daemon: {'; '.join(problems)}", pytrace=False)


class Connect(Protocol):
    def __call__(
        self,
        where: AnyDaemon | int | str,
        name: str | None = None,
        host: str = ...,
        *,
        source: str = ...,
        header: bytes = ...,
    ) -> TextClient:
        """Connect to a daemon and see its prompt; with a `name`, log in.

        `where` may be a port, at `host`, or the path of a Unix socket. `source` is the
        address that a connection comes from, and `header` what is sent in it first.
        """


@pytest.fixture
def connect(start_daemon: StartDaemon) -> Iterator[Connect]:
    """Make connections that are closed at the end, before the daemons stop."""
    with ExitStack() as clients:

        def connect(
            where: AnyDaemon | int | str,
            name: str | None = None,
            host: str = "127.0.0.1",
            *,
            source: str = "",
            header: bytes = b"",
        ) -> TextClient:
            address = where.port if isinstance(where, AnyDaemon) else where
            client = TextClient(address, host, source)
            return clients.enter_context(closing(client)).begin(name, header)

        yield connect


class ConnectTLS(Protocol):
    def __call__(self, port: int, name: str | None = None) -> TLSClient:
        """Connect to a TLS port and see the prompt; with a `name`, log in."""


@pytest.fixture
def connect_tls(start_daemon: StartDaemon) -> Iterator[ConnectTLS]:
    """Make connections under TLS that are closed at the end."""
    with ExitStack() as clients:

        def connect(port: int, name: str | None = None) -> TLSClient:
            return clients.enter_context(closing(TLSClient(port))).begin(name)

        yield connect


class StartFlood(Protocol):
    def __call__(
        self,
        client: TextClient,
        line: Callable[[int], str],
        count: int | None = None,
        room: threading.Semaphore | None = None,
    ) -> Flood:
        """Send lines, made of their numbers from 0, without a pause; see `Flood`."""


@pytest.fixture
def flood(connect: Connect) -> Iterator[StartFlood]:
    """Start floods, and stop them at the end."""
    floods: list[Flood] = []

    def start(
        client: TextClient,
        line: Callable[[int], str],
        count: int | None = None,
        room: threading.Semaphore | None = None,
    ) -> Flood:
        floods.append(Flood(client, line, count, room))
        return floods[-1]

    yield start
    for each in floods:
        each.stop()


# Other programs ---------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """What became of a program that has ended."""

    status: int
    stdout: str
    stderr: str


class Run(Protocol):
    def __call__(
        self,
        command: Sequence[str],
        stdin: str = "",
        *,
        cwd: Path | None = None,
        seconds: float = DEADLINE,
    ) -> Finished:
        """Run a program to its end, with this for its standard input."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run programs, in a folder without anything that concerns them."""

    def run(
        command: Sequence[str],
        stdin: str = "",
        *,
        cwd: Path | None = None,
        seconds: float = DEADLINE,
    ) -> Finished:
        done = subprocess.run(
            command,
            input=stdin.encode(),
            capture_output=True,
            cwd=cwd or tmp_path,
            timeout=seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


class Twistd(Protocol):
    def __call__(self, *arguments: str) -> Finished:
        """Run twistd to its end, in the folder that daemons work in."""


@pytest.fixture
def twistd(run: Run, home: Path) -> Twistd:
    """Run a twistd that is expected to end by itself."""
    return lambda *arguments: run([str(TWISTD), *arguments], cwd=home)


class SitAt(Protocol):
    def __call__(self, command: Sequence[str], *, terminal: bool) -> Program:
        """Start a program to talk through."""


@pytest.fixture
def sit_at(tmp_path: Path) -> Iterator[SitAt]:
    """Start programs that somebody uses, and end them at the end."""
    programs: list[Program] = []

    def start(command: Sequence[str], *, terminal: bool) -> Program:
        programs.append(Program(command, terminal=terminal, cwd=tmp_path))
        return programs[-1]

    yield start
    for each in programs:
        each.close()


@pytest.fixture
def needs() -> Callable[[str], str]:
    """Return where a program is; skip the test if it is missing."""

    def look_up(program: str) -> str:
        # Not everybody has those folders on the path.
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
        if path is None:
            pytest.skip(f"{program} is missing: apt install {PACKAGES[program]}")
        return path

    return look_up
