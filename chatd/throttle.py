"""Failed logins: whoever guesses has to wait, a little longer each time.

Nobody is locked out: that would let anybody lock out anybody else. So the wait ends, at
`LONGEST_BY_NAME` or `LONGEST_BY_NETWORK`, and somebody who comes from where the name's
last login came from does not wait for those who guess it from elsewhere.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE: Final = 3
"""How many failures cost nothing: people mistype."""

LONGEST_BY_NAME: Final = 10.0
LONGEST_BY_NETWORK: Final = 30.0
"""Seconds that an attempt waits at most."""

FORGET_SECONDS: Final = 15 * 60.0
"""After how long without another attempt the earlier ones are forgotten."""

MOST_KEYS: Final = 10_000


@dataclass(slots=True)
class _Attempts:
    count: int
    last: float
    before: float


class Attempts:
    """The attempts at something, by a key: a name, or the network they come from."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._attempts: OrderedDict[str, _Attempts] = OrderedDict()

    def begin(self, key: str, now: float) -> float:
        """Count an attempt; return how many seconds it has to wait.

        It counts at once, and not only when it has failed: many at the same time
        should not all come first.
        """
        attempts = self._attempts.setdefault(key, _Attempts(0, now, now))
        if now - attempts.last >= FORGET_SECONDS:
            attempts.count = 0
        attempts.count += 1
        attempts.before, attempts.last = attempts.last, now
        self._attempts.move_to_end(key)
        if len(self._attempts) > MOST_KEYS:
            self._attempts.popitem(last=False)
        beyond = attempts.count - FREE
        return min(2.0 ** min(beyond - 1, 10), self._longest) if beyond > 0 else 0.0

    def succeeded(self, key: str) -> None:
        """Take note that an attempt was right: the earlier ones are forgotten."""
        self._attempts.pop(key, None)

    def withdraw(self, key: str) -> None:
        """Count one attempt no more, because it was right; the others stay.

        That is for a network: somebody there who guesses at names of others has one of
        their own, too.
        """
        attempts = self._attempts.get(key)
        if attempts is not None and attempts.count:
            attempts.count -= 1
            attempts.last = attempts.before
