"""Texts made comparable, so that a search finds a word however it is written.

Case and accents do not matter, nor in which of its forms Unicode writes a character:
``uber`` finds ``Über``. A word is found in the middle of others, too, as many scripts
write no spaces.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

Span = tuple[int, int]
"""Where something begins in a text, and where it has ended."""

_FIRST_ACCENT: Final = "\u0300"
_LAST_ACCENT: Final = "\u036f"


class _Folded(dict[int, str]):
    """What becomes of each character, worked out when it is met first."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if 0xD800 <= code <= 0xDFFF:
            folded = "\ufffd"  # no database takes it
        else:
            apart = unicodedata.normalize("NFD", character.casefold())
            kept = (c for c in apart if not _FIRST_ACCENT <= c <= _LAST_ACCENT)
            folded = unicodedata.normalize("NFC", "".join(kept))
        self[code] = folded
        return folded


_FOLDED: Final = _Folded()


def fold(text: str) -> str:
    """Return the form that texts are compared in."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", text).translate(_FOLDED)


def words_of(text: str) -> list[str]:
    """Return the words that somebody searches for, folded."""
    return fold(text).split()


def spans(text: str, words: Sequence[str]) -> list[Span]:
    """Return where folded words are in a text, in order and without overlaps."""
    pieces, folded, places = list(_pieces(text)), "", list[int]()
    for number, (_, piece) in enumerate(pieces):
        folded += piece
        places += [number] * len(piece)
    starts = [0]
    for length, _ in pieces:
        starts.append(starts[-1] + length)
    found = []
    for word in words:
        at = folded.find(word) if word else -1
        while at >= 0:
            first, last = places[at], places[at + len(word) - 1]
            # Accents that follow belong to it.
            while last + 1 < len(pieces) and not pieces[last + 1][1]:
                last += 1
            found.append((starts[first], starts[last + 1]))
            at = folded.find(word, at + 1)
    return _merged(found)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Return what a text is made of: how long it is there, and what it is folded."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        for character in text:
            yield 1, fold(character)
        return
    cluster = ""
    for character in text:
        together = unicodedata.normalize("NFC", cluster + character)
        apart = unicodedata.normalize("NFC", cluster)
        apart += unicodedata.normalize("NFC", character)
        if cluster and not unicodedata.combining(character) and together == apart:
            yield len(cluster), fold(cluster)
            cluster = ""
        cluster += character
    yield len(cluster), fold(cluster)


def _merged(found: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
