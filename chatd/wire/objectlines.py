"""Lines of the JSON form that are made many at a time.

Each is what `chatd.wire.objects` makes one at a time. What several have in common is
put together once, and strings are escaped in lists, at the speed of C.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from chatd.wire.objects import quoted, timestamp

# Within an escaped string there is no line feed.
_encode_list: Final = json.JSONEncoder(
    separators=("\n", ":"), check_circular=False
).encode


def quoted_all(strings: Sequence[str]) -> list[str]:
    """Return strings as JSON has them; there must be one at least."""
    return _encode_list(strings)[1:-1].split("\n")


def message_ends(
    ids: Iterable[str], sender: str, target: str, texts: Sequence[str], time: int
) -> list[str]:
    """Return the lines of messages, each from behind its number on.

    The `ids` are as JSON has them. None of the messages waited at the login.
    """
    names = f',"from":{quoted(sender)},"to":{quoted(target)},"text":'
    end = f',"time":"{timestamp(time)}","queued":false}}'
    return [
        f',"id":{id}{names}{text}{end}'
        for id, text in zip(ids, quoted_all(texts), strict=True)
    ]


def messages(first: int, ends: Sequence[str]) -> bytes:
    """Return the lines of messages, with their ends; their numbers rise from `first`.

    `ends` are as `message_ends` returns them.
    """
    lines = [
        f'{{"type":"message","seq":{number}{end}'
        for number, end in enumerate(ends, first)
    ]
    return ("\n".join(lines) + "\n").encode()


def accepted_end(to: str, status: str) -> str:
    """Return the line that says what became of a message, from behind its id on."""
    return f',"to":{quoted(to)},"status":"{status}"}}'


ACCEPTED: Final = '{"type":"accepted","id":'
"""What such a line begins with; the id follows, as JSON has it."""
