"""Why there is no connection, in the words that a person is told."""

from typing import Final

from twisted.internet import error
from twisted.python.failure import Failure

from chatd.wire.display import neutralise

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (error.DNSLookupError, "no such host"),
    (error.ConnectionRefusedError, "connection refused"),
    (error.NoRouteError, "no way to it"),
    (error.TimeoutError, "it does not answer"),
    (error.TCPTimedOutError, "it does not answer"),
    (error.ConnectionDone, "the server closed it"),
    (error.ConnectionLost, "it broke"),
)


def in_words(failure: Failure) -> str:
    """Return why an attempt failed, or why a connection ended; safe to show."""
    for kind, words in _REASONS:
        if isinstance(failure.value, kind):
            return words
    text = getattr(failure.value, "strerror", None) or str(failure.value)
    return neutralise(" ".join(text.split())) or type(failure.value).__name__
