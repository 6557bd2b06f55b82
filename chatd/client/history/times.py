"""Times as a history has them: UTC, written as 2026-11-22 18:42:53."""

import re
from datetime import UTC, date, datetime
from typing import Final

_TIME: Final = "%Y-%m-%d %H:%M:%S"
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]*)?")


def timestamp(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970-01-01 UTC as a history has it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime(_TIME)


def milliseconds(text: str) -> int:
    """Return a time of a history in milliseconds since 1970-01-01 UTC.

    It may have been written by another program: numbers are seconds since 1970, what
    has no time zone is UTC, as SQLite's own is. Raises `ValueError`.
    """
    try:
        if _NUMBER.fullmatch(text):
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
        return _whole_seconds(moment)
    except (OverflowError, OSError):
        raise ValueError(f"{text!r} is no time") from None


def milliseconds_or_none(text: str) -> int | None:
    """Return a time as `milliseconds` does, or None if it cannot be read."""
    try:
        return milliseconds(text)
    except ValueError:
        return None


def first_moment(text: str) -> int:
    """Return the begin of what a person writes: a date, or a date and a time.

    In milliseconds since 1970-01-01 UTC; without a time zone it is UTC. Raises
    `ValueError`.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _whole_seconds(moment)


def last_moment(text: str) -> int:
    """Return the end of what `first_moment` takes: of a date, that of its day."""
    begin = first_moment(text)
    day = 24 * 3600 * 1000
    try:
        date.fromisoformat(text)
    except ValueError:
        return begin
    return begin + day - 1000


def _whole_seconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
