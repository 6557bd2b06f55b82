"""Other protocols, by how they begin: whoever speaks them means another port.

A web page can have a browser send almost any lines to any port, but for the first one:
that is what gives it away.
"""

import re
from typing import Final

TLS_HELLO: Final = b"\x16\x03"

_HTTP: Final = re.compile(rb"[A-Za-z]+ \S* *HTTP/\d.*|PROXY .*")
_HTTP_BEGIN: Final = re.compile(rb"[A-Za-z]+ (?:/|https?:)")


def is_http(line: bytes) -> bool:
    """Whether a first line is that of an HTTP request, or of a PROXY header."""
    return _HTTP.fullmatch(line) is not None


def begins_http(begin: bytes) -> bool:
    """Whether a first line that is too long begins as that of an HTTP request.

    What makes it too long may be its address, so nothing is known of its end.
    """
    return _HTTP_BEGIN.match(begin) is not None
