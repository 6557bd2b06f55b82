"""Which refusals are in the log."""

from typing import Final

from twisted.logger import Logger

from chatd.accounts import Origin
from chatd.wire.answers import Refusal

LOGGED_REFUSALS: Final = 20
"""How many refusals of one connection are logged: a flood must not fill the log."""

GUESS: Final = "wrong-password"
"""What is always logged: each costs a wait, and a connection has ten at its login."""


class RefusalLog:
    """Logs the refusals of one connection by their codes.

    Their texts may have what the client sent; docs/fail2ban.conf reads these lines.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._count = 0

    def add(self, origin: Origin, refusal: Refusal) -> None:
        """Log a refusal, unless there were too many."""
        guess = refusal.code == GUESS
        self._count += not guess
        if self._count > LOGGED_REFUSALS and not guess:
            return
        self._log.info("Refused {origin}: {code}", origin=origin, code=refusal.code)
        if self._count == LOGGED_REFUSALS and not guess:
            self._log.info("Further refusals of {origin} are not logged", origin=origin)
