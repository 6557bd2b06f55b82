"""`chat send`, `chat flush` and `chat listen` as scripts have them, to every status."""

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from certificates import Made
from piped import CHAT, DEADLINE, Chat, Ended, Start, starting

from chatd.client.statuses import Status
from chatd.wire import objects

if TYPE_CHECKING:
    from tests.system.conftest import (
        AnyDaemon,
        Connect,
        Shared,
        SitAt,
        StartDaemon,
        WaitUntil,
    )

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    with starting(home) as start:
        yield start


@pytest.fixture
def chat(start: Start) -> Chat:
    def run(*arguments: str, stdin: bytes | str = "", **options: Any) -> Ended:
        return start(*arguments, **options).end(stdin)

    return run


def at(user: str, daemon: "AnyDaemon") -> tuple[str, str]:
    return "--as", f"{user}@127.0.0.1:{daemon.port}"


def kept(home: Path, user: str) -> list[tuple[str, ...]]:
    """Return receiver, text, id and status of what a history has."""
    path = home / ".local" / "share" / "chatd" / f"chat_history_{user}.db"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT receiver, message, id, status FROM messages ORDER BY position"
        ).fetchall()


@pytest.fixture
def bob(daemon: "Shared", connect: "Connect") -> None:
    """Make bob known, and away."""
    connect(daemon, "bob").leave()


def queued(daemon: "AnyDaemon", connect: "Connect", user: str = "bob") -> list[str]:
    """Return what waits for a user, without the times; it waits no longer."""
    client = connect(daemon)
    client.send(user, "/quit")
    lines = client.rest().splitlines()
    return [
        line.rpartition(" (")[0] for line in lines if re.match("[^ ]+: .* UTC", line)
    ]


# A server that does what a test says ------------------------------------------------

HELLO: Final = objects.hello("1.0", {"line": 131072, "message": 12288})
WELCOME: Final = objects.welcome(
    "cron",
    new=False,
    is_open=False,
    users=[],
    more_users=0,
    online=[],
    more_online=0,
    queued=0,
)


class Caller:
    """One connection to a played server."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("rb")

    def say(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\n" for line in lines).encode())

    def hear(self) -> dict[str, Any]:
        """Return the next request."""
        found: dict[str, Any] = json.loads(self._lines.readline())
        return found

    def begin(self) -> dict[str, Any]:
        """Say hello; return the request to log in."""
        self.say("Enter your username: ")
        assert self._lines.readline().startswith(b"/json")
        self.say(HELLO)
        return self.hear()

    def log_in(self) -> None:
        login = self.begin()
        assert (login["type"], login["receive"]) == ("login", False)
        self.say(WELCOME)

    def wait(self) -> None:
        """Wait until they close."""
        while self._lines.readline():
            pass


class Played:
    """A server in a thread: one caller after the other gets what the test says."""

    def __init__(self, *parts: Callable[[Caller], None]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(DEADLINE)
        self.port: int = self._listening.getsockname()[1]
        self._parts = parts
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        try:
            for part in self._parts:
                connection, _ = self._listening.accept()
                connection.settimeout(DEADLINE)
                with connection:
                    part(Caller(connection))
        except BaseException as error:  # it is the test's
            self._errors.append(error)

    def finish(self) -> None:
        self._thread.join(DEADLINE)
        self._listening.close()
        assert not self._thread.is_alive()
        assert self._errors == []

    @property
    def address(self) -> tuple[str, str]:
        return "--as", f"cron@127.0.0.1:{self.port}"


# Sending: what arrives --------------------------------------------------------------


def test_a_message_is_stored_and_nothing_is_printed(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect", home: Path
) -> None:
    assert chat(*at("cron", daemon), "send", "bob", "Backup done") == Ended(0, "", "")
    ((receiver, text, _, status),) = kept(home, "cron")
    assert (receiver, text, status) == ("bob", "Backup done", "stored")
    assert queued(daemon, connect) == ["cron: Backup done"]


def test_it_does_not_come_online_and_leaves_its_own_queue_alone(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    connect(daemon, "cron").leave()
    assert chat(*at("bob", daemon), "send", "cron", "for you").status == 0
    assert chat(*at("cron", daemon), "send", "cron,bob", "Hi").status == 0
    assert queued(daemon, connect, "cron") == ["bob: for you", "cron: Hi"]


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ("one\ntwo\n", ["cron: one", "cron: two"]),
        ("-v --help\n", ["cron: -v --help"]),
        ("one\r\ntwo\r\n", ["cron: one", "cron: two"]),
        (" a \n\n", ["cron:  a ", "cron: "]),
        ("Grüße\x1b[2J\x00", ["cron: Grüße\ufffd[2J\ufffd"]),
    ],
)
def test_standard_input_is_one_message(
    daemon: "Shared",
    bob: None,
    chat: Chat,
    connect: "Connect",
    given: str,
    arrives: list[str],
) -> None:
    ended = chat(*at("cron", daemon), "send", "bob", stdin=given)
    assert ended == Ended(0, "", "")
    assert queued(daemon, connect) == arrives


def test_a_text_that_looks_like_an_option_stands_behind_two_hyphens(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    assert chat(*at("cron", daemon), "send", "bob", "--", "-v").status == 0
    assert queued(daemon, connect) == ["cron: -v"]


def test_server_and_user_come_from_the_environment(
    daemon: "Shared", bob: None, start: Start, home: Path, connect: "Connect"
) -> None:
    environment = {
        "HOME": str(home),
        "CHAT_SERVER": f"127.0.0.1:{daemon.port}",
        "CHAT_USER": "cron",
        "LANG": "C",
    }
    assert start("send", "bob", "Hi", env=environment, cwd="/").end().status == 0
    assert queued(daemon, connect) == ["cron: Hi"]


def test_each_line_is_a_message_and_all_arrive_in_order(
    daemon: "Shared", bob: None, chat: Chat, home: Path
) -> None:
    texts = [f"line {number}" for number in range(1_000)]
    lines = "".join(f"{text}\n" for text in texts)
    ended = chat(*at("cron", daemon), "send", "--lines", "bob", stdin=lines)
    assert ended == Ended(0, "", "")
    assert [row[1] for row in kept(home, "cron")] == texts
    listened = chat(*at("bob", daemon), "listen", "--count", "1000")
    assert [line.partition(" (")[0] for line in listened.stdout.splitlines()] == [
        f"cron: {text}" for text in texts
    ]


def test_a_line_is_sent_when_it_comes(
    daemon: "Shared", connect: "Connect", start: Start
) -> None:
    bob = connect(daemon, "bob")
    running = start(*at("cron", daemon), "send", "--lines", "bob")
    for text in ("one", "two"):
        running.write(f"{text}\n")
        bob.expect(f"cron: {text}\n")
    assert running.end() == Ended(0, "", "")


def test_two_at_once_and_an_open_chat_of_the_same_user_all_work(
    daemon: "Shared", bob: None, start: Start, home: Path, connect: "Connect"
) -> None:
    conversation = start(*at("cron", daemon))
    conversation.write("bob-by hand\n")
    several = [
        start(*at("cron", daemon), "send", "bob", f"{number}") for number in range(4)
    ]
    assert [each.end() for each in several] == [Ended(0, "", "")] * 4
    assert conversation.end().status == 0
    rows = kept(home, "cron")
    assert sorted(row[1] for row in rows) == ["0", "1", "2", "3", "by hand"]
    assert {row[3] for row in rows} == {"stored"}
    assert len(queued(daemon, connect)) == 5


# Sending: once ----------------------------------------------------------------------


def test_the_same_id_twice_sends_once(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    command = (*at("cron", daemon), "send", "--id", "n1")
    assert chat(*command, "bob", "Hi") == Ended(0, "", "")
    assert chat(*command, "BOB", "Hi") == Ended(0, "", "")
    ended = chat(*command, "bob", "Ho")
    assert ended.status == Status.NOT_ACCEPTED
    assert ended.failure.startswith("The id 'n1' was another message's to 'bob'.")
    assert queued(daemon, connect) == ["cron: Hi"]


def test_the_history_knows_what_was_sent_without_the_server(chat: Chat) -> None:
    def answer(caller: Caller) -> None:
        caller.log_in()
        caller.say(objects.accepted(caller.hear()["id"], "bob", "stored"))
        caller.wait()

    server = Played(answer)
    command = (*server.address, "send", "--id", "n1", "bob", "Hi")
    assert chat(*command) == Ended(0, "", "")
    server.finish()
    assert chat(*command) == Ended(0, "", "")


def test_the_server_knows_what_was_sent_where_the_history_is_lost(
    daemon: "Shared", bob: None, chat: Chat, home: Path, connect: "Connect"
) -> None:
    command = (*at("cron", daemon), "send", "--id", "n1", "bob")
    assert chat(*command, "Hi").status == 0
    for path in (home / ".local").rglob("chat_history_*"):
        path.unlink()
    assert chat(*command, "Hi") == Ended(0, "", "")
    ended = chat(*command, "--history", "other.db", "Ho")
    assert ended.status == Status.NOT_ACCEPTED
    assert ended.failure.startswith("The id 'n1' was another message's to 'bob'.")
    assert queued(daemon, connect) == ["cron: Hi"]


def test_a_stream_that_is_fed_again_under_its_id_is_sent_once(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    command = (*at("cron", daemon), "send", "--lines", "--id", "s1", "bob")
    assert chat(*command, stdin="one\ntwo\n").status == 0
    assert chat(*command, stdin="one\ntwo\nthree\n") == Ended(0, "", "")
    assert queued(daemon, connect) == ["cron: one", "cron: two", "cron: three"]


def test_what_had_no_answer_is_sent_again_under_its_id_on_the_next_connection(
    chat: Chat, home: Path
) -> None:
    seen: list[dict[str, Any]] = []

    def break_off(caller: Caller) -> None:
        caller.log_in()
        seen.append(caller.hear())

    def answer(caller: Caller) -> None:
        caller.log_in()
        seen.append(caller.hear())
        caller.say(objects.accepted(seen[-1]["id"], "bob", "stored"))
        caller.wait()

    server = Played(break_off, answer)
    assert chat(*server.address, "send", "bob", "Hi") == Ended(0, "", "")
    server.finish()
    assert seen[0] == seen[1]
    assert seen[0]["want"] == "stored"
    assert [row[3] for row in kept(home, "cron")] == ["stored"]


# Sending: the statuses --------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "stdin", "what"),
    [
        (["bob", ""], b"not this", "The message is empty. Nothing was sent."),
        (["bob"], b"\n", "The message is empty. Nothing was sent."),
        (["bob"], b"caf\xe9", "Not valid UTF-8. Nothing was sent."),
        (["bob"], b"x" * 12_289, "Message too long (over 12288 bytes)"),
        (["bob"], b"x" * (2 << 20), "Message too long (over 12288 bytes)"),
        (["--lines", "bob"], b"\xff\n", "line 1: Not valid UTF-8. Nothing was sent."),
    ],
)
def test_status_1_what_cannot_be_sent_is_refused(
    daemon: "Shared",
    bob: None,
    chat: Chat,
    arguments: Sequence[str],
    stdin: bytes,
    what: str,
) -> None:
    ended = chat(*at("cron", daemon), "send", *arguments, stdin=stdin)
    assert ended.status == Status.NOT_ACCEPTED
    assert ended.failure.startswith(what)


def test_status_1_what_stays_refused_for_the_time_being_is_refused(
    start_daemon: "StartDaemon", connect: "Connect", chat: Chat, home: Path
) -> None:
    daemon = start_daemon("--max-queue-messages", "1")
    connect(daemon, "bob").leave()
    assert chat(*at("cron", daemon), "send", "bob", "one").status == 0
    ended = chat(*at("cron", daemon), "send", "--timeout", "3", "bob", "two")
    assert ended.status == Status.NOT_ACCEPTED
    assert ended.failure.startswith("The queue of 'bob' is full. Nothing was sent")
    # A later chat does not send what the script was told has failed.
    assert [row[1] for row in kept(home, "cron")] == ["one"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "Missing argument 'TARGET"),
        (["a b", "Hi"], "'a b': "),
        (["", "Hi"], "'': "),
        (["bob,", "Hi"], "'bob,': "),
        (["--id", "a b", "bob", "Hi"], "an id is 1 to 64 printable ASCII"),
        (["--id", "x" * 65, "bob", "Hi"], "an id is 1 to 64 printable ASCII"),
        (["--lines", "--id", "x" * 57, "bob"], "an --id has 56 characters at most"),
        (["--lines", "bob", "Hi"], "leave out TEXT"),
        (["--wait", "read", "bob", "Hi"], "'read' is not one of"),
        (["--timeout", "0", "bob", "Hi"], "--timeout"),
        (["bob", "-5"], "behind --, as in chat send bob -- -5."),
        (["bob", "Hi", "there"], "unexpected extra argument"),
        (
            ["--outbox", "--wait", "delivered", "bob", "Hi"],
            "--outbox waits for nothing",
        ),
    ],
)
def test_status_2_the_command_line_is_wrong(
    chat: Chat, arguments: Sequence[str], what: str
) -> None:
    ended = chat("--as", "cron@127.0.0.1:1", "send", *arguments)
    assert ended.status == Status.USAGE
    assert what in ended.failure


@pytest.mark.parametrize("command", [["send", "bob", "Hi"], ["flush"], ["listen"]])
def test_status_2_nobody_can_be_asked_where_to_connect(
    chat: Chat, command: Sequence[str]
) -> None:
    ended = chat(*command, stdin="alice\n")
    assert ended.status == Status.USAGE
    assert "Nobody can be asked here" in ended.failure


def needs_a_password(caller: Caller) -> None:
    caller.begin()
    text = "The name 'cron' needs its password."
    caller.say(
        json.dumps(
            {
                "type": "error",
                "code": "password-needed",
                "temporary": False,
                "text": text,
            }
        )
    )
    caller.wait()


def is_another_server(caller: Caller) -> None:
    caller.say("SSH-2.0-OpenSSH_9.2", "x")
    caller.wait()


@pytest.mark.parametrize("command", [["send", "bob", "Hi"], ["flush"], ["listen"]])
@pytest.mark.parametrize(
    ("part", "status", "what"),
    [
        (needs_a_password, Status.REFUSED, "cron needs a password"),
        (is_another_server, Status.NOT_CHATD, "The server is no chatd"),
    ],
)
def test_statuses_3_and_5_the_login_is_refused_or_it_is_no_chatd(
    chat: Chat,
    command: Sequence[str],
    part: Callable[[Caller], None],
    status: Status,
    what: str,
) -> None:
    server = Played(part)
    if command == ["flush"]:
        chat(*server.address, "send", "--outbox", "bob", "Hi")
    ended = chat(*server.address, *command)
    server.finish()
    assert ended.status == status
    assert ended.failure.startswith(what)


@pytest.mark.parametrize("command", [["send", "bob", "Hi"], ["flush"], ["listen"]])
def test_status_4_a_server_that_is_not_reached(
    chat: Chat, command: Sequence[str], home: Path, port: int
) -> None:
    address = ("--as", f"cron@127.0.0.1:{port}", "--timeout", "1")
    if command == ["flush"]:
        chat(*address, "send", "--outbox", "bob", "Hi")
    ended = chat(*address, *command)
    assert ended.status == Status.UNREACHABLE
    assert ended.failure.startswith(
        f"Could not reach 127.0.0.1:{port} within 1 s (connection refused)."
    )
    if command == ["flush"]:
        assert [row[3] for row in kept(home, "cron")] == ["waiting"]
    elif command[0] == "send":
        assert kept(home, "cron") == []


@pytest.mark.parametrize(
    "options", [["--id", "n1"], ["--outbox"]], ids=["with an id", "in the outbox"]
)
def test_status_6_a_history_that_is_needed_and_cannot_be_used(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect", options: Sequence[str]
) -> None:
    command = (*at("cron", daemon), "--history", "/dev/null/x", "send")
    ended = chat(*command, *options, "bob", "Hi")
    assert ended.status == Status.HISTORY
    assert "/dev/null" in ended.failure
    assert queued(daemon, connect) == []


def test_a_history_that_cannot_be_used_does_not_keep_a_message_from_being_sent(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    command = (*at("cron", daemon), "--history", "/dev/null/x", "send", "bob", "Hi")
    ended = chat(*command)
    assert ended.status == 0
    assert ended.failure.startswith("What is sent will not be in the history.")
    assert queued(daemon, connect) == ["cron: Hi"]


def test_status_6_the_outbox_of_a_chat_that_runs_is_that_chats_own(
    start: Start, chat: Chat, home: Path, port: int
) -> None:
    address = ("--as", f"cron@127.0.0.1:{port}")
    conversation = start(*address, "--timeout", "600")
    assert conversation.error().startswith(f"Cannot reach 127.0.0.1:{port}")
    assert chat(*address, "flush") == Ended(0, "", "")
    assert chat(*address, "send", "--outbox", "bob", "Hi") == Ended(0, "", "")
    ended = chat(*address, "flush", "--timeout", "1")
    assert ended.status == Status.HISTORY
    assert "in use" in ended.failure
    assert [row[3] for row in kept(home, "cron")] == ["waiting"]


def test_a_flush_beside_a_chat_that_runs_waits_until_that_one_has_sent(
    daemon: "Shared", bob: None, start: Start, chat: Chat, connect: "Connect"
) -> None:
    conversation = start(*at("cron", daemon))
    conversation.write("/who\n")
    assert conversation.output().startswith("Users online")
    assert chat(*at("cron", daemon), "send", "--outbox", "bob", "Hi") == Ended(
        0, "", ""
    )
    assert chat(*at("cron", daemon), "flush") == Ended(0, "", "")
    assert queued(daemon, connect) == ["cron: Hi"]


@pytest.mark.parametrize("command", [["send", "bob", "Hi"], ["listen"]])
def test_status_7_a_certificate_that_nobody_has_accepted(
    start_daemon: "StartDaemon", chat: Chat, home: Path, command: Sequence[str]
) -> None:
    made = Made("localhost")
    (home / "key.pem").write_bytes(made.key_pem)
    (home / "key.pem").chmod(0o600)
    (home / "cert.pem").write_bytes(made.pem)
    tls = "ssl:0:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem"
    daemon = start_daemon("--port", "tcp:0:interface=127.0.0.1", "--port", tls)
    tls_port = daemon.addresses[1].rpartition(":")[2]
    ended = chat("--as", f"cron@127.0.0.1:{tls_port}", "--tls", *command)
    assert ended.status == Status.CERTIFICATE
    assert made.fingerprint in ended.failure


def test_status_8_an_unknown_user(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    ended = chat(*at("cron", daemon), "send", "bob,zed", "Hi")
    assert ended == Ended(
        Status.UNKNOWN_USER,
        "",
        "chat: User 'zed' not found.\nchat: It was sent to bob.\n",
    )
    assert queued(daemon, connect) == ["cron: Hi"]


def test_of_several_targets_the_worst_counts(
    start_daemon: "StartDaemon", connect: "Connect", chat: Chat
) -> None:
    daemon = start_daemon("--max-queue-messages", "1")
    for name in ("bob", "carol"):
        connect(daemon, name).leave()
    assert chat(*at("cron", daemon), "send", "bob", "one").status == 0
    ended = chat(*at("cron", daemon), "send", "--timeout", "3", "zed,bob,carol", "two")
    assert ended.status == Status.NOT_ACCEPTED
    assert [line.partition(".")[0] for line in ended.stderr.splitlines()] == [
        "chat: User 'zed' not found",
        "chat: The queue of 'bob' is full",
        "chat: It was sent to carol",
    ]


def test_status_9_a_server_that_does_not_answer_may_have_it(chat: Chat) -> None:
    def say_nothing(caller: Caller) -> None:
        caller.log_in()
        caller.hear()
        caller.wait()

    server = Played(say_nothing)
    ended = chat(*server.address, "send", "--timeout", "2", "bob", "Hi")
    server.finish()
    assert ended.status == Status.NOT_CONFIRMED
    told = re.fullmatch(
        "The message to bob is not confirmed within 2 s, and may have been sent."
        r" To send it again, and nothing twice, use --id ([0-9a-f-]{36})\.",
        ended.failure,
    )
    assert told is not None

    def know_it(caller: Caller) -> None:
        caller.log_in()
        assert caller.hear()["id"] == told[1]
        caller.say(objects.accepted(told[1], "bob", "stored"))
        caller.wait()

    again = Played(know_it)
    ended = chat(*again.address, "send", "--id", told[1], "bob", "Hi")
    again.finish()
    assert ended == Ended(0, "", "")


def test_status_9_what_is_stored_and_not_delivered_in_time(
    daemon: "Shared", bob: None, chat: Chat, home: Path
) -> None:
    command = (*at("cron", daemon), "send", "--wait", "delivered", "--timeout", "2")
    ended = chat(*command, "bob", "Hi")
    assert ended.status == Status.NOT_CONFIRMED
    assert ended.failure == (
        "The message to bob is stored, and not known to be delivered within 2 s."
    )
    assert [row[3] for row in kept(home, "cron")] == ["stored"]


def test_who_waits_for_the_delivery_waits_for_somebody_who_is_away(
    daemon: "Shared", bob: None, start: Start, connect: "Connect", home: Path
) -> None:
    running = start(
        *at("cron", daemon), "send", "-v", "--wait", "delivered", "bob", "Hi"
    )
    assert running.error().startswith("chat: Stored for bob")
    connect(daemon, "bob").expect("cron: Hi")
    ended = running.end()
    assert ended.status == 0
    assert ended.stderr.startswith("chat: Delivered for bob")
    assert [row[3] for row in kept(home, "cron")] == ["delivered"]


def test_a_signal_makes_its_status_and_says_what_may_have_been_sent(
    start: Start,
) -> None:
    heard = threading.Event()

    def say_nothing(caller: Caller) -> None:
        caller.log_in()
        caller.hear()
        heard.set()
        caller.wait()

    server = Played(say_nothing)
    running = start(*server.address, "send", "--id", "n1", "bob", "Hi")
    assert heard.wait(DEADLINE)
    running.process.send_signal(signal.SIGTERM)
    ended = running.end()
    server.finish()
    assert ended.status == 128 + signal.SIGTERM
    assert ended.failure.endswith("use --id n1.")


# The outbox -------------------------------------------------------------------------


def test_the_outbox_keeps_it_without_a_server_and_flush_sends_it(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect", home: Path
) -> None:
    command = (*at("cron", daemon), "send", "--outbox", "--id")
    assert chat(*command, "n1", "bob", "one") == Ended(0, "", "")
    assert chat(*command, "n1", "bob", "one") == Ended(0, "", "")
    assert chat(*command, "n2", "--lines", "bob", stdin="two\n\nthree\n").status == 0
    assert chat(*command, "n1", "bob", "another").status == Status.NOT_ACCEPTED
    assert queued(daemon, connect) == []
    assert [row[3] for row in kept(home, "cron")] == ["waiting"] * 3
    assert chat(*at("cron", daemon), "flush") == Ended(0, "", "")
    assert queued(daemon, connect) == ["cron: one", "cron: two", "cron: three"]
    assert [row[3] for row in kept(home, "cron")] == ["stored"] * 3
    assert chat(*at("cron", daemon), "flush") == Ended(0, "", "")
    assert queued(daemon, connect) == []


def test_lines_that_cannot_be_kept_are_named_and_the_others_are_kept(
    daemon: "Shared", bob: None, chat: Chat, home: Path
) -> None:
    command = (*at("cron", daemon), "send", "--outbox", "--lines", "--id", "n1", "bob")
    assert chat(*command, stdin="one\n").status == 0
    ended = chat(*command, stdin=b"another\n\xff\n" + b"x" * 12_289 + b"\nfour")
    assert ended.status == Status.NOT_ACCEPTED
    assert [line.partition(".")[0] for line in ended.stderr.splitlines()] == [
        "chat: line 2: Not valid UTF-8",
        "chat: line 3: Message too long (over 12288 bytes)",
        "chat: The id 'n1",
    ]
    assert [row[1] for row in kept(home, "cron")] == ["one", "four"]


def test_lines_are_kept_as_they_come(
    daemon: "Shared", bob: None, start: Start, home: Path, wait_until: "WaitUntil"
) -> None:
    running = start(*at("cron", daemon), "send", "--outbox", "--lines", "bob")
    running.write("one\n")

    def first_is_kept() -> bool:
        with suppress(sqlite3.OperationalError):  # there is no such file or table yet
            return len(kept(home, "cron")) == 1
        return False

    wait_until(first_is_kept, "the first line")
    assert running.end(b"two\n").status == 0
    assert [row[1] for row in kept(home, "cron")] == ["one", "two"]


def test_flush_tells_what_is_refused_and_sends_the_rest(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect", home: Path
) -> None:
    for target in ("zed", "bob"):
        chat(*at("cron", daemon), "send", "--outbox", target, "Hi")
    ended = chat(*at("cron", daemon), "flush")
    assert ended.status == Status.UNKNOWN_USER
    assert ended.failure == "User 'zed' not found."
    assert [row[3] for row in kept(home, "cron")] == ["refused", "stored"]


def test_what_flush_gets_no_answer_about_stays_in_the_outbox(
    chat: Chat, home: Path
) -> None:
    def say_nothing(caller: Caller) -> None:
        caller.log_in()
        caller.hear()
        caller.wait()

    server = Played(say_nothing)
    chat(*server.address, "send", "--outbox", "bob", "Hi")
    ended = chat(*server.address, "flush", "--timeout", "2")
    server.finish()
    assert ended.status == Status.NOT_CONFIRMED
    assert ended.failure.endswith(
        "It is kept: chat flush sends it again, and nobody gets it twice."
    )
    assert [row[3] for row in kept(home, "cron")] == ["waiting"]


# People, and passwords --------------------------------------------------------------


def test_who_types_the_message_is_told_how_to_end_it(
    daemon: "Shared", bob: None, sit_at: "SitAt", connect: "Connect", home: Path
) -> None:
    command = ["env", f"HOME={home}", CHAT, *at("alice", daemon), "send", "bob"]
    program = sit_at(command, terminal=True)
    program.expect("Type the message; Ctrl-D on a line of its own ends it.\n")
    program.send("Hi", "there")
    program.expect("there\n")
    program.send_bytes(b"\x04")
    assert program.rest() == ""
    assert queued(daemon, connect) == ["alice: Hi", "alice: there"]


def test_a_password_comes_from_the_environment_and_goes_no_further(
    start_daemon: "StartDaemon", connect: "Connect", start: Start, home: Path
) -> None:
    daemon = start_daemon()
    owner = connect(daemon)
    password = "correct horse battery"
    login = {"type": "login", "user": "cron", "password": password}
    owner.send("/json", json.dumps(login), '{"type":"quit"}')
    owner.rest()
    here = {"HOME": str(home), "PATH": os.environ["PATH"], "CHAT_PASSWORD": password}
    sent = start(*at("cron", daemon), "send", "cron", "Hi", env=here).end()
    assert sent == Ended(0, "", "")
    listen = ("listen", "--count", "1", "--exec", "sh -c 'env > told'")
    assert start(*at("cron", daemon), *listen, env=here).end().status == 0
    told = (home / "told").read_text()
    assert "CHAT_FROM=cron\n" in told
    assert password not in told
    ended = start(*at("cron", daemon), "send", "cron", "Hi").end()
    assert ended.status == Status.REFUSED
    assert ended.failure.startswith("cron needs a password")


# Listening --------------------------------------------------------------------------


def test_a_message_is_printed_and_acknowledged(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    chat(*at("alice", daemon), "send", "bob", stdin="one\n\x1btwo")
    ended = chat(*at("bob", daemon), "listen", "--count", "1")
    assert (ended.status, ended.stderr) == (0, "")
    lines = [line.partition(" (")[0] for line in ended.stdout.splitlines()]
    assert lines == ["alice: one", "alice: \ufffdtwo"]
    assert queued(daemon, connect) == []


def test_messages_are_printed_as_json_while_they_come(
    daemon: "Shared", connect: "Connect", start: Start
) -> None:
    alice = connect(daemon, "alice")
    connect(daemon, "bob").leave()
    running = start(*at("bob", daemon), "listen", "--json")
    alice.send("bob-Grüße")
    line = running.output()
    assert line.isascii()
    message = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message.pop("time"))
    assert len(message.pop("id")) == 36
    assert message.pop("queued") in (True, False)
    assert message == {"type": "message", "from": "alice", "to": "bob", "text": "Grüße"}
    running.process.send_signal(signal.SIGINT)
    assert running.end() == Ended(128 + signal.SIGINT, "", "")


def test_only_so_many_are_printed_and_the_others_wait(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin="1\n2\n3\n4\n")
    ended = chat(*at("bob", daemon), "listen", "--count", "2")
    assert len(ended.stdout.splitlines()) == 2
    assert queued(daemon, connect) == ["alice: 3", "alice: 4"]


def test_nothing_is_acknowledged_before_it_is_written(
    daemon: "Shared",
    bob: None,
    chat: Chat,
    start: Start,
    connect: "Connect",
    wait_until: "WaitUntil",
) -> None:
    text = "x" * 10_000
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin=f"{text}\n" * 30)
    running = start(*at("bob", daemon), "listen")
    stdout = running.process.stdout
    assert stdout is not None
    running.output()
    wait_until(lambda: _full(stdout.fileno()), "a full pipe")
    running.process.kill()
    running.process.wait()
    # A pipe has 64 KiB; what did not go into it is still there.
    left = len(queued(daemon, connect))
    assert 22 <= left < 30


def _full(pipe: int) -> bool:
    found = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(found, sys.byteorder) > 50_000


def test_status_1_nobody_reads_standard_output(
    daemon: "Shared", bob: None, start: Start, chat: Chat, connect: "Connect"
) -> None:
    running = start(*at("bob", daemon), "listen")
    chat(*at("alice", daemon), "send", "bob", "one")
    assert running.output().startswith("alice: one")
    assert running.process.stdout is not None
    running.process.stdout.close()
    assert running.process.wait(DEADLINE) == Status.NOT_ACCEPTED
    assert running.error() == "chat: Nobody reads standard output any more."


def test_output_goes_to_a_file_as_well(
    daemon: "Shared", bob: None, start: Start, chat: Chat, home: Path
) -> None:
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin="one\ntwo\n")
    with (home / "log").open("wb") as log:
        running = start(*at("bob", daemon), "listen", "--count", "2", stdout=log)
        assert running.end().status == 0
    texts = [each.partition(" (")[0] for each in (home / "log").read_text().split("\n")]
    assert texts == ["alice: one", "alice: two", ""]


# A command for each -----------------------------------------------------------------


def script(home: Path, body: str) -> str:
    """Make a program of a shell script; return the command that runs it."""
    path = home / "do it"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))


def test_a_command_gets_the_text_and_all_else_and_no_shell_sees_it(
    daemon: "Shared", bob: None, chat: Chat, home: Path, connect: "Connect"
) -> None:
    text = "$(touch seen) `touch seen`; touch seen\n\x1b'\" \x00 Grüße"
    chat(*at("alice", daemon), "send", "--id", "$(touch${IFS}seen)", "bob", stdin=text)
    command = script(
        home, 'cat > text; env | grep ^CHAT_ > told; printf "%s" "$*" > args'
    )
    ended = chat(
        *at("bob", daemon),
        "listen",
        "--count",
        "1",
        "--exec",
        f"{command} 'a  b' $HOME *",
    )
    assert ended == Ended(0, "", "")
    assert (home / "text").read_text() == text
    assert (home / "args").read_text() == "a  b $HOME *"
    told = dict(line.split("=", 1) for line in (home / "told").read_text().splitlines())
    assert re.fullmatch(r"\d{4}-.*\.\d{3}Z", told.pop("CHAT_TIME"))
    assert told == {
        "CHAT_FROM": "alice",
        "CHAT_TO": "bob",
        "CHAT_ID": "$(touch${IFS}seen)",
        "CHAT_QUEUED": "true",
    }
    assert not (home / "seen").exists()
    assert queued(daemon, connect) == []


def test_the_output_of_the_command_is_that_of_chat(
    daemon: "Shared", bob: None, chat: Chat
) -> None:
    chat(*at("alice", daemon), "send", "bob", "Hi")
    ended = chat(
        *at("bob", daemon),
        "listen",
        "--count",
        "1",
        "--exec",
        "sh -c 'cat; echo oops >&2'",
    )
    assert ended == Ended(0, "Hi", "oops\n")


def test_a_command_that_fails_is_run_again_and_then_acknowledged(
    daemon: "Shared", bob: None, chat: Chat, home: Path, connect: "Connect"
) -> None:
    chat(
        *at("alice", daemon), "send", "--lines", "--id", "x", "bob", stdin="one\ntwo\n"
    )
    command = script(
        home, "cat >> got; echo >> got; test -e once || { : > once; exit 3; }"
    )
    ended = chat(*at("bob", daemon), "listen", "--count", "2", "--exec", command)
    assert ended.status == 0
    assert ended.failure == (
        "The command failed for message x.0000001 from alice (status 3, attempt 1);"
        " running it again in 1 s."
    )
    assert (home / "got").read_text() == "one\none\ntwo\n"
    assert queued(daemon, connect) == []


def test_status_10_a_command_that_fails_too_often(
    daemon: "Shared", bob: None, chat: Chat, connect: "Connect"
) -> None:
    chat(*at("alice", daemon), "send", "--id", "n1", "bob", "Hi")
    ended = chat(*at("bob", daemon), "listen", "--attempts", "1", "--exec", "false")
    assert ended.status == Status.COMMAND_FAILED
    assert ended.failure == (
        "The command failed for message n1 from alice (status 1). It comes again."
    )
    assert queued(daemon, connect) == ["alice: Hi"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--exec", "/no/such"], "--exec: there is no program '/no/such'"),
        (["--exec", "'"], '--exec: "\'" is no command'),
        (["--exec", "true", "--json"], "leave out --json"),
        (["--attempts", "2"], "--attempts goes with --exec only"),
        (["--count", "0"], "--count"),
        (["bob"], "unexpected extra argument"),
    ],
)
def test_status_2_what_cannot_be_listened_with(
    chat: Chat, arguments: Sequence[str], what: str
) -> None:
    ended = chat("--as", "cron@127.0.0.1:1", "listen", *arguments)
    assert ended.status == Status.USAGE
    assert what in ended.failure


@pytest.mark.parametrize(
    "command",
    ["true", "sh -c 'exec sleep 1000 & exit 0'", "sh -c 'exec <&-; exit 0'"],
    ids=["reads nothing", "leaves one that has its pipes", "closes its input"],
)
def test_only_the_end_of_the_command_itself_counts(
    daemon: "Shared", bob: None, start: Start, chat: Chat, command: str
) -> None:
    text = "x" * 12_000
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin=f"{text}\n" * 3)
    running = start(
        *at("bob", daemon),
        "listen",
        "--count",
        "3",
        "--exec",
        command,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert running.process.wait(DEADLINE) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)


def test_a_signal_lets_the_command_finish_and_begins_no_other(
    daemon: "Shared",
    bob: None,
    start: Start,
    chat: Chat,
    connect: "Connect",
    home: Path,
    wait_until: "WaitUntil",
) -> None:
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin="one\ntwo\n")
    command = script(
        home, ": > begun; while ! test -e go; do sleep 0.05; done; cat >> got"
    )
    running = start(*at("bob", daemon), "listen", "--exec", command)
    wait_until((home / "begun").exists, "the command")
    running.process.send_signal(signal.SIGTERM)
    (home / "go").touch()
    assert running.end() == Ended(128 + signal.SIGTERM, "", "")
    assert (home / "got").read_text() == "one"
    assert queued(daemon, connect) == ["alice: two"]


def test_a_command_that_does_not_finish_after_a_signal_is_ended(
    daemon: "Shared",
    bob: None,
    start: Start,
    chat: Chat,
    connect: "Connect",
    home: Path,
    wait_until: "WaitUntil",
) -> None:
    chat(*at("alice", daemon), "send", "bob", "one")
    command = script(
        home, ": > begun; trap ': > ended; exit 1' TERM; sleep 1000 & wait"
    )
    running = start(
        *at("bob", daemon), "listen", "--exec", command, start_new_session=True
    )
    wait_until((home / "begun").exists, "the command")
    before = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    try:
        assert running.process.wait(DEADLINE) == 128 + signal.SIGTERM
        assert time.monotonic() - before > 4.5
        assert "more than 5 s: it comes again" in running.error()
        wait_until((home / "ended").exists, "the end of the command")
    finally:
        os.killpg(running.process.pid, signal.SIGKILL)
    assert queued(daemon, connect) == ["alice: one"]


def test_a_command_that_is_slow_holds_back_what_comes(
    daemon: "Shared",
    bob: None,
    start: Start,
    chat: Chat,
    home: Path,
    connect: "Connect",
    wait_until: "WaitUntil",
) -> None:
    lines = "".join(f"{number}\n" for number in range(2_000))
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin=lines)
    command = script(
        home, "cat >> got; echo >> got; while ! test -e go; do sleep 0.05; done"
    )
    running = start(*at("bob", daemon), "listen", "--exec", command)
    wait_until((home / "got").exists, "the first command")
    running.process.send_signal(signal.SIGTERM)
    (home / "go").touch()
    assert running.end().status == 128 + signal.SIGTERM
    done = (home / "got").read_text().split()
    assert queued(daemon, connect) == [
        f"alice: {number}" for number in range(len(done), 2_000)
    ]


def test_a_daemon_that_is_away_is_waited_for_and_nothing_is_handled_twice(
    start_daemon: "StartDaemon",
    start: Start,
    chat: Chat,
    home: Path,
    port: int,
    connect: "Connect",
    wait_until: "WaitUntil",
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    connect(daemon, "bob").leave()
    chat(*at("alice", daemon), "send", "--lines", "bob", stdin="one\ntwo\n")
    command = script(
        home, "cat >> got; echo >> got; while ! test -e go; do sleep 0.05; done"
    )
    running = start(*at("bob", daemon), "listen", "--exec", command, "--count", "2")
    wait_until((home / "got").exists, "the first command")
    daemon.kill()
    assert running.error().startswith(
        f"chat: The connection to 127.0.0.1:{port} was lost"
    )
    daemon = start_daemon(*listen)
    while not running.error().endswith("again."):
        pass
    (home / "go").touch()
    assert running.end().status == 0
    assert (home / "got").read_text() == "one\ntwo\n"
    assert queued(daemon, connect) == []
