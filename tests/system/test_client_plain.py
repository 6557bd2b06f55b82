"""`chat` without a terminal, and on one that can do nothing, as a shell user has it."""

import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from piped import CHAT, DEADLINE, Chat, Ended, Start, starting

from chatd.client.history.shared import sharing
from chatd.wire.message import Message
from chatd.wire.names import parse_name

if TYPE_CHECKING:
    from tests.system.conftest import AnyDaemon, Connect, Shared, StartDaemon, WaitUntil

pytestmark = pytest.mark.slow

NOTHING: Final = ("", "")
KEPT: Final = (
    "1 message not sent, and kept: chat sends what is kept when it runs again as"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def start_chat(home: Path) -> Iterator[Start]:
    with starting(home) as start:
        yield start


@pytest.fixture
def chat(start_chat: Start) -> Chat:
    def run(*arguments: str, stdin: bytes | str = "", **options: Any) -> Ended:
        return start_chat(*arguments, **options).end(stdin)

    return run


def at(user: str, daemon: "AnyDaemon") -> str:
    return f"{user}@127.0.0.1:{daemon.port}"


def history(home: Path, user: str) -> Path:
    return home / ".local" / "share" / "chatd" / f"chat_history_{user}.db"


def how_many_kept(home: Path, user: str) -> int:
    """Return how many messages a history has."""
    with closing(sqlite3.connect(history(home, user))) as connection:
        found: tuple[int] = connection.execute(
            "SELECT COUNT(*) FROM messages"
        ).fetchone()
    return found[0]


def kept(home: Path, user: str) -> list[tuple[str, ...]]:
    """Return sender, receiver, text and status of what a history has."""
    with closing(sqlite3.connect(history(home, user))) as connection:
        return connection.execute(
            "SELECT sender, receiver, message, status FROM messages ORDER BY position"
        ).fetchall()


def fetch(chat: Chat, address: str) -> list[str]:
    """Return the lines of all that is queued for a user.

    The server waits only for a second for each acknowledgement of one who leaves: on a
    busy machine some messages come at the next run.
    """
    lines: list[str] = []
    while more := chat(address).stdout.splitlines():
        lines += more
    return lines


# From a script -----------------------------------------------------------------------


def test_a_line_from_a_script_arrives_and_nothing_is_printed(
    daemon: "Shared", connect: "Connect", chat: Chat, home: Path
) -> None:
    bob = connect(daemon, "bob")
    ended = chat(at("backup", daemon), stdin="bob-Backup done\n")
    assert (ended.status, *ended.said) == (0, *NOTHING)
    bob.expect("backup: Backup done\n")
    ((sender, receiver, text, status),) = kept(home, "backup")
    assert (sender, receiver, text) == ("backup", "bob", "Backup done")
    assert status in ("stored", "delivered")


@pytest.mark.measured
def test_one_line_that_is_refused_makes_the_status_and_is_named(
    daemon: "Shared", connect: "Connect", chat: Chat, home: Path
) -> None:
    connect(daemon, "bob")
    lines = "bob-one\n\nzed-two\nthree\nbob,zed-four"
    ended = chat(at("backup", daemon), stdin=lines)
    assert ended.status == 1
    assert ended.stdout == ""
    assert sorted(ended.stderr.splitlines()) == [
        "line 3: User 'zed' not found.",
        "line 4: Format error. Please enter: <target>-<message>",
        "line 5: User 'zed' not found.",
    ]
    assert [(*row[1:3], row[3] == "refused") for row in kept(home, "backup")] == [
        ("bob", "one", False),
        ("zed", "two", True),
        ("bob", "four", False),
        ("zed", "four", True),
    ]


def test_without_input_it_fetches_what_is_queued_and_keeps_it(
    daemon: "Shared", chat: Chat, home: Path
) -> None:
    chat(at("bob", daemon))
    assert chat(at("alice", daemon), stdin="bob-Grüße\x1b[2J\nbob-漢字\n").status == 0
    ended = chat(at("bob", daemon), stdin="")
    assert (ended.status, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        "alice: Grüße\ufffd[2J",
        "alice: 漢字",
    ]
    assert [row[2] for row in kept(home, "bob")] == ["Grüße\x1b[2J", "漢字"]
    assert chat(at("bob", daemon), stdin="").stdout == ""


def test_answers_to_what_was_asked_are_printed_after_the_input_has_ended(
    daemon: "Shared", chat: Chat
) -> None:
    ended = chat(at("alice", daemon), stdin="/users\n/who\n/help")
    assert ended.status == 0
    lines = ended.stdout.splitlines()
    assert {"Client book => alice", "Users online => (nobody)"} <= set(lines)


def test_many_lines_arrive_in_order(
    daemon: "Shared", chat: Chat, home: Path, tmp_path: Path
) -> None:
    chat(at("bob", daemon))
    texts = [f"line {number} {'é' * (number % 50)}" for number in range(2_500)]
    source = tmp_path / "lines"
    source.write_text("".join(f"bob-{text}\n" for text in texts))
    with source.open("rb") as stream:
        process = subprocess.run(
            [CHAT, at("alice", daemon)],
            stdin=stream,
            capture_output=True,
            env={**os.environ, "HOME": str(home), "XDG_DATA_HOME": ""},
            timeout=DEADLINE,
            check=False,
        )
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")
    received = fetch(chat, at("bob", daemon))
    assert [line[7:].partition(" (")[0] for line in received] == texts
    assert [row[2] for row in kept(home, "alice")] == texts


def test_quit_in_the_input_ends_it_there(
    daemon: "Shared", start_chat: Start, home: Path
) -> None:
    running = start_chat(at("alice", daemon))
    running.type("alice-one", "/quit", "alice-two")
    assert running.process.wait(DEADLINE) == 0
    assert [row[2] for row in kept(home, "alice")] == ["one"]


def test_messages_come_while_the_input_is_open(
    daemon: "Shared", connect: "Connect", start_chat: Start
) -> None:
    bob = connect(daemon, "bob")
    running = start_chat(at("alice", daemon))
    running.type("bob-Hi")
    bob.expect("alice: Hi\n")
    bob.send("alice-Hello!")
    assert running.output() == "bob: Hello!"
    assert running.end().status == 0


def test_the_module_is_the_same_program(daemon: "Shared", home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatd.client", at("alice", daemon)],
        input=b"/users\n",
        capture_output=True,
        env={**os.environ, "HOME": str(home), "XDG_DATA_HOME": ""},
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"Client book => alice\n"


# As cron has it ----------------------------------------------------------------------


def test_it_works_as_cron_runs_it(daemon: "Shared", chat: Chat, tmp_path: Path) -> None:
    history = tmp_path / "history.db"
    ended = chat(
        at("backup", daemon),
        "--history",
        str(history),
        stdin="backup-Grüße\n/users",
        env={"LANG": "C"},
        start_new_session=True,
        cwd="/",
    )
    assert ended.status == 0
    assert sorted(ended.stdout.splitlines()) == [
        "Client book => backup",
        "backup: Grüße",
    ]
    assert ended.stderr == ""
    assert history.stat().st_mode & 0o777 == 0o600


def test_without_home_the_users_own_folder_is_found(chat: Chat) -> None:
    # Asked for by the help, which writes nothing there.
    ended = chat("--help", env={"LANG": "C"})
    assert ended.status == 0
    assert "chat_history_NAME.db in" in " ".join(ended.stdout.split())


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_do_no_harm(
    daemon: "Shared", chat: Chat, home: Path, redirection: str
) -> None:
    chat(at("alice", daemon), stdin="alice-Hi\n")
    # Closed once more in a shell: the client must not take a socket for a stream.
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$1" {redirection}', CHAT, at("alice", daemon)],
        input=b"alice-Hi again\n",
        capture_output=True,
        env={**os.environ, "HOME": str(home), "XDG_DATA_HOME": ""},
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    sent = ["Hi"] if redirection.startswith("<") else ["Hi", "Hi again"]
    assert [row[2] for row in kept(home, "alice")] == sent


def test_a_reader_that_has_gone_ends_it_with_a_status(
    daemon: "Shared", connect: "Connect", start_chat: Start
) -> None:
    bob = connect(daemon, "bob")
    running = start_chat(at("alice", daemon))
    running.type("bob-Hi")
    bob.expect("alice: Hi\n")
    assert running.process.stdout is not None
    running.process.stdout.close()
    bob.send("alice-Nobody reads this")
    assert running.process.wait(DEADLINE) == 1


def test_an_output_that_is_full_makes_the_status(daemon: "Shared", chat: Chat) -> None:
    chat(at("alice", daemon), stdin="alice-Hi\n")
    with Path("/dev/full").open("wb") as full:
        ended = chat(at("alice", daemon), stdout=full)
    assert ended.status == 1


# What goes wrong ---------------------------------------------------------------------


def test_a_server_that_cannot_be_reached_has_a_status_of_its_own(
    chat: Chat, port: int
) -> None:
    ended = chat(f"alice@127.0.0.1:{port}", "--timeout", "2", stdin="bob-Hi\n")
    assert ended.status == 4
    assert ended.stderr.splitlines() == [
        f"Cannot reach 127.0.0.1:{port} (connection refused); trying again.",
        f"Could not reach 127.0.0.1:{port} within 2 s (connection refused).",
        f"{KEPT} alice.",
    ]


def test_what_could_not_be_sent_is_sent_by_the_next_run(
    start_daemon: "StartDaemon", connect: "Connect", chat: Chat, port: int
) -> None:
    address = f"alice@127.0.0.1:{port}"
    assert chat(address, "--timeout", "0.5", stdin="bob-1\n").status == 4
    daemon = start_daemon("--port", f"tcp:{port}:interface=127.0.0.1")
    bob = connect(daemon, "bob")
    ended = chat(address, stdin="bob-2\n")
    assert ended.status == 0
    assert ended.complaint == "1 message kept from before will be sent."
    bob.expect("alice: 1\nalice: 2\n")
    assert chat(address, stdin="bob-3\n").said == NOTHING
    bob.expect("alice: 3\n")


def test_a_server_that_comes_in_time_is_reached(
    start_daemon: "StartDaemon", start_chat: Start, port: int
) -> None:
    running = start_chat(f"alice@127.0.0.1:{port}", stdin=subprocess.PIPE)
    assert "connection refused" in running.error()
    start_daemon("--port", f"tcp:{port}:interface=127.0.0.1")
    running.type("alice-Hi")
    assert running.output() == "alice: Hi"
    assert running.end().status == 0


@pytest.mark.measured
def test_a_refused_login_has_a_status_of_its_own(
    start_daemon: "StartDaemon", connect: "Connect", chat: Chat
) -> None:
    daemon = start_daemon("--max-connections-by-user", "1")
    connect(daemon, "alice")
    ended = chat(at("alice", daemon), stdin="bob-Hi\n")
    assert ended.status == 3
    refused, kept = ended.stderr.splitlines()
    assert refused.startswith("alice cannot log in: Too many connections (1 ")
    assert kept == f"{KEPT} alice."


@contextmanager
def another_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection, not as chatd does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(DEADLINE)
                    answer(connection)
                    while connection.recv(1024):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_a_server_that_speaks_something_else_has_a_status_of_its_own(
    chat: Chat,
) -> None:
    def smtp(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.recv(1024)
        connection.sendall(b"500 5.5.2 Error: bad syntax\r\n")

    with another_server(smtp) as port:
        ended = chat(f"alice@127.0.0.1:{port}", stdin="bob-Hi\n")
    assert ended.status == 5
    assert ended.stderr.splitlines() == [
        "The server is no chatd: it said '500 5.5.2 Error: bad syntax'.",
        f"{KEPT} alice.",
    ]


@pytest.mark.measured
def test_a_history_in_use_has_a_status_of_its_own_and_can_still_be_shown(
    daemon: "Shared", start_chat: Start, chat: Chat
) -> None:
    running = start_chat(at("alice", daemon))
    running.type("alice-Hi")
    assert running.output() == "alice: Hi"
    second = chat(at("alice", daemon))
    assert second.status == 6
    assert f"is in use by another chat (process {running.process.pid})" in (
        second.complaint
    )
    shown = chat("history")
    assert shown.stdout.rstrip().endswith("  alice -> alice: Hi")
    assert running.end().status == 0


def test_what_another_program_leaves_in_the_outbox_goes_out_soon(
    daemon: "Shared", start_chat: Start, home: Path
) -> None:
    address = at("alice", daemon)
    running = start_chat(address)
    running.type("alice-Hi")
    assert running.output() == "alice: Hi"
    server = address.partition("@")[2]
    with sharing(history(home, "alice"), parse_name("alice"), server) as shared:
        left = Message(0, "left", "alice", "alice", "from cron", 1_795_000_000_000, 9)
        shared.append([left], "waiting")
        assert running.error() == (
            "1 message left in the outbox by another program will be sent."
        )
        assert running.output() == "alice: from cron"
    assert running.end().status == 0
    assert [row[:3] for row in kept(home, "alice")] == [
        ("alice", "alice", "Hi"),
        ("alice", "alice", "from cron"),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_its_status_and_what_came_is_kept(
    daemon: "Shared",
    start_chat: Start,
    home: Path,
    number: signal.Signals,
) -> None:
    running = start_chat(at("alice", daemon))
    running.type("alice-Hi")
    assert running.output() == "alice: Hi"
    running.process.send_signal(number)
    assert running.process.wait(DEADLINE) == 128 + number
    # It may have come before the answer did.
    assert running.error() in ("", f"{KEPT} alice.")
    assert len(kept(home, "alice")) == 1


@pytest.mark.measured
def test_an_error_of_the_command_line_is_one_line(chat: Chat) -> None:
    for arguments in ([], ["alice@host:x"], ["--nonsense"]):
        ended = chat(*arguments)
        assert ended.status == 2
        assert ended.complaint.startswith("chat: ")


# The daemon goes and comes -----------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_daemon_that_restarts_in_the_middle_loses_nothing_unsaid(
    start_daemon: "StartDaemon",
    start_chat: Start,
    chat: Chat,
    home: Path,
    wait_until: "WaitUntil",
    port: int,
    how: str,
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    address = f"127.0.0.1:{port}"
    chat(f"bob@{address}")
    running = start_chat(f"alice@{address}")
    running.type("alice-first")
    assert running.output() == "alice: first"
    texts = [f"{number:05}" for number in range(4_000)]
    lines = [f"bob-{text}" for text in texts]
    writer = threading.Thread(target=running.type, args=lines)
    writer.start()
    wait_until(lambda: how_many_kept(home, "alice") > 1_000, "a part is accepted")
    if how == "killed":
        daemon.kill()
    else:
        daemon.stop()
    first = running.error()
    start_daemon(*listen)
    writer.join(DEADLINE)
    assert not writer.is_alive()
    ended = running.end()

    said = [first, *ended.stderr.splitlines()]
    unknown = {line[-5:] for line in said if "it is not known whether" in line}
    refused = {line for line in said if "Nothing was sent" in line}
    received = [line[7:12] for line in fetch(chat, f"bob@{address}")]
    accepted = {row[2] for row in kept(home, "alice")} - {"first"}
    assert any("was lost (" in line for line in said), said
    assert f"Connected to {address} again." in said
    assert ended.status == (1 if unknown or refused else 0)
    # Whatever was accepted has arrived, in order; of the rest each was spoken of.
    assert accepted <= set(received)
    assert received == sorted(set(received))
    assert len(texts) == len(accepted) + len(unknown) + len(refused)
    assert set(received) <= accepted | unknown


def test_a_server_that_does_not_come_back_ends_a_pipe_in_time(
    start_daemon: "StartDaemon", start_chat: Start
) -> None:
    daemon = start_daemon()
    # Time enough for a login on a busy machine.
    running = start_chat(at("alice", daemon), "--timeout", "5")
    running.type("alice-Hi")
    assert running.output() == "alice: Hi"
    daemon.kill()
    assert running.process.wait(DEADLINE) == 4
    assert "was lost" in running.error()


# On a terminal -----------------------------------------------------------------------


class Person:
    """Somebody at a terminal that can do nothing, and runs a command there."""

    def __init__(self, command: Sequence[str], home: Path, term: str) -> None:
        self._terminal, slave = pty.openpty()
        self._seen = b""
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={
                **os.environ,
                "HOME": str(home),
                "XDG_DATA_HOME": "",
                "TERM": term,
            },
            start_new_session=True,
        )

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def expect(self, text: str) -> None:
        """Wait until the text is seen after all that was waited for before."""
        killer = threading.Timer(DEADLINE, self.process.kill)
        killer.start()
        while text.encode() not in self._seen:
            assert self.process.poll() is None, (text, self._seen)
            self._seen += os.read(self._terminal, 65536)
        killer.cancel()
        before, _, self._seen = self._seen.partition(text.encode())
        assert b"\x1b" not in before

    def end(self) -> int:
        status = self.process.wait(DEADLINE)
        assert termios.tcgetattr(self._slave) == self.before
        assert os.get_blocking(self._slave)
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)
        os.close(self._slave)


@pytest.fixture
def person(home: Path) -> Iterator[Callable[..., Person]]:
    people: list[Person] = []

    def sit_down(*arguments: str, term: str = "dumb") -> Person:
        people.append(Person([CHAT, *arguments], home, term))
        return people[-1]

    yield sit_down
    for each in people:
        each.close()


def test_a_person_at_a_dumb_terminal_is_greeted_and_can_talk(
    daemon: "Shared", connect: "Connect", person: Callable[..., Person]
) -> None:
    bob = connect(daemon, "bob")
    alice = person(at("alice", daemon))
    alice.expect("Welcome, alice. You are new here. Anybody can log in as alice;")
    alice.expect("(/help lists the commands)\r\n")
    alice.type("bob-Hallo 漢\n")
    bob.expect("alice: Hallo 漢\n")
    bob.send("alice-Hi!")
    alice.expect("bob: Hi!\r\n")
    alice.type("hello\n")
    alice.expect("hello\r\nFormat error. Please enter: <target>-<message>\r\n")
    alice.type("\x04")
    assert alice.end() == 1


def test_plain_is_plain_on_any_terminal(
    daemon: "Shared", person: Callable[..., Person]
) -> None:
    alice = person("--plain", at("alice", daemon), term="xterm-256color")
    alice.expect("(/help lists the commands)\r\n")
    alice.type("/quit\n")
    assert alice.end() == 0


@pytest.mark.measured
def test_what_is_not_given_is_asked_for(
    daemon: "Shared", person: Callable[..., Person]
) -> None:
    alice = person()
    alice.expect("Server address [127.0.0.1]: ")
    alice.type("a b\n")
    alice.expect("Error: 'a b' is no host name.\r\n")
    alice.expect("Server address [127.0.0.1]: ")
    alice.type("\n")
    alice.expect("Port [5555]: ")
    alice.type(f"{daemon.port}\n")
    alice.expect("User name: ")
    alice.type("all\n")
    alice.expect("The name 'all' is reserved.\r\n")
    alice.expect("User name: ")
    alice.type("alice\n")
    alice.expect("Welcome, alice.")
    alice.type("/quit\n")
    assert alice.end() == 0


def test_questions_can_be_left(person: Callable[..., Person]) -> None:
    alice = person("127.0.0.1")
    alice.expect("User name: ")
    alice.type("\x04")
    assert alice.end() == 130


def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(
    daemon: "Shared", person: Callable[..., Person]
) -> None:
    alice = person(at("alice", daemon))
    alice.expect("(/help lists the commands)\r\n")
    alice.process.send_signal(signal.SIGINT)
    assert alice.end() == 130


def test_what_a_person_types_without_a_server_is_sent_when_it_returns(
    start_daemon: "StartDaemon", person: Callable[..., Person], port: int
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    alice = person(f"alice@127.0.0.1:{port}")
    alice.expect("(/help lists the commands)\r\n")
    daemon.kill()
    alice.expect("was lost (")
    alice.type("alice-kept\n")
    alice.expect("Not connected yet: the message to alice is kept, and sent when")
    start_daemon(*listen)
    alice.expect(f"Connected to 127.0.0.1:{port} again.\r\n")
    alice.expect("alice: kept\r\n")
    alice.type("alice-found\n")
    alice.expect("alice: found\r\n")
    alice.type("/quit\n")
    assert alice.end() == 0
