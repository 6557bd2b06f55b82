"""User names: which strings are names, how they are compared and how they are shown.

A name has 1 to 32 characters: letters and digits of any script, ``_`` and ``.``, and
after the first character combining marks, without which Indic and Thai words cannot be
written. The first is a letter or a digit. What a letter is, and how two spellings of
one name are brought together, is left to PRECIS (RFC 8265): UsernameCaseMapped gives
the key that names are compared by, UsernameCasePreserved the form that is shown.

PRECIS alone is too generous for names that stand before a ``-`` in a line and before a
``:`` on a screen: it takes every printable ASCII character, and letters of several
scripts side by side. Hence the rules on top of it, among them one script a name, as
UTS 39 (section 5.1) counts scripts.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from precis_i18n.profile import Profile

MAX_NAME_LENGTH: Final = 32
"""In code points of the result, of the key as of the shown form."""

RESERVED_NAMES: Final = frozenset(
    {
        "password",
        "me",
        "you",
        "all",
        "system",
        "server",
        "error",
        "chatd",
        "nobody",
    }
)
"""The keys of names that nobody can have: they read as something else in a line."""

# Normalisation to NFC makes at most one code point of four, so what is longer than
# this cannot fit, and is refused before any work is done on it.
_MAX_INPUT: Final = 4 * MAX_NAME_LENGTH

_ASCII_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.]{{0,{MAX_NAME_LENGTH - 1}}}")
_NOT_ASCII_NAME: Final = re.compile(r"[^A-Za-z0-9_.]")
_DIGITS_AND_SIGNS: Final = frozenset("0123456789_.")

_ALPHABET: Final = "A name has only letters, digits, '_' and '.'"
_HYPHEN: Final = "A name has no '-', because that separates target and message."
_LENGTH: Final = f"A name has 1 to {MAX_NAME_LENGTH} characters."
_FIRST: Final = "A name begins with a letter or a digit."
_ONE_SCRIPT: Final = "A name has letters of one script only."
_RIGHT_TO_LEFT: Final = (
    "A right-to-left name begins with a letter, ends with a letter or a digit,"
    " and has digits of one kind."
)
_UNSTABLE: Final = "A name must stay the same when its upper case is made lower case."

# The writing systems that a script takes part in, where they are more than itself.
_WRITING_SYSTEMS: Final = {
    "HAN": frozenset({"HAN", "JAPANESE", "KOREAN", "HAN WITH BOPOMOFO"}),
    "HIRAGANA": frozenset({"HIRAGANA", "JAPANESE"}),
    "KATAKANA": frozenset({"KATAKANA", "JAPANESE"}),
    "HANGUL": frozenset({"HANGUL", "KOREAN"}),
    "BOPOMOFO": frozenset({"BOPOMOFO", "HAN WITH BOPOMOFO"}),
}

# Letters that belong to no one script ("Common"). Most of them look like punctuation
# (U+02D0 like a colon) and are refused; words are written with these.
_SHARED_LETTERS: Final = {
    "\u02bb": frozenset({"LATIN"}),  # the okina of Hawaiian
    "\u02bc": frozenset({"LATIN", "CYRILLIC"}),  # the apostrophe of Ukrainian
    "\u3006": _WRITING_SYSTEMS["HAN"],  # the closing mark shime
    "\u30fc": _WRITING_SYSTEMS["HIRAGANA"] | _WRITING_SYSTEMS["KATAKANA"],  # long vowel
}


class BadName(ValueError):
    """A string that is no name; str() is one sentence that says why.

    The sentence is safe to show: of the input it repeats one printable character at
    most, and it cannot be taken for a message (``sender: text``).
    """


@dataclass(frozen=True, slots=True)
class Name:
    """A user's name in its two forms.

    Two names are one user when their keys are equal; `shown` is the spelling.
    """

    key: str
    shown: str


def parse_name(text: str, *, reserved_too: bool = False) -> Name:
    """Return the name that `text` spells, spaces around it left off.

    Any string may be given; BadName is the only exception. Both forms of the result
    are spellings of it: ``parse_name(n.shown).key == parse_name(n.key).key == n.key``.

    A target is parsed with `reserved_too`: a reserved name follows the grammar, and is
    then a name that nobody has, rather than no name.
    """
    text = text.strip(" ")
    if "-" in text:
        raise BadName(_HYPHEN)
    if not 1 <= len(text) <= _MAX_INPUT:
        raise BadName(_LENGTH)
    verdict = _judge(text)
    if isinstance(verdict, str):
        raise BadName(verdict)
    if verdict.key in RESERVED_NAMES and not reserved_too:
        raise BadName(f"The name '{verdict.key}' is reserved.")
    return verdict


def name_key(text: str) -> str:
    """Return what two spellings of one name have in common.

    Also of what is no name by the rules here: those of before had others.
    """
    try:
        return parse_name(text, reserved_too=True).key
    except BadName:
        return text.casefold()


def adapted_name(text: str, taken: Callable[[str], bool]) -> Name:
    """Return a free name as close to `text` as the rules allow.

    It is for users of a database that knew no rules for names: what a name cannot
    have becomes ``_``, and ``.2``, ``.3``... tells apart those that fall together.
    `taken` says whether a key is in use already.
    """
    for base in _adapted_spellings(text):
        for suffix in chain([""], (f".{number}" for number in count(2))):
            name = _longest_name(base, suffix)
            if name is None:
                break
            if name.key not in RESERVED_NAMES and not taken(name.key):
                return name
    raise AssertionError("'user' with a number is a name, and some number is free")


# Refusals are cached as well, as their reasons: who sends bad names in a loop should
# not cost more than who sends good ones.
@lru_cache(maxsize=1024)
def _judge(text: str) -> Name | str:
    """Return the name, or the reason why there is none."""
    if _ASCII_NAME.fullmatch(text):
        key = text.lower()
        return Name(text if text == key else key, text)
    try:
        if text.isascii():
            _check_characters(text)  # finds the reason, and saves the libraries
        return _international_name(text)
    except BadName as error:
        return str(error)


def _international_name(text: str) -> Name:
    # The shown form first: a refusal should name the character that was typed.
    shown = _enforce("UsernameCasePreserved", text)
    key = _enforce("UsernameCaseMapped", text)
    for form in (shown, key):
        _check_characters(form)
        _check_script(form)
    # Letters exist whose lower case depends on their neighbours. Should PRECIS let a
    # name through whose key is not its own key, its user could never be found again.
    forms = (
        _enforce("UsernameCaseMapped", key),
        _enforce("UsernameCaseMapped", shown),
        _enforce("UsernameCasePreserved", key),
        _enforce("UsernameCasePreserved", shown),
    )
    if forms != (key, key, key, shown):
        raise BadName(_UNSTABLE)
    return Name(key, shown)


@cache
def _profile(name: str) -> "Profile":
    # Imported with the first name beyond ASCII: many daemons never see one.
    from precis_i18n import get_profile

    return get_profile(name)


@lru_cache(maxsize=1024)
def _script(char: str) -> str:
    """Return the Unicode script of a character, in capitals."""
    from confusable_homoglyphs import categories  # late, as in _profile

    return str(categories.alias(char))


def _enforce(profile: str, text: str) -> str:
    try:
        return _profile(profile).enforce(text)
    except UnicodeEncodeError as error:
        if error.reason.endswith("/bidi_rule"):
            # Two scripts are what most names that break this rule consist of.
            _check_script(error.object)
            raise BadName(_RIGHT_TO_LEFT) from None
        if error.reason.endswith("/not_idempotent"):
            raise BadName(_UNSTABLE) from None
        raise BadName(_without(error.object[error.start])) from None


def _without(char: str) -> str:
    if char == " ":
        return f"{_ALPHABET}, and no space."
    if char == "-":  # a full-width one, that PRECIS has mapped
        return _HYPHEN
    if not char.isprintable() or _is_mark(char):
        return f"{_ALPHABET}, and no U+{ord(char):04X}."
    quote = '"' if char == "'" else "'"
    return f"{_ALPHABET}, and no {quote}{char}{quote}."


def _check_characters(text: str) -> None:
    """Refuse by the rules that need no library."""
    for char in text:
        if not (char in "_." or _is_letter_or_digit(char) or _is_mark(char)):
            raise BadName(_without(char))
    if not _is_letter_or_digit(text[0]):
        raise BadName(_FIRST)
    if len(text) > MAX_NAME_LENGTH:
        raise BadName(_LENGTH)


def _is_letter_or_digit(char: str) -> bool:
    # Of the letter numbers (Nl) PRECIS lets only U+3007 through, the Han zero.
    category = unicodedata.category(char)
    return category[0] == "L" or category in ("Nd", "Nl")


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _check_script(text: str) -> None:
    common: frozenset[str] | None = None
    for char in text:
        systems = _writing_systems(char)
        if systems is None:
            continue
        if not systems:
            raise BadName(_without(char))
        common = systems if common is None else common & systems
        if not common:
            raise BadName(_ONE_SCRIPT)


def _writing_systems(char: str) -> frozenset[str] | None:
    """Return those the character is used in: None for any, empty for none."""
    if char in _DIGITS_AND_SIGNS:
        return None
    script = _script(char)
    if script == "INHERITED":  # a mark, of the script of what it stands on
        return None
    if script in ("COMMON", "Unknown"):
        return _SHARED_LETTERS.get(char, frozenset())
    return _WRITING_SYSTEMS.get(script, frozenset({script}))


def _longest_name(base: str, suffix: str) -> Name | None:
    """Return the name made of `suffix` after as much of `base` as fits."""
    for end in range(min(len(base), MAX_NAME_LENGTH - len(suffix)), 0, -1):
        try:
            return parse_name(base[:end] + suffix, reserved_too=True)
        except BadName:
            continue
    return None


def _adapted_spellings(text: str) -> Iterator[str]:
    """Yield what to try as a name, the best first."""
    # Compatibility forms (ligatures, letters in circles) are not letters to PRECIS.
    # The cut leaves enough: normalisation joins four code points at most.
    text = unicodedata.normalize("NFKC", text.strip()[:_MAX_INPUT]).strip()
    if not text.isascii():
        yield _begun_properly(_of_one_script(text))
    yield _begun_properly(_NOT_ASCII_NAME.sub("_", text))
    yield "user"


def _of_one_script(text: str) -> str:
    """Replace all but characters of names, in the script of the first letter."""
    kept = []
    common: frozenset[str] | None = None
    for char in text:
        systems = _writing_systems(char)
        if systems is not None:
            systems = systems if common is None else common & systems
        if systems == frozenset() or not _is_usable(char):
            kept.append("_")
            continue
        kept.append(char)
        common = common if systems is None else systems
    return "".join(kept)


def _is_usable(char: str) -> bool:
    try:
        # The base class, because a single digit breaks the rule on directions.
        _profile("UsernameCasePreserved").base.enforce(char)
        _check_characters("a" + char)
    except (UnicodeEncodeError, BadName):
        return False
    return True


def _begun_properly(text: str) -> str:
    start = next((at for at, c in enumerate(text) if _is_letter_or_digit(c)), len(text))
    return text[start:]
