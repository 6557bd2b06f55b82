"""The texts of messages: each says what it is, so that it is known when it comes."""

import re
from typing import Final

_TEXT: Final = re.compile(r"([a-z0-9.]+)/([0-9]+)/([0-9]+):(\.*)")


def text_of(stream: str, number: int, filler: int) -> str:
    """Return the text of a message, with so many characters to make it longer."""
    return f"{stream}/{number}/{filler}:{'.' * filler}"


def origin_of(text: str) -> tuple[str, int] | None:
    """Return the stream and the number that a text is of; None if it was changed."""
    match = _TEXT.fullmatch(text)
    if match is None or int(match[3]) != len(match[4]):
        return None
    return match[1], int(match[2])
