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
from chatd.wire.fields import (
    MAX_ID,
    check_required,
    flag,
    read_object,
    string,
    strings,
)
from chatd.wire.message import Message
from chatd.wire.names import BadName, Name, parse_name
from chatd.wire.text import checked_text, parse_targets

PROTOCOL: Final = 1
FEATURES: Final = ("ack", "resend", "password", "watch")


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
class Watch:
    """``watch``: to be told who of these is online, in the place of all before.

    They are as given, doubles once: `watched` may need a millisecond for each.
    """

    names: tuple[str, ...]


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


Request = Login | SendObject | Ack | Who | Users | Watch | Password | Ping | Quit


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
        fields = read_object(line)
        kind = string(fields, "type")
        # Read first, so that a refusal of anything else in the object can name it.
        message_id = _id(fields) if kind == "send" else None
        if kind not in _PARSERS:
            raise Refusal("unknown-type", type=kind[:MAX_ID])
        parser, known = _PARSERS[kind]
        check_required(fields, known)
        return parser(fields, max_message)
    except Refusal as refusal:
        raise RequestRefusal(refusal, message_id) from None


def watched(given: Iterable[str]) -> list[Name]:
    """Return the names of a `Watch`, or of a part of it. Raises `Refusal`: bad-field.

    A reserved one is like any that nobody has.
    """
    found = []
    for each in given:
        try:
            found.append(parse_name(each, reserved_too=True))
        except BadName:
            reason = f"'{each[:MAX_ID]}' cannot be a name"
            raise Refusal("bad-field", field="names", reason=reason) from None
    return found


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


def presence(user: str, *, online: bool) -> str:
    """Return whether somebody who is watched is online now."""
    return (
        f'{{"type":"presence","user":{quoted(user)}'
        f',"online":{"true" if online else "false"}}}'
    )


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


def _id(fields: Mapping[str, Any]) -> str | None:
    if "id" not in fields:
        return None
    value = string(fields, "id")
    if not 1 <= len(value) <= MAX_ID or not all("!" <= each <= "~" for each in value):
        raise Refusal(
            "bad-field",
            field="id",
            reason=f"it must be 1 to {MAX_ID} printable ASCII characters",
        )
    return value


def _login(fields: Mapping[str, Any], max_message: int) -> Request:
    password = string(fields, "password") if "password" in fields else None
    string(fields, "device", "")
    return Login(string(fields, "user"), flag(fields, "receive", True), password)


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
    text = string(fields, "text").replace("\r\n", "\n")
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
    return Who(string(fields, "prefix", ""))


def _users(fields: Mapping[str, Any], max_message: int) -> Request:
    return Users(string(fields, "prefix", ""))


def _watch(fields: Mapping[str, Any], max_message: int) -> Request:
    given = strings(fields, "names", "it must be a list of names")
    return Watch(tuple(dict.fromkeys(given)))


def _password(fields: Mapping[str, Any], max_message: int) -> Request:
    old = string(fields, "old") if "old" in fields else None
    return Password(string(fields, "new"), old)


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
    "watch": (_watch, frozenset({"names"})),
    "password": (_password, frozenset({"new", "old"})),
    "ping": (_ping, frozenset()),
    "quit": (_quit, frozenset()),
}
