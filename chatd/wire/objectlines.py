"""Lines of the JSON form, many at a time.

What is read here is nothing but plain messages and acknowledgements: all else is left
to `chatd.wire.objects`, which knows what is wrong with it. What is made is what that
makes one at a time. What lines have in common is looked at, or put together, once; the
rest at the speed of C.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice, takewhile
from operator import itemgetter, lt
from typing import Any, Final, cast

from chatd.wire.display import plain_bytes
from chatd.wire.fields import DECODER, MAX_ID
from chatd.wire.objects import quoted, timestamp

_read: Final = cast(Any, DECODER).scan_once
_fields_of_send: Final = itemgetter("type", "to", "text", "id")


def values(data: bytes, most: int, limit: int) -> list[Any]:
    """Return what the first lines hold, at `most` some, if each is a value by itself.

    Lines are `limit` bytes at most.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return []
    found: list[Any] = []
    start = 0
    try:
        while len(found) < most:
            value, end = _read(text, start)
            if text[end] == "\r":
                end += 1
            if text[end] != "\n":
                break
            found.append(value)
            start = end + 1
    except (StopIteration, ValueError, RecursionError, IndexError):
        pass  # it is something else, or the end
    if len(found) != text.count("\n", 0, start):
        return []  # one has line feeds within
    if len(data) > limit:
        lines = data.split(b"\n", len(found))[: len(found)]
        lines = list(takewhile(lambda line: len(line) <= limit, lines))
        del found[len(lines) :]
    return found


def plain_requests(
    found: Sequence[Any], shown: int
) -> tuple[list[tuple[Any, ...]], Sequence[int], list[tuple[int, int]]]:
    """Return the messages and acknowledgements that come first.

    That is, the fields of the messages, in which lines they are, and the lines of the
    acknowledgements with the numbers that they acknowledge.
    """
    try:
        sends = list(map(_fields_of_send, found))
        if {each[0] for each in sends} == {"send"} and set(map(len, found)) == {4}:
            return sends, range(len(sends)), []
    except (KeyError, TypeError):
        pass  # not all are messages, or nothing else
    sends = []
    acks: list[tuple[int, int]] = []
    numbers: list[int] = []
    for number, fields in enumerate(found):
        if fields.__class__ is not dict:
            break
        if len(fields) == 4:
            try:
                send = _fields_of_send(fields)
            except KeyError:
                break
            if send[0] != "send":
                break
            sends.append(send)
            numbers.append(number)
        elif len(fields) == 2 and fields.get("type") == "ack":
            seq = fields.get("seq")
            if seq.__class__ is not int or not 0 <= seq <= shown:
                break
            acks.append((number, seq))
        else:
            break
    return sends, numbers, acks


def rising(ids: Sequence[Any], highest: str) -> int:
    """Return how many of the ids are such, and rise from the highest used so far.

    Raises TypeError if not all are strings.
    """
    joined = "".join(ids)
    if not ids or not ids[0] > highest:
        return 0
    if not all(map(lt, ids, islice(ids, 1, None))):
        pairs = zip(ids, islice(ids, 1, None), strict=False)
        ids = ids[
            : 1 + sum(1 for _ in takewhile(lambda pair: pair[0] < pair[1], pairs))
        ]
    ascii_only = joined.isascii() and joined.isprintable() and " " not in joined
    return len(ids) if ascii_only and max(map(len, ids)) <= MAX_ID else 0


def plain_texts(texts: Sequence[str], limit: int) -> list[bytes]:
    """Return the first texts, as far as they can be shown and are short enough."""
    if not texts:
        return []
    joined = "\n".join(texts).encode()
    encoded = joined.split(b"\n")
    if len(encoded) != len(texts):
        return plain_texts(list(takewhile(lambda text: "\n" not in text, texts)), limit)
    plain = plain_bytes(joined)
    if plain < len(joined):
        del encoded[joined.count(b"\n", 0, plain) :]
    if len(joined) > limit and max(map(len, encoded), default=0) > limit:
        return list(takewhile(lambda text: len(text) <= limit, encoded))
    return encoded


def message_ends(
    numbers: Iterable[int],
    ids: Sequence[str],
    sender: str,
    target: str,
    texts: Sequence[str],
    time: int,
) -> list[str]:
    """Return the lines of messages, each from behind its number on.

    `numbers` say which they are of those to which the `ids` and `texts` belong. All
    strings are as JSON has them. None of the messages waited at the login.
    """
    names = f',"from":{sender},"to":{target},"text":'
    end = f',"time":"{timestamp(time)}","queued":false}}'
    return [f',"id":{ids[each]}{names}{texts[each]}{end}' for each in numbers]


def messages(first: int, ends: Sequence[str]) -> bytes:
    """Return the lines of messages, with their ends; their numbers rise from `first`.

    `ends` are as `message_ends` returns them.
    """
    lines = [
        f'{{"type":"message","seq":{number}{end}'
        for number, end in enumerate(ends, first)
    ]
    return ("\n".join(lines) + "\n").encode()


@lru_cache(maxsize=4096)
def accepted_end(to: str, status: str) -> str:
    """Return the line that says what became of a message, from behind its id on."""
    return f',"to":{quoted(to)},"status":"{status}"}}'


ACCEPTED: Final = '{"type":"accepted","id":'
"""What such a line begins with; the id follows, as JSON has it."""
