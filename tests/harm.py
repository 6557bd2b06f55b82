"""What a terminal must never get, and a text that has some of each kind."""

import re
from typing import Final

HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff]"
)
"""Whatever is no text; a line feed ends a line, and a tab passes."""

ESCAPES: Final = "\x1b]0;t\x07\x1b[2J\x9b1m\u202e\u2066\u2028\u200e\x7f\x85\x00\rx"
"""A title, an empty screen, red, and what turns or ends a line."""
