"""The text form: what a line means, what is refused, and which lines are messages."""

import re
import string
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatd.server import commands, greeting
from chatd.wire import text
from chatd.wire.answers import ANSWERS, Refusal
from chatd.wire.message import Message
from chatd.wire.names import Name
from chatd.wire.text import Command, Send

MAX_MESSAGE = 12_288

# Which lines of a text connection are messages: what programs rely on.
MESSAGE_LINE = re.compile(r"^[^ ]+: ")

BOB = Name("bob", "bob")
CAROL = Name("carol", "carol")

any_line = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))
any_text = st.text(st.characters(exclude_categories=["Cs"]))
names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.]{0,31}", fullmatch=True)


def refusal_of(line: str, max_message: int = MAX_MESSAGE) -> Refusal:
    with pytest.raises(Refusal) as caught:
        text.parse_line(line, max_message)
    return caught.value


def message(body: str, time: int = 0) -> Message:
    return Message(1, "id", "alice", "bob", body, time, len(body.encode()))


# Lines that are understood -----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("bob-Hi", Send((BOB,), "Hi")),
        # Only the first - separates.
        ("bob-well-known", Send((BOB,), "well-known")),
        ("bob--", Send((BOB,), "-")),
        ("bob-a,carol-b", Send((BOB,), "a,carol-b")),
        # Targets are stripped of spaces; the message is passed on as it is.
        ("  bob  -Hi", Send((BOB,), "Hi")),
        ("bob-  Hi  ", Send((BOB,), "  Hi  ")),
        ("bob- ", Send((BOB,), " ")),
        ("bob-\t\x1b[31m\r", Send((BOB,), "\t\x1b[31m\r")),
        ("bob-/quit", Send((BOB,), "/quit")),
        # Names are compared by their key, and kept as they were written.
        ("BOB-Hi", Send((Name("bob", "BOB"),), "Hi")),
        ("Юлия-Привет", Send((Name("юлия", "Юлия"),), "Привет")),
        # Whether anybody has the name is not for the grammar to say.
        ("password-Hi", Send((Name("password", "password"),), "Hi")),
        # Several targets, in their order, doubles once.
        ("bob,carol-Hi", Send((BOB, CAROL), "Hi")),
        (" carol , bob -Hi", Send((CAROL, BOB), "Hi")),
        ("bob,carol,bob-Hi", Send((BOB, CAROL), "Hi")),
        ("/who", Command("/who", "")),
        ("/who a", Command("/who", "a")),
        ("/who  a b  ", Command("/who", "a b")),
        ("/who-a", Command("/who-a", "")),
        ("/", Command("/", "")),
        ("/etc/passwd-Hi", Command("/etc/passwd-Hi", "")),
        ("", None),
    ],
)
def test_a_line_means_a_message_a_command_or_nothing(
    line: str, meaning: Send | Command | None
) -> None:
    assert text.parse_line(line, MAX_MESSAGE) == meaning


def test_of_two_spellings_of_a_target_one_is_kept() -> None:
    sent = text.parse_line("bob,Bob,BOB-Hi", MAX_MESSAGE)
    assert isinstance(sent, Send)
    assert [name.key for name in sent.targets] == ["bob"]


@given(name=names, body=any_line.filter(bool))
def test_every_message_to_a_name_is_passed_on_as_it_is(name: str, body: str) -> None:
    expected = Send((Name(name.lower(), name),), body)
    assert text.parse_line(f"{name}-{body}", max_message=1_000_000) == expected


@given(any_line)
@example("-" * 100)
@example("," * 16_384)
@example("a" + ",b" * 8_000 + "-c")
@example("\u0130-x")
def test_every_line_is_understood_or_refused(line: str) -> None:
    code = None
    try:
        meaning = text.parse_line(line, MAX_MESSAGE)
    except Refusal as refusal:
        code = refusal.code
    if code is None:
        assert isinstance(meaning, Send | Command) or line == ""
    else:
        assert code in ("format", "too-many-targets", "message-too-long")


def test_what_was_understood_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Send((BOB,), "Hi").text = "Ho"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Command("/who", "").argument = "a"  # type: ignore[misc]


# Lines that are refused --------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        " ",
        " /who",
        "bob",
        "bob,carol",
        # An empty message, an empty target.
        "bob-",
        "-Hi",
        " -Hi",
        "-",
        "bob,-Hi",
        ",bob-Hi",
        "bob,,carol-Hi",
        # What cannot be a name.
        "b ob-Hi",
        "bob:-Hi",
        ".bob-Hi",
        "bob\t-Hi",
        "bob\u00a0-Hi",
        "b\u043eb-Hi",
        "x" * 33 + "-Hi",
        "bob,x y-Hi",
        # A hyphen that only looks like one does not separate.
        "bob\u2010Hi",
        "bob\uff0dHi",
    ],
)
def test_what_is_neither_message_nor_command_is_a_format_error(line: str) -> None:
    refusal = refusal_of(line)
    assert refusal.code == "format"
    assert refusal.text == "Format error. Please enter: <target>-<message>"
    assert not refusal.temporary


@pytest.mark.parametrize(
    "body",
    ["x" * 12_288, "é" * 6_144, "€" * 4_096, "😀" * 3_072, "x" * 12_285 + "€"],
    ids=["1 byte", "2 bytes", "3 bytes", "4 bytes", "mixed"],
)
def test_a_message_may_have_12288_bytes_and_not_one_more(body: str) -> None:
    assert text.parse_line(f"bob-{body}", MAX_MESSAGE) == Send((BOB,), body)
    refusal = refusal_of(f"bob-{body}x")
    assert refusal.code == "message-too-long"
    assert refusal.text == (
        "Message too long (over 12288 bytes). Nothing was sent; send it in parts."
    )


def test_the_targets_do_not_count_as_message() -> None:
    line = "bob," * 1_000 + "carol-" + "x" * 12_288
    assert text.parse_line(line, MAX_MESSAGE) == Send((BOB, CAROL), "x" * 12_288)


def test_a_message_may_have_32_targets_and_not_one_more() -> None:
    targets = [f"u{number}" for number in range(32)]
    sent = text.parse_line(",".join(targets) + "-Hi", MAX_MESSAGE)
    assert sent == Send(tuple(Name(each, each) for each in targets), "Hi")
    refusal = refusal_of(",".join([*targets, "u32"]) + "-Hi")
    assert refusal.code == "too-many-targets"
    assert refusal.text == (
        "Too many targets (over 32). Nothing was sent; use several lines."
    )


def test_doubles_of_a_target_count_once() -> None:
    targets = [f"u{number}" for number in range(32)]
    sent = text.parse_line(",".join(targets * 3) + "-Hi", MAX_MESSAGE)
    assert sent == Send(tuple(Name(each, each) for each in targets), "Hi")


# Lines that the daemon says ----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (text.welcome("alice", new=False), "Welcome, alice."),
        (text.welcome("alice", new=True), "Welcome, alice. You are new here."),
        (text.book(["alice", "bob"]), "Client book => alice, bob"),
        (
            text.book(["alice"], text.more_listed_by("/users", 4950)),
            "Client book => alice ... and 4950 more (/users)",
        ),
        (text.book([]), "Client book => (nobody)"),
        (text.online(["bob"]), "Users online => bob"),
        (text.online([]), "Users online => (nobody)"),
        (
            text.online(["bob"], text.more_by_prefix(312)),
            "Users online => bob ... and 312 more; give a prefix",
        ),
        (text.more_listed_by("/users", 0), ""),
        (text.more_by_prefix(0), ""),
        (text.backlog(1), "You have 1 offline message:"),
        (text.backlog(2), "You have 2 offline messages:"),
        (
            text.backlog_elsewhere(1),
            "Your 1 offline message is going to another connection of yours.",
        ),
        (
            text.backlog_elsewhere(2),
            "Your 2 offline messages are going to another connection of yours.",
        ),
        (text.stored_offline("carol"), "User 'carol' is offline. Message stored."),
        (text.confirmed("bob", delivered=True), "Delivered to bob."),
        (text.confirmed("bob", delivered=False), "Stored for bob."),
        (text.confirming(True), "Every message is answered."),
        (text.confirming(False), "Messages are not confirmed."),
        (text.stamp(0), "1970-01-01 00:00:00 UTC"),
        (text.stamp(1_795_373_573_999), "2026-11-22 18:52:53 UTC"),
        (text.PROMPT, "Enter your username: "),
        (text.GOODBYE, "Goodbye."),
    ],
)
def test_the_lines_read_as_promised(said: str, line: str) -> None:
    assert said == line


@pytest.mark.parametrize(
    ("body", "queued", "lines"),
    [
        ("Hi", False, ["alice: Hi"]),
        ("Hi", True, ["alice: Hi (2026-11-22 18:52:53 UTC)"]),
        ("one\ntwo\n", False, ["alice: one", "alice: two", "alice: "]),
        (
            "one\n\ntwo",
            True,
            [
                "alice: one (2026-11-22 18:52:53 UTC)",
                "alice:  (2026-11-22 18:52:53 UTC)",
                "alice: two (2026-11-22 18:52:53 UTC)",
            ],
        ),
        ("a\tb", False, ["alice: a\tb"]),
        ("a\rcarol: b\x1b[2J\x85\u2028\u202e", False, ["alice: a�carol: b�[2J���"]),
    ],
)
def test_each_line_of_a_message_bears_its_sender(
    body: str, queued: bool, lines: list[str]
) -> None:
    shown = message(body, time=1_795_373_573_123)
    assert text.message_lines(shown, queued=queued) == lines


@given(body=any_text, queued=st.booleans())
def test_every_line_of_a_message_is_known_for_one(body: str, queued: bool) -> None:
    lines = text.message_lines(message(body), queued=queued)
    assert len(lines) == body.count("\n") + 1
    for line in lines:
        assert MESSAGE_LINE.match(line)
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", line)


# Which other lines there are ---------------------------------------------------------

PLAUSIBLE: dict[str, list[str]] = {
    "name": ["bob", "x" * 32, "Юлия"],
    "limit": ["1", "16384"],
    "command": ["/foo", "/:", "/bob: Hi"],
    "usage": [each.usage for each in commands.COMMANDS.values()],
    "reason": [
        "disk full",
        "it cannot be parsed",
        "A name has only letters, digits, '_' and '.', and no ':'.",
        "The name 'password' is reserved.",
    ],
    "scope": ["in all", "from one address", "of one user"],
    "field": ["to", "user: x"],
    "type": ["join", "join: x"],
    "key": ["rooms", "rooms: x"],
    "id": ["01JD3V", "x:"],
}


def refusals() -> list[str]:
    """Return every answer of the table, with everything plausible filled in."""
    filled = []
    for code, answer in ANSWERS.items():
        fields = {each for _, each, _, _ in string.Formatter().parse(answer.text)}
        used = sorted(field for field in fields if field is not None)
        for turn in range(max(map(len, PLAUSIBLE.values()))):
            values = {f: PLAUSIBLE[f][turn % len(PLAUSIBLE[f])] for f in used}
            filled.append(Refusal(code, **values).text)
    return filled


def test_no_answer_of_the_table_passes_for_a_message() -> None:
    answers = refusals()
    assert len(answers) >= len(ANSWERS)
    assert [answer for answer in answers if MESSAGE_LINE.match(answer)] == []


def test_every_answer_of_the_table_is_one_sentence_on_one_line() -> None:
    assert [answer for answer in refusals() if "\n" in answer] == []


def test_no_other_line_that_the_daemon_says_passes_for_a_message() -> None:
    others = [
        text.PROMPT,
        text.HINT,
        text.GOODBYE,
        text.welcome("bob", new=True),
        text.book(["bob", "carol"]),
        text.online(["bob"], text.more_listed_by("/who", 1)),
        text.backlog(1),
        text.backlog(2),
        text.backlog_elsewhere(1),
        text.backlog_elsewhere(2),
        text.confirming(True),
        text.confirming(False),
        text.stored_offline("bob"),
        text.confirmed("bob", delivered=True),
        text.confirmed("bob", delivered=False),
        *greeting.HELP,
        *(f"  {each.usage}   {each.meaning}" for each in commands.COMMANDS.values()),
    ]
    assert [line for line in others if MESSAGE_LINE.match(line)] == []


@given(name=names, queued=st.integers(0, 3))
def test_no_name_makes_an_answer_pass_for_a_message(name: str, queued: int) -> None:
    for line in (
        text.welcome(name, new=False),
        text.book([name] * queued),
        text.stored_offline(name),
        text.confirmed(name, delivered=True),
        Refusal("unknown-user", name=name).text,
        Refusal("queue-full", name=name).text,
    ):
        assert not MESSAGE_LINE.match(line)
