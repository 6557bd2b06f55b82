"""Passwords: what may be one, and how it is kept.

Kept is only an argon2id hash, with its parameters and a salt of its own. To make one
takes some 50 ms of a processor and 19 MiB on purpose, so that is done in a few threads,
and only so many wait for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred

from chatd.wire.answers import Refusal

if TYPE_CHECKING:
    from argon2 import PasswordHasher
    from precis_i18n.profile import Profile

T = TypeVar("T")

MIN_CHARACTERS: Final = 15
MAX_CHARACTERS: Final = 128
"""How long a password is (NIST SP 800-63B-4, for one without a second factor)."""

MAX_BYTES: Final = 4 * MAX_CHARACTERS
"""Longer is refused before anything is done with it."""

THREADS: Final = 2
MOST_WAITING: Final = 64
"""How many may wait for a thread; further ones are refused."""

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
"""The least that OWASP's Password Storage Cheat Sheet recommends for argon2id."""

_NOBODYS: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1"
    "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""What no password has: compared with where there is none, to take as long."""


class BadPassword(ValueError):
    """What was given cannot be a password; str() says why, as a sentence."""


def prepare(password: str) -> str:
    """Return a new password as it is kept and compared (RFC 8265, OpaqueString).

    Raises `BadPassword`.
    """
    if len(password.encode(errors="replace")) > MAX_BYTES:
        raise BadPassword(f"A password has at most {MAX_CHARACTERS} characters.")
    try:
        prepared = _profile().enforce(password) if password else ""
    except UnicodeEncodeError:
        raise BadPassword("A password has no control characters.") from None
    if not MIN_CHARACTERS <= len(prepared) <= MAX_CHARACTERS:
        raise BadPassword(
            f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters;"
            f" this has {len(prepared)}. Several words are easy to remember."
        )
    return str(prepared)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right, and a `better` hash to keep of it, if any."""

    right: bool
    better: str | None = None


class Threads(Protocol):
    """Runs a function in a thread of a pool; the result comes in the reactor's."""

    def __call__(self, work: Callable[[], T]) -> "Deferred[T]":
        """Run it, after those that wait already."""


class Hasher:
    """Makes hashes, and compares passwords with them; called in the reactor's thread.

    `run` runs what takes long elsewhere.
    """

    def __init__(self, run: Threads) -> None:
        self._run = run
        self._waiting = 0

    def hash(self, password: str) -> "Deferred[str]":
        """Return the hash of a password that was prepared. Raises `Refusal`: busy."""
        return self._in_turn(lambda: encode(password))

    def verify(self, encoded: str | None, given: str) -> "Deferred[Verdict]":
        """Compare what was given with a hash, or with nobody's if there is none.

        Both take as long. Raises `Refusal`: busy.
        """
        return self._in_turn(lambda: _verify(encoded, given))

    def _in_turn(self, work: Callable[[], T]) -> "Deferred[T]":
        if self._waiting >= MOST_WAITING:
            raise Refusal("busy")
        self._waiting += 1

        def done(result: T) -> T:
            self._waiting -= 1
            return result

        return self._run(work).addBoth(done)


@cache
def _profile() -> "Profile":
    # Not at the top: this alone takes half as long to import as the rest of chatd.
    from precis_i18n import get_profile

    return get_profile("OpaqueString")


@cache
def _argon2() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)


def encode(password: str) -> str:
    """Return the hash of a password that was prepared; blocks for some 50 ms."""
    return _argon2().hash(password)


def _verify(encoded: str | None, given: str) -> Verdict:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        prepared = prepare(given)
    except BadPassword:
        prepared, encoded = "", None
    try:
        right = _argon2().verify(encoded or _NOBODYS, prepared)
    except (VerificationError, InvalidHashError):
        return Verdict(False)
    if not (right and encoded):
        return Verdict(False)
    better = encode(prepared) if _argon2().check_needs_rehash(encoded) else None
    return Verdict(True, better)
