"""`chat` at a terminal and the people one talks with, with a daemon."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Shared, StartDaemon

pytestmark = pytest.mark.slow

CHAT: Final = Path(sys.executable).with_name("chat")
HINT: Final = "(/help lists the commands)"
ALT_ENTER: Final = "\x1b\r"


class StartChat(Protocol):
    def __call__(self, port: int, *options: str, columns: int = 80) -> Terminal:
        """Run `chat` as alice at a new terminal, and wait for its greeting."""


@pytest.fixture
def start_chat(tmp_path: Path) -> Iterator[StartChat]:
    terminals: list[Terminal] = []
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}

    def start(port: int, *options: str, columns: int = 80) -> Terminal:
        command = [CHAT, f"alice@127.0.0.1:{port}", *options]
        terminals.append(Terminal(command, columns=columns, env=env))
        terminals[-1].expect(HINT)
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_go_to_somebody_until_they_do_not(
    daemon: "Shared", connect: "Connect", start_chat: StartChat, columns: int
) -> None:
    bob, carol = connect(daemon, "bob"), connect(daemon, "carol")
    chat = start_chat(daemon.port, columns=columns)
    chat.type("/to bob\r")
    chat.expect_prompt("alice → bob> ")
    chat.type(f"Hi\rwell-known fact\rone{ALT_ENTER}two\rcarol-Hi carol\r")
    bob.expect(
        "alice: Hi\nalice: well-known fact\nalice: one\nalice: two\n",
    )
    carol.expect("alice: Hi carol\n")
    chat.type("/to\r")
    chat.expect_prompt("alice> ")
    chat.type("Hi\r")
    chat.expect("Format error. Please enter:")


def test_a_message_that_comes_changes_not_to_whom_a_half_typed_line_goes(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob = connect(daemon, "bob")
    chat = start_chat(daemon.port)
    chat.type("/to bob\rdav")
    chat.expect_prompt("alice → bob> dav")
    dave = connect(daemon, "dave")
    dave.send("alice-Good morning")
    chat.expect("Good morning")
    chat.expect_prompt("alice → bob> dav")
    chat.type("e-Hi\r")
    bob.expect("alice: dave-Hi\n")
    chat.type("dave-Hi\r")
    dave.expect("alice: Hi\n")


def test_those_one_talks_with_come_and_go(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob, carol = connect(daemon, "bob"), connect(daemon, "carol")
    chat = start_chat(daemon.port)
    bob.send("alice-Good morning")
    chat.expect("Good morning")
    chat.type("/watch carol\r")
    chat.expect("carol is here.")
    chat.type("/watch\r")
    chat.expect("Watched => carol (here), bob (here)")
    bob.close()
    carol.close()
    chat.expect("bob has left.")
    chat.expect("carol has left.")
    connect(daemon, "bob")
    chat.expect("bob is here.")
    chat.type("/unwatch carol\r")
    chat.expect("Watched => bob (here)")


def test_who_does_not_want_to_know_is_not_told(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob = connect(daemon, "bob")
    chat = start_chat(daemon.port, "--no-presence")
    bob.send("alice-Good morning")
    chat.expect("Good morning")
    chat.type("/watch\r")
    chat.expect("Watched => (nobody)")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_was_said_is_shown_and_searched_without_a_server(
    start_daemon: "StartDaemon", connect: "Connect", start_chat: StartChat, columns: int
) -> None:
    daemon = start_daemon()
    bob = connect(daemon, "bob")
    chat = start_chat(daemon.port, columns=columns)
    bob.send("alice-The backup is done")
    chat.expect("backup is done")
    chat.type("bob-Thanks, Bob\r")
    bob.expect("alice: Thanks, Bob\n")
    chat.expect("✓✓")
    daemon.kill()
    chat.expect("○")
    chat.type("/search BACK\r")
    day = r"\d{4}-\d\d-\d\d \d\d:\d\d "
    chat.expect_match(rf"{day}bob +The backup is *done")
    (y,) = [y for y in range(chat.rows) if re.match(day, chat.line(y))]
    marked = "".join(
        cell
        for row in (y, y + 1)
        for x, cell in enumerate(chat.cells(row))
        if chat.emulator.buffer[row][x].reverse
    )
    assert marked == "back"
    chat.type("/history bob 1\r")
    chat.expect_match(rf"{day}→ bob +Thanks, *Bob ✓✓")
    chat.type("/search nothing\r")
    chat.expect("There is no such message in the")


def test_somebody_new_is_told_how_it_works_and_later_not_again(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob = connect(daemon, "bob")
    chat = start_chat(daemon.port)
    chat.expect("/quit or Ctrl-D leaves; what is not sent yet is sent next time.")
    assert not any("Client book" in line for line in chat.lines())
    chat.type("bob-Hi\r")
    bob.expect("alice: Hi\n")
    chat.expect("✓✓")
    chat.type("/quit\r")
    assert chat.ended() == 0
    again = start_chat(daemon.port)
    again.expect("Client book => alice, bob")
    assert not any("Ctrl-D" in line for line in again.lines())


@pytest.mark.parametrize("plain", [(), ("--plain",)])
@pytest.mark.parametrize(("bell", "rings"), [("always", 1), ("never", 0)])
def test_the_bell_rings_once_for_a_burst_of_messages_if_asked_to(
    daemon: "Shared",
    connect: "Connect",
    start_chat: StartChat,
    plain: tuple[str, ...],
    bell: str,
    rings: int,
) -> None:
    bob = connect(daemon, "bob")
    chat = start_chat(daemon.port, "--bell", bell, *plain)
    bob.send("alice-one", "alice-two", "alice-three \a")
    chat.expect("three")
    assert chat.written.count(b"\a") == rings


def test_names_are_completed_by_how_recently_one_talked(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    for name in ("ben", "bert", "bob"):
        connect(daemon, name)
    bert = connect(daemon, "bert")
    chat = start_chat(daemon.port)
    bert.send("alice-Good morning")
    chat.expect("Good morning")
    chat.type("/to b\t")
    chat.expect("bert, ben, bob")
    chat.type("o\t\r")
    chat.expect_prompt("alice → bob> ")
    chat.type("Hi\r/to\rb\t")
    chat.expect("bob, bert, ben")
