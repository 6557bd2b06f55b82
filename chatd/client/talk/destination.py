"""To whom a typed line goes: to those named in it, or to those one is talking to.

Those one is talking to are the focus. Without one a line is what it is in the text
form. With one, a line is a text for the focus, but

- a command, which begins with a slash; of two slashes the text begins with the second;
- what is addressed to others: it begins with names that are all known, the dash right
  after them. Whoever is in the focus counts as known.

A name that is nearly that of somebody one has talked with is probably theirs, and the
text is probably not for the focus: such a line is not sent at all.

A line of nothing but spaces and line breaks is nothing then.
"""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.names import Name, parse_name

LONGEST_ADDRESS: Final = 32 * 130
"""In characters: what stands before the dash of a line is no longer than this."""

Known = Callable[[str], bool]
"""Whether the name with this key is known."""

SHORTEST_MISTYPED: Final = 4
"""In characters: shorter words are too often near some name."""

ALIKE: Final = 0.8
"""How alike names are, from 0 to 1, that are taken for one another: `difflib`'s ratio.

``caorl`` and ``carol`` are just that much.
"""


class Impossible(Exception):
    """What was typed cannot be done here; str() says why, as a sentence."""


def route(
    typed: str, focus: Sequence[Name], known: Known, max_message: int
) -> text.Send | text.Command | None:
    """Return what a line means; None for nothing.

    `max_message` is the longest text in bytes of UTF-8. Raises `Refusal`: format,
    too-many-targets or message-too-long.
    """
    if not focus or _is_command(typed, focus):
        return text.parse_line(typed, max_message)
    addressed = _addressed(typed, focus, known)
    if addressed is not None:
        return text.parse_line(typed, max_message)
    said = typed.removeprefix("/")
    if not said.strip():
        return None
    return text.Send(tuple(focus), text.checked_text(said, max_message))


def destination(typed: str, focus: Sequence[Name], known: Known) -> tuple[Name, ...]:
    """Return to whom `route` would send what is half typed; nobody for a command.

    A text may still have to be typed after the dash, and what is wrong with it is left
    to `route`.
    """
    if _is_command(typed, focus):
        return ()
    if focus:
        addressed = _addressed(typed, focus, known)
        if addressed is not None:
            return addressed
        return tuple(focus) if typed.removeprefix("/").strip() else ()
    names, dash, _ = typed[: LONGEST_ADDRESS + 1].partition("-")
    try:
        return text.parse_targets(names.split(",")) if dash else ()
    except Refusal:
        return ()


def parse_focus(names: str) -> tuple[Name, ...]:
    """Return those named, separated by commas; nobody for an empty text.

    Raises `BadName`, and `Refusal` with too-many-targets.
    """
    if not names.strip():
        return ()
    parts = names.split(",")
    if len(parts) <= text.MAX_TARGETS:
        for each in parts:
            parse_name(each, reserved_too=True)  # says what is wrong with it
    return text.parse_targets(parts)


def mistyped(
    typed: str, focus: Sequence[Name], known: Known, talked: Iterable[str]
) -> tuple[str, str] | None:
    """Return the name in a line for the focus that is probably a mistake, and whose.

    None if there is none. `talked` are the keys of those one has talked with.
    """
    if not focus or _is_command(typed, focus):
        return None
    targets = _named(typed)
    in_focus = {each.key for each in focus}
    unknown = [
        each for each in targets if each.key not in in_focus and not known(each.key)
    ]
    candidates = [*in_focus, *talked] if unknown else []
    for each in unknown:
        if len(each.key) >= SHORTEST_MISTYPED:
            for near in get_close_matches(each.key, candidates, 1, ALIKE):
                return each.shown, near
    return None


def _is_command(typed: str, focus: Sequence[Name]) -> bool:
    return typed.startswith("/") and not (focus and typed.startswith("//"))


def _addressed(
    typed: str, focus: Sequence[Name], known: Known
) -> tuple[Name, ...] | None:
    """Return those whom a line names before its first dash, if all are known."""
    targets = _named(typed)
    in_focus = {each.key for each in focus}
    if targets and all(each.key in in_focus or known(each.key) for each in targets):
        return targets
    return None


def _named(typed: str) -> tuple[Name, ...]:
    """Return the names before a line's first dash, if there is nothing else."""
    names, dash, _ = typed[: LONGEST_ADDRESS + 1].partition("-")
    if not dash or names.strip() != names:
        return ()
    try:
        return text.parse_targets(names.split(","))
    except Refusal:
        return ()
