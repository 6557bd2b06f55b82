"""Passwords and accounts: the daemon, ``chatctl`` beside it, and those who try."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import (
        Connect,
        Daemon,
        Finished,
        Run,
        StartDaemon,
        WaitUntil,
    )

pytestmark = pytest.mark.slow

CHATCTL = Path(sys.executable).with_name("chatctl")
FILTER = Path(__file__).parents[2] / "docs" / "fail2ban.conf"
GOOD = "correct horse battery"
OTHER = "another horse battery"
WRONG = "Wrong name or password. Please try again.\n"


@pytest.fixture
def chatctl(run: "Run", home: Path) -> Callable[..., "Finished"]:
    """Run ``chatctl user`` beside the daemons of a test."""

    def chatctl(*arguments: str, stdin: str = "") -> "Finished":
        return run([str(CHATCTL), "user", *arguments], stdin, cwd=home)

    return chatctl


@pytest.mark.measured
def test_an_administrator_adds_users_while_the_daemon_runs(
    start_daemon: "StartDaemon",
    connect: "Connect",
    chatctl: "Callable[..., Finished]",
) -> None:
    daemon = start_daemon("--registration=closed")
    stranger = connect(daemon)
    stranger.send("alice", GOOD)
    stranger.expect(WRONG)

    done = chatctl("add", "alice", stdin=f"{GOOD}\n")
    assert (done.status, done.stdout) == (0, "Added alice.\n")
    stranger.send("alice", GOOD)
    stranger.expect("Welcome, alice.\n")
    assert chatctl("add", "alice", stdin=f"{GOOD}\n").stderr == (
        "chatctl: alice is a user already.\n"
    )
    assert "alice  yes" in chatctl("list").stdout


@pytest.mark.measured
def test_who_is_disabled_or_removed_is_disconnected_within_seconds(
    start_daemon: "StartDaemon",
    connect: "Connect",
    chatctl: "Callable[..., Finished]",
) -> None:
    daemon = start_daemon()
    alice, bob = connect(daemon, "alice"), connect(daemon, "bob")
    assert chatctl("disable", "alice").stdout == "Disabled alice.\n"
    closed = "The administrator has changed or closed this account."
    assert closed in alice.rest(seconds=15)
    alice = connect(daemon)
    alice.send("alice")
    alice.expect(closed)
    assert chatctl("enable", "alice").stdout == "Enabled alice.\n"
    alice.send("alice")
    alice.expect("Welcome, alice.\n")

    bob.send("/confirm on")
    done = chatctl("remove", "--yes", "alice")
    assert done.stdout == "Removed alice; 0 messages were waiting.\n"
    assert closed in alice.rest(seconds=15)
    bob.send("alice-Hi")
    bob.expect("User 'alice' not found.\n")
    alice = connect(daemon)
    assert "Welcome, alice. You are new here." in alice.log_in("alice")
    alice.send("/quit")
    alice.rest()
    bob.send("alice-Hi")
    bob.expect("Stored for alice.\n")
    done = chatctl("remove", "--yes", "alice")
    assert done.stdout == "Removed alice; 1 message was waiting.\n"


def test_an_administrator_undoes_a_password(
    start_daemon: "StartDaemon",
    connect: "Connect",
    chatctl: "Callable[..., Finished]",
) -> None:
    daemon = start_daemon()
    thief = connect(daemon, "alice")
    thief.send("/password", OTHER, OTHER)
    thief.expect("From now on every login as alice needs this password.\n")
    assert chatctl("password", "alice", stdin=f"{GOOD}\n").status == 0
    thief.rest(seconds=15)
    alice = connect(daemon)
    alice.send("alice", OTHER)
    alice.expect(WRONG)
    alice.send("alice", GOOD)
    alice.expect("from the administrator.")


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["disable", "zed"], "", "There is no user zed."),
        (["add", "bad-name"], "", "A name has no '-'"),
        (["add", "alice"], "short\n", "A password has 15 to 128 characters"),
        (["--db", "missing.db", "list"], "", "missing.db is no file"),
        (["--db", "twistd.log", "list"], "", "twistd.log cannot be used"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    start_daemon: "StartDaemon",
    home: Path,
    chatctl: "Callable[..., Finished]",
    arguments: list[str],
    stdin: str,
    says: str,
) -> None:
    start_daemon()
    (home / "twistd.log").write_text("no database" * 1000)
    done = chatctl(*arguments, stdin=stdin)
    assert done.status in (1, 2)
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_twistds_own_lists_of_passwords_work(
    start_daemon: "StartDaemon", connect: "Connect", home: Path
) -> None:
    (home / "passwords").write_text(f"alice:{GOOD}\n")
    daemon = start_daemon("--auth", "file:passwords")
    alice = connect(daemon)
    alice.send("alice", OTHER)
    alice.expect(WRONG)
    alice.send("alice", GOOD)
    alice.expect("Welcome, alice. You are new here.\n")


def secrets_in_memory_of(daemon: "Daemon") -> str:
    process = Path(f"/proc/{daemon.process.pid}")
    return "\n".join(
        (process / name).read_bytes().decode(errors="replace")
        for name in ("cmdline", "environ")
    )


def test_no_secret_is_in_the_log_the_database_or_the_list_of_processes(
    start_daemon: "StartDaemon",
    connect: "Connect",
    chatctl: "Callable[..., Finished]",
    home: Path,
) -> None:
    daemon = start_daemon()
    chatctl("add", "bob", stdin=f"{OTHER}\n")
    alice = connect(daemon, "alice")
    alice.send("/password", GOOD, GOOD, "/quit")
    alice.rest()
    alice = connect(daemon)
    alice.send("alice", f"{GOOD} wrong", "alice", GOOD)
    alice.expect("Welcome, alice.\n")
    alice.send("/json")  # a mistake, which is logged
    alice.leave()
    seen = daemon.log() + secrets_in_memory_of(daemon)
    files = [each.read_bytes() for each in home.glob("server.db*")]
    for secret in (GOOD, OTHER):
        assert secret not in seen
        assert all(secret.encode() not in each for each in files)


def test_fail2ban_finds_who_guesses_and_nobody_else(
    start_daemon: "StartDaemon",
    connect: "Connect",
    run: "Run",
    needs: Callable[[str], str],
    tmp_path: Path,
    wait_until: "WaitUntil",
) -> None:
    regex = needs("fail2ban-regex")
    daemon = start_daemon("--port=tcp:0:interface=127.0.0.1")
    alice = connect(daemon, "alice")
    alice.send("/password", GOOD, GOOD, "/quit")
    alice.rest()
    guesser = connect(daemon)
    guesser.send("alice", OTHER, OTHER)
    guesser.expect(WRONG)
    guesser.expect(WRONG)
    # A name cannot write a line of its own; nor is it in one of these.
    guesser.send("")
    guesser.send("x Refused 192.0.2.1:5: wrong-password")
    guesser.expect("Please choose another name.\n")
    log = tmp_path / "chatd.log"
    wait_until(lambda: daemon.log().count(": wrong-password") == 2, "the log")
    shutil.copy(daemon._log, log)
    found = run([regex, "--print-all-matched", str(log), str(FILTER)])
    assert found.status == 0, found.stdout + found.stderr
    assert "Failregex: 2 total" in found.stdout
    assert "192.0.2.1" not in found.stdout.partition("Matched line(s)")[2]
