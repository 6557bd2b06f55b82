"""What the server says in the JSON form, as values, and what the client says to it.

The server is not trusted: every field is checked here, and all but a message's own
text is made safe to show. That one is kept as it was sent, without what no encoder
takes; whoever shows it makes it safe.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chatd.wire.display import neutralise
from chatd.wire.message import Message, new_id

PROTOCOL: Final = 1

LONGEST_NAME: Final = 256
"""In characters: no chatd has longer names, nor any that is to come."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """A line that no chatd sends; str() says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """``hello``: the limits are None where the server does not tell them.

    `features` are what an older server may lack; without ``watch`` among them it knows
    no `watch`, and `max_watched` is how many names that may have.
    """

    protocol: int
    max_line: int | None
    max_message: int | None
    features: frozenset[str] = frozenset()
    max_watched: int | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """``welcome``: logged in; `is_open` names have no password, and could have one."""

    user: str
    new: bool
    users: tuple[str, ...]
    more_users: int
    online: tuple[str, ...]
    more_online: int
    queued: int
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """``message``: one that was `queued` waited at the login."""

    message: Message
    queued: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """``accepted``: a message to one target is ``stored`` or ``delivered``."""

    id: str
    to: str
    status: str


@dataclass(frozen=True, slots=True)
class Refused:
    """``error``: `id` and `to` say of which message, where it is about one."""

    code: str
    text: str
    temporary: bool
    id: str | None
    to: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """``who`` or ``users``, which `kind` says; `more` are not listed."""

    kind: str
    names: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Presence:
    """``presence``: whether one of those asked for with `watch` is online now."""

    user: str
    online: bool


@dataclass(frozen=True, slots=True)
class PasswordSet:
    """``password``: every login needs it from now on."""


@dataclass(frozen=True, slots=True)
class Notice:
    """``notice``: a line for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Pong:
    """``pong``."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """``goodbye``: everything sent is safe, or was refused."""


Event = (
    Hello
    | Welcome
    | Incoming
    | Accepted
    | Refused
    | Listing
    | Presence
    | PasswordSet
    | Notice
    | Pong
    | Goodbye
)


def parse_event(line: bytes) -> Event | None:
    """Return what the server says; None for what only a newer client understands.

    Raises `Malformed`.
    """
    try:
        fields = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("it is no JSON") from None
    if not isinstance(fields, dict):
        raise Malformed("it is no JSON object")
    parser = _PARSERS.get(_string(fields, "type"))
    return None if parser is None else parser(fields)


def greeting(version: str) -> str:
    """Return the line that asks for the JSON form."""
    return f"/json chat/{version}"


def login(user: str, password: str | None = None, *, receive: bool = True) -> str:
    """Return the request to log in, or to log in to send only."""
    fields: dict[str, object] = {"type": "login", "user": user}
    if password is not None:
        fields["password"] = password
    if not receive:
        fields["receive"] = False
    return _line(**fields)


def password(new: str, old: str | None) -> str:
    """Return the request for another password; `old` is the one that there is."""
    if old is None:
        return _line(type="password", new=new)
    return _line(type="password", new=new, old=old)


def send(
    targets: Sequence[str], text: str, message_id: str, *, at_once: bool = False
) -> str:
    """Return the request to send a text to one or several.

    With `at_once` it is brought to disk though a receiver may soon have it.
    """
    to = targets[0] if len(targets) == 1 else targets
    want = {"want": "stored"} if at_once else {}
    return _line(type="send", to=to, text=text, id=message_id, **want)


def acknowledge(sequence: int) -> str:
    """Return that everything up to a message's number is safe here."""
    return _line(type="ack", seq=sequence)


def listing(kind: str, prefix: str) -> str:
    """Return the request to list names: ``who`` is online, or all ``users``."""
    return _line(type=kind, prefix=prefix)


def watch(names: Sequence[str]) -> str:
    """Return the request to be told who of these is online, now and when it changes.

    It replaces what was asked for before on this connection; without names it ends.
    """
    return _line(type="watch", names=list(names))


def ping() -> str:
    """Return the request for a sign of life."""
    return _line(type="ping")


def leave() -> str:
    """Return the request that is answered once everything sent is safe."""
    return _line(type="quit")


def rfc3339(milliseconds: int) -> str:
    """Return a time as the server writes it, ``2026-11-22T18:42:53.123Z``."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def _line(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


_REQUIRED: Final = object()


def _string(fields: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise Malformed(f"its field {key!r} is no text")
    return _SURROGATES.sub("\ufffd", value)


def _name(fields: Mapping[str, Any], key: str) -> str:
    return _checked_name(_string(fields, key), key)


def _checked_name(name: str, key: str) -> str:
    if len(name) > LONGEST_NAME:
        raise Malformed(f"its field {key!r} is no name")
    return neutralise(name)


def _shown(fields: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> str:
    return neutralise(_string(fields, key, default))


def _optional(fields: Mapping[str, Any], key: str) -> str | None:
    return None if fields.get(key) is None else _shown(fields, key)


def _number(fields: Mapping[str, Any], key: str, default: Any = _REQUIRED) -> int:
    value = fields.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"its field {key!r} is no number")
    return value


def _flag(fields: Mapping[str, Any], key: str, default: Any = False) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise Malformed(f"its field {key!r} is neither true nor false")
    return value


def _names(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"its field {key!r} is no list of names")
    return tuple(_checked_name(each, key) for each in value)


def _time(fields: Mapping[str, Any]) -> int:
    """Return the time in milliseconds since 1970-01-01 UTC."""
    try:
        moment = datetime.fromisoformat(_string(fields, "time"))
        if moment.tzinfo is None:
            raise ValueError
        milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
        datetime.fromtimestamp(milliseconds / 1000, UTC)  # can it be shown?
    except (ValueError, OverflowError):
        raise Malformed("its field 'time' is no time") from None
    return milliseconds


def _hello(fields: Mapping[str, Any]) -> Event:
    limits = fields.get("limits", {})
    if not isinstance(limits, dict):
        raise Malformed("its field 'limits' is no object")
    return Hello(
        _number(fields, "protocol"),
        _number(limits, "line") if "line" in limits else None,
        _number(limits, "message") if "message" in limits else None,
        frozenset(_names(fields, "features")),
        _number(limits, "watched") if "watched" in limits else None,
    )


def _welcome(fields: Mapping[str, Any]) -> Event:
    return Welcome(
        _name(fields, "user"),
        _flag(fields, "new"),
        _names(fields, "users"),
        _number(fields, "more_users", 0),
        _names(fields, "online"),
        _number(fields, "more_online", 0),
        _number(fields, "queued", 0),
        _flag(fields, "open"),
    )


def _message(fields: Mapping[str, Any]) -> Event:
    text = _string(fields, "text")
    message = Message(
        position=_number(fields, "seq", 0),
        # A message that an old server had stored may have none.
        id=_string(fields, "id", "") or new_id(),
        sender=_name(fields, "from"),
        target=_name(fields, "to"),
        text=text,
        time=_time(fields),
        size=len(text.encode()),
    )
    return Incoming(message, _flag(fields, "queued"))


def _accepted(fields: Mapping[str, Any]) -> Event:
    return Accepted(
        _string(fields, "id"), _name(fields, "to"), _shown(fields, "status")
    )


def _error(fields: Mapping[str, Any]) -> Event:
    return Refused(
        _shown(fields, "code"),
        _shown(fields, "text"),
        _flag(fields, "temporary"),
        _optional(fields, "id"),
        _optional(fields, "to"),
    )


def _listing(fields: Mapping[str, Any]) -> Event:
    return Listing(
        _string(fields, "type"), _names(fields, "users"), _number(fields, "more", 0)
    )


def _presence(fields: Mapping[str, Any]) -> Event:
    return Presence(_name(fields, "user"), _flag(fields, "online", _REQUIRED))


_PARSERS: Final[dict[str, Callable[[Mapping[str, Any]], Event]]] = {
    "hello": _hello,
    "welcome": _welcome,
    "message": _message,
    "accepted": _accepted,
    "error": _error,
    "who": _listing,
    "users": _listing,
    "presence": _presence,
    "password": lambda fields: PasswordSet(),
    "notice": lambda fields: Notice(_shown(fields, "text")),
    "pong": lambda fields: Pong(),
    "goodbye": lambda fields: Goodbye(),
}
