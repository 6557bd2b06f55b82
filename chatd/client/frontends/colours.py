"""The colours of a conversation, for dark and for light backgrounds.

Where nobody says which it is, they are those in the middle, which can be read on both.
The sixteen that a terminal has of its own cannot: of xterm's, cyan is hardly seen on
white, and blue on black; and some people make their grey the background.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from chatd.client.frontends.transcript import NAME_COLOURS

# All of xterm's 256, so that they are the same wherever there are no more.
# fmt: off
_NAMES: Final[dict[str, Sequence[str]]] = {
    "dark": [
        "#87afff", "#87d75f", "#ffaf87", "#ff87d7",
        "#5fd7d7", "#d7d75f", "#af87ff", "#d7875f",
    ],
    "light": [
        "#005faf", "#005f00", "#875f00", "#af0087",
        "#005f5f", "#5f00af", "#af005f", "#5f5f87",
    ],
    "auto": [
        "#005fff", "#008700", "#af5f00", "#d700af",
        "#008787", "#5f8700", "#875fd7", "#af5f5f",
    ],
}
# fmt: on
_OTHERS: Final = {
    "dark": {
        "time": "#8a8a8a",
        "new": "#ffaf5f",
        "answer": "#5fd7d7",
        "notice": "#a8a8a8",
        "error": "#ff8787",
        "on": "#87d787",
        "off": "#ffaf5f",
        "delivered": "#87d787",
    },
    "light": {
        "time": "#6c6c6c",
        "new": "#af5f00",
        "answer": "#005f87",
        "notice": "#626262",
        "error": "#d70000",
        "on": "#008700",
        "off": "#af5f00",
        "delivered": "#008700",
    },
    "auto": {
        "time": "#767676",
        "new": "#af5f00",
        "answer": "#0087af",
        "notice": "#767676",
        "error": "#d7005f",
        "on": "#008700",
        "off": "#af5f00",
        "delivered": "#008700",
    },
}


def background(chosen: str, environ: Mapping[str, str]) -> str:
    """Return ``dark`` or ``light``, or ``auto`` if nobody says what is behind."""
    if chosen != "auto":
        return chosen
    # Such as "15;0": the colours of text and of what is behind it.
    number = environ.get("COLORFGBG", "").rpartition(";")[2]
    if not (number.isascii() and number.isdigit()):
        return "auto"
    return "light" if int(number) in (7, *range(9, 16)) else "dark"


def colour_depth(when: str) -> ColorDepth | None:
    """Return how many colours are used; None for as many as the terminal has.

    `when` is ``never``, ``always``, or ``auto``: as the environment says.
    """
    if when == "always":
        return None
    return ColorDepth.DEPTH_1_BIT if when == "never" else ColorDepth.from_env()


def style(which: str) -> Style:
    """Return the styles of everything that is shown, on such a background."""
    names, others = _NAMES[which], _OTHERS[which]
    quiet = others["time"]
    return Style.from_dict(
        {
            "time": quiet,
            "arrow": quiet,
            "rule": quiet,
            "later": quiet,
            "own": "bold",
            "ask": "bold",
            "new": others["new"],
            "answer": others["answer"],
            "notice": others["notice"],
            "error": others["error"],
            "waiting": others["off"],
            "stored": quiet,
            "delivered": others["delivered"],
            "refused": others["error"],
            "match": "reverse",
            "bar": quiet,
            "bar.on": others["on"],
            "bar.off": others["off"],
            "bar.waiting": others["off"],
            "bar.question": "bold",
            **{
                f"name{number}": names[number % len(names)]
                for number in range(NAME_COLOURS)
            },
            # The last: it takes the colours of all before.
            "old": quiet,
        }
    )
