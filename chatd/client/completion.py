"""What Tab does: how a half-typed line can go on."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_NAMES: Final = 10_000
"""How many names are remembered."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What becomes of the word that is being typed.

    Its last `length` characters before the cursor are to become `text`. Where nothing
    can be added because it could be several words, `choices` are these.
    """

    length: int
    text: str
    choices: tuple[str, ...] = ()


def complete(
    before: str, after: str, names: Iterable[str], commands: Iterable[str]
) -> Completion | None:
    """Return what Tab makes of a line with the cursor between `before` and `after`.

    Commands begin with their slash, and stand only at the start of a line; names
    stand before the first ``-``, separated by commas. Case does not matter.
    """
    if before.startswith("/"):
        return _completion(before, commands, "" if after else " ")
    if "-" in before:
        return None
    *earlier, typed = before.split(",")
    named = {_key(name.strip()) for name in earlier}
    others = (name for name in names if _key(name) not in named)
    return _completion(typed.lstrip(), others, "" if after else "-")


def _completion(typed: str, words: Iterable[str], end: str) -> Completion | None:
    key = _key(typed)
    # The names come from a server: only what a person can see is put into a line.
    fitting = {w for w in words if _key(w).startswith(key) and w.isprintable()}
    choices = sorted(fitting, key=lambda word: (_key(word), word))
    match choices:
        case []:
            return None
        case [word]:
            return Completion(len(typed), word + end)
    common = _common_start(choices)
    if len(_key(common)) > len(key):
        return Completion(len(typed), common)
    return Completion(len(typed), typed, tuple(choices))


def _common_start(words: list[str]) -> str:
    """Return what all words begin with, but for case, as the first has it."""
    length = 0
    for characters in zip(*words, strict=False):
        if len({character.casefold() for character in characters}) > 1:
            break
        length += 1
    return words[0][:length]


def _key(word: str) -> str:
    """Return the form that words are compared in."""
    return unicodedata.normalize("NFC", word).casefold()


class Names:
    """The names that can be completed to: what the server has told, to a bound."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def remember(self, *names: str) -> None:
        """Add names; some may be known."""
        for name in names:
            if len(self._names) < MOST_NAMES:
                self._names[name] = None

    def known(self) -> list[str]:
        """Return them in order."""
        return sorted(self._names)
