"""The front end on a terminal: what is seen there, and what it leaves behind.

It runs in a process of its own at a terminal of ours, with a core that does what the
test says; every comparison of a screen is of all its cells.
"""

import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final, Protocol

import pytest
from terminal import DEADLINE, Terminal, laid_out, laid_out_in_prompt

from chatd.client.talk.helptopics import KEYS

pytestmark = pytest.mark.slow

DRIVER: Final = Path(__file__).with_name("screen_driver.py")
WIDTHS: Final = (40, 80, 200)
GREY: Final = "767676"
TOOLBAR: Final = "● 127.0.0.1:5555"

# Wide ones, emoji of one and of two characters, marks over and under letters.
HALF: Final = (
    "bob-Hallo 漢字かな, 한글 🎉👍🏽 e\u0301tude a\u0308 हिन्दी ไทยนี้ and so on: 語語語語"
)

BACKWARD, UP, DOWN = "\x1b[D", "\x1b[A", "\x1b[B"
CTRL_C, CTRL_D, CTRL_U, CTRL_Z = "\x03", "\x04", "\x15", "\x1a"
CTRL_R, CTRL_Y = "\x12", "\x19"
LEFT_ON: Final = {7, 25}
"""The modes that a terminal has when nothing runs at it: wrapping, and the cursor."""


class Remote:
    """The other end of the driver's socket."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.settimeout(DEADLINE)
        self._file = self._ours.makefile("rb")

    def do(self, name: str, *arguments: object) -> None:
        """Let the core do something."""
        self._ours.sendall(json.dumps([name, *arguments]).encode() + b"\n")

    def entered(self) -> str:
        """Wait for a line that was typed, and return it as the core got it."""
        return str(json.loads(self._file.readline()))

    def told(self) -> list[str]:
        """Wait for what was asked for, and return it."""
        return list(json.loads(self._file.readline()))

    def close(self) -> None:
        self._file.close()
        self._ours.close()
        self.theirs.close()


class Driven(Terminal):
    """A terminal with the front end at it."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        controlling: bool = True,
        env: dict[str, str] | None = None,
    ) -> None:
        self.remote = Remote()
        theirs = self.remote.theirs.fileno()
        super().__init__(
            [sys.executable, DRIVER, str(theirs), *arguments],
            columns=columns,
            rows=rows,
            env={"TZ": "UTC"} | (env or {}),
            pass_fds=[theirs],
            controlling=controlling,
        )

    def show(self, *lines: str, kind: str = "NOTICE") -> None:
        for line in lines:
            self.remote.do("show", kind, line)

    def receive(self, sender: str, text: str, *, queued: bool = False) -> None:
        self.remote.do("receive", sender, text, queued)

    def expect_half_typed(
        self, above: list[list[str]], text: str = HALF, prompt: str = "alice> "
    ) -> None:
        """Wait for a screen with these rows, the prompt, this text, and a toolbar.

        Where it is too much for the screen, for the end of it.
        """
        typed = laid_out_in_prompt(prompt + text, self.columns)
        if " " not in typed[-1][-1:]:
            typed += rows("", columns=self.columns)  # for the cursor
        shown = above + typed
        if len(typed) <= self.rows - 4:
            shown += rows(TOOLBAR, columns=self.columns)
        self.expect_screen(shown[-self.rows :])

    def close(self) -> None:
        super().close()
        self.remote.close()


class StartScreen(Protocol):
    def __call__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        controlling: bool = True,
        env: dict[str, str] | None = None,
    ) -> Driven:
        """Start the front end at a new terminal, and wait for its prompt."""


@pytest.fixture
def start_screen() -> Iterator[StartScreen]:
    terminals: list[Driven] = []

    def start(
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        controlling: bool = True,
        env: dict[str, str] | None = None,
    ) -> Driven:
        terminal = Driven(
            *arguments, columns=columns, rows=rows, controlling=controlling, env=env
        )
        terminals.append(terminal)
        if not arguments:
            terminal.expect_line("alice>")
        return terminal

    yield start
    for each in terminals:
        each.close()


def rows(*lines: str, columns: int) -> list[list[str]]:
    """Return the rows of cells that lines take."""
    return [row for line in lines for row in laid_out(line, columns)]


def messages(
    *texts: str, columns: int, sender: str = "bob", time: str = "14:13"
) -> list[list[str]]:
    """Return the rows of cells that messages take which came; of one row each."""
    return rows(*(f"{time} {sender}  {each}" for each in texts), columns=columns)


# A half-typed line ------------------------------------------------------------------


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_half_typed_line_survives_messages(
    start_screen: StartScreen, columns: int
) -> None:
    screen = start_screen(columns=columns)
    screen.type(HALF)
    shown = rows("Connected.", columns=columns)
    screen.expect_half_typed(shown)
    for sender, text in (("bob", "Hi"), ("漢字", "你好 🎉"), ("bob", "word")):
        screen.receive(sender, text)
        shown += messages(text, sender=sender, columns=columns)
        screen.expect_half_typed(shown)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_long_message_is_wrapped_under_itself(
    start_screen: StartScreen, columns: int
) -> None:
    screen = start_screen(columns=columns)
    screen.type(HALF)
    screen.receive("bob", "word " * 59 + "end\n\n  indented")
    beginning = "14:13 bob  "
    words = (columns - len(beginning) + 1) // len("word ")
    whole, left = divmod(59, words)
    lines = [("word " * words).rstrip()] * whole + ["word " * left + "end"]
    texts = [*lines, "", "  indented"]
    assert len(lines) > 1
    first, *others = (text.rstrip() for text in texts)
    shown = ["Connected.", beginning + first]
    shown += [" " * len(beginning) * bool(each) + each for each in others]
    screen.expect_half_typed(rows(*shown, columns=columns))


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("how", ["burst", "stream"])
def test_a_half_typed_line_survives_a_thousand_messages(
    start_screen: StartScreen, columns: int, how: str
) -> None:
    screen = start_screen(columns=columns)
    screen.type(HALF)
    screen.expect_half_typed(rows("Connected.", columns=columns))
    screen.remote.do(how, 1, 1000)
    lines = [f"14:13 bob  message {number}" for number in range(1, 1001)]
    screen.expect_half_typed(rows(*lines, columns=columns))
    below = len(laid_out_in_prompt(f"alice> {HALF}", columns)) + 1
    assert screen.lines()[:-below] == ["Connected.", *lines]


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_half_typed_line_survives_a_reconnect(
    start_screen: StartScreen, columns: int
) -> None:
    screen = start_screen(columns=columns)
    screen.type(HALF)
    notice = "The connection to 127.0.0.1:5555 was lost; trying again."
    screen.show(notice)
    screen.remote.do("stand", "CONNECTING")
    screen.remote.do("stand", "CONNECTED")
    screen.show("Connected again.")
    shown = [notice]
    if columns == 40:
        shown = ["The connection to 127.0.0.1:5555 was", "lost; trying again."]
    shown = ["Connected.", *shown, "Connected again."]
    screen.expect_half_typed(rows(*shown, columns=columns))


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("count", [3, 100], ids=["high up", "at the bottom"])
def test_a_half_typed_line_survives_resizes(
    start_screen: StartScreen, columns: int, count: int
) -> None:
    screen = start_screen(columns=columns)
    screen.remote.do("burst", 1, count)
    screen.type(HALF)
    shown = [f"14:13 bob  message {number}" for number in range(1, count + 1)]
    screen.expect_half_typed(rows("Connected.", *shown, columns=columns))
    for wider in (*WIDTHS, 57, 30, columns):
        prompt = len(laid_out_in_prompt(f"alice> {HALF}", screen.columns))
        above = screen.screen()[: screen.cursor[1] + 1 - prompt]
        screen.resize(wider)
        above = [(row + [" "] * wider)[:wider] for row in above]
        screen.expect_half_typed(above)
    screen.show("bob: Still there?")
    screen.expect("bob: Still there?")
    screen.type("!\r")
    assert screen.remote.entered() == f"{HALF}!"


def test_a_half_typed_line_survives_fewer_and_more_rows(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40)
    screen.remote.do("burst", 1, 30)
    screen.type(HALF)
    shown = messages(*(f"message {n}" for n in range(1, 31)), columns=40)
    screen.expect_half_typed(shown)
    screen.resize(40, 10)
    screen.expect_half_typed(shown)
    screen.show("bob: small")
    shown += rows("bob: small", columns=40)
    screen.expect_half_typed(shown)
    visible = shown[-(10 - len(laid_out_in_prompt(f"alice> {HALF}", 40)) - 1) :]
    screen.resize(40, 30)
    screen.show("bob: large")
    screen.expect_half_typed(visible + rows("bob: large", columns=40))


def test_a_half_typed_line_longer_than_the_screen_survives(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40, rows=6)
    text = "bob-" + "漢字 and more, " * 30 + "the end"
    screen.type(text)
    screen.expect_half_typed([], text)
    screen.show("bob: Hi")
    screen.expect("bob: Hi")
    screen.expect_half_typed([], text)
    screen.type("\r")
    assert screen.remote.entered() == text


def test_a_line_of_wide_characters_has_as_many_rows_as_it_needs(
    start_screen: StartScreen,
) -> None:
    # 17 of them in the first row and 20 in each other, which leaves a cell in each.
    screen = start_screen(columns=41)
    shown = rows("Connected.", columns=41)
    for length in (17, 37, 57, 58):
        screen.type(CTRL_U + "漢" * length)
        screen.expect_half_typed(shown, "漢" * length)
        screen.type("x")
        screen.expect_half_typed(shown, "漢" * length + "x")
        last = laid_out("alice> " + "漢" * length + "x", 41)
        # After a full row it stands in the next.
        more, column = divmod(41 - last[-1].count(" "), 41)
        screen.expect_cursor(column, len(last) + more)


def test_a_mark_at_the_end_of_a_row_is_seen(start_screen: StartScreen) -> None:
    screen = start_screen(columns=40)
    text = "x" * 32 + "e\u0301" + "yz"
    screen.type(text)
    screen.expect_half_typed(rows("Connected.", columns=40), text)
    assert screen.line(2) == "éyz"


def test_a_name_longer_than_a_row_leaves_room_for_typing(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=41)
    screen.remote.do("name", "漢" * 32)
    screen.show("bob: Hi")
    screen.type("bob-abc" + BACKWARD)
    screen.expect_prompt("漢" * 32 + "> bob-abc")
    screen.expect_cursor(12 * 2 + len("> bob-ab"), 3)


def test_the_cursor_stays_where_it_is_in_a_half_typed_line(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40)
    screen.type("bob-漢字かな" + BACKWARD * 2)
    screen.expect_cursor(len("alice> bob-") + 4, 1)
    screen.show("bob: Hi")
    shown = rows("Connected.", "bob: Hi", columns=40)
    screen.expect_half_typed(shown, "bob-漢字かな")
    screen.expect_cursor(len("alice> bob-") + 4, 2)
    screen.type("語")
    screen.expect_half_typed(shown, "bob-漢字語かな")


def test_what_is_typed_while_messages_come_is_all_there(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40)
    screen.remote.do("stream", 1, 1000)
    for character in HALF:
        screen.type(character)
    screen.type("\r")
    assert screen.remote.entered() == HALF
    screen.expect("bob  message 1000")
    found = [line for line in screen.lines() if " message " in line]
    assert found == [f"14:13 bob  message {number}" for number in range(1, 1001)]


# Emoji that terminals draw in as many cells as they like, for one character too few
# or too many.
FAMILY_AND_HEART: Final = "bob-👩\u200d👩\u200d👧 ❤\ufe0f ok"


@pytest.mark.parametrize("clusters", [False, True], ids=["older", "newer terminal"])
def test_emoji_of_several_characters_shift_nothing(
    start_screen: StartScreen, clusters: bool
) -> None:
    screen = start_screen(columns=40)
    screen.emulator.clusters = clusters
    screen.type(FAMILY_AND_HEART)
    screen.expect_line(f"alice> {FAMILY_AND_HEART}")
    screen.show("bob: Hi")
    screen.expect("bob: Hi")
    screen.resize(50)
    screen.show(f"bob: {FAMILY_AND_HEART}")
    screen.expect(f"bob: {FAMILY_AND_HEART}")
    screen.type("!")
    screen.expect_line(f"alice> {FAMILY_AND_HEART}!")
    assert screen.lines() == [
        "Connected.",
        "bob: Hi",
        f"bob: {FAMILY_AND_HEART}",
        f"alice> {FAMILY_AND_HEART}!",
        TOOLBAR,
    ]
    # Where prompt_toolkit thinks that the line ends.
    screen.expect_cursor(len("alice> bob-") + 6 + len(" . ok!"), 3)


# What is typed ----------------------------------------------------------------------


def test_an_entered_line_is_handed_over_as_typed_and_stays_above_the_prompt(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=60)
    screen.type("  bob-Hi  there 漢\r")
    assert screen.remote.entered() == "  bob-Hi  there 漢"
    screen.type("\r")
    assert screen.remote.entered() == ""
    screen.expect_screen(
        rows("Connected.", "alice>   bob-Hi  there 漢", "alice>", columns=60)
        + rows("alice>", TOOLBAR, columns=60)
    )


def test_a_line_can_be_edited(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.type("bbo-Hi all\x01\x1b[C\x7f\x05\x17you\r")  # start, back, end, a word
    assert screen.remote.entered() == "bo-Hi you"


def test_lines_typed_before_come_back(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.type("bob-one\rbob-two\r")
    assert [screen.remote.entered(), screen.remote.entered()] == ["bob-one", "bob-two"]
    screen.type("half" + UP)
    screen.expect_line("alice> bob-two")
    screen.type(UP)
    screen.expect_line("alice> bob-one")
    screen.show("bob: Hi")
    screen.type(DOWN + DOWN)
    screen.expect_line("alice> half")
    screen.type(UP + UP + "!\r")
    assert screen.remote.entered() == "bob-one!"


def test_what_is_hidden_is_asterisks_and_leaves_nothing_behind(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type("bob-one\r")
    assert screen.remote.entered() == "bob-one"
    screen.type("bob-half")
    screen.expect_line("alice> bob-half")
    screen.remote.do("hide", True)
    screen.expect_line("password>")
    above = rows("Connected.", "alice> bob-one", columns=80)
    screen.type("b\t" + UP + CTRL_R + "漢 secret")
    screen.expect_half_typed(above, "*" * len("b漢 secret"), "password> ")
    screen.show("bob: Hi")
    above += rows("bob: Hi", columns=80)
    screen.expect_half_typed(above, "*" * len("b漢 secret"), "password> ")
    screen.type(CTRL_U + "secret\r")
    assert screen.remote.entered() == "secret"
    screen.expect_half_typed(above, "", "password> ")
    screen.type("another secret")
    screen.expect_half_typed(above, "*" * len("another secret"), "password> ")
    screen.remote.do("hide", False)
    screen.expect_half_typed(above, "bob-half")
    screen.type(CTRL_Y)
    screen.type("!\r")
    assert screen.remote.entered() == "bob-half!"
    screen.type(UP + UP)
    screen.expect_line("alice> bob-one")
    assert b"secret" not in screen.written


def test_a_search_does_not_show_what_is_hidden(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.type("bob-one\r")
    assert screen.remote.entered() == "bob-one"
    screen.type(CTRL_R + "o")
    screen.expect("reverse-i-search")
    screen.remote.do("hide", True)
    screen.expect_line("password>")
    screen.type("secret\r")
    assert screen.remote.entered() == "secret"
    assert b"secret" not in screen.written


def test_many_lines_at_once_are_many_lines(start_screen: StartScreen) -> None:
    screen = start_screen()
    typed = [f"bob-line {number}" for number in range(100)]
    for each in typed:
        screen.type(f"{each}\r")
    screen.expect(f"alice> {typed[-1]}")
    assert [screen.remote.entered() for _ in typed] == typed
    screen.expect_line("alice>")
    echoed = [line for line in screen.lines() if "line" in line]
    assert echoed == [f"alice> {each}" for each in typed]


def test_lines_that_are_pasted_are_one_message(start_screen: StartScreen) -> None:
    screen = start_screen(columns=40)
    screen.type("bob-\x1b[200~first\r\nsecond-line\x1b[201~")
    screen.expect("second-line")
    screen.show("bob: Hi")
    screen.expect("bob: Hi")
    screen.type("\r")
    assert screen.remote.entered() == "bob-first\nsecond-line"
    screen.expect_line("alice>")
    assert screen.lines()[1:] == [
        "bob: Hi",
        "alice> bob-first",
        "second-line",
        "alice>",
        TOOLBAR,
    ]


ALT_ENTER: Final = "\x1b\r"


def pasted(text: str) -> str:
    """Return what a terminal hands over for a paste."""
    return f"\x1b[200~{text}\x1b[201~"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_message_can_have_several_lines(
    start_screen: StartScreen, columns: int
) -> None:
    screen = start_screen(columns=columns)
    long = "second " * 10
    screen.type(f"bob-first{ALT_ENTER}{long}{ALT_ENTER}{ALT_ENTER}漢字")
    typed = ("alice> bob-first", long, "", "漢字", TOOLBAR)
    screen.expect_screen(rows("Connected.", *typed, columns=columns))
    screen.show("bob: Hi")
    screen.expect_screen(rows("Connected.", "bob: Hi", *typed, columns=columns))
    screen.type("\r")
    assert screen.remote.entered() == f"bob-first\n{long}\n\n漢字"
    screen.expect_line("alice>")


def test_up_and_down_move_in_a_message_and_then_through_what_was_typed(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type(f"bob-one\rbob-two{ALT_ENTER}three\r")
    assert screen.remote.entered() == "bob-one"
    assert screen.remote.entered() == "bob-two\nthree"
    screen.expect_line("alice>")
    screen.type(UP)
    screen.expect_line("three")
    assert screen.line(screen.cursor[1] - 1) == "alice> bob-two"
    screen.type(UP)
    screen.expect_line("alice> bob-two")
    screen.type(UP)
    screen.expect_line("alice> bob-one")
    screen.type(DOWN + DOWN)
    screen.expect_line("three")
    screen.type("!\r")
    assert screen.remote.entered() == "bob-two\nthree!"


@pytest.mark.parametrize(
    ("text", "entered"),
    [
        ("one\r\ntwo\rthree", "bob-one\ntwo\nthree!"),
        ("one\ntwo\nthree\n", "bob-one\ntwo\nthree!"),
        ("one\n", "bob-one!"),
    ],
)
def test_a_paste_of_a_few_lines_is_put_into_the_message(
    start_screen: StartScreen, text: str, entered: str
) -> None:
    screen = start_screen()
    screen.type("bob-" + pasted(text) + "!")
    screen.expect("!")
    screen.type("\r")
    assert screen.remote.entered() == entered


QUESTION: Final = "Paste 4 lines? y: yes, other keys: no"


@pytest.mark.parametrize("key", ["y", "Y"])
def test_a_longer_paste_is_put_into_the_message_by_y(
    start_screen: StartScreen, key: str
) -> None:
    screen = start_screen(columns=40)
    screen.type("bob-" + pasted("one\r\ntwo\r\nthree\r\nfour\r\n"))
    screen.expect_screen(
        rows("Connected.", "alice> bob-", QUESTION, columns=screen.columns)
    )
    screen.type(key + "!\r")
    assert screen.remote.entered() == "bob-one\ntwo\nthree\nfour!"


@pytest.mark.parametrize(
    "key", ["n", "\r", ALT_ENTER, "\x1b", "\x1bb", UP, CTRL_C, CTRL_D, "\t", "漢"]
)
def test_a_longer_paste_is_dropped_by_any_other_key_and_nothing_is_sent(
    start_screen: StartScreen, key: str
) -> None:
    screen = start_screen()
    screen.type("bob-Hi" + pasted("\n".join("abcd")))
    screen.expect(QUESTION)
    screen.type(key)
    screen.expect_screen(
        rows("Connected.", "alice> bob-Hi", TOOLBAR, columns=screen.columns)
    )
    screen.type("!\r")
    assert screen.remote.entered() == "bob-Hi!"


def test_a_paste_takes_the_place_of_one_that_waits(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.type("bob-" + pasted("\n".join("abcd")))
    screen.expect(QUESTION)
    screen.type(pasted("1\n2\n3\n4\n5"))
    screen.expect("Paste 5 lines?")
    screen.type("y\r")
    assert screen.remote.entered() == "bob-1\n2\n3\n4\n5"


def test_a_paste_that_waits_when_a_secret_is_asked_for_is_forgotten(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type(pasted("\n".join("abcd")))
    screen.expect(QUESTION)
    screen.remote.do("hide", True)
    screen.remote.do("show", "NOTICE", "Your password:")
    screen.expect("Your password:")
    screen.type("yes" + pasted("!\n") + "\r")
    assert screen.remote.entered() == "yes!"


def test_a_paste_that_no_message_can_hold_is_dropped_at_once(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type("bob-")
    screen.expect_line("alice> bob-")
    screen.paste("x" * (1 << 20))
    screen.expect("A paste of 1,048,576 bytes is too long for a message: dropped.")
    screen.expect_line("alice> bob-")
    screen.paste("y" * 10_000)
    screen.paste("z" * 10_000)
    screen.expect("A paste of 10,000 bytes is too long for a message: dropped.")
    screen.type("\r")
    screen.expect_line("alice>")
    assert screen.remote.entered() == "bob-" + "y" * 10_000


# What is typed before a key is pressed, what pressing it is, and the line after that.
PRESSES: Final[dict[str, tuple[str, str, str]]] = {
    "Alt-Enter": ("bob-Hi", ALT_ENTER + "there", "there"),
    "Tab": ("/h", "\t", "alice> /help"),
    "Up": ("bob-old\rnew", UP, "alice> bob-old"),
    "Down": ("bob-old\rnew" + UP, DOWN, "alice> new"),
    "Ctrl-R": ("bob-old\rbob-new\r", CTRL_R + "ol\r", "alice> bob-old"),
    "Ctrl-A": ("bcd", "\x01a", "alice> abcd"),
    "Ctrl-E": ("abc\x01", "\x05d", "alice> abcd"),
    "Alt-B": ("one three", "\x1bbtwo ", "alice> one two three"),
    "Alt-F": ("one three\x01", "\x1bf two", "alice> one two three"),
    "Ctrl-W": ("one two", "\x17", "alice> one"),
    "Ctrl-U": ("one two", CTRL_U + "x", "alice> x"),
    "Ctrl-K": ("one two\x01\x1bf", "\x0b", "alice> one"),
    "Ctrl-Y": ("one two" + CTRL_U, CTRL_Y, "alice> one two"),
}
PRESSED_ELSEWHERE: Final = {
    "Enter": "test_an_entered_line_is_handed_over_as_typed_and_stays_above_the_prompt",
    "Ctrl-L": "test_the_screen_can_be_cleared",
    "Ctrl-Z": "test_it_can_be_put_into_the_background_and_back",
    "Ctrl-C": "test_every_end_leaves_the_terminal_as_it_was",
    "Ctrl-D": "test_every_end_leaves_the_terminal_as_it_was",
}


@pytest.mark.parametrize("key", PRESSES)
def test_each_key_does_what_the_help_says(start_screen: StartScreen, key: str) -> None:
    screen = start_screen()
    before, press, line = PRESSES[key]
    *entered, half = before.split("\r")
    for each in entered:
        screen.type(f"{each}\r")
        assert screen.remote.entered() == each
        screen.expect_line("alice>")
    screen.type(half + press)
    screen.expect_line(line)


def test_the_screen_can_be_cleared(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.show("bob: Hi")
    screen.type("half")
    screen.expect("bob: Hi")
    screen.type("\x0c")
    screen.wait(lambda: screen.line(0) == "alice> half", "the prompt at the top")
    assert not any(screen.line(y) == "bob: Hi" for y in range(screen.rows))


def test_every_key_of_the_help_is_pressed_by_a_test() -> None:
    documented = {key for keys in KEYS for key in keys.split(", ")}
    assert documented == PRESSES.keys() | PRESSED_ELSEWHERE.keys()
    assert set(PRESSED_ELSEWHERE.values()) <= globals().keys()


def test_the_core_knows_what_is_half_typed_but_no_secret(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type("ab\x08")
    screen.expect_line("alice> a")
    screen.remote.do("hide", True)
    screen.remote.do("show", "NOTICE", "Your password:")
    screen.expect("Your password:")
    screen.type("secret\r")
    assert screen.remote.entered() == "secret"
    screen.remote.do("hide", False)
    screen.expect_line("alice> a")
    screen.type("c\r")
    assert screen.remote.entered() == "ac"
    screen.remote.do("tell_typed")
    assert screen.remote.told() == ["a", "ab", "a", "ac"]


@pytest.mark.parametrize(
    ("focus", "prompt"),
    [
        ("bob", "alice → bob>"),
        ("bob, carol", "alice → bob, carol>"),
        ("漢字", "alice → 漢字>"),
        ("anastasia, bartholomew, carol", "alice → anastasia, bartholomew,…>"),
    ],
)
def test_the_prompt_says_to_whom_lines_go(
    start_screen: StartScreen, focus: str, prompt: str
) -> None:
    screen = start_screen()
    screen.type("Hi")
    screen.expect_line("alice> Hi")
    screen.remote.do("talk_to", focus)
    screen.expect_prompt(f"{prompt} Hi")
    screen.remote.do("talk_to", "")
    screen.expect_prompt("alice> Hi")


def test_the_toolbar_says_to_whom_a_line_goes_and_what_is_unread(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40)
    screen.remote.do("unread", ["bob", 2], ["漢字", 1])
    bar = f"{TOOLBAR}   bob 2   漢字 1"
    screen.expect_screen(rows("Connected.", "alice>", bar, columns=40))
    screen.remote.do("talk_to", "carol")
    screen.type("Hi")
    bar = f"{TOOLBAR}   → carol   bob 2"
    screen.expect_screen(rows("Connected.", "alice → carol> Hi", bar, columns=40))


def test_bytes_that_are_no_text_are_handed_over_as_such(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type(b"bob-\xff\xfe!\r")
    assert screen.remote.entered() == "bob-\udcff\udcfe!"
    screen.expect("alice> bob-\ufffd\ufffd!")


def test_tab_completes_names_and_commands(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.type("BO\t")
    screen.expect_line("alice> bob-")
    screen.type(CTRL_U + "b\t")
    screen.expect_line("alice> b")
    screen.expect("bob, Böb")
    screen.type("ob,al\tHi\t!\r")
    assert screen.remote.entered() == "bob,alice-Hi!"
    screen.type("/q\t")
    screen.expect_line("alice> /quit")
    screen.type("\x08" + CTRL_U + "zed\t\r")
    assert screen.remote.entered() == "zed"


def test_tab_lists_no_more_than_fits(start_screen: StartScreen) -> None:
    screen = start_screen(columns=400)
    screen.remote.do("know", [f"user{number:03}" for number in range(60)])
    screen.show("bob: Hi")
    screen.expect("bob: Hi")
    screen.type("\t\t")
    screen.expect("user048, user049 ... and 10 more")
    screen.expect_line("alice> user0")


def test_the_prompt_has_the_name_as_the_server_shows_it(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.type("half 漢")
    screen.remote.do("name", "Ålice\x1b[2J")
    screen.show("Welcome, Ålice.", kind="NOTICE")
    screen.expect_line("Ålice\ufffd[2J> half 漢")


# What is shown ----------------------------------------------------------------------


CONTROLS: Final = "".join(
    map(chr, [*range(9), *range(10, 32), *range(127, 160), 0x202E, 0x2066, 0x2028])
)


def test_no_control_character_reaches_the_terminal(start_screen: StartScreen) -> None:
    screen = start_screen(columns=132)
    screen.type(f"half\x1b[200~{CONTROLS.replace(chr(13), '').replace(chr(10), '')}")
    screen.type("\x1b[201~")
    screen.show(f"bob: {CONTROLS}", "bob: <b>\x1b[31mred</b> {0} %s\tend")
    screen.expect("bob: " + "\ufffd" * len(CONTROLS))
    screen.expect("bob: <b>\ufffd[31mred</b> {0} %s\tend".expandtabs())
    screen.expect_line("alice> half" + "\ufffd" * (len(CONTROLS) - 2))
    screen.type("\r")
    screen.remote.entered()
    screen.expect_line("alice>")
    # Nothing but what prompt_toolkit itself needs.
    text = screen.written.decode()
    assert not set(CONTROLS) - set("\x1b\r\n\x08") & set(text)
    assert "\x1b[31m" not in text


def test_lines_that_are_no_messages_have_colours(start_screen: StartScreen) -> None:
    screen = start_screen()
    for kind in ("ANSWER", "NOTICE", "ERROR"):
        screen.show(kind, kind=kind)
    screen.expect("ERROR")
    screen.expect_line("alice>")
    colours = {screen.line(y): screen.colour(y) for y in range(1, 5)}
    assert colours == {
        "ANSWER": "0087af",
        "NOTICE": GREY,
        "ERROR": "d7005f",
        "alice>": "default",
    }


def test_who_wants_no_colours_gets_none(start_screen: StartScreen) -> None:
    screen = start_screen(env={"NO_COLOR": "1"})
    screen.show("not sent", kind="ERROR")
    screen.expect("not sent")
    assert screen.colour(1) == "default"


@pytest.mark.measured
def test_the_terminal_is_asked_nothing(start_screen: StartScreen) -> None:
    # An answer that comes after the end would be typed at the shell's prompt.
    screen = start_screen()
    screen.show("bob: Hi")
    screen.resize(100)
    screen.type("\t" + CTRL_C)
    assert screen.ended() == 0
    assert b"\x1b[6n" not in screen.written
    assert b"\x1b[c" not in screen.written


# What was sent ----------------------------------------------------------------------


class Sent:
    """What is said of messages to bob at a screen of some columns."""

    def __init__(self, screen: Driven) -> None:
        self.screen = screen
        self.above = ["Connected."]

    def send(self, text: str, number: int) -> None:
        self.screen.remote.do("send", "bob", text, number)

    def expect(self, *lines: str, half: str = HALF, below: str = TOOLBAR) -> None:
        """Wait for what is written, these lines, the prompt and the toolbar."""
        columns = self.screen.columns
        shown = rows(*self.above, *lines, columns=columns)
        shown += laid_out_in_prompt(f"alice> {half}", columns)
        self.screen.expect_screen(shown + rows(below, columns=columns))


@pytest.fixture(params=WIDTHS)
def sent(start_screen: StartScreen, request: pytest.FixtureRequest) -> Sent:
    screen = start_screen(columns=request.param)
    screen.remote.do("stand", "CONNECTED")
    screen.type(HALF)
    screen.expect_half_typed(rows("Connected.", columns=request.param))
    return Sent(screen)


def test_a_message_is_seen_until_it_is_delivered_and_then_stays(sent: Sent) -> None:
    sent.send("Hi", 1)
    sent.expect("14:13 → bob  Hi …", below=f"{TOOLBAR}   1 waiting")
    name = sent.screen.colour(1, len("14:13 → "))
    assert not any(sent.screen.emulator.buffer[1][x].bold for x in range(20))
    sent.screen.receive("bob", "Hello")
    sent.above.append("14:13 bob  Hello")
    sent.expect("14:13 → bob  Hi …", below=f"{TOOLBAR}   1 waiting")
    sent.screen.remote.do("become", "bob", 1, "delivered")
    sent.above.append("14:13 → bob  Hi ✓✓")
    sent.expect()
    # Nothing but the mark has changed.
    assert sent.screen.colour(2, len("14:13 → ")) == name
    assert not any(sent.screen.emulator.buffer[2][x].bold for x in range(20))


def test_a_message_that_is_delivered_at_once_never_moves(sent: Sent) -> None:
    screen = sent.screen
    screen.remote.do("sends", 0.01)
    screen.remote.do("receive", "carol", "Go")
    screen.expect("Go")
    screen.type(CTRL_U + "bob-Hi there\r")
    shown = "14:13 → bob  Hi there"
    seen: list[tuple[str, str, str]] = []
    # Whatever is written in one go is seen by itself.
    while not seen or "✓✓" not in seen[-1][0]:
        assert screen.read(DEADLINE)
        if screen.emulator.cursor.hidden:
            continue
        seen.append((screen.line(2), screen.line(3), screen.line(4)))
    first = next(n for n, (line, *_) in enumerate(seen) if line.startswith(shown))
    for line, prompt, below in seen[first:]:
        assert line in (shown, f"{shown} ✓✓")
        assert (prompt, below) == ("alice>", TOOLBAR)


def test_a_message_is_stored_and_later_delivered(sent: Sent) -> None:
    sent.send("Hi", 1)
    sent.screen.remote.do("become", "bob", 1, "stored")
    sent.expect("14:13 → bob  Hi ✓")
    sent.screen.receive("carol", "Hello")
    sent.above.append("14:13 carol  Hello")
    sent.expect("14:13 → bob  Hi ✓")
    # After a second it is written in its place: what comes then stands below it.
    screen = sent.screen
    for number in count(1):
        screen.receive("carol", f"And {number}?")
        screen.expect(f"And {number}?")
        lines = screen.lines()
        if lines.index("14:13 → bob  Hi ✓") < lines.index(
            f"14:13 carol  And {number}?"
        ):
            break
    screen.remote.do("become", "bob", 1, "delivered")
    screen.expect("bob has: Hi")
    (later,) = (line for line in screen.lines() if "bob has" in line)
    assert re.fullmatch(r"\d\d:\d\d bob has: Hi", later)


def test_a_message_that_is_refused_stands_above_the_reason(sent: Sent) -> None:
    sent.send("Hi", 1)
    sent.screen.remote.do("become", "bob", 1, "refused")
    sent.screen.show("User 'bob' not found.", kind="ERROR")
    sent.above += ["14:13 → bob  Hi ✗", "User 'bob' not found."]
    sent.expect()
    assert sent.screen.colour(1, len("14:13 → bob  Hi ")) == "d7005f"
    assert sent.screen.colour(2) == "d7005f"


def test_what_waits_for_the_connection_is_seen_in_few_rows(sent: Sent) -> None:
    sent.screen.remote.do("stand", "CONNECTING")
    below = TOOLBAR.replace("●", "○") + ", connecting"
    sent.expect(below=below)
    for number in range(1, 10):
        sent.send(f"text {number}", number)
    seen = [f"14:13 → bob  text {number} …" for number in range(5, 10)]
    below += "   9 waiting" if sent.screen.columns > 40 else ""
    sent.expect("... and 4 more waiting", *seen, below=below)
    sent.screen.receive("bob", "Still here")
    sent.above.append("14:13 bob  Still here")
    sent.expect("... and 4 more waiting", *seen, below=below)
    sent.screen.remote.do("stand", "CONNECTED")
    for number in range(1, 10):
        sent.screen.remote.do("become", "bob", number, "delivered")
    sent.above += [f"14:13 → bob  text {number} ✓✓" for number in range(1, 10)]
    sent.expect()


def test_a_message_stands_where_it_was_typed_and_no_command_does(
    start_screen: StartScreen,
) -> None:
    screen = start_screen()
    screen.remote.do("stand", "CONNECTED")
    screen.remote.do("sends")
    screen.type("bob-Hi there\r")
    screen.remote.entered()
    screen.expect("14:13 → bob  Hi there …")
    screen.remote.do("become", "bob", 1, "delivered")
    screen.expect("✓✓")
    screen.type("/help\r")
    screen.remote.entered()
    screen.expect_half_typed(
        rows("Connected.", "14:13 → bob  Hi there ✓✓", "alice> /help", columns=80), ""
    )


def test_what_has_no_answer_at_the_end_is_written_with_its_state(sent: Sent) -> None:
    sent.send("one", 1)
    sent.send("two", 2)
    sent.screen.remote.do("become", "bob", 2, "stored")
    sent.screen.type(CTRL_U)
    sent.expect(
        "14:13 → bob  one …",
        "14:13 → bob  two ✓",
        half="",
        below=f"{TOOLBAR}   1 waiting",
    )
    sent.screen.remote.do("stop")
    assert sent.screen.ended() == 0
    assert sent.screen.lines() == [
        "Connected.",
        "14:13 → bob  one …",
        "14:13 → bob  two ✓",
        "Disconnected.",
    ]


def test_what_waits_at_the_end_stands_above_what_is_half_typed(sent: Sent) -> None:
    sent.screen.remote.do("stand", "CONNECTING")
    sent.send("one", 1)
    sent.screen.expect("14:13 → bob  one …")
    sent.screen.type(CTRL_U + "half" + CTRL_C)
    assert sent.screen.ended() == 0
    assert sent.screen.lines() == [
        "Connected.",
        "14:13 → bob  one …",
        "alice> half",
        "Disconnected.",
    ]


def test_marks_are_ascii_where_the_terminal_shows_nothing_else(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(env={"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"})
    screen.remote.do("stand", "CONNECTED")
    screen.remote.do("send", "bob", "Hi", 1)
    screen.remote.do("become", "bob", 1, "delivered")
    screen.expect_screen(
        rows("Connected.", "14:13 -> bob  Hi ++", "alice>", columns=80)
        + rows("* 127.0.0.1:5555", columns=80)
    )


# What is old, and what is new -------------------------------------------------------


@pytest.mark.parametrize("columns", WIDTHS)
def test_what_is_old_stands_above_a_line_and_what_was_queued_below(
    start_screen: StartScreen, columns: int
) -> None:
    screen = start_screen(columns=columns)
    screen.remote.do("remember", "bob", "alice", "Old", "")
    screen.remote.do("remember", "alice", "bob", "Own", "stored")
    screen.remote.do("away", None)
    screen.receive("bob", "Meanwhile", queued=True)
    screen.expect("Meanwhile")
    screen.expect_line("alice>")
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    day = [f"── {each:%A}, {each.day} {each:%B %Y} " for each in (yesterday, today)]
    assert screen.lines() == [
        "Connected.",
        day[0].ljust(columns, "─"),
        "14:13 bob  Old",
        "14:13 → bob  Own ✓",
        "── new ".ljust(columns, "─"),
        day[1].ljust(columns, "─"),
        "14:13 bob  Meanwhile",
        "alice>",
        TOOLBAR,
    ]
    assert screen.colour(2, len("14:13 ")) == GREY
    assert screen.colour(6, len("14:13 ")) != GREY


# The toolbar ------------------------------------------------------------------------


def test_the_toolbar_counts_down_to_the_next_attempt(start_screen: StartScreen) -> None:
    screen = start_screen(columns=60)
    screen.type(HALF)
    screen.remote.do("stand", "PAUSING", 2.9)
    seen = rows("Connected.", columns=60)
    seen += laid_out_in_prompt(f"alice> {HALF}", 60)
    for seconds in (3, 2, 1):
        toolbar = f"○ 127.0.0.1:5555, again in {seconds} s"
        screen.expect_screen(seen + rows(toolbar, columns=60))
    screen.remote.do("stand", "CONNECTED")
    screen.expect_screen(seen + rows(TOOLBAR, columns=60))


def test_the_toolbar_tells_to_whom_it_goes_and_what_is_unread(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=60)
    screen.remote.do("unread", ["carol", 2], ["dora", 1])
    screen.remote.do("name_destination", "bob")
    screen.type("x")
    toolbar = f"{TOOLBAR}   → bob   carol 2   dora 1"
    shown = rows("Connected.", "alice> x", toolbar, columns=60)
    screen.expect_screen(shown)
    screen.resize(40)
    toolbar = f"{TOOLBAR}   → bob   carol 2"
    screen.expect_screen(rows("Connected.", "alice> x", toolbar, columns=40))
    screen.remote.do("hide", True)
    toolbar = f"{TOOLBAR}   carol 2   dora 1"
    screen.expect_screen(rows("Connected.", "password>", toolbar, columns=40))


@pytest.mark.parametrize("end", ["Ctrl-C", "SIGTERM", "cut off"])
def test_no_trace_of_the_toolbar_stays(start_screen: StartScreen, end: str) -> None:
    screen = start_screen(columns=40, rows=8)
    screen.remote.do("burst", 1, 20)
    screen.type("bob-half")
    screen.expect_half_typed(
        messages(*(f"message {n}" for n in range(1, 21)), columns=40), "bob-half"
    )
    for columns in (60, 40, 60):
        screen.resize(columns)
        screen.expect_prompt("alice> bob-half")
    act = (lambda each: each.remote.do("cut")) if end == "cut off" else ENDS[end][1]
    act(screen)
    screen.ended()
    lines = [f"14:13 bob  message {number}" for number in range(1, 21)]
    shown = ["Connected.", *lines, "alice> bob-half"]
    assert screen.lines() == shown + ["Disconnected."] * (end != "cut off")


def test_where_there_is_little_room_there_is_no_toolbar(
    start_screen: StartScreen,
) -> None:
    screen = start_screen(columns=40, rows=4)
    screen.expect_screen(rows("Connected.", "alice>", TOOLBAR, columns=40))
    screen.resize(40, 3)
    screen.expect_screen(rows("Connected.", "alice>", columns=40))
    screen.resize(40, 10)
    screen.expect_screen(rows("Connected.", "alice>", TOOLBAR, columns=40))


# Colours ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "time", "coloured"),
    [
        ({}, "767676", True),
        ({"COLORFGBG": "15;0"}, "8a8a8a", True),
        ({"COLORFGBG": "0;15"}, "6c6c6c", True),
        ({"NO_COLOR": "1"}, "default", False),
    ],
    ids=["unknown", "dark", "light", "none"],
)
def test_colours_are_those_for_the_background(
    start_screen: StartScreen, env: dict[str, str], time: str, coloured: bool
) -> None:
    screen = start_screen(env={"COLORFGBG": ""} | env)
    screen.receive("bob", "Hi")
    screen.receive("alice", "To myself")
    screen.expect("To myself")
    name, text = len("14:13 "), len("14:13 bob  ")
    assert screen.colour(1) == time
    assert (screen.colour(1, name) not in (time, "default")) == coloured
    assert screen.colour(1, text) == "default"
    assert screen.emulator.buffer[2][name].bold
    assert not screen.emulator.buffer[1][name].bold
    assert screen.colour(2, name) == "default"


# The end ----------------------------------------------------------------------------


def _kill(number: signal.Signals) -> Callable[[Driven], None]:
    return lambda screen: screen.signal(number)


def _quit(screen: Driven) -> None:
    screen.type(CTRL_U + "/quit\r")
    assert screen.remote.entered() == "/quit"


def _daemon_killed(screen: Driven) -> None:
    screen.show("The connection was lost.", kind="NOTICE")
    screen.remote.do("stop")
    screen.remote.do("stop")


ENDS: Final[dict[str, tuple[int, Callable[[Driven], None]]]] = {
    "Ctrl-C": (0, lambda screen: screen.type(CTRL_C)),
    "Ctrl-D": (0, lambda screen: screen.type(CTRL_U + CTRL_D)),
    "quit": (0, _quit),
    "SIGTERM": (0, _kill(signal.SIGTERM)),
    "SIGINT": (0, _kill(signal.SIGINT)),
    "SIGHUP": (0, _kill(signal.SIGHUP)),
    "the core stops it": (0, _daemon_killed),
    "main fails": (1, lambda screen: screen.remote.do("fail")),
    "the core has a bug": (1, lambda screen: screen.type(CTRL_U + "/bug\r")),
    "the loop is left": (3, lambda screen: screen.remote.do("exit")),
    "the program is cut off": (4, lambda screen: screen.remote.do("cut")),
}


@pytest.mark.measured
@pytest.mark.parametrize("end", ENDS)
def test_every_end_leaves_the_terminal_as_it_was(
    start_screen: StartScreen, end: str
) -> None:
    screen = start_screen(columns=40)
    screen.type(HALF)
    screen.expect_half_typed(rows("Connected.", columns=40))
    assert screen.attributes() != screen.attributes_before
    screen.wait(lambda: screen.modes() == LEFT_ON | {2004}, "the end of drawing")
    status, act = ENDS[end]
    act(screen)
    assert screen.ended() == status
    assert screen.attributes() == screen.attributes_before
    assert screen.modes() == LEFT_ON
    assert screen.cursor[0] == 0
    assert not screen.line(screen.cursor[1])


@pytest.mark.parametrize("end", ["Ctrl-C", "SIGTERM", "the core stops it"])
def test_what_is_half_typed_at_the_end_stays_to_be_seen(
    start_screen: StartScreen, end: str
) -> None:
    screen = start_screen(columns=80)
    screen.type("bob-important")
    screen.expect_line("alice> bob-important")
    _, act = ENDS[end]
    act(screen)
    screen.ended()
    *_, typed, last = screen.lines()
    assert (typed, last) == ("alice> bob-important", "Disconnected.")


def test_an_empty_prompt_does_not_stay(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.show("bob: Hi")
    screen.expect("bob: Hi")
    screen.type(CTRL_D)
    assert screen.ended() == 0
    assert screen.lines() == ["Connected.", "bob: Hi", "Disconnected."]


@pytest.mark.measured
def test_what_was_shown_just_before_the_end_is_seen(start_screen: StartScreen) -> None:
    screen = start_screen()
    screen.remote.do("burst", 1, 100)
    screen.remote.do("stop")
    assert screen.ended() == 0
    lines = [f"14:13 bob  message {number}" for number in range(1, 101)]
    assert screen.lines() == ["Connected.", *lines, "Disconnected."]


@pytest.mark.measured
def test_it_can_be_stopped_before_it_has_begun(start_screen: StartScreen) -> None:
    screen = start_screen("stop")
    assert screen.ended() == 0
    assert screen.lines() == ["Connected.", "Disconnected."]
    assert screen.modes() <= LEFT_ON


@pytest.mark.parametrize("controlling", [True, False], ids=["SIGHUP", "no signal"])
def test_it_ends_when_its_terminal_goes(
    start_screen: StartScreen, controlling: bool
) -> None:
    screen = start_screen(controlling=controlling)
    screen.type(HALF)
    screen.expect("and so on")
    screen.hang_up()
    screen.process.wait(DEADLINE)


@pytest.mark.measured
def test_it_can_be_put_into_the_background_and_back(
    needs: Callable[[str], str],
) -> None:
    bash = needs("bash")
    remote = Remote()
    theirs = remote.theirs.fileno()
    shell = Terminal(
        [bash, "--norc", "-i"], columns=132, pass_fds=[theirs], env={"PS1": "$ "}
    )
    try:
        shell.expect_line("$")
        python = shell_word(sys.executable)
        shell.type(f"{python} {shell_word(str(DRIVER))} {theirs}\r")
        shell.expect_line("alice>")
        shell.type("bob-漢字")
        shell.expect_line("alice> bob-漢字")
        shell.type(CTRL_Z)
        shell.expect("Stopped")
        shell.expect_line("$")
        remote.do("show", "NOTICE", "bob: Hi")
        shell.type("stty -g\r")
        shell.wait(lambda: shell.line(shell.cursor[1] - 1).count(":") > 30, "stty")
        stopped = shell.line(shell.cursor[1] - 1)
        shell.type("fg\r")
        shell.expect("bob: Hi")
        shell.expect_line("alice> bob-漢字")
        shell.type("語\r")
        assert remote.entered() == "bob-漢字語"
        shell.type(CTRL_D)
        shell.expect("Disconnected.")
        shell.expect_line("$")
        shell.type("clear; stty -g\r")
        shell.wait(lambda: shell.line(0).count(":") > 30, "stty")
        assert shell.line(0) == stopped
    finally:
        shell.close()
        remote.close()


def shell_word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
