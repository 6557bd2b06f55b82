"""Makes docs/chat.svg: a real conversation, as it stands on a real terminal.

Run it with the tests' environment: ``.venv/bin/python docs/picture.py``. It starts a
daemon, lets people talk through it, and draws what a terminal emulator shows.
"""

import html
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from terminal import Terminal  # noqa: E402

PROGRAMS: Final = Path(sys.executable).parent
COLUMNS, ROWS = 76, 11
CELL, LINE = 8.4, 19
COLOURS: Final = {
    "default": "#d8dee9",
    "red": "#ef7b85",
    "green": "#a3d392",
    "yellow": "#e5c07b",
    "brown": "#e5c07b",
    "blue": "#81a1d9",
    "magenta": "#c792d9",
    "cyan": "#7fc8d0",
}


def converse(port: str, home: str) -> Terminal:
    """Let alice talk to bob, a script and somebody away; return her terminal."""
    env = {"HOME": home, "XDG_DATA_HOME": f"{home}/data"}
    say(port, "/send-only dora", "/quit")
    bob = Terminal([PROGRAMS / "chat", f"bob@127.0.0.1:{port}"], columns=80, env=env)
    bob.expect("(/help lists the commands)")
    address = f"alice@127.0.0.1:{port}"
    alice = Terminal([PROGRAMS / "chat", address], columns=COLUMNS, rows=ROWS, env=env)
    alice.expect("(/help lists the commands)")
    alice.type("bob-Coffee? ☕\r")
    bob.expect("alice: Coffee? ☕")
    bob.type("alice-好主意, in ten minutes\r")
    alice.expect("bob: 好主意, in ten minutes")
    say(port, "/send-only backup", "alice-Backup of host7 finished", "/quit")
    alice.expect("backup: Backup of host7 finished")
    alice.type("dora-Back from holiday yet?\r")
    alice.expect("Stored for dora.")
    alice.type("bob-See you th")
    alice.expect_prompt("alice> bob-See you th")
    bob.close()
    return alice


def say(port: str, *lines: str) -> None:
    """Send lines as a script does, with nc."""
    subprocess.run(
        ["nc", "127.0.0.1", port],
        input="".join(f"{line}\n" for line in lines),
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=20,
    )


def draw(terminal: Terminal) -> str:
    """Return the terminal's screen as an SVG."""
    rows = [terminal.cells(y) for y in range(ROWS)]
    width, height = COLUMNS * CELL + 24, ROWS * LINE + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}">',
        '<rect width="100%" height="100%" rx="8" fill="#20242c"/>',
        "<g font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\""
        ' font-size="14" xml:space="preserve">',
    ]
    for y, row in enumerate(rows):
        text = "".join(row).rstrip()
        if text:
            colour = COLOURS.get(terminal.colour(y), COLOURS["default"])
            out.append(
                f'<text x="12" y="{12 + (y + 0.75) * LINE:g}" fill="{colour}">'
                f"{html.escape(text)}</text>"
            )
    return "\n".join([*out, "</g>", "</svg>", ""])


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = subprocess.Popen(
            [PROGRAMS / "twistd", "-n", "chatd", "--port=tcp:0:interface=127.0.0.1"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert daemon.stdout is not None
            port = next(
                line.rpartition(":")[2].strip()
                for line in daemon.stdout
                if "Listening on" in line
            )
            terminal = converse(port, folder)
            (ROOT / "docs" / "chat.svg").write_text(draw(terminal), encoding="utf-8")
            terminal.close()
        finally:
            daemon.terminate()
            daemon.wait(20)


if __name__ == "__main__":
    main()
