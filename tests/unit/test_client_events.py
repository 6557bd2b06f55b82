"""What the client understands of what a server says, and what it says itself."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.connection import events
from chatd.client.connection.events import (
    Accepted,
    Goodbye,
    Hello,
    Incoming,
    Listing,
    Malformed,
    Notice,
    PasswordSet,
    Pong,
    Presence,
    Refused,
    Welcome,
    parse_event,
)
from chatd.wire import objects
from chatd.wire.answers import Refusal
from chatd.wire.message import Message
from chatd.wire.names import parse_name

LONG = b"\xc3\xa9" * 257
MESSAGE = Message(7, "id-1", "bob", "alice", "Grüße\n\x1b[2J", 1_795_000_000_123, 12)

# What the server says, made by its own functions, and what the client is to see.
SAID = [
    (
        objects.hello("1.0", {"line": 100, "message": 10, "watched": 5}),
        Hello(1, 100, 10, frozenset(objects.FEATURES), 5),
    ),
    (objects.hello("1.0", {}), Hello(1, None, None, frozenset(objects.FEATURES))),
    ('{"type":"hello","protocol":1}', Hello(1, None, None)),
    (
        objects.welcome(
            "Alice",
            new=True,
            is_open=False,
            users=["Alice", "bob"],
            more_users=3,
            online=["bob"],
            more_online=1,
            queued=2,
        ),
        Welcome("Alice", True, ("Alice", "bob"), 3, ("bob",), 1, 2),
    ),
    (
        objects.welcome(
            "Alice",
            new=False,
            is_open=True,
            users=[],
            more_users=0,
            online=[],
            more_online=0,
            queued=0,
        ),
        Welcome("Alice", False, (), 0, (), 0, 0, is_open=True),
    ),
    (objects.password_set(), PasswordSet()),
    (objects.message(7, MESSAGE, queued=True), Incoming(MESSAGE, True)),
    (objects.accepted("id-1", "bob", "stored"), Accepted("id-1", "bob", "stored")),
    (
        objects.error(Refusal("unknown-user", name="zed"), "id-1", "zed"),
        Refused("unknown-user", "User 'zed' not found.", False, "id-1", "zed"),
    ),
    (
        objects.error(Refusal("format")),
        Refused(
            "format",
            "Format error. Please enter: <target>-<message>",
            False,
            None,
            None,
        ),
    ),
    (objects.names("who", ["bob"], 0), Listing("who", ("bob",), 0)),
    (
        objects.names("users", ["alice", "bob"], 9),
        Listing("users", ("alice", "bob"), 9),
    ),
    (objects.presence("Bob", online=True), Presence("Bob", True)),
    (objects.presence("Юлия", online=False), Presence("Юлия", False)),
    (
        r'{"type":"presence","user":"b\u0007","online":false}',
        Presence("b\ufffd", False),
    ),
    (objects.notice("Maintenance"), Notice("Maintenance")),
    (objects.pong(), Pong()),
    (objects.goodbye(), Goodbye()),
]


@pytest.mark.parametrize(("line", "event"), SAID)
def test_all_that_the_server_says_is_understood(line: str, event: events.Event) -> None:
    assert parse_event(line.encode()) == event


@pytest.mark.parametrize(("line", "event"), SAID)
def test_keys_that_nobody_knows_yet_are_ignored(line: str, event: events.Event) -> None:
    fields = {"signature": ["new", 1], **json.loads(line)}
    assert parse_event(json.dumps(fields).encode()) == event


def test_types_that_nobody_knows_yet_are_ignored() -> None:
    assert parse_event(b'{"type":"typing","user":"bob"}') is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "it is no JSON"),
        (b"User 'zed' not found.", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"type":"hello","protocol":NaN}', "it is no JSON"),
        (b'["message"]', "it is no JSON object"),
        (b"{}", "its field 'type' is no text"),
        (b'{"type":1}', "its field 'type' is no text"),
        (b'{"type":"hello","protocol":true}', "its field 'protocol' is no number"),
        (b'{"type":"hello","protocol":1,"limits":[]}', "'limits' is no object"),
        (b'{"type":"welcome","user":null}', "its field 'user' is no text"),
        (b'{"type":"welcome","user":"a","new":1}', "'new' is neither true nor false"),
        (b'{"type":"who","users":[1]}', "its field 'users' is no list of names"),
        (b'{"type":"who","users":[],"more":-1}', "its field 'more' is no number"),
        (b'{"type":"hello","protocol":1,"features":"watch"}', "is no list of names"),
        (b'{"type":"presence","online":true}', "its field 'user' is no text"),
        (b'{"type":"presence","user":"bob"}', "'online' is neither true nor false"),
        (b'{"type":"presence","user":"%b","online":true}' % LONG, "'user' is no name"),
        (b'{"type":"who","users":["%b"]}' % LONG, "'users' is no name"),
        (b'{"type":"welcome","user":"%b"}' % LONG, "its field 'user' is no name"),
        (b'{"type":"notice"}', "its field 'text' is no text"),
        (
            b'{"type":"message","from":"bob","to":"alice","text":"Hi","time":"now"}',
            "its field 'time' is no time",
        ),
        (
            b'{"type":"message","from":"bob","to":"alice","text":"Hi",'
            b'"time":"2026-11-22T18:42:53"}',
            "its field 'time' is no time",
        ),
    ],
)
def test_what_no_chatd_sends_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_event(line)
    assert reason in str(caught.value)


def test_what_is_shown_has_no_control_characters_but_a_text_is_kept_as_sent() -> None:
    event = parse_event(
        json.dumps(
            {
                "type": "message",
                "id": "1",
                "from": "bob\x1b[2J",
                "to": "alice\n",
                "text": "a\x1bb",
                "time": "2026-11-22T18:42:53.123Z",
            }
        ).encode()
    )
    assert isinstance(event, Incoming)
    assert event.message.sender == "bob\ufffd[2J"
    assert event.message.target == "alice\ufffd"
    assert event.message.text == "a\x1bb"
    notice = parse_event(b'{"type":"notice","text":"a\\u0007\\u009b\\u202e"}')
    assert notice == Notice("a\ufffd\ufffd\ufffd")


def test_a_text_that_no_encoder_takes_is_mended() -> None:
    event = parse_event(
        b'{"type":"message","id":"\\udc00","from":"b","to":"a","text":"\\ud800!",'
        b'"time":"2026-11-22T18:42:53Z"}'
    )
    assert isinstance(event, Incoming)
    assert event.message.text == "\ufffd!"
    assert event.message.id == "\ufffd"


def test_a_message_without_an_id_gets_one() -> None:
    line = objects.message(1, Message(1, "", "bob", "alice", "Hi", 0, 2), queued=True)
    first, second = parse_event(line.encode()), parse_event(line.encode())
    assert isinstance(first, Incoming)
    assert isinstance(second, Incoming)
    assert first.message.id != second.message.id != ""


def test_the_server_understands_all_that_the_client_says() -> None:
    def parsed(line: str) -> objects.Request:
        return objects.parse_request(line, 12_288)

    bob, carol = parse_name("bob"), parse_name("carol")
    assert parsed(events.login("alice")) == objects.Login("alice")
    send_only = objects.Login("alice", receive=False)
    assert parsed(events.login("alice", receive=False)) == send_only
    (sent,) = [parsed(events.send(["bob"], "Hi", "x", at_once=True))]
    assert isinstance(sent, objects.SendObject)
    assert sent.at_once
    assert parsed(events.send(["bob"], "Hé\x1b", "1")) == objects.SendObject(
        (bob,), "Hé\x1b", "1"
    )
    assert parsed(events.send(["bob", "carol"], "Hi", "1")) == objects.SendObject(
        (bob, carol), "Hi", "1"
    )
    assert parsed(events.listing("who", "a")) == objects.Who("a")
    assert parsed(events.listing("users", "")) == objects.Users("")
    assert parsed(events.watch(["bob", "Zoë"])) == objects.Watch(("bob", "Zoë"))
    assert parsed(events.watch([])) == objects.Watch(())
    assert parsed(events.ping()) == objects.Ping()
    assert parsed(events.leave()) == objects.Quit()
    assert events.greeting("1.0") == "/json chat/1.0"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = ("user", "new", "users", "more", "queued", "id", "from", "to", "text", "time")


@given(
    st.sampled_from([json.loads(line)["type"] for line, _ in SAID]),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
)
def test_whatever_an_object_holds_it_is_an_event_or_malformed(
    kind: str, fields: dict[str, object]
) -> None:
    line = json.dumps({"type": kind, **fields}).encode()
    try:
        event = parse_event(line)
    except Malformed:
        return
    assert event is not None
    if isinstance(event, Incoming):
        event.message.text.encode()


@given(st.binary())
def test_whatever_bytes_come_they_are_an_event_or_malformed(line: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse_event(line)
