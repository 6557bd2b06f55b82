"""The terminal's bell: once for a burst of messages."""

from collections.abc import Callable
from typing import Final

QUIET_SECONDS: Final = 1.0
"""How long nothing may have come before what comes is a new burst."""


class Bell:
    """Rings when a burst of messages begins; `seconds` is a clock that never goes back.

    Without `ring` it is silent.
    """

    def __init__(
        self, ring: Callable[[], None] | None, seconds: Callable[[], float]
    ) -> None:
        self._ring = ring
        self._seconds = seconds
        self._last = float("-inf")

    def message_came(self) -> None:
        """Ring, unless messages have come without a pause since it rang last."""
        if self._ring is None:
            return
        now = self._seconds()
        is_new = now - self._last >= QUIET_SECONDS
        self._last = now
        if is_new:
            self._ring()
