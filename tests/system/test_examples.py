"""The bots in examples/, each with a real daemon: as it is told to be run."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, StartDaemon, TextClient, WaitUntil

pytestmark = pytest.mark.slow

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
CHAT: Final = Path(sys.executable).with_name("chat")
DEADLINE: Final = 60.0

NETCATS: Final = {
    "nc.openbsd": "nc.openbsd",
    "nc.traditional": "nc.traditional",
    "ncat": "ncat",
    "busybox": "busybox",
}

BOTS: Final = [
    ("echo.py", None),
    *(("uptime.sh", each) for each in NETCATS),
    *(("echo-jq.sh", each) for each in NETCATS),
]


class Bot(Protocol):
    def __call__(self, name: str, netcat: str | None, port: int) -> object:
        """Start a bot under the name ``bot``, with this netcat for its ``nc``."""


@pytest.fixture
def start_bot(tmp_path: Path, needs: Callable[[str], str]) -> Iterator[Bot]:
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, netcat: str | None, port: int) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        if netcat is not None:
            folder = tmp_path / "bin"
            folder.mkdir(exist_ok=True)
            with suppress(FileExistsError):
                (folder / "nc").symlink_to(needs(netcat))
            environment["PATH"] = f"{folder}:{environment['PATH']}"
        if name == "echo-jq.sh":
            needs("jq")
        program = [sys.executable] if name.endswith(".py") else ["sh"]
        process = subprocess.Popen(
            [*program, str(EXAMPLES / name), "127.0.0.1", str(port), "bot"],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for each in started:
        stop(each)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Kill a bot, and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def known(connect: "Connect", port: int, wait_until: "WaitUntil") -> "TextClient":
    """Return alice's connection, once the bot is there."""
    alice = connect(port, "alice")

    def there() -> bool:
        alice.send("/who bot")
        return alice.expect("\n").startswith("Users online => bot")

    wait_until(there, "the bot")
    return alice


@pytest.mark.parametrize(("name", "netcat"), BOTS)
def test_a_bot_answers_and_comes_again_when_the_daemon_does(
    name: str,
    netcat: str | None,
    start_daemon: "StartDaemon",
    start_bot: Bot,
    connect: "Connect",
    wait_until: "WaitUntil",
    port: int,
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    answer = "bot: .*load average" if name == "uptime.sh" else "bot: Grüße, 漢字-a"
    daemon = start_daemon(*listen)
    start_bot(name, netcat, port)
    for _ in range(2):
        alice = known(connect, port, wait_until)
        alice.send("bot-Grüße, 漢字-a")
        assert re.match(answer, alice.expect("\n"))
        alice.leave()
        daemon.stop()
        daemon = start_daemon(*listen)


@pytest.mark.parametrize(
    ("name", "netcat"), [("echo.py", None), ("echo-jq.sh", "nc.openbsd")]
)
def test_a_bot_that_acknowledges_answers_each_message_once(
    name: str,
    netcat: str | None,
    start_daemon: "StartDaemon",
    start_bot: Callable[..., "subprocess.Popen[bytes]"],
    connect: "Connect",
    wait_until: "WaitUntil",
    port: int,
) -> None:
    start_daemon("--port", f"tcp:{port}:interface=127.0.0.1")
    connect(port, "bot").leave()
    alice = connect(port, "alice")
    alice.send(*(f"bot-{number}" for number in range(50)))
    for _ in range(50):
        alice.expect("User 'bot' is offline. Message stored.\n")
    bot = start_bot(name, netcat, port)
    alice.expect("bot: 7\n")
    stop(bot)  # in the midst of them
    bot = start_bot(name, netcat, port)
    alice.expect("bot: 49\n")
    alice.send("bot-the last")
    alice.expect("bot: the last\n")
    said = [line for line in alice.heard.splitlines() if line.startswith("bot: ")]
    assert said == [*(f"bot: {number}" for number in range(50)), "bot: the last"]


@pytest.mark.parametrize("name", ["echo.py", "uptime.sh", "echo-jq.sh"])
def test_a_bot_has_about_ten_lines(name: str) -> None:
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    code = re.sub(r'^""".*?"""', "", source, flags=re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert sum(not re.match(r"#|import |from ", line) for line in lines) <= 12


def test_the_crontab_does_what_it_says(
    start_daemon: "StartDaemon", connect: "Connect", tmp_path: Path
) -> None:
    daemon = start_daemon()
    for name in ("bob", "carol"):
        connect(daemon, name).leave()
    crontab = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=") for line in crontab if re.match("[A-Z_]+=", line))
    jobs = [
        each[1]
        for line in crontab
        if (each := re.match(r"(?:[0-9*/]+ +){5}(.*)", line))
    ]
    assert settings == {
        "PATH": "/opt/chatd/bin:/usr/bin:/bin",
        "CHAT_SERVER": "localhost",
        "CHAT_USER": "cron",
    }
    assert len(jobs) == 3
    here = {
        "HOME": str(tmp_path),
        "PATH": f"{CHAT.parent}:/usr/bin:/bin",
        "CHAT_SERVER": f"127.0.0.1:{daemon.port}",
        "CHAT_USER": settings["CHAT_USER"],
    }
    carol = connect(daemon, "carol")
    bob = connect(daemon, "bob")
    for job in jobs:
        done = subprocess.run(
            ["sh", "-c", job],
            env=here,
            cwd="/",
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    carol.expect("cron: Good morning\n")
    bob.expect("cron: Filesystem")
