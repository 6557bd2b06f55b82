"""`chat` at a terminal, with a daemon: what is seen, and what is left behind."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Shared, StartDaemon

pytestmark = pytest.mark.slow

CHAT: Final = Path(sys.executable).with_name("chat")
HALF: Final = "bob-Hallo 漢字かな 🎉👍🏽 e\u0301tude हिन्दी and more: 語語語"
GREY: Final = "767676"
HINT: Final = "(/help lists the commands)"
CTRL_C, CTRL_D, CTRL_U = "\x03", "\x04", "\x15"


class StartChat(Protocol):
    def __call__(self, address: str, *, columns: int = 80) -> Terminal:
        """Run `chat` at a new terminal."""


@pytest.fixture
def start_chat(tmp_path: Path) -> Iterator[StartChat]:
    terminals: list[Terminal] = []
    home = tmp_path / "home-of-chat"
    home.mkdir()

    def start(address: str, *, columns: int = 80) -> Terminal:
        env = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "COLORFGBG": ""}
        terminals.append(Terminal([CHAT, address], columns=columns, env=env))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_half_typed_line_survives_all_that_happens(
    start_daemon: "StartDaemon",
    connect: "Connect",
    start_chat: StartChat,
    port: int,
    columns: int,
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    bob = connect(daemon, "bob")
    screen = start_chat(f"alice@127.0.0.1:{port}", columns=columns)
    screen.expect(HINT)
    prompt = f"alice> {HALF}"
    screen.type(HALF)
    screen.expect_prompt(prompt)

    bob.send("alice-Hi 漢")
    screen.expect("bob  Hi 漢")
    screen.expect_prompt(prompt)

    bob.send(*(f"alice-message {number}" for number in range(1, 1001)))
    screen.expect("bob  message 1000")
    screen.expect_prompt(prompt)
    messages = [line[6:] for line in screen.lines() if " bob  message" in line]
    assert messages == [f"bob  message {number}" for number in range(1, 1001)]

    daemon.kill()
    screen.expect("(the server closed it)")
    screen.expect_prompt(prompt)
    daemon = start_daemon(*listen)
    screen.expect(f"Connected to 127.0.0.1:{port} again.")
    screen.expect_prompt(prompt)

    for others in (200, 57, 30, columns):
        screen.resize(others)
        screen.expect_prompt(prompt)

    bob = connect(daemon, "bob")
    screen.type("!\r")
    bob.expect(f"alice: {HALF.removeprefix('bob-')}!\n")
    screen.expect_prompt("alice> ")
    screen.expect("✓✓")


TIME: Final = r"\d\d:\d\d"


def shown(screen: Terminal) -> list[str]:
    """Return the lines from the last of the greeting on, each time as 00:00."""
    lines = [re.sub(rf"^{TIME}(?= )", "00:00", line) for line in screen.lines()]
    last = max(n for n, line in enumerate(lines) if line.endswith(HINT[-9:]))
    return [
        re.sub(rf"since {TIME} ", "since 00:00 ", line) for line in lines[last + 1 :]
    ]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_was_said_before_and_meanwhile_is_told_apart(
    daemon: "Shared", connect: "Connect", start_chat: StartChat, columns: int
) -> None:
    bob = connect(daemon, "bob")
    address = f"alice@127.0.0.1:{daemon.port}"
    screen = start_chat(address, columns=columns)
    screen.expect(HINT)
    bob.send("alice-Coffee?")
    screen.expect("bob  Coffee?")
    screen.type("bob-In ten minutes\r")
    screen.expect("✓✓")
    screen.type("/quit\r")
    assert screen.ended() == 0
    bob.send("alice-Where are you?")
    bob.expect("Message stored.")

    screen = start_chat(address, columns=columns)
    screen.expect("Where are you?")
    screen.expect_prompt("alice> ")
    old = [re.sub(rf"^{TIME}", "00:00", screen.line(y)) for y in range(2)]
    assert old == ["00:00 bob  Coffee?", "00:00 → bob  In ten minutes ✓✓"]
    # All of what is old is of one colour.
    assert screen.colour(0, len("00:00 ")) == screen.colour(0) == GREY
    bob.send("alice-Ah, there")
    screen.expect("Ah, there")
    screen.expect_prompt("alice> ")
    assert shown(screen) == [
        "You have 1 offline message:",
        "── new since 00:00 ".ljust(columns, "─"),
        "00:00 bob  Where are you?",
        "00:00 bob  Ah, there",
        "alice>",
        f"● 127.0.0.1:{daemon.port}   bob 2",
    ]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_is_typed_without_a_connection_is_seen_to_wait_and_goes_out_later(
    start_daemon: "StartDaemon",
    connect: "Connect",
    start_chat: StartChat,
    port: int,
    columns: int,
) -> None:
    listen = ("--port", f"tcp:{port}:interface=127.0.0.1")
    daemon = start_daemon(*listen)
    connect(daemon, "bob").send("/quit")
    screen = start_chat(f"alice@127.0.0.1:{port}", columns=columns)
    screen.expect(HINT)
    screen.type("bob-one\r")
    screen.expect("→ bob  one ✓")
    daemon.kill()
    screen.expect("○ ")
    screen.type("bob-two\r")
    screen.expect("→ bob  two …")
    if columns > 40:
        screen.expect("again in")
        screen.expect("1 waiting")
    screen.expect_prompt("alice> ")
    daemon = start_daemon(*listen)
    screen.expect("→ bob  two ✓")
    bob = connect(daemon, "bob")
    bob.expect("alice: two")
    bob.send("alice-There you are")
    screen.expect("There you are")
    screen.expect_prompt("alice> ")
    lines = shown(screen)
    assert [line for line in lines if "bob  " in line] == [
        "00:00 → bob  one ✓",
        "00:00 → bob  two ✓",
        "00:00 bob  There you are",
    ]
    again = next(n for n, line in enumerate(lines) if "Connected to" in line)
    assert lines.index("00:00 → bob  two ✓") > again


def test_no_trace_of_the_first_prompt_stays(
    daemon: "Shared", start_chat: StartChat
) -> None:
    screen = start_chat(f"alice@127.0.0.1:{daemon.port}")
    screen.expect("alice>")
    screen.expect(HINT)
    screen.expect_prompt("alice> ")
    # It stood in the first row, and all of the screen was erased.
    assert screen.lines()[0].startswith("Welcome, alice.")
    assert sum(line.startswith("alice>") for line in screen.lines()) == 1


@pytest.mark.measured
def test_names_of_others_are_completed(
    daemon: "Shared", connect: "Connect", start_chat: StartChat
) -> None:
    bob = connect(daemon, "Bob")
    connect(daemon, "漢字")
    screen = start_chat(f"alice@127.0.0.1:{daemon.port}")
    screen.expect(HINT)
    screen.type("b\tHi\r漢\tHo\r")
    bob.expect("alice: Hi\n")
    screen.expect(" → Bob  Hi ✓✓")
    screen.expect(" → 漢字  Ho ✓✓")
    screen.type("/q\t\r")
    assert screen.ended() == 0
    assert "alice> /quit" in screen.lines()


ENDS: Final[dict[str, tuple[int, Callable[[Terminal], None]]]] = {
    "quit": (0, lambda screen: screen.type(CTRL_U + "/quit\r")),
    "Ctrl-C": (0, lambda screen: screen.type(CTRL_C)),
    "Ctrl-D": (0, lambda screen: screen.type(CTRL_U + CTRL_D)),
    "SIGTERM": (143, lambda screen: screen.signal(signal.SIGTERM)),
    "SIGINT": (130, lambda screen: screen.signal(signal.SIGINT)),
    "SIGHUP": (129, lambda screen: screen.signal(signal.SIGHUP)),
}


@pytest.mark.parametrize(
    ("end", "alive"),
    [
        *((end, True) for end in ENDS),
        *((end, False) for end in ("quit", "Ctrl-D", "SIGTERM")),
    ],
)
def test_every_end_leaves_the_terminal_as_it_was(
    start_daemon: "StartDaemon", start_chat: StartChat, end: str, alive: bool
) -> None:
    daemon = start_daemon()
    screen = start_chat(f"alice@127.0.0.1:{daemon.port}")
    screen.expect(HINT)
    screen.type(HALF)
    screen.expect_prompt(f"alice> {HALF}")
    if not alive:
        daemon.kill()
        screen.expect("was lost")
    assert screen.attributes() != screen.attributes_before
    status, act = ENDS[end]
    act(screen)
    assert screen.ended() == status
    assert screen.attributes() == screen.attributes_before
    assert screen.modes() == {7, 25}
    assert screen.cursor[0] == 0


def test_a_name_that_is_refused_leaves_the_terminal_as_it_was(
    daemon: "Shared", start_chat: StartChat
) -> None:
    screen = start_chat(f"system@127.0.0.1:{daemon.port}")
    assert screen.ended() != 0
    assert screen.attributes() == screen.attributes_before
    assert screen.modes() <= {7, 25}


def test_a_server_that_does_not_answer_leaves_the_terminal_as_it_was(
    start_chat: StartChat, port: int
) -> None:
    screen = start_chat(f"alice@127.0.0.1:{port}")
    screen.expect("Cannot reach")
    screen.type(CTRL_C)
    assert screen.ended() == 4
    assert screen.attributes() == screen.attributes_before
    assert screen.modes() == {7, 25}


@pytest.mark.measured
def test_an_impatient_second_signal_leaves_the_terminal_as_it_was(
    daemon: "Shared", start_chat: StartChat
) -> None:
    screen = start_chat(f"alice@127.0.0.1:{daemon.port}")
    screen.expect(HINT)
    screen.type(HALF)
    screen.expect_prompt(f"alice> {HALF}")
    screen.signal(signal.SIGTERM)
    screen.signal(signal.SIGTERM)
    # The second may come when Python itself is about to end.
    assert screen.ended() in (143, -signal.SIGTERM)
    assert screen.attributes() == screen.attributes_before
    assert screen.modes() == {7, 25}
