"""The JSON form: one object a line, for programs and the bundled client.

A request is parsed into a frozen value that is already checked; whoever gets one needs
no checks of its own. What the server says is built by the functions below.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from chatd.wire.answers import Refusal
from chatd.wire.message import Message
from chatd.wire.names import Name
from chatd.wire.text import checked_text, parse_targets

PROTOCOL: Final = 1
FEATURES: Final = ("ack", "resend", "password")
MAX_NESTING: Final = 16
MAX_ID: Final = 64


@dataclass(frozen=True, slots=True)
class Login:
    """``login``: the name as given; `receive` is false for who only sends."""

    user: str
    receive: bool = True
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SendObject:
    """``send``: `id` is None where the server is to make one.

    `at_once` is whether the message is to be on disk as soon as possible.
    """

    to: tuple[Name, ...]
    text: str
    id: str | None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """``ack``: everything up to `seq` on this connection is safe with the client."""

    seq: int


@dataclass(frozen=True, slots=True)
class Who:
    """``who``: the users online whose names begin with `prefix`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Users:
    """``users``: all users whose names begin with `prefix`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Password:
    """``password``: one's name gets the `new` one; `old` is the one it has, if any."""

    new: str = field(repr=False)
    old: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ping:
    """``ping``."""


@dataclass(frozen=True, slots=True)
class Quit:
    """``quit``."""


Request = Login | SendObject | Ack | Who | Users | Password | Ping | Quit


class RequestRefusal(Exception):
    """A refusal of a request, with its ``id`` where that could be read."""

    def __init__(self, refusal: Refusal, id: str | None) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal
        self.id = id


def parse_request(line: str, max_message: int) -> Request:
    """Return what a line asks for.

    `max_message` is the longest text in bytes of UTF-8. Raises `RequestRefusal`:
    bad-json, bad-field, unknown-type, unsupported, or one that a text line may get.
    """
    message_id: str | None = None
    try:
        fields = _object(line)
        kind = _string(fields, "type")
        # Read first, so that a refusal of anything else in the object can name it.
        message_id = _id(fields) if kind == "send" else None
        if kind not in _PARSERS:
            raise Refusal("unknown-type", type=kind[:MAX_ID])
        parser, known = _PARSERS[kind]
        _check_required(fields, known)
        return parser(fields, max_message)
    except Refusal as refusal:
        raise RequestRefusal(refusal, message_id) from None


def hello(version: str, limits: Mapping[str, int]) -> str:
    """Return the first object, after ``/json``."""
    return _line(
        type="hello",
        version=version,
        protocol=PROTOCOL,
        features=FEATURES,
        limits=limits,
    )


def welcome(
    user: str,
    *,
    new: bool,
    is_open: bool,
    users: Sequence[str],
    more_users: int,
    online: Sequence[str],
    more_online: int,
    queued: int,
) -> str:
    """Return the answer to a login: who there is, and how many messages follow.

    `is_open` is whether the name has no password, and could have one.
    """
    return _line(
        type="welcome",
        user=user,
        new=new,
        open=is_open,
        users=users,
        more_users=more_users,
        online=online,
        more_online=more_online,
        queued=queued,
    )


def message(
    sequence: int, message: Message, message_id: str | None = None, *, queued: bool
) -> str:
    """Return a message; `sequence` counts those of this connection from 1.

    `message_id` is its id, if it was sent without one.
    """
    known_by = message.id if message_id is None else message_id
    return (
        f'{{"type":"message","seq":{sequence},"id":{quoted(known_by)}'
        f',"from":{quoted(message.sender)},"to":{quoted(message.target)}'
        f',"text":{quoted(message.text)},"time":"{timestamp(message.time)}"'
        f',"queued":{"true" if queued else "false"}}}'
    )


def accepted(message_id: str, to: str, status: str) -> str:
    """Return that a message to one target is ``stored`` or ``delivered``."""
    return (
        f'{{"type":"accepted","id":{quoted(message_id)},"to":{quoted(to)}'
        f',"status":"{status}"}}'
    )


def error(refusal: Refusal, message_id: str | None = None, to: str = "") -> str:
    """Return a refusal; `message_id` and `to` where it concerns one message."""
    fields: dict[str, object] = {"type": "error", "code": refusal.code}
    if message_id is not None:
        fields["id"] = message_id
    if to:
        fields["to"] = to
    return _line(**fields, temporary=refusal.temporary, text=refusal.text)


def names(kind: str, found: Sequence[str], more: int) -> str:
    """Return the answer to ``who`` or ``users``; `more` are not listed."""
    return _line(type=kind, users=found, more=more)


def notice(text: str) -> str:
    """Return a line for people."""
    return _line(type="notice", text=text)


def password_set() -> str:
    """Return the answer to ``password``: every login needs it from now on."""
    return _line(type="password")


def pong() -> str:
    """Return the answer to ``ping``."""
    return _line(type="pong")


def goodbye() -> str:
    """Return the answer to ``quit``, with the meaning of ``Goodbye.``."""
    return _line(type="goodbye")


@lru_cache(maxsize=64)
def timestamp(milliseconds: int) -> str:
    """Return a time as RFC 3339 has it, in UTC, to the millisecond."""
    when = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


quoted: Final = encode_basestring_ascii
"""What returns a string as JSON has it."""

# ASCII only: whatever a text holds, a line of JSON harms no terminal.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def _line(**fields: object) -> str:
    return _encode(fields)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
"""What reads JSON; it takes what is no JSON, as NaN, for an error."""


def _object(line: str) -> dict[str, Any]:
    try:
        value = DECODER.decode(line)
    except RecursionError:
        raise Refusal("bad-json", reason="nested too deeply") from None
    except ValueError:
        raise Refusal("bad-json", reason="it cannot be parsed") from None
    if not isinstance(value, dict):
        raise Refusal("bad-json", reason="it is another kind of value")
    brackets = line.count("{") + line.count("[")
    if brackets > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise Refusal("bad-json", reason="nested too deeply")
    if "\\u" in line:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refusal("bad-json", reason="it has a lone surrogate") from None
    return value


def _nesting(value: object) -> int:
    """Return how deeply lists and objects are nested, without recursion."""
    depth = 0
    level: list[object] = [value]
    while level:
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not any(isinstance(each, dict | list) for each in level):
            break
        depth += 1
        level = inner
    return depth


def _string(fields: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = fields.get(key, default)
    if value is None:
        raise Refusal("bad-field", field=key, reason="it is missing")
    if not isinstance(value, str):
        raise Refusal("bad-field", field=key, reason="it must be a string")
    return value


def _flag(fields: Mapping[str, Any], key: str, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise Refusal("bad-field", field=key, reason="it must be true or false")
    return value


def _id(fields: Mapping[str, Any]) -> str | None:
    if "id" not in fields:
        return None
    value = _string(fields, "id")
    if not 1 <= len(value) <= MAX_ID or not all("!" <= each <= "~" for each in value):
        raise Refusal(
            "bad-field",
            field="id",
            reason=f"it must be 1 to {MAX_ID} printable ASCII characters",
        )
    return value


def _check_required(fields: Mapping[str, Any], known: Iterable[str]) -> None:
    required = fields.get("require", [])
    if not isinstance(required, list) or not all(
        isinstance(key, str) for key in required
    ):
        reason = "it must be a list of strings"
        raise Refusal("bad-field", field="require", reason=reason)
    for key in required:
        if key not in known:
            raise Refusal("unsupported", key=key[:MAX_ID])


def _login(fields: Mapping[str, Any], max_message: int) -> Request:
    password = _string(fields, "password") if "password" in fields else None
    _string(fields, "device", "")
    return Login(_string(fields, "user"), _flag(fields, "receive", True), password)


def _send(fields: Mapping[str, Any], max_message: int) -> Request:
    to = fields.get("to")
    names = [to] if isinstance(to, str) else to
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(each, str) for each in names)
    ):
        reason = "it must be a name or a list of names"
        raise Refusal("bad-field", field="to", reason=reason)
    text = _string(fields, "text").replace("\r\n", "\n")
    if not text:
        raise Refusal("bad-field", field="text", reason="it is empty")
    if "want" in fields and fields["want"] != "stored":
        raise Refusal("bad-field", field="want", reason='it can only be "stored"')
    try:
        targets = parse_targets(names)
    except Refusal as refusal:
        if refusal.code != "format":
            raise
        reason = "it has what cannot be a name"
        raise Refusal("bad-field", field="to", reason=reason) from None
    checked = checked_text(text, max_message)
    return SendObject(targets, checked, _id(fields), "want" in fields)


def _ack(fields: Mapping[str, Any], max_message: int) -> Request:
    sequence = fields.get("seq")
    if sequence is None:
        raise Refusal("bad-field", field="seq", reason="it is missing")
    # A bool is an int to Python, but no number to JSON.
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
        reason = "it must be a whole number, 0 or more"
        raise Refusal("bad-field", field="seq", reason=reason)
    return Ack(sequence)


def _who(fields: Mapping[str, Any], max_message: int) -> Request:
    return Who(_string(fields, "prefix", ""))


def _users(fields: Mapping[str, Any], max_message: int) -> Request:
    return Users(_string(fields, "prefix", ""))


def _password(fields: Mapping[str, Any], max_message: int) -> Request:
    old = _string(fields, "old") if "old" in fields else None
    return Password(_string(fields, "new"), old)


def _ping(fields: Mapping[str, Any], max_message: int) -> Request:
    return Ping()


def _quit(fields: Mapping[str, Any], max_message: int) -> Request:
    return Quit()


# For each type: its parser, and the keys that may stand in "require".
_PARSERS: Final[
    dict[str, tuple[Callable[[Mapping[str, Any], int], Request], frozenset[str]]]
] = {
    "login": (_login, frozenset({"user", "receive", "password"})),
    "send": (_send, frozenset({"to", "text", "id", "want"})),
    "ack": (_ack, frozenset({"seq"})),
    "who": (_who, frozenset({"prefix"})),
    "users": (_users, frozenset({"prefix"})),
    "password": (_password, frozenset({"new", "old"})),
    "ping": (_ping, frozenset()),
    "quit": (_quit, frozenset()),
}
