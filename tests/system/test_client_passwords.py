"""`chat` and passwords: asked for at a terminal, given in a pipe, seen by nobody."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from tests.system.conftest import AnyDaemon, Connect, Shared, StartDaemon

pytestmark = pytest.mark.slow

CHAT: Final = Path(sys.executable).with_name("chat")
GOOD: Final = "correct horse-battery"
OTHER: Final = "another horse-battery"
HINT: Final = "(/help lists the commands)"
OPEN: Final = "Anybody can log in as alice;"
QUESTION: Final = "Password (not shown while you type):"
SET: Final = "From now on every login as alice needs this password."
CTRL_R, CTRL_U, CTRL_Y, UP = "\x12", "\x15", "\x19", "\x1b[A"

StartChat = Callable[..., Terminal]


@dataclass(frozen=True)
class Ended:
    """What became of a run in a pipe."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def home_of_chat(tmp_path: Path) -> Path:
    path = tmp_path / "home-of-chat"
    path.mkdir()
    return path


@pytest.fixture
def environment(home_of_chat: Path) -> dict[str, str]:
    return {"HOME": str(home_of_chat), "XDG_DATA_HOME": str(home_of_chat / "data")}


@pytest.fixture
def start_chat(environment: dict[str, str]) -> Iterator[StartChat]:
    """Run `chat` at a new terminal."""
    terminals: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        terminals.append(Terminal([CHAT, *arguments], env=environment))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


@pytest.fixture
def pipe(environment: dict[str, str]) -> Callable[..., Ended]:
    """Run `chat` in a pipe to its end."""

    def pipe(*arguments: str, stdin: str = "", **variables: str) -> Ended:
        done = subprocess.run(
            [CHAT, *arguments],
            input=stdin.encode(),
            capture_output=True,
            env=os.environ | environment | variables,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return pipe


def at(name: str, daemon: "AnyDaemon") -> str:
    return f"{name}@127.0.0.1:{daemon.port}"


def protect(client: "Connect", daemon: "AnyDaemon") -> None:
    """Give alice a password, and leave."""
    alice = client(daemon, "alice")
    alice.send("/password", GOOD, GOOD, "/quit")
    alice.rest()


def set_password(screen: Terminal, *passwords: str) -> None:
    questions = ("Your new password", "The same again:")
    if len(passwords) == 3:
        questions = ("Your present password", *questions)
    screen.type("/password\r")
    for question, password in zip(questions, passwords, strict=True):
        screen.expect(question)
        screen.type(f"{password}\r")


def expect_times(screen: Terminal, times: int, text: str) -> None:
    screen.wait(lambda: screen._all().count(text) == times, f"{times} times {text!r}")


@pytest.mark.measured
@pytest.mark.parametrize("plain", [[], ["--plain"]], ids=["screen", "plain"])
def test_a_password_is_set_and_asked_for_and_seen_by_nobody(
    daemon: "Shared",
    start_chat: StartChat,
    home_of_chat: Path,
    plain: list[str],
) -> None:
    screen = start_chat(*plain, at("alice", daemon))
    screen.expect(OPEN)
    screen.expect(HINT)
    set_password(screen, GOOD, GOOD)
    screen.expect(SET)
    screen.type("alice-shown again\r")
    screen.expect("alice: shown again" if plain else "alice  shown again")
    screen.type("/quit\r")
    assert screen.ended() == 0
    assert screen.attributes() == screen.attributes_before

    again = start_chat(*plain, at("alice", daemon))
    again.expect("The name 'alice' needs its password.")
    again.expect(QUESTION)
    again.type(f"{OTHER}\r")
    again.expect("Wrong name or password. Please try again.")
    expect_times(again, 2, QUESTION)
    again.type(f"{GOOD}\r")
    again.expect(HINT)
    assert OPEN not in again._all()
    assert "Cannot reach" not in again._all()
    again.type("/quit\r")
    assert again.ended() == 0
    assert again.attributes() == again.attributes_before

    files = [each for each in home_of_chat.rglob("*") if each.is_file()]
    assert any("history" in each.name for each in files)
    for secret in (GOOD, OTHER):
        for each in (screen, again):
            assert secret not in each._all()
            assert secret.encode() not in each.written
        assert all(secret.encode() not in each.read_bytes() for each in files)


def test_nothing_brings_a_password_back(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob = connect(daemon, "bob")
    screen = start_chat(at("alice", daemon))
    screen.expect(HINT)
    screen.type("/password\r")
    screen.expect("Your new password")
    bob.send("alice-Hi")
    screen.expect("bob  Hi")
    screen.type(f"{CTRL_R}{GOOD}")
    screen.expect_prompt(f"password> {'*' * len(GOOD)}")
    screen.type(f"{CTRL_U}{GOOD}\r")
    screen.expect("The same again:")
    screen.type(f"{GOOD}\r")
    screen.expect(SET)
    screen.type(f"{CTRL_Y}{UP}")
    screen.expect_prompt("alice> /password")
    assert GOOD.encode() not in screen.written


def test_a_password_is_remembered_for_the_next_connection(
    start_daemon: "StartDaemon", start_chat: StartChat, port: int
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    screen = start_chat(at("alice", daemon))
    screen.expect(HINT)
    set_password(screen, GOOD, GOOD)
    screen.expect(SET)
    for times, passwords in ((1, (GOOD, OTHER, OTHER)), (2, ())):
        daemon.kill()
        expect_times(screen, times, "was lost")
        daemon = start_daemon(*listen)
        expect_times(screen, times, f"Connected to 127.0.0.1:{port} again.")
        if passwords:
            set_password(screen, *passwords)
            expect_times(screen, 2, SET)
    assert QUESTION not in screen._all()


def test_a_person_has_more_time_than_server_and_timeout(
    start_daemon: "StartDaemon", connect: "Connect", start_chat: StartChat
) -> None:
    daemon = start_daemon()
    protect(connect, daemon)
    daemon.stop()
    daemon = start_daemon("--max-login-time=2")
    screen = start_chat("--timeout", "2", at("alice", daemon))
    screen.expect(QUESTION)
    # Both would have passed by the time that another has come too late.
    for _ in range(2):
        assert "No login within 2 " in connect(daemon).rest()
    screen.type("bob-not sent\r")
    screen.expect("Wrong name or password.")
    expect_times(screen, 2, QUESTION)
    screen.type(f"{GOOD}\r")
    screen.expect(HINT)


def test_a_person_may_leave_instead_of_a_password(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    protect(connect, daemon)
    for plain in ([], ["--plain"]):
        screen = start_chat(*plain, at("alice", daemon))
        screen.expect(QUESTION)
        screen.type("\x04")
        assert screen.ended() == 4
        assert screen.attributes() == screen.attributes_before


def test_a_pipe_has_its_password_from_the_environment_or_a_file(
    daemon: "Shared",
    connect: "Connect",
    pipe: Callable[..., Ended],
    tmp_path: Path,
) -> None:
    protect(connect, daemon)
    bob = connect(daemon, "bob")
    done = pipe(at("alice", daemon), stdin="bob-one\n", CHAT_PASSWORD=GOOD)
    assert done.status == 0, done.stderr
    bob.expect("alice: one\n")

    file = tmp_path / "password"
    file.write_text(f"{GOOD}\nmore\n")
    file.chmod(0o600)
    option = ("--password-file", str(file))
    done = pipe(*option, at("alice", daemon), stdin="bob-two\n", CHAT_PASSWORD=OTHER)
    assert done.status == 0, done.stderr
    bob.expect("alice: two\n")


def test_a_pipe_without_the_right_password_ends_with_a_line_that_says_what_to_do(
    daemon: "Shared", connect: "Connect", pipe: Callable[..., Ended]
) -> None:
    protect(connect, daemon)
    done = pipe(at("alice", daemon), stdin="")
    assert done == Ended(
        3,
        "",
        "alice needs a password: put it into the environment variable CHAT_PASSWORD,"
        " or into a file for --password-file.\n",
    )
    done = pipe(at("alice", daemon), CHAT_PASSWORD=OTHER)
    assert done == Ended(
        3, "", "alice cannot log in: Wrong name or password. Please try again.\n"
    )


def test_a_pipe_cannot_change_a_password(
    daemon: "Shared", pipe: Callable[..., Ended]
) -> None:
    done = pipe(at("alice", daemon), stdin="/password\n")
    assert done == Ended(
        1, "", "line 1: /password asks for passwords, and nobody can be asked here.\n"
    )
