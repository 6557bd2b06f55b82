"""How a half-typed line falls into rows of a screen."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import (
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.utils import get_cwidth

from chatd.wire.display import neutralise


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


class FullRows(Processor):
    """Shows what is half typed in full rows, and without control characters.

    It may have been pasted, and so have any. `prompt` returns what stands before it.
    """

    def __init__(self, prompt: Callable[[], str]) -> None:
        self._prompt = prompt

    def apply_transformation(
        self, transformation_input: TransformationInput
    ) -> Transformation:
        """Put spaces between the characters; each stays one character."""
        typed = explode_text_fragments(transformation_input.fragments)
        line = neutralise("".join(each[1] for each in typed))
        prompt = self._prompt() if transformation_input.lineno == 0 else ""
        columns = transformation_input.width
        start = fill_rows(prompt, columns).column
        filled = fill_rows(line, columns, start)
        shown: StyleAndTextTuples = [("", each) for each in filled.text]
        for place, each in zip(filled.places, typed, strict=False):
            shown[place] = (each[0], filled.text[place])
        end = len(line)
        return Transformation(
            shown,
            lambda at: filled.places[min(at, end)] + max(at - end, 0),
            lambda at: bisect_right(filled.places, at) - 1,
        )
