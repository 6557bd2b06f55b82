"""What a setting can be: how a value is read, checked and shown.

A value is read from a string, as the environment and the command line have it, or from
what TOML made of it.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chatd.client.settings.address import parse_server, parse_user
from chatd.fingerprint import parse_fingerprint
from chatd.wire.names import Name

_TRUE: Final = ("1", "yes", "true", "on")
_FALSE: Final = ("0", "no", "false", "off")


class BadValue(ValueError):
    """A value that a setting cannot have; str() is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    `placeholder` stands for it in a usage, `allowed` says what it is, as the end of a
    sentence. `parse` raises `ValueError` with a sentence.
    """

    placeholder: str
    allowed: str
    parse: Callable[[str], object]
    types: tuple[type, ...] = (str,)
    words: tuple[str, ...] = ()

    def from_text(self, text: str) -> object:
        """Return the value that a string stands for. Raises `BadValue`."""
        try:
            return self.parse(text)
        except ValueError as error:
            sentence = str(error)
            if not sentence.endswith("."):
                sentence = f"{text[:64]!r} is not {self.allowed}."
            raise BadValue(sentence) from None

    def from_toml(self, value: object) -> object:
        """Return the value that a TOML file means. Raises `BadValue`."""
        if type(value) not in self.types:  # True is an int, too
            how = "in" if str in self.types else "without"
            raise BadValue(f"This must be {self.allowed}, {how} quotation marks.")
        return self.from_text(value if isinstance(value, str) else toml(value))


def toml(value: object) -> str:
    """Return a value as TOML has it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}" if float(value).is_integer() else repr(value)
        case Name():
            value = value.shown
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def choice(*words: str) -> Kind:
    """Return the kind that is one of some words."""

    def parse(text: str) -> str:
        word = text.lower()
        if word not in words:
            raise ValueError
        return word

    listed = ", ".join(words[:-1]) + f" or {words[-1]}"
    return Kind("|".join(words), listed, parse, words=words)


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError
    return word in _TRUE


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]*\.?[0-9]*(e[0-9]+)?", text):
        raise ValueError
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > MOST_RECENT:
        raise ValueError
    return int(text)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def _print(text: str) -> str:
    try:
        return parse_fingerprint(text)
    except ValueError as error:
        raise ValueError(f"{error}.") from None


MOST_RECENT: Final = 1000
"""How many messages may be shown at the start."""

SERVER: Final = Kind("HOST[:PORT]", "a host, or host:port", parse_server)
USER: Final = Kind("NAME", "a name", parse_user)
FLAG: Final = Kind("true|false", "true or false", _flag, (bool,))
FINGERPRINT: Final = Kind("SHA256", "a SHA-256 fingerprint", _print)
PATH: Final = Kind("PATH", "a path", _path)
SECONDS: Final = Kind("SECONDS", "a number above 0", _seconds, (int, float))
COUNT: Final = Kind("N", f"a number from 0 to {MOST_RECENT}", _count, (int,))
