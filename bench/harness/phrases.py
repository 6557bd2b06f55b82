"""Texts as people write them: few words are in most, and most words in few."""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

_SEED: Final = 7
_WORDS: Final = 40_000
_CHARACTERS: Final = 3_000
_CHINESE: Final = 0.05
_SYLLABLES: Final = [
    *(consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"),
    *("en", "er", "st", "ch", "ing", "on", "an"),
]


class Phrases:
    """Makes texts of 3 to 18 words, and some of Chinese characters without spaces.

    The second of all words is half as frequent as the first, the third a third as
    frequent, and so on. Each time the same texts are made.
    """

    def __init__(self) -> None:
        self._random = random.Random(_SEED)
        words = {self._word(): None for _ in range(2 * _WORDS)}
        self.words: Sequence[str] = list(words)[:_WORDS]
        self.characters = [chr(0x4E00 + number) for number in range(_CHARACTERS)]
        self._word_weights = _weights(len(self.words))
        self._character_weights = _weights(_CHARACTERS)

    def text(self) -> str:
        """Return the next text."""
        if self._random.random() < _CHINESE:
            return "".join(self._of(self.characters, self._character_weights, 4, 40))
        return " ".join(self._of(self.words, self._word_weights, 3, 18))

    def number(self, below: int) -> int:
        """Return a number; lower ones come more often."""
        return int(below ** self._random.random()) - 1

    def _of(
        self, those: Sequence[str], weights: Sequence[float], least: int, most: int
    ) -> list[str]:
        count = self._random.randint(least, most)
        return self._random.choices(those, cum_weights=weights, k=count)

    def _word(self) -> str:
        count = self._random.choice((1, 2, 2, 3, 3, 4))
        return "".join(self._random.choices(_SYLLABLES, k=count))


def _weights(count: int) -> list[float]:
    return list(accumulate(1 / (number + 1) for number in range(count)))
