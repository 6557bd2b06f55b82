"""Every conversation of tests/conversations, with a daemon in memory; and the runner.

The same conversations are held with an installed daemon in tests/system.
"""

import re
from pathlib import Path

import pytest
from conversation import (
    BadScript,
    Crowd,
    MemoryDaemon,
    Script,
    Step,
    Verb,
    WrongTurn,
    fits,
    hold,
    options,
    parse,
)

CONVERSATIONS = sorted((Path(__file__).parents[1] / "conversations").glob("*.chat"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_the_daemon_in_memory_says_what_the_conversation_says(path: Path) -> None:
    script = parse(path.read_text(encoding="utf-8"))
    hold(script, MemoryDaemon(script.limits))


def test_every_behaviour_has_one_conversation() -> None:
    titles = [parse(path.read_text(encoding="utf-8")).title for path in CONVERSATIONS]
    assert len(set(titles)) == len(titles) > 50


# The runner: reading scripts ---------------------------------------------------------


def steps(text: str) -> list[tuple[str, Verb, str, bytes]]:
    return [
        (each.who, each.verb, each.argument, each.data)
        for each in parse(f"# Title\n{text}").steps
    ]


def test_a_script_has_a_title_limits_crowds_and_steps() -> None:
    script = parse(
        "# What it shows.\n"
        "# More of it.\n"
        "limits: queue_messages=3, bad_names=2\n"
        "10 users named u{}\n"
        "2 users named v{} are online\n"
        "\n"
        "alice connects\n"
    )
    assert script == Script(
        title="What it shows.",
        limits={"queue_messages": 3, "bad_names": 2},
        crowds=(
            Crowd(tuple(f"u{number:02}" for number in range(1, 11)), stay=False),
            Crowd(("v1", "v2"), stay=True),
        ),
        steps=(Step(7, "alice connects", "alice", Verb.CONNECTS),),
    )
    assert options(script.limits) == ["--max-bad-names=2", "--max-queue-messages=3"]


def test_steps_are_read_from_plain_sentences() -> None:
    assert steps(
        "alice logs in\n"
        "alice.2 logs in as alice\n"
        "bob logs in with JSON\n"
        "bob.2 logs in as bob with JSON\n"
        "alice sends: bob-a: b\n"
        "alice sends:\n"
        "alice sends: {u8..u9}-Hi\n"
        "bob receives: alice: Hi ({time})\n"
        'bob receives: {"users": ["{u09..u11}"]}\n'
        "bob receives nothing\n"
        "alice closes her sending side\n"
        "alice is disconnected\n"
        "bob vanishes\n"
    ) == [
        ("alice", Verb.LOGS_IN, "alice", b""),
        ("alice.2", Verb.LOGS_IN, "alice", b""),
        ("bob", Verb.LOGS_IN_WITH_JSON, "bob", b""),
        ("bob.2", Verb.LOGS_IN_WITH_JSON, "bob", b""),
        ("alice", Verb.SENDS, "bob-a: b", b""),
        ("alice", Verb.SENDS, "", b""),
        ("alice", Verb.SENDS, "u8, u9-Hi", b""),
        ("bob", Verb.RECEIVES, "alice: Hi ({time})", b""),
        ("bob", Verb.RECEIVES, '{"users": ["u09", "u10", "u11"]}', b""),
        ("bob", Verb.RECEIVES_NOTHING, "", b""),
        ("alice", Verb.CLOSES_SENDING_SIDE, "", b""),
        ("alice", Verb.IS_DISCONNECTED, "", b""),
        ("bob", Verb.VANISHES, "", b""),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"bob-Hi"', b"bob-Hi"),
        (r'"\r\n\t\"\\\xff\x00"', b'\r\n\t"\\\xff\x00'),
        ('"é"', "é".encode()),
        ('"bob-" + "x" * 3 + "é" * 2', b"bob-xxx" + "éé".encode()),
        (r'"\xc3" * 2', b"\xc3\xc3"),
        ('""', b""),
    ],
)
def test_bytes_are_written_as_text_with_escapes(written: str, meant: bytes) -> None:
    (step,) = steps(f"alice sends bytes: {written}")
    assert step == ("alice", Verb.SENDS_BYTES, written, meant)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("alice connects", "line 1: a comment must say"),
        ("# Title", "nothing happens"),
        ("# Title\nalice", "line 2: nobody does anything: alice"),
        ("# Title\n\nalice sings", "line 3: this cannot be done: alice sings"),
        ("# Title\nalice sends:Hi", "line 2: this cannot be done"),
        ("# Title\nalice closes the door", "line 2: this cannot be done"),
        ("# Title\nalice sends bytes: Hi", "line 2: bytes are written like"),
        ('# Title\nalice sends bytes: "Hi" *', "line 2: bytes are written like"),
        ('# Title\nalice sends bytes: "a" + ', "line 2: bytes are written like"),
        ('# Title\nalice sends bytes: "\\q"', r"line 2: unknown escape \\q"),
        ("# Title\nlimits: queue=3", "line 2: 'queue=3' is no limit"),
        ("# Title\nlimits: queue_messages=x", "line 2: 'queue_messages=x' is no limit"),
    ],
)
def test_a_script_that_cannot_be_read_is_refused_with_its_line(
    text: str, complaint: str
) -> None:
    with pytest.raises(BadScript, match=f"^{complaint}"):
        parse(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.c", "a.c"),
        ("bob: Hi (2026-11-22 18:42:53 UTC)", "bob: Hi ({time})"),
        ('{"a":1,"b":[true,"x"]}', '{"b": [true, "x"], "a": 1}'),
        ('{"t":"2026-11-22T18:42:53.123Z"}', '{"t": "{timestamp}"}'),
    ],
)
def test_a_line_that_is_expected_fits(line: str, expected: str) -> None:
    assert fits(line, expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("abc", "a.c"),
        ("a ", "a"),
        ("a\n", "a"),
        ("bob: Hi (now)", "bob: Hi ({time})"),
        ('{"a":1}', '{"a": true}'),
        ('{"a":1}', '{"a": 1.0}'),
        ('{"a":1,"b":2}', '{"a": 1}'),
        ('{"a":1}', '{"a": 1, "b": 2}'),
        ('{"a":[1,2]}', '{"a": [1]}'),
        ('{"a":[2,1]}', '{"a": [1, 2]}'),
        ('{"a":"b"}', '{"a": "c"}'),
        ('{"a":null}', '{"a": ""}'),
        ("a", '{"a": 1}'),
    ],
)
def test_another_line_does_not_fit(line: str, expected: str) -> None:
    assert not fits(line, expected)


# The runner: holding conversations ---------------------------------------------------


class AskedDaemon(MemoryDaemon):
    """A daemon in memory that is treated like one at the other end of a network."""

    remote = True


@pytest.mark.unmeasured
@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_to_ask_whether_something_came_changes_nothing(path: Path) -> None:
    script = parse(path.read_text(encoding="utf-8"))
    hold(script, AskedDaemon(script.limits))


@pytest.mark.parametrize("daemon", [MemoryDaemon, AskedDaemon])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "alice logs in\nalice sends: bob-Hi\nalice receives: Hi",
            "line 4: alice receives: Hi\n  received \"User 'bob' not found.\"",
        ),
        (
            "alice logs in\nalice receives: Hi",
            "line 3: alice receives: Hi\n  waited for a line; had b''",
        ),
        (
            'alice connects\nalice receives bytes: "Hello"',
            "line 3: alice receives bytes: \"Hello\"\n  received b'Enter'",
        ),
        (
            "alice logs in\nbob logs in\nalice sends: bob-Hi\nbob receives nothing",
            "line 5: bob receives nothing\n  received b'alice: Hi\\n'",
        ),
        (
            "alice logs in\nbob logs in\nalice sends: bob-Hi",
            "after the last line: bob received b'alice: Hi\\n'",
        ),
        (
            "alice logs in\nalice sends: bob-Hi\nalice sends: /quit\n"
            "alice is disconnected",
            "line 5: alice is disconnected\n"
            "  received b\"User 'bob' not found.\\nGoodbye.\\n\"",
        ),
        (
            "alice logs in\nalice sends: /quit\nalice receives: Goodbye.",
            "after the last line: alice was disconnected",
        ),
        (
            "alice logs in\nalice sends: /quit\nalice receives: Goodbye.\n"
            "alice receives: Hi",
            "line 5: alice receives: Hi\n  was disconnected; had b''",
        ),
        (
            "alice logs in\nalice is disconnected",
            "line 3: alice is disconnected\n  was not disconnected",
        ),
        (
            "alice logs in\nalice closes her sending side\nbob logs in",
            "after the last line: alice received b'Goodbye.\\n'",
        ),
        (
            "alice logs in as a-b",
            'line 2: alice logs in as a-b\n  received "Enter your username: A name has'
            " no '-', because that separates target and message. Please choose another"
            ' name."',
        ),
        ("alice sends: Hi", "line 2: alice sends: Hi\n  is not connected"),
        (
            "alice connects\nalice connects",
            "line 3: alice connects\n  is connected; call the other connection alice.2",
        ),
    ],
)
def test_what_a_conversation_does_not_say_is_found(
    daemon: type[MemoryDaemon], text: str, complaint: str
) -> None:
    script = parse(f"# Title\n{text}")
    with pytest.raises(WrongTurn, match=f"^{re.escape(complaint)}$"):
        hold(script, daemon({}))
