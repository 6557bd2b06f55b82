"""Texts made comparable, so that a search finds a word however it is written.

Case and accents do not matter, nor in which of its forms Unicode writes a character:
``uber`` finds ``Über``. A word is found in the middle of others, too, as many scripts
write no spaces.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

Span = tuple[int, int]
"""Where something begins in a text, and where it has ended."""

MOST_KNOWN: Final = 20_000
"""Of how many characters it is remembered what they become: those of any library.

Whoever sends all that there are fills no memory.
"""

_FIRST_ACCENT: Final = "\u0300"
_LAST_ACCENT: Final = "\u036f"

# What follows one character, and is put in order by Unicode's normalisation, in a time
# that is the square of how much there is. No language needs more than a few; Unicode's
# stream-safe format has 30, and some that are written as one are two.
_MOST_MARKS: Final = 64
_TOO_MANY: Final = re.compile(f"m{{{_MOST_MARKS}}}(?=m)")


class _Table(dict[int, str]):
    """What becomes of each character, worked out when it is met first."""

    def __missing__(self, code: int) -> str:
        found = self._found(code)
        if len(self) < MOST_KNOWN:
            self[code] = found
        return found

    def _found(self, code: int) -> str:
        raise NotImplementedError


class _Folded(_Table):
    """How each character is compared."""

    def _found(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            return "\ufffd"  # no database takes it
        apart = unicodedata.normalize("NFD", chr(code).casefold())
        kept = (c for c in apart if not _FIRST_ACCENT <= c <= _LAST_ACCENT)
        return unicodedata.normalize("NFC", "".join(kept))


class _Kinds(_Table):
    """Whether a character is a mark that belongs to those before, ``m``, or not."""

    def _found(self, code: int) -> str:
        # A few in Tibetan say that they are none, and consist of them.
        apart = unicodedata.normalize("NFD", chr(code))
        return "m" if all(map(unicodedata.combining, apart)) else "-"


_FOLDED: Final = _Folded()
_KINDS: Final = _Kinds()


def fold(text: str) -> str:
    """Return the form that texts are compared in."""
    if text.isascii():
        return text.lower()
    composed = (unicodedata.normalize("NFC", part) for part in _parts(text))
    return "".join(composed).translate(_FOLDED)


def words_of(text: str) -> list[str]:
    """Return the words that somebody searches for, folded, and each only once."""
    return list(dict.fromkeys(fold(text).split()))


def spans(text: str, words: Sequence[str]) -> list[Span]:
    """Return where folded words are in a text, in order and without overlaps."""
    folded, places, parts, at = list[str](), list[int](), list[Span](), 0
    for length, piece in _pieces(text):
        if piece:
            folded.append(piece)
            places += [len(parts)] * len(piece)
            parts.append((at, at + length))
        elif parts:  # accents that follow belong to it
            parts[-1] = (parts[-1][0], at + length)
        at += length
    whole, found = "".join(folded), list[Span]()
    for word in words:
        # There may be one at each character: they are merged before there are many.
        found = list(
            _merged(sorted([*found, *_merged(_of(word, whole, places, parts))]))
        )
    return found


def _of(
    word: str, folded: str, places: Sequence[int], parts: Sequence[Span]
) -> Iterator[Span]:
    at = folded.find(word) if word else -1
    while at >= 0:
        yield parts[places[at]][0], parts[places[at + len(word) - 1]][1]
        at = folded.find(word, at + 1)


def _parts(text: str) -> list[str]:
    """Return a text in parts that are normalised each on its own.

    They are more than one only where more marks than `_MOST_MARKS` follow each other.
    """
    if len(text) <= _MOST_MARKS:
        return [text]
    kinds = text.translate(_KINDS)
    cuts = [0, *(found.end() for found in _TOO_MANY.finditer(kinds)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Return what a text is made of: how long it is there, and what it is folded."""
    for part in [text] if text.isascii() else _parts(text):
        if part.isascii() or unicodedata.is_normalized("NFC", part):
            for character in part:
                yield 1, fold(character)
        else:
            for cluster in _clusters(part):
                yield len(cluster), fold(cluster)


def _clusters(part: str) -> Iterator[str]:
    """Return the characters of a part, each with those that it is composed with."""
    cluster = ""
    for character, kind in zip(part, part.translate(_KINDS), strict=True):
        if cluster and kind != "m" and not _compose(cluster, character):
            yield cluster
            cluster = ""
        cluster += character
    yield cluster


def _compose(cluster: str, character: str) -> bool:
    together = unicodedata.normalize("NFC", cluster + character)
    apart = unicodedata.normalize("NFC", cluster)
    return together != apart + unicodedata.normalize("NFC", character)


def _merged(found: Iterable[Span]) -> Iterator[Span]:
    """Return spans that are in order, those that overlap or touch as one."""
    begun: Span | None = None
    for start, end in found:
        if begun is None:
            begun = start, end
        elif start <= begun[1]:
            begun = begun[0], max(end, begun[1])
        else:
            yield begun
            begun = start, end
    if begun is not None:
        yield begun
