"""Running the daemon: how it starts, where it listens, what it leaves, how it ends."""

import os
import re
import signal
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import (
        Connect,
        Finished,
        StartDaemon,
        Twistd,
        WaitUntil,
    )

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ANY_PORT = ("--port", "tcp:0:interface=127.0.0.1")


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


LOG_LINE = re.compile(r"[-0-9]{10}T[0-9:]{8}[+-][0-9]{4} \[(\S+)\] ")


def complaint(done: "Finished") -> str:
    """Return the one line in which a twistd that has ended says what is wrong.

    Whether as a line of its log or not: beside it there are only notes.
    """
    lines = (done.stdout + done.stderr).splitlines()
    found = [line for line in lines if not LOG_LINE.match(line)]
    for line in lines:
        match = LOG_LINE.match(line)
        if match and match[1] != "-" and not match[1].endswith("#info"):
            found.append(line[match.end() :])
    assert len(found) == 1, lines
    assert done.status == 1
    return re.sub("^(?:chatd|Cannot start): ", "", found[0])


# Where it listens -------------------------------------------------------------------


@pytest.mark.measured
def test_a_bare_port_is_that_port_on_every_address(
    start_daemon: "StartDaemon", connect: "Connect", home: Path, port: int
) -> None:
    daemon = start_daemon("--port", str(port))

    hosts = {"127.0.0.1": f"0.0.0.0:{port}"}
    if has_ipv6():
        hosts["::1"] = f"[::]:{port}"
    assert daemon.addresses == list(hosts.values())
    for host in hosts:
        assert connect(port, f"from{host.count(':')}", host)
    assert {each.name for each in home.iterdir()} == {
        "server.db",
        "server.db-shm",
        "server.db-wal",
        "server.db.lock",
    }


def test_without_a_port_it_is_5555(twistd: "Twistd") -> None:
    # Nobody needs to have it free: that it is taken shows as well which one it is.
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("", 5555)))
        done = twistd("-n", "chatd")
    assert complaint(done) == "cannot listen on 5555: Address already in use"


@pytest.mark.measured
def test_it_listens_wherever_it_is_told_to(
    start_daemon: "StartDaemon", connect: "Connect", home: Path
) -> None:
    daemon = start_daemon(*ANY_PORT, *ANY_PORT, "--port=unix:chat.sock")

    assert daemon.addresses[2] == "chat.sock"
    ports = {int(each.rpartition(":")[2]) for each in daemon.addresses[:2]}
    assert len(ports) == 2
    where: list[int | str] = [*ports, str(home / "chat.sock")]
    for number, each in enumerate(where):
        assert connect(each, f"user{number}").leave() == "Goodbye.\n"
    assert "user2 logged in from local" in daemon.log()
    assert daemon.stop() == 0
    assert not (home / "chat.sock").exists()


def test_a_unix_socket_left_behind_is_no_obstacle(
    start_daemon: "StartDaemon",
) -> None:
    start_daemon("--port=unix:chat.sock").kill()

    assert start_daemon("--port=unix:chat.sock").addresses == ["chat.sock"]


# What keeps it from starting --------------------------------------------------------


def test_a_taken_port_is_named(twistd: "Twistd") -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = twistd("-n", "chatd", "--port", f"tcp:{port}:interface=127.0.0.1")
    assert complaint(done) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use"
    )


def test_of_several_ports_none_may_be_taken(twistd: "Twistd") -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = twistd("-n", "chatd", *ANY_PORT, "--port", str(port), *ANY_PORT)
    assert complaint(done) == f"cannot listen on {port}: Address already in use"


@pytest.mark.measured
@pytest.mark.parametrize(
    "port", ["unix:missing/chat.sock", "tcp:0:interface=192.0.2.1", "tcp:99999"]
)
def test_a_port_that_cannot_be_had_is_named(port: str, twistd: "Twistd") -> None:
    done = twistd("-n", "chatd", "--port", port)
    assert complaint(done).startswith("cannot listen")


def test_a_folder_that_cannot_be_written_is_named(twistd: "Twistd", home: Path) -> None:
    (home / "file").touch()

    below_a_file = twistd("-n", "chatd", *ANY_PORT, "--db", "file/server.db")
    in_proc = twistd("-n", "chatd", *ANY_PORT, "--db", "/proc/server.db")

    assert f"{home}/file is no folder" in complaint(below_a_file)
    assert "/proc/server.db cannot be opened" in complaint(in_proc)


@pytest.mark.measured
def test_a_database_in_use_is_named_with_who_uses_it(
    start_daemon: "StartDaemon", twistd: "Twistd", home: Path
) -> None:
    daemon = start_daemon()
    assert complaint(twistd("-n", "chatd", *ANY_PORT)) == (
        f"{home}/server.db is in use by another chatd (process {daemon.process.pid})."
        " Stop that one, or name another file."
    )


def test_a_database_of_a_newer_version_is_left_alone(
    start_daemon: "StartDaemon", twistd: "Twistd", home: Path
) -> None:
    start_daemon().stop()
    with closing(sqlite3.connect(home / "server.db")) as database:
        database.execute("PRAGMA user_version = 999")
    before = (home / "server.db").read_bytes()

    told = complaint(twistd("-n", "chatd", *ANY_PORT))

    assert "was written by a newer chatd: it has version 999" in told
    assert (home / "server.db").read_bytes() == before


@pytest.mark.parametrize("kept", [0, 8192])
def test_a_damaged_database_is_left_alone(
    kept: int, start_daemon: "StartDaemon", twistd: "Twistd", home: Path
) -> None:
    start_daemon().stop()
    database = home / "server.db"
    damaged = database.read_bytes()[:kept] + b"\xdb" * 8192
    database.write_bytes(damaged)

    told = complaint(twistd("-n", "chatd", *ANY_PORT))

    assert "damaged" in told
    assert "Restore it from a backup" in told
    assert database.read_bytes() == damaged


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-line", "x", "give a whole number"),
        ("--max-queue-bytes", "-1", "give a whole number"),
        ("--max-queue-share", "200", "give a number from 1 to 100"),
        ("--expire", "soon", "give a time such as 365d"),
        ("--port", "nonsense", "'nonsense' is no port"),
        ("--port", "70000", "70000 is no port"),
        ("--port", "haproxy:70000", "70000 is no port"),
        ("--port", "haproxy:ssl:0", "behind haproxy: stands"),
        ("--trusted-proxy", "10.0.0.1", "no --port is a haproxy: one"),
        ("--max-message", "20K", "longer than --max-line"),
        ("--db", "", "give the path"),
        ("--max-lines", "100", "not recognized"),
    ],
)
def test_a_bad_option_is_named(
    option: str, value: str, told: str, twistd: "Twistd", home: Path
) -> None:
    line = complaint(twistd("-n", "chatd", option, value))
    assert option in line
    assert told in line
    assert list(home.iterdir()) == []


# twistd's ways ----------------------------------------------------------------------


def test_a_stale_pid_file_does_not_keep_it_from_starting(
    start_daemon: "StartDaemon", home: Path
) -> None:
    (home / "twistd.pid").write_text("1")

    assert start_daemon().stop() == 0


def test_it_starts_again_at_once_after_a_kill(
    start_daemon: "StartDaemon", connect: "Connect", port: int
) -> None:
    there = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*there)
    alice = connect(daemon, "alice")
    daemon.kill()
    assert alice.rest() == ""
    again = start_daemon(*there)

    assert "1 users in" in again.log()


def test_the_application_file_does_the_same(
    start_daemon: "StartDaemon", twistd: "Twistd", home: Path
) -> None:
    start_daemon()
    done = twistd("-ny", str(ROOT / "chatd.tac"), "--pidfile=")
    # Every option is at its default, so it wants the database in its folder.
    # If somebody has its port, that is what it wants first.
    said = done.stdout + done.stderr
    assert f"{home}/server.db is in use" in said or "cannot listen on 5555" in said
    assert done.status == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_an_application_file_can_set_options(
    start_daemon: "StartDaemon", connect: "Connect", tmp_path: Path
) -> None:
    text = (ROOT / "chatd.tac").read_text(encoding="utf-8")
    edited = text.replace("parseOptions([])", f"parseOptions({[*ANY_PORT]})")
    assert edited != text
    (tmp_path / "my.tac").write_text(edited, encoding="utf-8")

    daemon = start_daemon(application=tmp_path / "my.tac")

    alice = connect(daemon, "alice")
    alice.close()
    assert daemon.stop() == 0


class Background:
    """A daemon that twistd put into the background, in a folder."""

    ARGUMENTS = ("--pidfile=chatd.pid", "--logfile=chatd.log", "chatd")

    def __init__(self, home: Path) -> None:
        self._home = home

    def pid(self) -> int:
        return int((self._home / "chatd.pid").read_text())

    def log(self) -> str:
        return (self._home / "chatd.log").read_text(encoding="utf-8")

    def running(self) -> bool:
        return (self._home / "chatd.pid").exists()


@pytest.fixture
def background(home: Path) -> Iterator[Background]:
    found = Background(home)
    yield found
    if found.running():
        os.kill(found.pid(), signal.SIGKILL)


@pytest.mark.measured
def test_it_runs_in_the_background(
    twistd: "Twistd",
    connect: "Connect",
    background: Background,
    wait_until: "WaitUntil",
) -> None:
    done = twistd(*background.ARGUMENTS, *ANY_PORT)

    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    port = re.search(r"Listening on 127\.0\.0\.1:(\d+)", background.log())
    assert port
    client = connect(int(port[1]), "alice")
    os.kill(background.pid(), signal.SIGTERM)
    assert client.rest().startswith("The server is stopping.")
    client.close()
    wait_until(lambda: not background.running(), "the end of the daemon")
    assert "Stopped" in background.log()
    assert "Traceback" not in background.log()


def test_who_starts_it_in_the_background_is_told_that_it_cannot(
    twistd: "Twistd", background: Background, wait_until: "WaitUntil"
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = twistd(*background.ARGUMENTS, f"--port=tcp:{port}:interface=127.0.0.1")

    assert done.status == 1
    assert "cannot listen on 127.0.0.1:" in done.stderr
    # It tells of the failure first, and then clears up.
    wait_until(lambda: not background.running(), "the end of the daemon")
    told = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert background.log().count(told) == 1
    assert "Traceback" not in background.log()


# Signals ----------------------------------------------------------------------------


@pytest.mark.measured
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_announced_and_a_success(
    number: signal.Signals, start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    alice, stranger = connect(daemon, "alice"), connect(daemon)
    daemon.send_signal(number)

    told = "The server is stopping. Nothing more was taken; please connect again later."
    assert alice.rest() == f"{told}\n"
    assert stranger.rest() == f"\n{told}\n"
    alice.close()
    stranger.close()
    assert daemon.wait() == 0
    assert f"Stopping: {number.name}" in daemon.log()


@pytest.mark.measured
def test_a_hangup_changes_nothing(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    alice = connect(daemon, "alice")

    daemon.send_signal(signal.SIGHUP)

    daemon.wait_for_log("SIGHUP")
    alice.send("alice-still there?")
    assert alice.expect("\n") == "alice: still there?\n"
    assert connect(daemon, "bob")


@pytest.mark.measured
def test_a_second_signal_does_not_hurt(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    alice = connect(daemon, "alice")
    daemon.send_signal(signal.SIGTERM)
    alice.expect("The server is stopping.")
    daemon.send_signal(signal.SIGTERM)
    daemon.send_signal(signal.SIGINT)
    alice.rest()
    alice.close()

    assert daemon.wait() == 0


def test_a_stop_sees_that_somebody_who_had_quit_closes(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    alice = connect(daemon, "alice")
    alice.send("/quit")
    assert alice.rest() == "Goodbye.\n"

    daemon.send_signal(signal.SIGTERM)
    daemon.wait_for_log("Stopping")
    began = time.monotonic()
    alice.close()

    # Else it would be cut off after 5 s.
    daemon.wait_for_log("Stopped")
    assert time.monotonic() - began < 4
    assert daemon.wait() == 0


# What it leaves ---------------------------------------------------------------------


def test_nobody_else_may_read_its_files(
    start_daemon: "StartDaemon", connect: "Connect", home: Path
) -> None:
    def modes() -> dict[str, int]:
        return {each.name: stat.S_IMODE(each.stat().st_mode) for each in files()}

    def files() -> list[Path]:
        return sorted(home.iterdir())

    daemon = start_daemon(under=["sh", "-c", 'umask 022 && exec "$@"', "sh"])
    alice = connect(daemon, "alice")
    alice.send("alice-a secret")
    alice.expect("a secret\n")

    while_running = modes()
    assert len(while_running) == 4
    assert set(while_running.values()) == {0o600}
    alice.close()
    daemon.stop()
    assert set(modes().values()) == {0o600}


def test_the_log_says_who_came_and_went_but_not_what_was_said(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    alice, bob = connect(daemon, "Alice"), connect(daemon, "bob")
    alice_at, bob_at = (
        "{}:{}".format(*each.socket.getsockname()) for each in (alice, bob)
    )
    bob.leave()
    alice.send("bob-SECRET one", "alice-SECRET two", "bob SECRET three")
    alice.send("zed-SECRET four", "/SECRET five", "bob-SECRET" + "x" * 20_000)
    alice.expect("Line too long")
    alice.leave()
    assert "SECRET one" in connect(daemon, "bob").leave()
    daemon.stop()

    log = daemon.log()
    assert "SECRET" not in log
    for line in (
        f"Alice logged in from {alice_at}, a new name\n",
        f"bob logged in from {bob_at}, a new name\n",
        f"bob left from {bob_at}\n",
        f"Alice left from {alice_at}\n",
    ):
        assert log.count(line) == 1


def test_queued_messages_bear_the_time_when_they_were_sent(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    before = datetime.now(UTC).replace(microsecond=0)
    alice = connect(daemon, "alice")
    alice.send("bob-Hey there!")
    assert alice.expect("\n") == "User 'bob' is offline. Message stored.\n"
    after = datetime.now(UTC)
    alice.close()
    daemon.stop()

    bob = connect(start_daemon(), "bob")

    assert bob.expect("\n") == "You have 1 offline message:\n"
    match = re.fullmatch(r"alice: Hey there! \((.+) UTC\)\n", bob.expect("\n"))
    assert match
    sent = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert before <= sent <= after
