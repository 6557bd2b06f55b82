"""With what status ``chat`` ends."""

from enum import IntEnum


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
