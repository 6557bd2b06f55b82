"""What Tab does: how a half-typed line can go on."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Completions:
    """What can be completed to: names, the likeliest first, and commands.

    Each command has the words that can follow it, several of them with commas between.
    """

    names: Sequence[str]
    commands: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Completion:
    """What becomes of the word that is being typed.

    Its last `length` characters before the cursor are to become `text`. Where nothing
    can be added because it could be several words, `choices` are these.
    """

    length: int
    text: str
    choices: tuple[str, ...] = ()


def complete(before: str, after: str, possible: Completions) -> Completion | None:
    """Return what Tab makes of a line with the cursor between `before` and `after`.

    Commands begin with their slash, and stand only at the start of a line; names
    stand before the first ``-``, separated by commas. Case does not matter.
    """
    if before.startswith("/"):
        command, space, argument = before.partition(" ")
        if not space:
            return _completion(before, possible.commands, "" if after else " ")
        return _of_several(argument, possible.commands.get(command, ()), "")
    if "-" in before:
        return None
    return _of_several(before, possible.names, "" if after else "-")


def _of_several(typed: str, words: Iterable[str], end: str) -> Completion | None:
    """Complete the last of words that have commas between."""
    *earlier, last = typed.split(",")
    named = {_key(word.strip()) for word in earlier}
    others = (word for word in words if _key(word) not in named)
    return _completion(last.lstrip(), others, end)


def _completion(typed: str, words: Iterable[str], end: str) -> Completion | None:
    key = _key(typed)
    # The names come from a server: only what a person can see is put into a line.
    fitting = (w for w in words if _key(w).startswith(key) and w.isprintable())
    choices = list(dict.fromkeys(fitting))
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
