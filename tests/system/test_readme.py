"""What the README and docs/ tell to type: done, with a real daemon, as it is printed.

A comment before an example says what it is, and nothing in it is left to imagination:
only the port, folders and user numbers are replaced by those of the test. The commands
marked ``run`` and ``test`` are run by .ci/run, as they are.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import chatd
from chatd.ports import DEFAULT_PORT

if TYPE_CHECKING:
    from tests.system.conftest import AnyDaemon, Connect, SitAt, StartDaemon, TextClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
DOCUMENTS: Final = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

IN_TIME: Final = 200.0
"""Seconds that an installation may take."""


def blocks(path: Path, mark: str) -> list[str]:
    """Return the fenced blocks after a comment in a document."""
    document = path.read_text(encoding="utf-8")
    return re.findall(rf"^<!-- {mark} -->\n```\w*\n(.*?)^```$", document, re.S | re.M)


def block(path: Path, mark: str) -> str:
    """Return the only one."""
    (found,) = blocks(path, mark)
    return found


def everywhere(mark: str) -> list[Any]:
    return [
        pytest.param(found, id=f"{path.name} {number}")
        for path in DOCUMENTS
        for number, found in enumerate(blocks(path, mark), 1)
    ]


@pytest.fixture
def netcat() -> None:
    """Skip the test where there is no nc that ends when the daemon closes."""
    if shutil.which("nc") is None:
        pytest.skip("nc is missing: apt install netcat-openbsd")


# Conversations ------------------------------------------------------------------------

# What is typed in a transcript: a word, a command, or a message. What the daemon says
# looks otherwise, but for the prompt, which is followed by a name.
TYPED: Final = re.compile(r"\w+|/.*|[^ ]+-.*")
PROMPT: Final = "Enter your username: "


def names_in(line: str) -> list[str]:
    return [name for name in line.split(" => ")[1].split(", ") if name != "(nobody)"]


def prepare(transcript: str, daemon: "AnyDaemon", connect: "Connect") -> None:
    """Log in those who are known when the conversation begins, or are online."""
    first_of = {
        what: names_in(re.search(f"^{what} => .*", transcript, re.M)[0])  # type: ignore[index]
        for what in ("Client book", "Users online")
    }
    newcomers = re.findall(r"^Welcome, (.*)\. You are new here\.$", transcript, re.M)
    for name in first_of["Client book"]:
        if name in first_of["Users online"]:
            connect(daemon, name)
        elif name not in newcomers:
            somebody = connect(daemon, name)
            somebody.send("/quit")
            somebody.rest()


def without_what_differs(text: str) -> str:
    """Replace the times, and what depends on how busy the machine is."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)
    return re.sub(r"^(Delivered to|Stored for) ", "CONFIRMED ", text, flags=re.M)


@pytest.mark.parametrize("transcript", everywhere("conversation"))
def test_a_conversation_looks_as_it_is_printed(
    transcript: str,
    daemon: "AnyDaemon",
    connect: "Connect",
    sit_at: "SitAt",
) -> None:
    prepare(transcript, daemon, connect)
    calls = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)+)", transcript, re.M)
    assert calls
    for number, (command, shown) in enumerate(calls, 1):
        assert command == "nc localhost 5555"
        program = sit_at(["nc", "localhost", str(daemon.port)], terminal=True)
        for line in shown.splitlines():
            if line.startswith(PROMPT):
                program.expect(PROMPT)
                program.send(line.removeprefix(PROMPT))
            elif TYPED.fullmatch(line):
                program.send(line)
            # The next is not typed before this is there.
            program.expect(line_end(line))
        if number < len(calls):
            program.rest()  # the shell's prompt is there again
        assert without_what_differs(program.heard) == without_what_differs(shown)


def line_end(line: str) -> str:
    """Return a part of a line to wait for that is always the same, and its end."""
    if re.match(r"(Delivered to|Stored for) ", line):
        return line.rpartition(" ")[2] + "\n"
    return " UTC)\n" if line.endswith(" UTC)") else f"{line.rpartition(PROMPT)[2]}\n"


def comparable(line: str) -> object:
    """Return an object without what differs each time."""
    value = json.loads(line)
    if "time" in value:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value["time"])
        value["time"] = "TIME"
    if "version" in value:
        assert re.fullmatch(r"[\w.]+", value["version"])
        value["version"] = chatd.__version__
    # The order of the fields is not promised, but is as printed.
    return list(value.items())


@pytest.mark.parametrize("transcript", everywhere("json"))
def test_a_conversation_in_json_is_as_it_is_printed(
    transcript: str, daemon: "AnyDaemon", connect: "Connect"
) -> None:
    client = connect(daemon)
    first, *lines = transcript.splitlines()
    client.send(first.removeprefix("-> "))
    assert client.expect("\n") == "\n"
    for line in lines:
        direction, said = line[:3], line[3:]
        if direction == "-> ":
            client.send(said)
        else:
            assert direction == "<- "
            assert comparable(client.expect("\n")) == comparable(said)
    assert client.rest() == ""


# Scripts ------------------------------------------------------------------------------


def environment_with(path: Path) -> dict[str, str]:
    """Return an environment without this run's Python settings.

    `path` is where programs are looked for first. What is installed is compiled when it
    is imported: all of it takes as long as everything else.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COVERAGE_"))
    }
    paths = f"{path}:{environment['PATH']}"
    return environment | {"PATH": paths, "PIP_COMPILE": "0"}


def shell(
    script: str, *, cwd: Path, path: Path = Path(sys.executable).parent
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; `path` is where its programs are looked for first."""
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=cwd,
        env=environment_with(path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=IN_TIME,
        check=False,
    )


def from_a_script() -> list[str]:
    """Return the scripts of the README's section of this name."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## From a script\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.S | re.M)


def script_with(words: str) -> str:
    """Return the only script of that section that has these words."""
    (found,) = [script for script in from_a_script() if words in script]
    return found


def on_port(script: str, daemon: "AnyDaemon") -> str:
    changed = script.replace("localhost 5555", f"localhost {daemon.port}")
    changed = changed.replace("@localhost", f"@127.0.0.1:{daemon.port}")
    assert changed != script
    return changed


def chat_in(script: str, daemon: "AnyDaemon", home: Path) -> str:
    """Return a script with the `chat` that is tested, in a home of its own."""
    chat = Path(sys.executable).with_name("chat")
    changed = on_port(script, daemon).replace(".venv/bin/chat", str(chat))
    return f"export HOME={shlex.quote(str(home))}; unset XDG_DATA_HOME; {changed}"


@pytest.fixture
def daemon(netcat: None, daemon: "AnyDaemon") -> "AnyDaemon":
    """Return a daemon that scripts talk to."""
    return daemon


@pytest.fixture
def bob(daemon: "AnyDaemon", connect: "Connect") -> "TextClient":
    return connect(daemon, "bob")


QUIT: Final = "'bob-Backup finished' /quit | nc"

LOGGED_IN: Final = "Enter your username: Welcome, backup. You are new here.\n"


def test_a_script_sends_in_one_line(
    daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    done = shell(on_port(script_with(QUIT), daemon), cwd=tmp_path)

    assert (done.stdout, done.stderr) == (f"{LOGGED_IN}Goodbye.\n", "")
    assert bob.expect("\n") == "backup: Backup finished\n"


def test_a_script_is_told_that_the_message_waits(
    daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    bob.leave()

    done = shell(on_port(script_with(QUIT), daemon), cwd=tmp_path)

    answer = "User 'bob' is offline. Message stored.\n"
    assert (done.stdout, done.stderr) == (f"{LOGGED_IN}{answer}Goodbye.\n", "")


@pytest.mark.parametrize("online", [True, False])
def test_a_script_that_wants_to_be_sure_is_quiet_when_the_message_is_safe(
    online: bool, daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    if not online:
        bob.leave()

    done = shell(on_port(script_with("/confirm on"), daemon), cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_script_that_wants_to_be_sure_complains_when_nobody_has_the_name(
    daemon: "AnyDaemon", tmp_path: Path
) -> None:
    done = shell(on_port(script_with("/confirm on"), daemon), cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("", "not sent\n")


def test_a_script_that_wants_to_be_sure_complains_when_there_is_no_daemon(
    netcat: None, start_daemon: "StartDaemon", port: int, tmp_path: Path
) -> None:
    daemon = start_daemon("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon.stop()

    done = shell(on_port(script_with("/confirm on"), daemon), cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("", "not sent\n")


@pytest.mark.parametrize("online", [True, False])
def test_a_text_of_several_lines_is_sent_and_nothing_said(
    online: bool, daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    if not online:
        bob.leave()

    done = shell(on_port(script_with("sed 's/^/bob-/'"), daemon), cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if online:
        assert bob.expect("\n").startswith("backup: Filesystem")


def test_of_a_text_that_nobody_gets_it_is_said_so(
    daemon: "AnyDaemon", tmp_path: Path
) -> None:
    done = shell(on_port(script_with("sed 's/^/bob-/'"), daemon), cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("", "not sent\n")


def test_what_waits_is_fetched_in_one_line(
    daemon: "AnyDaemon", bob: "TextClient", connect: "Connect", tmp_path: Path
) -> None:
    bob.leave()
    alice = connect(daemon, "alice")
    alice.send("bob-one", "bob-two")
    alice.leave()

    done = shell(on_port(script_with("grep -E '^[^ ]+: '"), daemon), cwd=tmp_path)

    lines = [line.partition(" (")[0] for line in done.stdout.splitlines()]
    assert (lines, done.stderr) == (["alice: one", "alice: two"], "")


def test_chat_sends_from_a_script_and_says_nothing(
    daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    script = chat_in(script_with("send bob 'Backup"), daemon, tmp_path)

    done = shell(script, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bob.expect("\n") == "backup: Backup finished\n"


def test_chat_says_with_what_status_it_has_failed(
    daemon: "AnyDaemon", tmp_path: Path
) -> None:
    script = chat_in(script_with("send bob 'Backup"), daemon, tmp_path)

    done = shell(script, cwd=tmp_path)

    assert done.stderr == "chat: User 'bob' not found.\nnot sent: 8\n"


def test_chat_sends_its_input_until_it_is_delivered(
    daemon: "AnyDaemon", bob: "TextClient", tmp_path: Path
) -> None:
    script = chat_in(script_with("--wait delivered"), daemon, tmp_path)

    done = shell(script, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bob.expect("\n").startswith("backup: Filesystem")


def test_chat_listens_and_runs_a_command_for_each_message(
    daemon: "AnyDaemon", bob: "TextClient", connect: "Connect", tmp_path: Path
) -> None:
    bob.leave()
    alice = connect(daemon, "alice")
    alice.send("bob-one", "bob-two")
    alice.leave()

    done = shell(chat_in(script_with("listen --count"), daemon, tmp_path), cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "inbox").read_text() == "one\ntwo\n"


def test_the_readme_has_no_other_scripts() -> None:
    assert len(from_a_script()) == 7


def test_whoever_wonders_is_told_whether_the_daemon_is_alive(
    netcat: None, start_daemon: "StartDaemon", port: int, tmp_path: Path
) -> None:
    daemon = start_daemon("--port", f"tcp:{port}:interface=127.0.0.1")
    script = on_port(block(DOCS / "operations.md", "alive"), daemon)

    assert shell(script, cwd=tmp_path).returncode == 0
    daemon.stop()
    assert shell(script, cwd=tmp_path).returncode != 0


def test_a_backup_of_a_running_daemon_has_the_messages(
    start_daemon: "StartDaemon", connect: "Connect", home: Path, tmp_path: Path
) -> None:
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    alice = connect(daemon, "alice")
    alice.send("bob-Do not lose this")
    alice.expect("Message stored.\n")

    done = shell(block(DOCS / "operations.md", "backup"), cwd=home)

    assert (done.stdout, done.stderr) == ("", "")
    backup = home / "backup.db"
    assert backup.stat().st_mode & 0o777 == 0o600
    restored = tmp_path / "restored"
    restored.mkdir()
    backup.rename(restored / "server.db")
    assert "alice: Do not lose this (" in (
        connect(start_daemon(cwd=restored), "bob").expect("UTC)\n")
    )


# Installing ---------------------------------------------------------------------------


def copy_of_the_checkout(destination: Path) -> Path:
    """Copy what git would keep, so that builds write nothing into the checkout."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    shutil.copytree(
        ROOT,
        destination,
        ignore=shutil.ignore_patterns(".git", *(name.rstrip("/") for name in ignored)),
    )
    return destination


@dataclass(frozen=True)
class Installation:
    """chatd in the place of /opt/chatd, installed from a copy of the checkout."""

    folder: Path
    checkout: Path

    def here(self, text: str) -> str:
        assert "/opt/chatd" in text
        return text.replace("/opt/chatd", str(self.folder))

    def follow(self, mark: str) -> None:
        """Do what docs/operations.md says."""
        script = self.here(block(DOCS / "operations.md", mark))
        done = shell(script, cwd=self.checkout)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    def works(self) -> bool:
        """Return whether twistd has chatd, and its list of plugins."""
        done = shell(f"{self.folder}/bin/twistd chatd --version", cwd=self.folder)
        assert done.stdout == f"chatd {chatd.__version__}\n", done.stderr
        return any(self.folder.rglob("twisted/plugins/dropin.cache"))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installation")
    found = Installation(folder / "opt", copy_of_the_checkout(folder / "checkout"))
    found.follow("install")
    return found


def test_it_is_installed_and_upgraded_as_the_operations_say(
    installation: Installation,
) -> None:
    assert installation.works()
    installation.follow("upgrade")
    assert installation.works()


def test_it_is_installed_without_internet_as_the_operations_say(tmp_path: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path / "checkout")
    installation = Installation(tmp_path / "opt", checkout)
    installation.follow("offline")
    assert installation.works()
    assert any((checkout / "wheels").glob("chatd-*.whl"))


class Service:
    """A daemon run as somebody's service: it listens, and ends as it should."""

    def __init__(self, command: Sequence[str], cwd: Path, path: Path) -> None:
        self._process = subprocess.Popen(
            [*command, "--port", "tcp:0:interface=127.0.0.1"],
            cwd=cwd,
            env=environment_with(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._log: list[str] = []

    def wait_until_ready(self) -> None:
        """Wait until it talks to somebody: it handles signals then, too."""
        assert self._process.stdout is not None
        port = 0
        for line in self._process.stdout:  # until it ends, if it does
            self._log.append(line)
            if found := re.search(r"Listening on 127\.0\.0\.1:(\d+)$", line):
                port = int(found[1])
            if "is ready" in line:
                break
        else:
            pytest.fail("".join(self._log))
        with socket.create_connection(("127.0.0.1", port), IN_TIME) as connection:
            assert connection.recv(len(PROMPT), socket.MSG_WAITALL) == PROMPT.encode()

    def stop(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        log, _ = self._process.communicate(timeout=IN_TIME)
        self._log.append(log)
        return self._process.returncode

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def run_service() -> Iterator[Callable[[Sequence[str], Path, Path], Service]]:
    services: list[Service] = []

    def start(command: Sequence[str], cwd: Path, path: Path) -> Service:
        services.append(Service(command, cwd, path))
        return services[-1]

    yield start
    for each in services:
        each.close()


RunService = Callable[[Sequence[str], Path, Path], Service]


def test_the_unit_file_starts_what_was_installed(
    installation: Installation, run_service: RunService, tmp_path: Path
) -> None:
    unit = installation.here((DOCS / "chatd.service").read_text(encoding="utf-8"))
    state = tmp_path / "chatd"
    state.mkdir()
    command = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    folder = re.findall(r"^WorkingDirectory=(.*)$", unit, re.M)
    assert (len(command), folder) == (1, ["/var/lib/chatd"])

    words = shlex.split(command[0].replace("/var/lib/chatd", str(state)))
    service = run_service(words, state, Path("/usr/bin"))
    service.wait_until_ready()

    assert service.stop(signal.SIGTERM) == 0
    assert {each.name for each in state.iterdir()} == {"server.db", "server.db.lock"}

    # Without systemd there is nobody to ask; what it says then was seen with it.
    if shutil.which("systemd-analyze") is not None:
        there = tmp_path / "chatd.service"
        there.write_text(unit, encoding="utf-8")
        done = shell(f"systemd-analyze verify {there}", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions and what follows each."""
    text = (DOCS / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_the_dockerfile_does_what_it_should_on_any_machine(
    run_service: RunService, tmp_path: Path
) -> None:
    source, data = tmp_path / "src", tmp_path / "data"
    environment = tmp_path / "environment"
    assert shell(f"python3 -m venv {environment}", cwd=tmp_path).returncode == 0
    user, group = os.getuid(), os.getgid()

    def here(text: str) -> str:
        text = re.sub("/src(?=[/ ]|$)", str(source), text)
        text = re.sub("/data(?=[/ ]|$)", str(data), text)
        text = text.replace("--owner=10001", f"--owner={user}")
        return text.replace("--group=10001", f"--group={group}")

    said: dict[str, str] = {}
    for instruction, rest in dockerfile():
        match instruction:
            case "COPY":
                *names, target = here(rest).split()
                for name in names:
                    if (ROOT / name).is_dir():
                        shutil.copytree(ROOT / name, target)
                    else:
                        Path(target).mkdir(exist_ok=True)
                        shutil.copy(ROOT / name, target)
            case "RUN":
                script = here(rest)
                done = shell(script, cwd=tmp_path, path=environment / "bin")
                assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
            case _:
                assert instruction not in said
                said[instruction] = rest

    entrypoint = json.loads(said.pop("ENTRYPOINT"))
    assert said == {
        "FROM": "python:3-slim",
        "USER": "10001:10001",
        "WORKDIR": "/data",
        "VOLUME": "/data",
        "EXPOSE": DEFAULT_PORT,
        "STOPSIGNAL": "SIGTERM",
    }
    assert not source.exists()
    assert any(environment.rglob("twisted/plugins/dropin.cache"))
    assert data.stat().st_mode & 0o777 == 0o700

    service = run_service(entrypoint, data, environment / "bin")
    service.wait_until_ready()
    assert service.stop(signal.SIGTERM) == 0
    assert {each.name for each in data.iterdir()} == {"server.db", "server.db.lock"}


def test_commands_that_need_systemd_or_docker_name_files_that_exist() -> None:
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    unmarked = re.findall(r"(?<!-->\n)^```sh\n(.*?)^```$", operations, re.S | re.M)
    assert len(unmarked) == 2
    names = re.findall(r"\bdocs/\S+", "".join(unmarked))
    assert names == ["docs/chatd.service", "docs/Dockerfile"]
    assert all((ROOT / name).is_file() for name in names)
