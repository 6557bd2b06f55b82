"""What is found in a history: the last messages, those with words, and with whom.

Functions on a connection, whoever has it and whoever writes the history meanwhile. One
of an older version, or of the original program, is looked through from its end.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final

from chatd.client.history.folding import Span, fold, spans, words_of
from chatd.client.history.index import (
    PIECE,
    expression,
    has_index,
    highest_position,
    indexed_upto,
)
from chatd.client.history.rows import COLUMNS, Kept, kept
from chatd.client.history.times import timestamp
from chatd.store.migrations import transaction, version_of
from chatd.wire.names import name_key

LOOKED_THROUGH: Final = 20_000
"""Of how many messages with somebody each is looked at, rather than the index."""

SAMPLE: Final = 4_000
"""How many of the last messages are looked at first where a word is short."""

COMMON: Final = 100
"""One in so many of these makes a word a common one."""

MOST_WORDS: Final = 32
"""How many different words may be searched for at once."""

_ORIGINAL: Final = (
    "(SELECT rowid AS position, sender, receiver, message, timestamp,"
    " '' AS direction, '' AS status, '' AS id, '' AS server FROM messages) AS messages"
)
_MATCH: Final = (
    "messages_search MATCH ? AND messages_search.rowid <= ?"
    " AND messages_search.rowid NOT IN (SELECT position FROM messages_changed)"
)
_COUNT: Final = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM messages"
    " WHERE server = ? AND correspondent = ? LIMIT ?)"
)
# CROSS, lest SQLite asks the index of each message that fits otherwise.
_INDEXED: Final = (
    "messages_search CROSS JOIN messages ON messages.position = messages_search.rowid"
)
_CHANGED: Final = (
    "messages_changed CROSS JOIN messages"
    " ON messages.position = messages_changed.position"
)
_SERVERS: Final = (
    # Indexes are entered once for each of them: there may be a million messages.
    "WITH RECURSIVE servers (name) AS ("
    " SELECT MIN(server) FROM messages"
    " UNION ALL SELECT (SELECT MIN(server) FROM messages WHERE server > name)"
    " FROM servers WHERE name IS NOT NULL)"
    " SELECT name FROM servers WHERE name IS NOT NULL"
)
_PEOPLE: Final = (
    "WITH RECURSIVE people (name) AS ("
    " SELECT MIN(correspondent) FROM messages WHERE server = ?1"
    " UNION ALL SELECT (SELECT MIN(correspondent) FROM messages"
    " WHERE server = ?1 AND correspondent > name) FROM people WHERE name IS NOT NULL)"
    " SELECT (SELECT MAX(position) FROM messages"
    " WHERE server = ?1 AND correspondent = name), name"
    " FROM people WHERE name IS NOT NULL"
)

Place = tuple[int, Any]
"""The position of a message, and its text as it is in the file."""


class TooManyWords(ValueError):
    """More than `MOST_WORDS` were searched for; str() says so, as a sentence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are looked for: all that are not excluded.

    `server` is one that was connected to; `correspondent` is somebody one talked with,
    however the name is spelt; `since` and `until` are the first time and the last, in
    milliseconds since 1970-01-01 UTC.
    """

    server: str | None = None
    correspondent: str | None = None
    since: int | None = None
    until: int | None = None


EVERYTHING: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Found:
    """A message, and where in its text the words are that were searched for."""

    message: Kept
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class _Condition:
    """A condition in SQL, and the values that it has places for."""

    sql: str
    values: tuple[str | int, ...] = ()


def words_searched(words: str) -> list[str]:
    """Return the different words of a search, folded. Raises `TooManyWords`."""
    folded = words_of(words)
    if len(folded) > MOST_WORDS:
        raise TooManyWords(
            f"These are {len(folded)} words; at most {MOST_WORDS} can be searched for."
        )
    return folded


def recent(
    connection: sqlite3.Connection, wanted: Wanted = EVERYTHING, *, last: int = 50
) -> list[Kept]:
    """Return the last messages, the earliest of them first."""
    with (
        transaction(connection, "DEFERRED"),
        closing(_backwards(connection, wanted, last)) as places,
    ):
        found = [_kept(connection, place) for place, _ in islice(places, last)]
    return found[::-1]


def find(
    connection: sqlite3.Connection,
    words: str,
    wanted: Wanted = EVERYTHING,
    *,
    last: int = 50,
) -> list[Found]:
    """Return the last messages with each of these words, the earliest of them first.

    Words are divided by blanks, and are nothing else than that. They are found inside
    other words, too, and with or without capitals and accents. Without any word all
    messages fit. Raises `TooManyWords`.
    """
    folded = words_searched(words)
    # One view of the file, even if somebody puts messages into the index meanwhile.
    with (
        transaction(connection, "DEFERRED"),
        closing(_candidates(connection, wanted, folded)) as candidates,
    ):
        fitting = (
            place for place, text in candidates if _has(fold(_text(text)), folded)
        )
        found = [_kept(connection, place) for place in islice(fitting, last)]
    if not folded:
        return [Found(each) for each in reversed(found)]
    return [Found(each, spans(each.text, folded)) for each in reversed(found)]


def correspondents(
    connection: sqlite3.Connection, limit: int, server: str | None = None
) -> list[str]:
    """Return with whom one talked, the last first, as their names were spelt last.

    Of a history of an older version nobody is known.
    """
    if not has_index(connection):
        return []
    people = [
        row
        for each in _servers(connection, server)
        for row in connection.execute(_PEOPLE, (each,))
    ]
    names: dict[str, str] = {}
    for _, name in sorted(people, reverse=True):
        if len(names) == limit:
            break
        names.setdefault(name_key(name), name)
    return list(names.values())


def _backwards(
    connection: sqlite3.Connection, wanted: Wanted, last: int = -1
) -> Generator[Place, None, None]:
    """Return the messages that fit, the latest first; no more than `last` are asked."""
    if wanted.correspondent is None or not has_index(connection):
        yield from _rows(connection, _condition(connection, wanted), last=last)
        return
    asked = replace(wanted, correspondent=None)
    yield from _newest_first(
        _rows(
            connection,
            _condition(connection, replace(asked, server=server)),
            _Condition("correspondent = ?", (name,)),
            last=last,
        )
        for server, name in _spellings(connection, wanted)
    )


def _candidates(
    connection: sqlite3.Connection, wanted: Wanted, words: Sequence[str]
) -> Generator[Place, None, None]:
    """Return those that fit and may have folded words in them, the latest first."""
    if (
        not words
        or not has_index(connection)
        or (wanted.correspondent is not None and _are_few(connection, wanted))
    ):
        yield from _backwards(connection, wanted)
        return
    fits = _condition(connection, wanted)
    highest, upto = highest_position(connection), indexed_upto(connection)
    newest: list[Place] = []
    if any(len(word) < PIECE for word in words):
        highest -= SAMPLE
        upto = min(upto, highest)
        newest = list(_between(connection, fits, highest))
        words = _to_be_asked(words, [fold(_text(text)) for _, text in newest])
    not_indexed = _between(connection, fits, upto, highest)
    changed = _between(connection, fits, 0, upto, source=_CHANGED)
    indexed = _rows(
        connection,
        fits,
        _Condition(_MATCH, (expression(words), upto)),
        source=_INDEXED,
        order="messages_search.rowid",
    )
    yield from chain(newest, not_indexed, _newest_first([changed, indexed]))


def _to_be_asked(words: Sequence[str], sample: Sequence[str]) -> Sequence[str]:
    """Return the words that the index should be asked for, if not all.

    For a short one it has to look at all pieces that begin with it: of one that is in
    many messages that takes longer than to look at those that have the others.
    """
    most = len(sample) // COMMON
    asked = [
        word
        for word in words
        if len(word) >= PIECE or sum(word in text for text in sample) <= most
    ]
    return asked or words


def _between(
    connection: sqlite3.Connection,
    fits: _Condition,
    after: int,
    upto: int | None = None,
    source: str | None = None,
) -> Iterator[Place]:
    """Return those whose position is higher than one, and not than another."""
    conditions = [fits, _Condition("messages.position > ?", (after,))]
    if upto is not None:
        conditions.append(_Condition("messages.position <= ?", (upto,)))
    return _rows(connection, *conditions, source=source)


def _rows(
    connection: sqlite3.Connection,
    *conditions: _Condition,
    source: str | None = None,
    order: str = "messages.position",
    last: int = -1,
) -> Iterator[Place]:
    # Asked only when the first is needed.
    yield from connection.execute(
        f"SELECT messages.position, message FROM {source or _table(connection)}"
        f" WHERE {' AND '.join(each.sql for each in conditions)}"
        f" ORDER BY {order} DESC LIMIT ?",
        (*(value for each in conditions for value in each.values), last),
    )


def _condition(connection: sqlite3.Connection, wanted: Wanted) -> _Condition:
    conditions, values = ["TRUE"], list[str | int]()
    if wanted.server is not None:
        conditions.append("server = ?")
        values.append(wanted.server)
    if wanted.since is not None:
        conditions.append("timestamp >= ?")
        values.append(timestamp(wanted.since))
    if wanted.until is not None:
        conditions.append("timestamp <= ?")
        values.append(timestamp(wanted.until))
    if wanted.correspondent is not None:
        if has_index(connection):
            names = {name for _, name in _spellings(connection, wanted)}
            # Not by its index: the order would be lost.
            conditions.append(f"+correspondent IN ({', '.join('?' * len(names))})")
            values += names
        else:
            connection.create_function("name_key", 1, _key, deterministic=True)
            conditions.append("? IN (name_key(sender), name_key(receiver))")
            values.append(name_key(wanted.correspondent))
    return _Condition(" AND ".join(conditions), tuple(values))


def _spellings(
    connection: sqlite3.Connection, wanted: Wanted
) -> Iterator[tuple[str, str]]:
    """Return the servers at which somebody is known, each with a spelling used."""
    key = name_key(wanted.correspondent or "")
    for server in _servers(connection, wanted.server):
        for _, name in connection.execute(_PEOPLE, (server,)):
            if (name.casefold() if name.isascii() else name_key(name)) == key:
                yield server, name


def _servers(connection: sqlite3.Connection, wanted: str | None) -> list[str]:
    if wanted is not None:
        return [wanted]
    return [name for (name,) in connection.execute(_SERVERS)]


def _are_few(connection: sqlite3.Connection, wanted: Wanted) -> bool:
    """Whether it is quicker to look at each message with somebody than at others."""
    count = 0
    for place in _spellings(connection, wanted):
        (some,) = connection.execute(_COUNT, (*place, LOOKED_THROUGH)).fetchone()
        count += some
    return count < LOOKED_THROUGH


def _table(connection: sqlite3.Connection) -> str:
    """Return the table, or what has the columns of ours if it is the original's."""
    return "messages" if version_of(connection) else _ORIGINAL


def _newest_first(several: Iterable[Iterator[Place]]) -> Iterator[Place]:
    return merge(*several, key=itemgetter(0), reverse=True)


def _has(folded: str, words: Sequence[str]) -> bool:
    return all(word in folded for word in words)


def _kept(connection: sqlite3.Connection, place: int) -> Kept:
    query = f"SELECT {COLUMNS} FROM {_table(connection)} WHERE position = ?"
    position, *others = connection.execute(query, (place,)).fetchone()
    return kept((position, *map(_text, others)))


def _text(value: object) -> str:
    """Return a value as text: the original program kept others, too."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def _key(name: object) -> str:
    return name_key(_text(name))
