"""The JSON form: which requests are understood, what is refused, what is said."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatd.client.connection import events
from chatd.limits import Limits
from chatd.wire import objects
from chatd.wire.answers import ANSWERS, Refusal
from chatd.wire.message import Message
from chatd.wire.names import Name, parse_name
from chatd.wire.objects import (
    Login,
    Ping,
    Quit,
    Request,
    RequestRefusal,
    SendObject,
    Users,
    Watch,
    Who,
)

MAX_MESSAGE = 12_288

BOB = Name("bob", "bob")
CAROL = Name("carol", "carol")

SEND = {"type": "send", "to": "bob", "text": "Hi"}


def parse(fields: object, *, raw: str | None = None) -> Request:
    line = json.dumps(fields) if raw is None else raw
    return objects.parse_request(line, MAX_MESSAGE)


def refusal_of(
    fields: object = None, *, raw: str | None = None
) -> tuple[str, str, str | None]:
    """Return code, text and id of the refusal of an object, or of a raw line."""
    with pytest.raises(RequestRefusal) as caught:
        parse(fields, raw=raw)
    refusal = caught.value.refusal
    return refusal.code, refusal.text, caught.value.id


def nested(depth: int, inner: str = "") -> str:
    """Return an object in which lists and objects are nested so deeply."""
    return '{"type":"ping","x":' + "[" * (depth - 1) + inner + "]" * (depth - 1) + "}"


# Requests that are understood --------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "request_"),
    [
        ({"type": "login", "user": "alice"}, Login("alice")),
        # Whether it can be a name is said with the reason, later.
        ({"type": "login", "user": ""}, Login("")),
        ({"type": "login", "user": "alice", "receive": True}, Login("alice")),
        (
            {"type": "login", "user": "alice", "receive": False},
            Login("alice", receive=False),
        ),
        (
            {"type": "login", "user": "alice", "password": "x"},
            Login("alice", password="x"),
        ),
        ({"type": "login", "user": "alice", "device": "phone"}, Login("alice")),
        (SEND, SendObject((BOB,), "Hi", None)),
        (SEND | {"to": ["bob"]}, SendObject((BOB,), "Hi", None)),
        (
            SEND | {"to": ["carol", " bob", "Carol"], "id": "m1", "want": "stored"},
            SendObject((Name("carol", "Carol"), BOB), "Hi", "m1"),
        ),
        (
            SEND | {"text": "a-b\t\x1b\u2028"},
            SendObject((BOB,), "a-b\t\x1b\u2028", None),
        ),
        ({"type": "who"}, Who("")),
        ({"type": "who", "prefix": "a"}, Who("a")),
        ({"type": "users"}, Users("")),
        ({"type": "users", "prefix": "a"}, Users("a")),
        ({"type": "watch", "names": []}, Watch(())),
        # What can be no name is said later, too: to look at all takes time.
        (
            {"type": "watch", "names": ["bob", "a-b", "bob", "Bob", ""]},
            Watch(("bob", "a-b", "Bob", "")),
        ),
        ({"type": "ping"}, Ping()),
        ({"type": "quit"}, Quit()),
    ],
)
def test_an_object_is_a_request(fields: dict[str, Any], request_: Request) -> None:
    understood = parse(fields)
    if isinstance(understood, SendObject) and isinstance(request_, SendObject):
        keys = [name.key for name in understood.to]
        assert keys == [name.key for name in request_.to]
        assert (understood.text, understood.id) == (request_.text, request_.id)
    else:
        assert understood == request_


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "ping", "rooms": ["ops"], "x": None, "n": 1.5},
        {"type": "ping", "require": []},
        {"type": "quit", "id": 1},
        {"type": "who", "to": False},
    ],
)
def test_unknown_keys_are_ignored(fields: dict[str, Any]) -> None:
    assert isinstance(parse(fields), Ping | Quit | Who)


@pytest.mark.parametrize(
    "raw",
    [
        ' {"type" : "ping"} ',
        '\t{"type":"ping"}\r',
        '{"type":"\\u0070ing"}',
        '{"type":"quit","type":"ping"}',
        '{"type":"ping","x":"\\ud83d\\ude00"}',
        '{"type":"ping","x":"\\\\ud800"}',
        '{"type":"ping","x":1e999}',
    ],
)
def test_json_may_be_written_in_several_ways(raw: str) -> None:
    assert parse(None, raw=raw) == Ping()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a\r\nb", "a\nb"),
        ("a\nb", "a\nb"),
        ("a\r\n\r\nb\r\n", "a\n\nb\n"),
        ("a\rb", "a\rb"),
        ("a\r\r\nb", "a\r\nb"),
        ("\r\n", "\n"),
        ("\x00", "\x00"),
    ],
)
def test_line_ends_in_a_text_become_lf(sent: str, kept: str) -> None:
    assert parse(SEND | {"text": sent}) == SendObject((BOB,), kept, None)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("login", ["user", "receive"]),
        ("send", ["to", "text", "id", "want"]),
        ("who", ["prefix"]),
        ("users", ["prefix"]),
        ("watch", ["names"]),
    ],
)
def test_keys_that_the_server_knows_may_be_required(kind: str, keys: list[str]) -> None:
    fields = SEND | {"type": kind, "user": "alice", "names": [], "require": keys}
    assert parse(fields) == parse(fields | {"require": []})


def test_a_password_does_not_show_in_a_log() -> None:
    assert "secret" not in repr(Login("alice", password="secret"))


# Requests that are refused -----------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "hello",
        "bob-Hi",
        "{",
        '{"type":"ping"',
        '{"type":"ping"}}',
        '{"type":"ping"} {"type":"ping"}',
        "{'type':'ping'}",
        '{type:"ping"}',
        '{"type":"ping",}',
        '{"type":"a\tb"}',
        '{"type":"ping","x":NaN}',
        '{"type":"ping","x":Infinity}',
        '{"type":"ping","x":-Infinity}',
        '{"type":"ping","x":01}',
        '{"type":"ping","x":' + "1" * 5_000 + "}",
        '{"type":"ping","x":"\\ud8"}',
        '\ufeff{"type":"ping"}',
    ],
)
def test_what_cannot_be_parsed_is_bad_json(raw: str) -> None:
    assert refusal_of(raw=raw) == (
        "bad-json",
        "Not a JSON object (it cannot be parsed). Nothing was sent.",
        None,
    )


@pytest.mark.parametrize("raw", ["[]", '["ping"]', '"ping"', "1", "true", "null"])
def test_another_value_than_an_object_is_bad_json(raw: str) -> None:
    assert refusal_of(raw=raw) == (
        "bad-json",
        "Not a JSON object (it is another kind of value). Nothing was sent.",
        None,
    )


def test_an_object_may_be_nested_16_deep_and_not_deeper() -> None:
    deep = (
        "bad-json",
        "Not a JSON object (nested too deeply). Nothing was sent.",
        None,
    )
    assert parse(None, raw=nested(16)) == Ping()
    assert parse(None, raw=nested(16, inner="1,2,3")) == Ping()
    assert refusal_of(raw=nested(17)) == deep
    assert refusal_of(raw=nested(16, inner="{}")) == deep
    assert refusal_of(raw=nested(60_000)) == deep
    assert refusal_of(raw="[" * 131_072) == deep
    assert refusal_of(raw='{"x":' * 20_000) == deep


@pytest.mark.parametrize(
    "raw",
    [
        '{"type":"ping","x":"\\ud800"}',
        '{"type":"ping","x":"\\uDFFF"}',
        '{"type":"ping","x":"\\ude00\\ud83d"}',
        '{"type":"ping","\\ud800":1}',
        '{"type":"ping","x":[{"y":"\\udbff"}]}',
        '{"type":"send","to":"bob","text":"\\ud800","id":"m1"}',
    ],
)
def test_a_lone_surrogate_anywhere_is_bad_json(raw: str) -> None:
    assert refusal_of(raw=raw) == (
        "bad-json",
        "Not a JSON object (it has a lone surrogate). Nothing was sent.",
        None,
    )


MISSING = "it is missing"
NO_STRING = "it must be a string"
NO_FLAG = "it must be true or false"
NO_NAMES = "it must be a name or a list of names"
NO_LIST = "it must be a list of names"
NO_KEYS = "it must be a list of strings"
BAD_ID = "it must be 1 to 64 printable ASCII characters"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({}, "type", MISSING),
        ({"type": None}, "type", MISSING),
        ({"type": 1}, "type", NO_STRING),
        ({"type": ["ping"]}, "type", NO_STRING),
        ({"type": "login"}, "user", MISSING),
        ({"type": "login", "user": True}, "user", NO_STRING),
        ({"type": "login", "user": "alice", "receive": 1}, "receive", NO_FLAG),
        ({"type": "login", "user": "alice", "receive": "no"}, "receive", NO_FLAG),
        ({"type": "login", "user": "alice", "receive": None}, "receive", NO_FLAG),
        ({"type": "login", "user": "alice", "password": 1}, "password", NO_STRING),
        ({"type": "login", "user": "alice", "device": 1}, "device", NO_STRING),
        ({"type": "who", "prefix": 1}, "prefix", NO_STRING),
        ({"type": "users", "prefix": ["a"]}, "prefix", NO_STRING),
        ({"type": "watch"}, "names", MISSING),
        ({"type": "watch", "names": None}, "names", NO_LIST),
        ({"type": "watch", "names": "bob"}, "names", NO_LIST),
        ({"type": "watch", "names": {"bob": 1}}, "names", NO_LIST),
        ({"type": "watch", "names": ["bob", 1]}, "names", NO_LIST),
        ({"type": "watch", "names": [["bob"]]}, "names", NO_LIST),
        ({"type": "send", "text": "Hi"}, "to", NO_NAMES),
        (SEND | {"to": None}, "to", NO_NAMES),
        (SEND | {"to": []}, "to", NO_NAMES),
        (SEND | {"to": 1}, "to", NO_NAMES),
        (SEND | {"to": {"bob": 1}}, "to", NO_NAMES),
        (SEND | {"to": ["bob", 1]}, "to", NO_NAMES),
        (SEND | {"to": [["bob"]]}, "to", NO_NAMES),
        (SEND | {"to": ""}, "to", "it has what cannot be a name"),
        (SEND | {"to": "bob,carol"}, "to", "it has what cannot be a name"),
        (SEND | {"to": "a-b"}, "to", "it has what cannot be a name"),
        (SEND | {"to": ["bob", "x" * 33]}, "to", "it has what cannot be a name"),
        ({"type": "send", "to": "bob"}, "text", MISSING),
        (SEND | {"text": 1}, "text", NO_STRING),
        (SEND | {"text": ["Hi"]}, "text", NO_STRING),
        (SEND | {"text": ""}, "text", "it is empty"),
        (SEND | {"want": "delivered"}, "want", 'it can only be "stored"'),
        (SEND | {"want": True}, "want", 'it can only be "stored"'),
        (SEND | {"want": None}, "want", 'it can only be "stored"'),
        (SEND | {"id": ""}, "id", BAD_ID),
        (SEND | {"id": "two words"}, "id", BAD_ID),
        (SEND | {"id": "é"}, "id", BAD_ID),
        (SEND | {"id": "a\n"}, "id", BAD_ID),
        (SEND | {"id": "\x7f"}, "id", BAD_ID),
        (SEND | {"id": "x" * 65}, "id", BAD_ID),
        (SEND | {"id": 1}, "id", NO_STRING),
        (SEND | {"id": True}, "id", NO_STRING),
        ({"type": "ping", "require": "x"}, "require", NO_KEYS),
        ({"type": "ping", "require": {"x": 1}}, "require", NO_KEYS),
        ({"type": "ping", "require": True}, "require", NO_KEYS),
        ({"type": "ping", "require": None}, "require", NO_KEYS),
        ({"type": "ping", "require": [1]}, "require", NO_KEYS),
        ({"type": "ping", "require": ["x", None]}, "require", NO_KEYS),
        # What has no hash cannot be looked for in a set.
        ({"type": "ping", "require": [[]]}, "require", NO_KEYS),
        ({"type": "ping", "require": [{}]}, "require", NO_KEYS),
    ],
)
def test_a_field_that_is_wrong_is_named(
    fields: dict[str, Any], field: str, reason: str
) -> None:
    assert refusal_of(fields) == (
        "bad-field",
        f"Field '{field}': {reason}. Nothing was sent.",
        None,
    )


def test_names_to_watch_are_those_of_users_or_of_nobody() -> None:
    assert objects.watched([" Bob", "zed", "ZED", "nobody"]) == [
        Name("bob", "Bob"),
        Name("zed", "zed"),
        Name("zed", "ZED"),
        Name("nobody", "nobody"),
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", ""), ("a-b", "a-b"), ("a b", "a b"), ("x" * 65, "x" * 64), ("\x1b", "\x1b")],
)
def test_what_cannot_be_a_name_to_watch_is_named(name: str, shown: str) -> None:
    with pytest.raises(Refusal) as caught:
        objects.watched(["bob", name])
    assert caught.value.code == "bad-field"
    assert caught.value.text == (
        f"Field 'names': '{shown}' cannot be a name. Nothing was sent."
    )


def test_as_many_of_the_longest_names_as_may_be_watched_fit_into_a_line() -> None:
    limits = Limits()
    longest = "\U00010330" * 32  # four bytes each
    assert parse_name(longest).shown == longest
    line = events.watch([longest] * limits.watched)
    assert len(line.encode()) <= limits.json_line


@pytest.mark.parametrize(
    "message_id", ["m", "x" * 64, "!~", "01JD3VQ7Z0", "a/b:c{}\"'\\"]
)
def test_an_id_is_1_to_64_printable_ascii_characters(message_id: str) -> None:
    assert parse(SEND | {"id": message_id}) == SendObject((BOB,), "Hi", message_id)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("join", "join"),
        ("", ""),
        ("Ping", "Ping"),
        ("hello", "hello"),
        ("x" * 65, "x" * 64),
    ],
)
def test_an_unknown_type_is_refused(kind: str, shown: str) -> None:
    # Even if the rest of the object is wrong for every type there is.
    assert refusal_of({"type": kind, "id": 1, "require": 1}) == (
        "unknown-type",
        f"Unknown type '{shown}'. Nothing was sent.",
        None,
    )


@pytest.mark.parametrize("kind", ["login", "send", "who", "users", "ping", "quit"])
def test_a_required_key_that_is_not_known_refuses_the_request(kind: str) -> None:
    fields = SEND | {"type": kind, "user": "alice", "require": ["rooms", "x"]}
    assert refusal_of(fields) == (
        "unsupported",
        "This server does not know 'rooms'. Nothing was sent.",
        None,
    )


def test_a_required_key_is_repeated_only_in_part() -> None:
    _, text, _ = refusal_of({"type": "ping", "require": ["x" * 65]})
    assert text == f"This server does not know '{'x' * 64}'. Nothing was sent."


@pytest.mark.parametrize(
    "text",
    ["x" * 12_288, "é" * 6_144, "😀" * 3_072, "a\r\n" + "x" * 12_286],
    ids=["1 byte", "2 bytes", "4 bytes", "a line end"],
)
def test_a_text_may_have_12288_bytes_and_not_one_more(text: str) -> None:
    kept = text.replace("\r\n", "\n")
    assert parse(SEND | {"text": text}) == SendObject((BOB,), kept, None)
    assert refusal_of(SEND | {"text": f"{text}x", "id": "m1"}) == (
        "message-too-long",
        "Message too long (over 12288 bytes). Nothing was sent; send it in parts.",
        "m1",
    )


def test_a_request_may_have_32_targets_and_not_one_more() -> None:
    targets = [f"u{number}" for number in range(32)]
    request = parse(SEND | {"to": targets * 2})
    assert request == SendObject(
        tuple(Name(each, each) for each in targets), "Hi", None
    )
    assert refusal_of(SEND | {"to": [*targets, "u32"], "id": "m1"}) == (
        "too-many-targets",
        "Too many targets (over 32). Nothing was sent; use several lines.",
        "m1",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"to": []},
        {"to": "a b"},
        {"want": 1},
        {"require": ["rooms"]},
        {"require": 1},
    ],
)
def test_the_refusal_of_a_message_names_its_id(fields: dict[str, Any]) -> None:
    assert refusal_of(SEND | {"id": "m1"} | fields)[2] == "m1"


def test_no_refusal_of_another_request_has_an_id() -> None:
    assert refusal_of({"type": "who", "prefix": 1, "id": "m1"})[2] is None


KEYS = (
    *("type", "user", "receive", "password", "device", "to", "text", "id", "want"),
    *("prefix", "names", "require", "x"),
)
keys = st.sampled_from(KEYS)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from(["login", "send", "who", "bob", "stored", "rooms"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=8,
)
requests = st.builds(
    lambda kind, fields: {"type": kind} | fields,
    st.sampled_from(["login", "send", "who", "users", "watch", "ping", "quit"]),
    st.dictionaries(keys, values, max_size=6),
)
lines = st.one_of(
    st.text(),
    st.one_of(requests, values).map(json.dumps),
    st.one_of(requests, values).map(json.dumps).map(lambda line: line[:-1]),
)


@given(lines)
@example('{"type":"ping","require":[[]]}')
def test_every_line_is_understood_or_refused(line: str) -> None:
    refused: RequestRefusal | None = None
    try:
        request = objects.parse_request(line, MAX_MESSAGE)
    except RequestRefusal as refusal:
        refused = refusal
    if refused is None:
        assert isinstance(request, Request)
        if isinstance(request, Watch):
            with contextlib.suppress(Refusal):
                assert len(objects.watched(request.names)) == len(request.names)
    else:
        answer = json.loads(objects.error(refused.refusal, refused.id))
        assert answer["code"] in ANSWERS
        assert answer["text"] == refused.refusal.text


# What the server says ----------------------------------------------------------------


def test_every_object_is_one_line_of_ascii() -> None:
    # Nothing in it can harm a terminal, or be taken for the end of a line.
    text = "\x00\x1b[31m\x7f\x85\u2028\u202eé😀\n\r"
    shown = Message(1, "m1", "Юлия", "bob", text, 0, len(text.encode()))
    line = objects.message(1, shown, queued=False)
    assert all(" " <= each <= "~" for each in line)
    assert json.loads(line)["text"] == text
    assert json.loads(line)["from"] == "Юлия"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            objects.hello("1.0", {"line": 131_072}),
            {
                "type": "hello",
                "version": "1.0",
                "protocol": 1,
                "features": ["ack", "resend", "password", "watch"],
                "limits": {"line": 131_072},
            },
        ),
        (
            objects.welcome(
                "alice",
                new=True,
                is_open=False,
                users=["alice", "bob"],
                more_users=3,
                online=["bob"],
                more_online=0,
                queued=2,
            ),
            {
                "type": "welcome",
                "user": "alice",
                "new": True,
                "open": False,
                "users": ["alice", "bob"],
                "more_users": 3,
                "online": ["bob"],
                "more_online": 0,
                "queued": 2,
            },
        ),
        (
            objects.message(
                57,
                Message(9, "m1", "alice", "bob", "Hi", 1_795_373_573_123, 2),
                queued=True,
            ),
            {
                "type": "message",
                "seq": 57,
                "id": "m1",
                "from": "alice",
                "to": "bob",
                "text": "Hi",
                "time": "2026-11-22T18:52:53.123Z",
                "queued": True,
            },
        ),
        (
            objects.accepted("m1", "bob", "stored"),
            {"type": "accepted", "id": "m1", "to": "bob", "status": "stored"},
        ),
        (
            objects.error(Refusal("unknown-user", name="zed"), "m1", "zed"),
            {
                "type": "error",
                "code": "unknown-user",
                "id": "m1",
                "to": "zed",
                "temporary": False,
                "text": "User 'zed' not found.",
            },
        ),
        (
            objects.error(Refusal("shutting-down")),
            {
                "type": "error",
                "code": "shutting-down",
                "temporary": True,
                "text": "The server is stopping. Nothing more was taken; please"
                " connect again later.",
            },
        ),
        (
            objects.names("who", ["bob"], 1),
            {"type": "who", "users": ["bob"], "more": 1},
        ),
        (
            objects.names("users", [], 0),
            {"type": "users", "users": [], "more": 0},
        ),
        (
            objects.presence("Юлия", online=True),
            {"type": "presence", "user": "Юлия", "online": True},
        ),
        (
            objects.presence("bob", online=False),
            {"type": "presence", "user": "bob", "online": False},
        ),
        (objects.notice("Hello."), {"type": "notice", "text": "Hello."}),
        (objects.pong(), {"type": "pong"}),
        (objects.goodbye(), {"type": "goodbye"}),
    ],
)
def test_the_objects_read_as_promised(line: str, fields: dict[str, Any]) -> None:
    assert json.loads(line) == fields
    assert "\n" not in line


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_795_373_573_007, "2026-11-22T18:52:53.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_shown_to_the_millisecond_in_utc(
    milliseconds: int, shown: str
) -> None:
    assert objects.timestamp(milliseconds) == shown
