"""How a half-typed line falls into rows of a screen."""

from dataclasses import dataclass
from itertools import pairwise

from prompt_toolkit.utils import get_cwidth


@dataclass(frozen=True, slots=True)
class Filled:
    """A text whose rows are full, and where things are in it.

    `places` has the index in `text` of each original character, and of the end;
    `column` is the one after the last character.
    """

    text: str
    places: list[int]
    column: int


def fill_rows(text: str, columns: int, column: int = 0) -> Filled:
    """Return a text with spaces where a row would end early.

    The text begins in `column`. A row ends early where a wide character does not fit;
    prompt_toolkit, which counts the rows of a line by its width, would show too few. It
    also loses marks over the last character of a row: such a one goes to the next.
    """
    shown: list[str] = []
    places: list[int] = []
    for character, following in pairwise([*text, " "]):
        width = _width(character)
        room = columns - column
        marked = width and not _width(following)
        if width > room or (marked and width == room):
            shown += " " * room
            column = 0
        places.append(len(shown))
        shown.append(character)
        column += width
    places.append(len(shown))
    return Filled("".join(shown), places, column)


def _width(character: str) -> int:
    """Return how many cells a character takes; prompt_toolkit shows a tab as ^I."""
    return 2 if character == "\t" else get_cwidth(character)
