"""Makes docs/chat.svg and docs/chat-light.svg: a real conversation at a real terminal.

Run it with the tests' environment: ``.venv/bin/python docs/picture.py``. It starts a
daemon, lets people talk through it, and draws what a terminal emulator shows. With
``faketime`` (apt install faketime) it begins yesterday.
"""

import html
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from wcwidth import wcswidth

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from terminal import Terminal  # noqa: E402

PROGRAMS: Final = Path(sys.executable).parent
COLUMNS, ROWS = 76, 23
CELL, LINE, MARGIN = 8.4, 19, 14
THEMES: Final = {
    "chat.svg": ("15;0", "#1e2127", "#d8dee9"),
    "chat-light.svg": ("0;15", "#ffffff", "#24292f"),
}
"""For each picture what the terminal says of itself, and its two colours."""

HINT: Final = "/help lists the"


class People:
    """Those who talk, at a daemon that begins so long ago."""

    def __init__(self, home: str, colours: str) -> None:
        self._home = home
        self._env = {"XDG_DATA_HOME": home, "COLORFGBG": colours, "TZ": "UTC"}
        self._faking: dict[str, str] = {}
        self.port = "0"

    @contextmanager
    def daemon(self, ago: str = "") -> Iterator[None]:
        """Run a daemon, and all else meanwhile, as if it were so long ago."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        self._faking = {}
        if ago and library is not None:
            self._faking = {"LD_PRELOAD": str(library), "FAKETIME": f"-{ago}"}
        listen = f"--port=tcp:{self.port}:interface=127.0.0.1"
        daemon = subprocess.Popen(
            [PROGRAMS / "twistd", "-n", "--pidfile=", "chatd", listen],
            cwd=self._home,
            env=os.environ | self._faking,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert daemon.stdout is not None
        try:
            self.port = next(
                line.rpartition(":")[2].strip()
                for line in daemon.stdout
                if "Listening on" in line
            )
            yield
        finally:
            daemon.terminate()
            daemon.wait(20)

    def at_terminal(self, name: str) -> Terminal:
        """Let somebody sit down."""
        command = [PROGRAMS / "chat", f"{name}@127.0.0.1:{self.port}"]
        env = self._env | self._faking | {"HOME": f"{self._home}/{name}"}
        return Terminal(command, columns=COLUMNS, rows=ROWS, env=env)

    def say(self, name: str, *lines: str, still_there: bool = False) -> None:
        """Let a script send lines, with nc."""
        send = name if still_there else f"/send-only {name}"
        subprocess.run(
            ["nc", "127.0.0.1", self.port],
            input="".join(f"{line}\n" for line in (send, *lines, "/quit")),
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
            timeout=20,
        )


def converse(people: People) -> Terminal:
    """Let alice talk yesterday and today; return her terminal."""
    with people.daemon(ago="15h"):
        people.say("dora", still_there=True)
        bob, alice = people.at_terminal("bob"), people.at_terminal("alice")
        with closing(bob), closing(alice):
            bob.expect(HINT)
            alice.expect(HINT)
            bob.type("alice-Shall we look at the new release tomorrow?\r")
            alice.expect("tomorrow?")
            alice.type("bob-Yes, after coffee ☕\r")
            bob.expect("after coffee")
            alice.expect("✓✓")
            alice.type("/quit\r")
            alice.ended()
        people.say("backup", "alice-Backup of host7 finished")
    with people.daemon():
        bob = people.at_terminal("bob")
        with closing(bob):
            bob.expect(HINT)
            bob.type("alice-好主意! The notes are up, see what you think:\r")
            bob.expect("✓")
            alice = people.at_terminal("alice")
            alice.expect(HINT)
            alice.expect("notes are up")
            alice.type("/to bob\r")
            alice.expect("alice → bob>")
            bob.type("alice-https://docs.example.org/releases/2026.11/notes.html\r")
            alice.expect("notes.html")
            alice.type("Reading. The part about queues could say what happens when")
            alice.type(" a disk is full, and who is told\r")
            bob.expect("who is told")
            alice.expect("told ✓✓")
            bob.type("alice-Good point, I will add it 👍\r")
            alice.expect("add it")
            alice.type("dora-Back from holiday yet?\r")
            alice.expect("yet? ✓")
            people.say("carol", "alice-Lunch at noon?")
            alice.expect("Lunch at noon?")
            alice.type("See you th")
            alice.expect_prompt("alice → bob> See you th")
    return alice


def draw(terminal: Terminal, background: str, foreground: str) -> str:
    """Return the terminal's screen as an SVG."""
    width, height = COLUMNS * CELL + 2 * MARGIN, ROWS * LINE + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}">',
        f'<rect width="100%" height="100%" rx="8" fill="{background}"/>',
        "<g font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\""
        f' font-size="14" fill="{foreground}" xml:space="preserve">',
    ]
    for y in range(ROWS):
        for x, text, fields in runs(terminal, y):
            left, base = MARGIN + x * CELL, MARGIN + (y + 0.75) * LINE
            out.append(
                f'<text x="{left:g}" y="{base:g}"{fields}>{html.escape(text)}</text>'
            )
    x, y = terminal.cursor
    out.append(
        f'<rect x="{MARGIN + x * CELL:g}" y="{MARGIN + y * LINE + 1}"'
        f' width="{CELL}" height="{LINE - 2}" fill="{foreground}" opacity="0.6"/>'
    )
    return "\n".join([*out, "</g>", "</svg>", ""])


def runs(terminal: Terminal, y: int) -> Iterator[tuple[int, str, str]]:
    """Return the texts of a row that are drawn alike: column, text, attributes.

    What fonts may draw wider or narrower than its cells stands alone.
    """
    row = terminal.emulator.buffer[y]

    def alike(x: int) -> Any:
        cell = row[x]
        alone = x if not cell.data.isascii() and cell.data != "─" else -1
        return cell.fg, cell.bold, alone

    for (colour, bold, _), group in groupby(range(COLUMNS), alike):
        columns = list(group)
        text = "".join(row[x].data for x in columns)
        if not text.strip():
            continue
        fields = "" if colour == "default" else f' fill="#{colour}"'
        fields += ' font-weight="bold"' * bold
        width = max(len(columns), wcswidth(text)) * CELL
        fields += f' textLength="{width:g}"' if len(columns) > 1 else ""
        yield columns[0], text, fields


def main() -> None:
    """Write the pictures."""
    os.environ.pop("NO_COLOR", None)
    for name, (said, background, foreground) in THEMES.items():
        with tempfile.TemporaryDirectory() as folder:
            terminal = converse(People(folder, said))
            picture = draw(terminal, background, foreground)
            (ROOT / "docs" / name).write_text(picture, encoding="utf-8")
            terminal.close()


if __name__ == "__main__":
    main()
