"""Text made safe to show on a terminal.

Messages are kept and passed on to programs as they were sent; what a person will see,
on a text connection, in a log or in the client, goes through here first. A terminal
obeys control characters, and a bidirectional control can make a line read as another.
"""

import re
from typing import Final

# C0 without tab, DEL and C1; the bidirectional controls; line and paragraph separator;
# lone surrogates, which no encoder takes.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u2028\u2029"
    "\ud800-\udfff]"
)


def neutralise(text: str) -> str:
    """Return `text` with U+FFFD for each character that a screen should not get.

    Tab passes. A line feed does not: who has several lines splits them before.
    """
    # Nothing unsafe is printable, and to ask costs half of a search. For the rest a
    # regular expression is 4 to 18 times as fast as str.translate, which looks up
    # each character beyond ASCII in a dict (measured: CPython 3.11).
    if text.isprintable():
        return text
    return _UNSAFE.sub("\ufffd", text)
