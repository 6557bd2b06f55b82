"""Texts that a command is given: checked, as far as that is possible without a server.

Nothing here needs Twisted to be imported, but when it is used.
"""

import sys
from collections.abc import Iterator

import click

from chatd.client.statuses import Failed, Status
from chatd.wire.answers import Refusal

_CHUNK = 65_536


def checked(data: bytes) -> str:
    """Return a text that can be sent, as far as it is known here. Raises `Failed`."""
    from chatd.client.frontends.frontend import MAX_TYPED
    from chatd.client.talk.input import MAX_MESSAGE

    if not data:
        raise Failed(Status.NOT_ACCEPTED, "The message is empty. Nothing was sent.")
    if len(data) > MAX_TYPED:
        refusal = Refusal("message-too-long", limit=MAX_MESSAGE)
        raise Failed(Status.NOT_ACCEPTED, refusal.text)
    try:
        # The server would change it, and find another text under its id.
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Failed(Status.NOT_ACCEPTED, Refusal("not-utf8").text) from None


def whole_input() -> bytes:
    """Return standard input without its last line end, or as much as is too long."""
    from chatd.client.frontends.frontend import MAX_TYPED

    if sys.stdin.isatty():
        click.echo("Type the message; Ctrl-D on a line of its own ends it.", err=True)
    # One more, so that what is too long is seen to be.
    return sys.stdin.buffer.read(MAX_TYPED + 1).removesuffix(b"\n").removesuffix(b"\r")


def input_lines() -> Iterator[list[bytes]]:
    """Return the lines of standard input, those that come together at a time.

    One that is too long is cut, and still too long.
    """
    from chatd.client.frontends.frontend import MAX_TYPED

    tail = b""
    while chunk := sys.stdin.buffer.read1(_CHUNK):  # type: ignore[union-attr]
        *lines, tail = (tail + chunk).split(b"\n")
        tail = tail[: MAX_TYPED + 1]
        yield [line.removesuffix(b"\r") for line in lines]
    if tail:
        yield [tail]
