"""With what status ``chat`` ends."""

from enum import IntEnum
from typing import Final


class Failed(Exception):
    """A command cannot go on; str() is the line that says why."""

    def __init__(self, status: "Status", line: str) -> None:
        super().__init__(line)
        self.status = status


class Status(IntEnum):
    """The exit statuses; a signal ends it with 128 and the signal's number."""

    OK = 0
    """Every line was accepted."""
    NOT_ACCEPTED = 1
    """Some line was refused, or it is not known what became of it."""
    USAGE = 2
    """The command line is wrong."""
    REFUSED = 3
    """The server refused the login."""
    UNREACHABLE = 4
    """The server could not be reached in time."""
    NOT_CHATD = 5
    """What answered is no chatd, or speaks another version of its protocol."""
    HISTORY = 6
    """The history is in use by another process, or cannot be used."""
    CERTIFICATE = 7
    """The server's certificate was not accepted."""
    UNKNOWN_USER = 8
    """The server knows nobody of a name that was written to."""
    NOT_CONFIRMED = 9
    """The server was reached, and did not confirm everything in time."""
    COMMAND_FAILED = 10
    """The command of ``chat listen --exec`` failed as often as was allowed."""


_SEVERITY: Final = (
    Status.OK,
    Status.UNKNOWN_USER,
    Status.NOT_ACCEPTED,
    Status.NOT_CONFIRMED,
)


def worse(one: Status, other: Status) -> Status:
    """Return the worse of two statuses that messages to a server may end with."""
    return max(one, other, key=_SEVERITY.index)
