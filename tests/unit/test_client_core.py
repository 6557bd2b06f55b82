"""The core: what is typed, what becomes of it, what is shown, and how it ends."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chatd.client.connection.events import (
    Accepted,
    Goodbye,
    Hello,
    Incoming,
    Listing,
    Notice,
    PasswordSet,
    Pong,
    Presence,
    Refused,
    Welcome,
)
from chatd.client.frontends.frontend import (
    MAX_TYPED,
    Core,
    Key,
    Kind,
    Line,
    Phase,
    Standing,
    State,
)
from chatd.client.history.rows import Kept
from chatd.client.history.search import Found, Wanted
from chatd.client.statuses import Status
from chatd.client.talk import reception
from chatd.client.talk.arrivals import LOOK_SECONDS
from chatd.client.talk.core import ChatCore
from chatd.client.talk.helptopics import COMMANDS, TOPICS
from chatd.client.talk.names import MOST_NAMES
from chatd.client.talk.outbox import FIRST_PAUSE_SECONDS
from chatd.client.talk.readahead import ROOM
from chatd.client.talk.receipts import STORED_SECONDS
from chatd.wire import text
from chatd.wire.display import neutralise
from chatd.wire.message import Message

T = TypeVar("T")

TIMEOUT = 30.0
NOW = 1_795_000_000.5
HELLO = Hello(1, 131_072, 12_288)


def welcome(**fields: Any) -> Welcome:
    values: dict[str, Any] = {
        "user": "Alice",
        "new": False,
        "users": (),
        "more_users": 0,
        "online": (),
        "more_online": 0,
        "queued": 0,
    }
    return Welcome(**{**values, **fields})


def incoming(text: str, *, queued: bool = False, sender: str = "bob") -> Incoming:
    return Incoming(
        Message(1, "id-1", sender, "Alice", text, 1_795_000_000_123, 0), queued
    )


class Screen:
    """A front end that writes down what it is to show."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.draws_states = False
        self.states: list[tuple[str, State]] = []
        self.old: list[tuple[str, State | None]] = []
        self.gaps: list[int | None] = []
        self.changes = 0
        self.people_changes = 0
        self.found_messages: list[list[Found]] = []
        self.ended: Deferred[None] = Deferred()
        self.stopped = False
        self.hidden = False

    def start(self, core: Core) -> Deferred[None]:
        return self.ended

    def show(self, line: Line) -> None:
        self.lines.append(line)

    def received(self, message: Message, *, queued: bool) -> None:
        for line in text.message_lines(message, queued=queued):
            self.lines.append(Line(Kind.MESSAGE, neutralise(line)))

    def remembered(self, message: Message, state: State | None) -> None:
        self.old.append((message.text, state))

    def away(self, since: int | None) -> None:
        self.gaps.append(since)

    def sent(self, key: Key, message: Message) -> None:
        self.states.append((message.target, State.WAITING))

    def became(self, key: Key, state: State) -> None:
        self.states.append((key[1], state))

    def standing_changed(self) -> None:
        self.changes += 1

    def people_changed(self) -> None:
        self.people_changes += 1

    def found(self, messages: Sequence[Found]) -> None:
        self.found_messages.append(list(messages))

    def hide_input(self, hidden: bool) -> None:
        self.hidden = hidden

    def stop(self) -> None:
        self.stopped = True
        if not self.ended.called:
            self.ended.callback(None)

    def rescue(self) -> None:
        raise AssertionError("the core has no reason to")

    def take(self, *kinds: Kind) -> list[str]:
        """Return the texts shown since the last time, of these kinds or all."""
        lines, self.lines = self.lines, []
        return [each.text for each in lines if not kinds or each.kind in kinds]


class Connection:
    """A connection that writes down what it is to send."""

    def __init__(self) -> None:
        self.started = False
        self.sent: list[dict[str, Any]] = []
        self.left = 0
        self.remembered: list[str] = []
        self.holds: set[str] = set()
        self.stopped: Deferred[None] | None = None
        self.slow = False

    def start(self) -> None:
        self.started = True

    def send(self, line: str) -> None:
        self.sent.append(json.loads(line))

    def leave(self) -> None:
        self.left += 1

    def hold(self, reason: str) -> None:
        self.holds.add(reason)

    def release(self, reason: str) -> None:
        self.holds.discard(reason)

    def remember(self, password: str) -> None:
        self.remembered.append(password)

    def stop(self) -> Deferred[None]:
        self.stopped = Deferred()
        if not self.slow:
            self.stopped.callback(None)
        return self.stopped


class Book:
    """A history in memory: slow, or broken, if told so."""

    def __init__(self) -> None:
        self.kept: list[tuple[Any, ...]] = []
        self.known: set[str] = set()
        self.left_waiting: list[Message] = []
        self.left_by_others: list[Message] = []
        self.left_unshown: list[Message] = []
        self.marked: list[int] = []
        self.talked_with: list[str] = []
        self.messages: list[Kept] = []
        self.asked: list[tuple[str | None, int]] = []
        self.slow = False
        self.broken = False
        self.unreadable = False
        self._waiting: list[tuple[Deferred[Any], Any]] = []

    def _answer(self, wanted: T) -> Deferred[T]:
        if self.broken:
            return fail(Failure(OSError("disk full")))
        if not self.slow:
            return succeed(wanted)
        waiting: Deferred[T] = Deferred()
        self._waiting.append((waiting, wanted))
        return waiting

    def catch_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each, wanted in waiting:
            each.callback(wanted)

    def received(self, message: Message) -> Deferred[int]:
        self.kept.append(("received", message.sender, message.text))
        return self._answer(0 if message.id in self.known else len(self.kept))

    def queue(self, message: Message) -> Deferred[bool]:
        row = ("waiting", message.sender, message.target, message.text, message.time)
        self.kept.append(row)
        return self._answer(True)

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        self.kept.append((status, sender, receiver))
        return self._answer(True)

    def refused(self, message: Message) -> Deferred[bool]:
        self.kept.append(("refused", message.target))
        return self._answer(True)

    def waiting(self) -> Deferred[list[Message]]:
        return succeed(self.left_waiting)

    def arrived(self) -> Deferred[list[Message]]:
        if self.broken:
            return fail(sqlite3.OperationalError("disk I/O error"))
        arrived, self.left_by_others = self.left_by_others, []
        return succeed(arrived)

    def not_shown(self) -> Deferred[list[Message]]:
        return succeed(self.left_unshown)

    def shown(self, upto: int) -> Deferred[bool]:
        self.marked.append(upto)
        return self._answer(True)

    def correspondents(self, limit: int) -> Deferred[list[str]]:
        return self._answer(self.talked_with[:limit])

    def recent(self, wanted: Wanted, last: int) -> Deferred[list[Kept]]:
        self.asked.append((wanted.correspondent, last))
        return self._look_up(self.messages)

    def search(self, words: str, wanted: Wanted, last: int) -> Deferred[list[Found]]:
        self.asked.append((words, last))
        return self._look_up([Found(each, [(0, 1)]) for each in self.messages])

    def _look_up(self, found: T) -> Deferred[T]:
        if self.unreadable:
            error = sqlite3.DatabaseError("file is not a database")
            return fail(Failure(error))
        return succeed(found)

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        self.kept.append(("delivered", sender, receiver))
        return self._answer(True)

    def settled(self) -> Deferred[None]:
        if not self._waiting:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._waiting[-1][0].addCallback(lambda it: done.callback(None) or it)
        return done


class Run:
    """One run of the core, at the login or before it."""

    def __init__(
        self,
        *,
        interactive: bool = False,
        online: bool = True,
        private: bool = True,
        presence: bool = True,
        book: Book | None = None,
    ) -> None:
        self.clock = Clock()
        self.screen = Screen()
        self.book = book or Book()
        self.link = Connection()
        self.core = ChatCore(
            self.screen,
            self.book,
            self.clock,
            user="alice",
            server="host:5555",
            interactive=interactive,
            timeout=TIMEOUT,
            private=private,
            presence=presence,
            now=lambda: NOW,
        )
        self.result = Deferred.fromCoroutine(self.core.run(self.link))
        if online:
            self.core.logged_in(HELLO, welcome())
            self.screen.take()

    def type(self, *lines: str) -> None:
        for each in lines:
            self.core.enter(each)

    def send(self, line: str) -> str:
        """Type a message; return its id."""
        self.core.enter(line)
        return str(self.link.sent[-1]["id"])

    @property
    def status(self) -> int:
        assert self.result.called, "it has not ended"
        return int(self.result.result)  # type: ignore[arg-type]


@pytest.fixture
def run() -> Run:
    """A run whose input is a pipe."""
    return Run()


@pytest.fixture
def person() -> Run:
    """A run with somebody who types."""
    return Run(interactive=True)


def refusal(code: str = "unknown-user", **fields: Any) -> Refused:
    values: dict[str, Any] = {
        "text": "User 'zed' not found.",
        "temporary": False,
        "id": None,
        "to": None,
    }
    return Refused(code, **{**values, **fields})


# The login ---------------------------------------------------------------------------


def test_a_person_is_greeted_as_by_the_text_form() -> None:
    book = Book()
    book.talked_with = ["bob"]
    run = Run(interactive=True, online=False, book=book)
    assert run.link.started
    run.core.logged_in(
        HELLO,
        welcome(
            new=True, users=("Alice", "bob"), more_users=7, online=("bob",), queued=2
        ),
    )
    assert run.screen.take(Kind.NOTICE) == [
        "Welcome, Alice. You are new here.",
        "Client book => Alice, bob ... and 7 more (/users)",
        "Users online => bob",
        "Type <target>-<message>, for example bob-Hello!   (/help lists the commands)",
        "You have 2 offline messages:",
    ]
    assert run.core.user == "Alice"


@pytest.mark.parametrize("is_open", [True, False])
def test_somebody_new_is_told_in_three_lines_how_it_works(is_open: bool) -> None:
    run = Run(interactive=True, online=False)
    run.core.logged_in(
        HELLO, welcome(users=("Alice", "bob"), online=("bob",), is_open=is_open)
    )
    protection = " Anybody can log in as Alice; /password protects the name."
    assert run.screen.take(Kind.NOTICE) == [
        "Welcome, Alice." + (protection if is_open else ""),
        "bob-Hi writes to bob, as any line does after /to bob"
        " (/help lists the commands)",
        "/quit or Ctrl-D leaves; what is not sent yet is sent next time.",
    ]


def test_somebody_new_is_told_of_messages_that_wait() -> None:
    run = Run(interactive=True, online=False)
    run.core.logged_in(HELLO, welcome(queued=2))
    assert run.screen.take(Kind.NOTICE)[3:] == ["You have 2 offline messages:"]


def test_a_pipe_is_not_greeted() -> None:
    run = Run(online=False)
    run.core.logged_in(HELLO, welcome(queued=2))
    assert run.screen.take() == []


def test_lines_before_the_login_wait_for_it_and_keep_their_order() -> None:
    run = Run(online=False)
    run.type("bob-1", "bob-2")
    assert run.link.sent == []
    run.core.logged_in(HELLO, welcome())
    assert [each["text"] for each in run.link.sent] == ["1", "2"]


# Messages received -------------------------------------------------------------------


def test_a_message_is_shown_with_its_sender(run: Run) -> None:
    run.core.happened(incoming("Hi"))
    assert run.screen.lines == [Line(Kind.MESSAGE, "bob: Hi")]


def test_a_message_that_was_queued_bears_its_time(run: Run) -> None:
    run.core.happened(incoming("Hi", queued=True))
    assert run.screen.take() == ["bob: Hi (2026-11-18 11:06:40 UTC)"]


def test_each_line_of_a_text_has_its_sender(run: Run) -> None:
    run.core.happened(incoming("one\ncarol: two"))
    assert run.screen.take() == ["bob: one", "bob: carol: two"]


def test_what_a_screen_would_obey_is_kept_and_not_shown(run: Run) -> None:
    run.core.happened(incoming("\x1b[2J\x07\tend"))
    assert run.screen.take() == ["bob: \ufffd[2J\ufffd\tend"]
    assert run.book.kept == [("received", "bob", "\x1b[2J\x07\tend")]


def test_a_message_is_shown_only_once_it_is_kept(run: Run) -> None:
    run.book.slow = True
    run.core.happened(incoming("Hi"))
    assert run.screen.take() == []
    run.book.catch_up()
    assert run.screen.take() == ["bob: Hi"]


def test_a_message_that_was_shown_already_is_not_shown_again(run: Run) -> None:
    run.book.known.add("id-1")
    run.core.happened(incoming("Hi"))
    assert run.screen.take() == []


def test_a_message_that_cannot_be_kept_is_shown_and_that_is_told_once(
    run: Run,
) -> None:
    run.book.broken = True
    run.core.happened(incoming("one"))
    run.core.happened(incoming("two"))
    assert run.screen.take() == [
        "bob: one",
        "The history cannot be written (disk full):"
        " messages are sent and shown, and not kept.",
        "bob: two",
    ]
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert run.status == Status.HISTORY


def test_no_more_is_received_than_the_disk_can_keep_up_with(run: Run) -> None:
    run.book.slow = True
    for _ in range(reception.MOST_UNKEPT - 1):
        run.core.happened(incoming("Hi"))
    assert not run.link.holds
    run.core.happened(incoming("Hi"))
    assert run.link.holds == {"history"}
    run.book.catch_up()
    assert not run.link.holds


def test_notices_of_the_server_are_shown(run: Run) -> None:
    run.core.happened(Notice("Maintenance at 8"))
    assert run.screen.lines == [Line(Kind.NOTICE, "Maintenance at 8")]


def test_a_sign_of_life_is_not_shown(run: Run) -> None:
    run.core.happened(Pong())
    run.core.happened(HELLO)
    assert run.screen.take() == []


# Messages sent -----------------------------------------------------------------------


def test_a_line_is_sent_with_an_id_of_its_own(run: Run) -> None:
    run.type("bob-Hi - there", " bob , Carol-Hi")
    first, second, third = run.link.sent
    assert first | {"id": "x"} == {
        "type": "send",
        "to": "bob",
        "text": "Hi - there",
        "id": "x",
    }
    assert (second["to"], third["to"]) == ("bob", "Carol")
    assert second["id"] == third["id"]
    assert first["id"] < second["id"]


def test_a_message_is_in_the_history_before_it_is_sent_and_what_became_of_it(
    run: Run,
) -> None:
    run.book.slow = True
    run.type("bob-Hi")
    assert run.book.kept == [("waiting", "Alice", "bob", "Hi", int(NOW * 1000))]
    assert run.link.sent == []
    run.book.catch_up()
    (sent,) = run.link.sent
    run.core.happened(Accepted(sent["id"], "Bob", "stored"))
    assert run.book.kept[1:] == [("stored", "Alice", "Bob")]
    run.core.happened(Accepted(sent["id"], "Bob", "delivered"))
    assert run.book.kept[2:] == [("delivered", "Alice", "Bob")]


def test_each_target_has_its_own_answer(run: Run) -> None:
    message_id = run.send("bob,carol,zed-Hi")
    run.core.happened(Accepted(message_id, "carol", "delivered"))
    run.core.happened(refusal(id=message_id, to="zed"))
    run.core.happened(Accepted(message_id, "bob", "stored"))
    assert run.book.kept[3:] == [
        ("delivered", "Alice", "carol"),
        ("refused", "zed"),
        ("stored", "Alice", "bob"),
    ]
    assert run.screen.take() == ["line 1: User 'zed' not found."]


def test_a_pipe_hears_nothing_of_what_is_accepted(run: Run) -> None:
    message_id = run.send("bob-Hi")
    run.core.happened(Accepted(message_id, "bob", "stored"))
    run.clock.advance(10)
    assert run.screen.take() == []


def test_a_person_is_told_of_what_is_stored_and_not_delivered_soon(
    person: Run,
) -> None:
    first, second = person.send("bob-Hi"), person.send("carol-Hi")
    person.core.happened(Accepted(first, "bob", "stored"))
    person.core.happened(Accepted(second, "carol", "stored"))
    person.core.happened(Accepted(second, "carol", "delivered"))
    assert person.screen.take() == []
    person.clock.advance(STORED_SECONDS)
    assert person.screen.lines == [Line(Kind.ANSWER, "Stored for bob.")]
    person.core.happened(Accepted(first, "bob", "delivered"))
    assert person.book.kept[-1] == ("delivered", "Alice", "bob")


def test_a_front_end_that_draws_states_is_told_them_and_no_lines(person: Run) -> None:
    person.screen.draws_states = True
    first, second = person.send("bob-Hi"), person.send("Carol-Hi")
    third = person.send("zed-Hi")
    person.core.happened(Accepted(first, "Bob", "stored"))
    person.core.happened(Accepted(second, "carol", "delivered"))
    person.core.happened(refusal("unknown-user", text="No.", id=third, to="zed"))
    person.core.happened(Accepted(first, "Bob", "delivered"))
    person.clock.advance(STORED_SECONDS)
    assert person.screen.states == [
        ("bob", State.WAITING),
        ("Carol", State.WAITING),
        ("zed", State.WAITING),
        ("bob", State.STORED),
        ("carol", State.DELIVERED),
        ("zed", State.REFUSED),
        ("bob", State.DELIVERED),
    ]
    assert person.screen.take() == ["No."]
    person.core.lost("it broke")
    person.type("bob-Still there?")
    assert person.screen.take(Kind.ANSWER) == []


def test_where_a_conversation_stands_is_known_at_any_time() -> None:
    run = Run(online=False)
    assert run.core.standing() == Standing(Phase.CONNECTING, "host:5555")
    run.core.pausing(2.5)
    assert run.core.standing() == Standing(Phase.PAUSING, "host:5555", 2.5)
    run.core.trying()
    assert run.core.standing() == Standing(Phase.CONNECTING, "host:5555")
    run.core.logged_in(HELLO, welcome())
    assert run.core.standing() == Standing(Phase.CONNECTED, "host:5555")
    run.core.lost("it broke")
    assert run.core.standing() == Standing(Phase.CONNECTING, "host:5555")
    assert run.screen.changes == 4


def test_a_person_who_leaves_is_told_before_the_end(person: Run) -> None:
    message_id = person.send("bob-Hi")
    person.core.happened(Accepted(message_id, "bob", "stored"))
    person.type("/quit")
    person.core.happened(Goodbye())
    assert person.screen.take() == ["Stored for bob."]
    assert person.status == Status.OK


def test_answers_to_what_was_not_asked_change_nothing(run: Run) -> None:
    run.core.happened(Accepted("no-such-id", "bob", "stored"))
    message_id = run.send("bob-Hi")
    run.core.happened(Accepted(message_id, "carol", "stored"))
    assert len(run.book.kept) == 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("hello", "Format error. Please enter: <target>-<message>"),
        ("bob-", "Format error. Please enter: <target>-<message>"),
        ("a b-Hi", "Format error. Please enter: <target>-<message>"),
        (
            "bob-" + "x" * 12_289,
            "Message too long (over 12288 bytes). Nothing was sent; send it in parts.",
        ),
        ("x" * (MAX_TYPED + 1), "Line too long (over 131072 bytes). Nothing was sent."),
        ("bob-\udcff", "Not valid UTF-8. Nothing was sent."),
        (
            "/fo\x1bo bar",
            "Unknown command '/fo\ufffdo'. Nothing was sent. /help lists the commands.",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_here_with_the_number_of_its_line(
    run: Run, line: str, error: str
) -> None:
    run.type("", line)
    assert run.screen.lines == [Line(Kind.ERROR, f"line 2: {error}")]
    assert run.link.sent == []


def test_the_limits_are_those_of_the_server() -> None:
    run = Run(online=False)
    run.core.logged_in(Hello(1, 100, 10), welcome())
    run.type("bob-" + "x" * 11, "bob-" + "\x1b" * 10, "bob-" + "x" * 10)
    assert run.screen.take() == [
        "line 1: Message too long (over 10 bytes). Nothing was sent; send it in parts.",
        "line 2: Line too long (over 100 bytes). Nothing was sent.",
    ]
    assert [each["text"] for each in run.link.sent] == ["x" * 10]


def test_a_person_reads_no_line_numbers(person: Run) -> None:
    person.type("hello")
    assert person.screen.take() == ["Format error. Please enter: <target>-<message>"]


def test_a_refusal_of_the_whole_message_answers_for_all_its_targets(run: Run) -> None:
    message_id = run.send("bob,carol-Hi")
    run.core.happened(refusal("bad-field", text="Field 'to': no.", id=message_id))
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert run.screen.take() == ["line 1: Field 'to': no."]
    assert run.status == Status.NOT_ACCEPTED


# Commands ----------------------------------------------------------------------------


def test_who_and_users_are_asked_of_the_server(run: Run) -> None:
    run.type("/who", "/users  a ")
    assert run.link.sent == [
        {"type": "who", "prefix": ""},
        {"type": "users", "prefix": "a"},
    ]
    run.core.happened(Listing("who", ("Alice", "bob"), 0))
    run.core.happened(Listing("users", ("Alice", "anna"), 3))
    assert run.screen.take(Kind.ANSWER) == [
        "Users online => bob",
        "Client book => Alice, anna ... and 3 more; give a prefix",
    ]


def test_help_lists_every_command(run: Run) -> None:
    run.type("/help")
    shown = run.screen.take(Kind.ANSWER)
    usages = [line.split("   ")[0].strip() for line in shown[1:-1]]
    assert [usage.split(" ")[0] for usage in usages] == list(COMMANDS)
    assert shown[-1].endswith(", ".join(TOPICS))
    assert run.link.sent == []


@pytest.mark.parametrize("topic", TOPICS)
def test_help_explains_each_topic(run: Run, topic: str) -> None:
    run.type(f"/help {topic.upper()}")
    assert run.screen.take() == list(TOPICS[topic])


def test_help_explains_a_command_and_lists_the_topics(run: Run) -> None:
    run.type("/help topics", "/help /who", "/help to")
    assert run.screen.take() == [
        f"/help and a topic explains it: {', '.join(TOPICS)}",
        "/who [prefix]   lists who is online",
        "/to [names]   lets every line go to somebody; alone: no longer",
    ]


def test_help_of_what_there_is_not_says_how_to_find_it(person: Run) -> None:
    person.type("/help me")
    assert person.screen.take(Kind.ERROR) == [
        "There is no such topic; /help topics lists them."
    ]


def test_names_and_commands_can_be_completed_to(run: Run) -> None:
    run.core.happened(Listing("users", ("zoe", "Anna"), 0))
    run.core.happened(incoming("Hi", sender="bob"))
    possible = run.core.completions()
    assert possible.names == ["bob", "Anna", "zoe"]
    assert list(possible.commands) == ["/help", *(c for c in COMMANDS if c != "/help")]
    assert possible.commands["/to"] == possible.commands["/who"] == possible.names
    assert possible.commands["/help"] == ["topics", *TOPICS]
    assert possible.commands["/quit"] == []


def test_the_names_that_one_talked_with_last_come_first(person: Run) -> None:
    person.core.happened(Listing("users", ("Anna", "bob", "Carol", "Dave"), 0))
    person.core.happened(incoming("Hi", sender="bob"))
    message = person.send("dave-Hi")
    assert person.core.completions().names == ["Dave", "bob", "Anna", "Carol"]
    person.core.happened(incoming("Hi", sender="Carol"))
    person.core.happened(Accepted(message, "Dave", "delivered"))
    assert person.core.completions().names == ["Carol", "Dave", "bob", "Anna"]


def test_who_does_not_exist_is_not_completed_to(person: Run) -> None:
    message = person.send("zed-Hi")
    person.core.happened(refusal(id=message, to="zed"))
    assert person.core.completions().names == []
    message = person.send("ZOE-Hi")
    person.core.happened(Accepted(message, "Zoe", "stored"))
    assert person.core.completions().names == ["Zoe"]


def test_names_are_not_gathered_without_end(run: Run) -> None:
    many = tuple(f"u{number}" for number in range(MOST_NAMES + 5))
    run.core.happened(Listing("users", many, 0))
    assert len(run.core.completions().names) == MOST_NAMES


# To whom lines go --------------------------------------------------------------------


def targets(run: Run) -> list[tuple[Any, str]]:
    """Return to whom what was sent went, and what it was."""
    return [
        (sent["to"], sent["text"]) for sent in run.link.sent if sent["type"] == "send"
    ]


def test_after_to_every_line_goes_there_until_to_alone(person: Run) -> None:
    person.type("/to bob", "Hi", "well-known fact", "", "   ", "/to", "Hi")
    assert targets(person) == [("bob", "Hi"), ("bob", "well-known fact")]
    assert person.screen.take(Kind.ANSWER, Kind.ERROR) == [
        "Every line goes to bob now; /to alone ends that.",
        "A line needs its target again, as in bob-Hi.",
        "Format error. Please enter: <target>-<message>",
    ]


def test_lines_can_go_to_several(person: Run) -> None:
    person.type("/to bob, Carol", "Hi")
    assert targets(person) == [("bob", "Hi"), ("Carol", "Hi")]
    assert person.core.focus() == "bob, Carol"


def test_a_line_that_names_somebody_known_goes_to_them(person: Run) -> None:
    person.core.happened(Listing("who", ("carol",), 0))
    person.type("/to bob", "carol-Hi", "dave-Hi", "bob-carol-Hi")
    assert targets(person) == [
        ("carol", "Hi"),
        ("bob", "dave-Hi"),
        ("bob", "carol-Hi"),
    ]


def test_a_message_that_comes_changes_not_to_whom_a_half_typed_line_goes(
    person: Run,
) -> None:
    person.type("/to bob")
    person.core.typing("d")
    person.core.happened(incoming("Hi", sender="dave"))
    person.core.typing("dave-Hi")
    assert person.core.destination("dave-Hi") == "bob"
    person.type("dave-Hi")
    assert targets(person) == [("bob", "dave-Hi")]
    person.core.typing("d")
    assert person.core.destination("dave-Hi") == "dave"
    person.type("dave-Hi")
    assert targets(person)[1:] == [("dave", "Hi")]


def test_a_line_that_is_typed_anew_knows_who_has_written_since(person: Run) -> None:
    person.type("/to bob")
    person.core.typing("d")
    person.core.happened(incoming("Hi", sender="dave"))
    person.core.typing("")
    person.core.typing("d")
    assert person.core.destination("dave-Hi") == "dave"


def test_whole_lines_know_who_was_known_when_the_line_before_was_taken(
    person: Run,
) -> None:
    person.type("/to bob")
    person.core.happened(incoming("Hi", sender="dave"))
    person.type("dave-one", "dave-two")
    assert targets(person) == [("bob", "dave-one"), ("dave", "two")]


def test_in_a_pipe_only_the_focus_is_known(run: Run) -> None:
    run.core.happened(Listing("who", ("carol", "bob"), 0))
    run.screen.take()
    run.type("/to bob", "carol-Hi", "bob-carol-Hi", "/to", "carol-Hi")
    assert targets(run) == [
        ("bob", "carol-Hi"),
        ("bob", "carol-Hi"),
        ("carol", "Hi"),
    ]
    assert run.screen.take(Kind.ANSWER) == []


def test_the_focus_outlives_the_connection(person: Run) -> None:
    person.type("/to bob")
    person.core.lost("it broke")
    person.core.logged_in(HELLO, welcome())
    person.type("Hi")
    assert targets(person) == [("bob", "Hi")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "/to bob carol",
            "A name has only letters, digits, '_' and '.', and no space.",
        ),
        ("/to bob,", "A name has 1 to 32 characters."),
        ("/to a-b", "A name has no '-', because that separates target and message."),
    ],
)
def test_what_is_no_name_changes_nothing(person: Run, line: str, why: str) -> None:
    person.type("/to dave")
    person.screen.take()
    person.type(line, "Hi")
    assert person.screen.take(Kind.ERROR) == [f"{why} Nothing was changed."]
    assert targets(person) == [("dave", "Hi")]


def test_a_message_of_several_lines_is_one_message(person: Run) -> None:
    person.type("bob-one\ntwo", "/to bob", "three\n/four")
    assert targets(person) == [("bob", "one\ntwo"), ("bob", "three\n/four")]


@pytest.mark.parametrize("line", ["/quit\nnow", "/who\n", "/to bob\nHi"])
def test_a_command_of_several_lines_is_refused(person: Run, line: str) -> None:
    person.type(line)
    (refused,) = person.screen.take()
    assert refused.startswith("A command has one line only. Nothing was done;")
    assert person.link.sent == []
    assert not person.link.left


def test_where_a_line_goes_is_spelt_as_the_server_does(person: Run) -> None:
    person.core.happened(Listing("who", ("Carol",), 0))
    person.type("/to CAROL")
    assert person.core.focus() == "Carol"
    assert person.core.destination("Hi") == "Carol"
    assert person.core.destination("carol,zed-Hi") == "Carol"
    assert person.core.destination("/quit") == ""
    assert person.core.destination("") == ""


# The history ------------------------------------------------------------------------


def kept(text: str) -> Kept:
    return Kept(1, "bob", "alice", text, 0, "received", "received", "id-1", "host:5555")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/history", (None, 20)),
        ("/history 7", (None, 7)),
        ("/history bob", ("bob", 20)),
        ("/history  bob  1000 ", ("bob", 1000)),
        ("/history 20 5", ("20", 5)),
        ("/search backup done", ("backup done", 20)),
        ('/search  "a AND b-c* ', ('"a AND b-c*', 20)),
    ],
)
def test_the_history_is_shown_without_a_server(
    line: str, asked: tuple[str | None, int]
) -> None:
    run = Run(interactive=True, online=False)
    run.book.messages = [kept("one"), kept("two")]
    run.type(line)
    assert run.book.asked == [asked]
    ((first, second),) = run.screen.found_messages
    assert (first.message.text, second.message.text) == ("one", "two")
    assert first.spans == ([(0, 1)] if line.startswith("/search") else ())
    assert run.screen.take() == []


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/history", "There is no message in the history."),
        ("/history bob", "There is no message to or from bob in the history."),
        ("/search foo", "There is no such message in the history."),
    ],
)
def test_where_nothing_is_found_that_is_said(
    person: Run, line: str, answer: str
) -> None:
    person.type(line)
    assert person.screen.take() == [answer]
    assert person.screen.found_messages == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/history 0", "At least 1 message can be shown, and at most 1000."),
        ("/history bob 1001", "At least 1 message can be shown, and at most 1000."),
        (
            f"/history {'9' * 5000}",
            "At least 1 message can be shown, and at most 1000.",
        ),
        ("/search", "Which words? /search backup done finds both."),
        (
            "/search " + " ".join(map(str, range(33))),
            "These are 33 words; at most 32 can be searched for.",
        ),
        (
            "/history bob carol",
            "A name has only letters, digits, '_' and '.', and no space."
            " /history bob 100 shows the last 100.",
        ),
    ],
)
def test_what_cannot_be_looked_up_is_refused_with_the_reason(
    person: Run, line: str, why: str
) -> None:
    person.type(line)
    assert person.screen.take() == [why]
    assert person.book.asked == []


def test_a_history_that_cannot_be_read_is_one_line(person: Run) -> None:
    person.book.unreadable = True
    person.type("/history", "/search foo", "bob-Hi")
    why = "The history cannot be read (file is not a database)."
    assert person.screen.take() == [why, why]
    assert targets(person) == [("bob", "Hi")]


def test_who_looks_at_the_history_with_somebody_has_read_theirs(person: Run) -> None:
    person.core.happened(incoming("Hi", sender="bob"))
    person.core.happened(incoming("Hi", sender="carol"))
    person.type("/history bob")
    assert person.core.unread() == [("carol", 1)]


def test_a_pipe_is_not_shown_the_history(run: Run) -> None:
    run.type("/history", "/search foo")
    assert run.book.asked == []
    assert run.screen.take() == [
        f"line {number}: Only somebody at a terminal can look at the history here;"
        " chat history shows it in a shell."
        for number in (1, 2)
    ]


def test_those_one_talked_with_in_earlier_runs_are_completed_to_first() -> None:
    book = Book()
    book.talked_with = ["zoe", "bob"]
    run = Run(interactive=True, book=book)
    run.core.happened(Listing("users", ("Anna", "Bob"), 0))
    assert run.core.completions().names == ["zoe", "Bob", "Anna"]


# What is unread ----------------------------------------------------------------------


def test_messages_are_unread_until_one_turns_to_their_sender(person: Run) -> None:
    for sender in ("bob", "carol", "dave", "eve", "bob"):
        person.core.happened(incoming("Hi", sender=sender))
    assert person.core.unread() == [("bob", 2), ("eve", 1), ("dave", 1), ("carol", 1)]
    before = person.screen.people_changes
    person.type("carol-Hi")
    assert person.core.unread() == [("bob", 2), ("eve", 1), ("dave", 1)]
    person.type("/to bob")
    assert person.core.unread() == [("eve", 1), ("dave", 1)]
    assert person.screen.people_changes > before
    person.type("")
    assert person.core.unread() == []


def test_messages_of_the_focus_are_read_when_something_is_typed(person: Run) -> None:
    person.type("/to bob")
    person.core.happened(incoming("Hi", sender="bob"))
    person.core.happened(incoming("Hi", sender="carol"))
    assert person.core.unread() == [("carol", 1), ("bob", 1)]
    before = person.screen.people_changes
    person.core.typing("H")
    assert person.core.unread() == [("carol", 1)]
    assert person.screen.people_changes == before + 1
    person.core.typing("Hi")
    assert person.screen.people_changes == before + 1


def test_a_message_to_oneself_is_not_unread(person: Run) -> None:
    person.core.happened(incoming("Hi", sender="alice"))
    assert person.core.unread() == []


# Who comes and goes ------------------------------------------------------------------

WATCHING = Hello(1, 131_072, 12_288, frozenset({"watch"}), 1000)


def watches(run: Run) -> list[list[str]]:
    return [sent["names"] for sent in run.link.sent if sent["type"] == "watch"]


def test_a_person_is_told_who_of_those_they_talk_with_comes_and_goes() -> None:
    run = Run(interactive=True, online=False)
    run.core.logged_in(WATCHING, welcome(online=("carol",)))
    run.core.happened(incoming("Hi", sender="bob"))
    run.type("/to dave")
    run.clock.advance(60)
    assert watches(run)[-1] == ["dave", "bob"]
    run.screen.take()
    for online in (True, False):
        run.core.happened(Presence("bob", online))
        run.clock.advance(60)
    assert run.screen.take(Kind.NOTICE) == ["bob has left."]


def test_whom_to_watch_can_be_asked_for() -> None:
    run = Run(interactive=True, online=False, presence=False)
    run.core.logged_in(WATCHING, welcome())
    run.core.happened(incoming("Hi", sender="bob"))
    run.screen.take()
    run.type("/watch", "/watch carol,dave")
    run.clock.advance(60)
    assert watches(run) == [["carol", "dave"]]
    run.core.happened(Presence("carol", True))
    run.type("/watch", "/unwatch dave", "/unwatch")
    assert run.screen.take() == [
        "Watched => (nobody)",
        "carol is here.",
        "Watched => carol (here), dave",
        "Watched => carol (here)",
        "Usage of /unwatch: /unwatch names (nothing was changed)",
    ]


def test_a_server_that_cannot_watch_is_not_asked_to(person: Run) -> None:
    person.core.happened(incoming("Hi", sender="bob"))
    person.type("/watch bob")
    person.clock.advance(60)
    assert watches(person) == []
    assert person.screen.take(Kind.ERROR) == [
        "Nobody can be watched: there is no connection, or this server does not tell"
        " who comes and goes."
    ]


def test_a_pipe_watches_nobody() -> None:
    run = Run(online=False)
    run.core.logged_in(WATCHING, welcome())
    run.core.happened(incoming("Hi", sender="bob"))
    run.clock.advance(60)
    assert watches(run) == []


# The connection ----------------------------------------------------------------------


def test_a_reason_why_there_is_no_connection_is_said_once() -> None:
    run = Run(online=False)
    for reason in ("connection refused", "connection refused", "no such host"):
        run.core.attempt_failed(reason)
    assert run.screen.take(Kind.NOTICE) == [
        "Cannot reach host:5555 (connection refused); trying again.",
        "Cannot reach host:5555 (no such host); trying again.",
    ]


@pytest.mark.parametrize("interactive", [False, True])
def test_a_server_that_cannot_be_reached_in_time_has_its_own_status(
    interactive: bool,
) -> None:
    run = Run(online=False, interactive=interactive)
    run.core.attempt_failed("connection refused")
    run.type("bob-Hi")
    run.screen.take()
    run.clock.advance(TIMEOUT - 1)
    assert not run.result.called
    run.clock.advance(1)
    assert run.status == Status.UNREACHABLE
    assert run.screen.lines == [
        Line(
            Kind.ERROR,
            "Could not reach host:5555 within 30 s (connection refused).",
        ),
        Line(
            Kind.ERROR,
            "1 message not sent, and kept:"
            " chat sends what is kept when it runs again as alice.",
        ),
    ]
    assert run.link.stopped is not None


def test_loss_and_return_are_said(person: Run) -> None:
    person.core.lost("it broke")
    person.core.attempt_failed("connection refused")
    person.core.logged_in(HELLO, welcome())
    assert person.screen.take(Kind.NOTICE) == [
        "The connection to host:5555 was lost (it broke); trying again.",
        "Cannot reach host:5555 (connection refused); trying again.",
        "Connected to host:5555 again.",
    ]


def test_what_is_typed_without_a_connection_is_kept_and_sent_when_there_is_one(
    person: Run,
) -> None:
    person.core.lost("it broke")
    person.screen.take()
    person.type("bob,carol-Hi", "", "bob-Ho")
    kept = "is kept, and sent when there is a connection."
    assert person.screen.take() == [
        f"Not connected yet: the message to bob, carol {kept}",
        f"Not connected yet: the message to bob {kept}",
    ]
    assert person.link.sent == []
    person.core.logged_in(HELLO, welcome())
    sent = [(each["to"], each["text"]) for each in person.link.sent]
    assert sent == [("bob", "Hi"), ("carol", "Hi"), ("bob", "Ho")]


def test_what_only_the_server_knows_cannot_be_asked_without_a_connection(
    person: Run,
) -> None:
    person.core.lost("it broke")
    person.screen.take()
    person.type("/who")
    assert person.screen.take(Kind.ERROR) == ["Log in first. Nothing was sent."]
    person.core.logged_in(HELLO, welcome())
    assert person.link.sent == []


def test_what_had_no_answer_before_the_loss_is_sent_again_under_its_id(
    run: Run,
) -> None:
    first = run.send("bob,carol-1")
    second = run.send("zed-2")
    run.core.happened(Accepted(first, "bob", "stored"))
    run.core.lost("it broke")
    before = len(run.link.sent)
    run.type("carol-3")
    assert len(run.link.sent) == before
    run.core.logged_in(HELLO, welcome())
    again = [(each["to"], each["text"], each["id"]) for each in run.link.sent[before:]]
    assert again[:2] == [("carol", "1", first), ("zed", "2", second)]
    assert [each[:2] for each in again[2:]] == [("carol", "3")]
    for to, _, message_id in again:
        run.core.happened(Accepted(message_id, to, "stored"))
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert run.status == Status.OK


def left_by_an_earlier_run(
    book: Book, *texts: str, sender: str = "alice", start: int = 0
) -> None:
    for number, each in enumerate(texts, start):
        book.left_waiting.append(
            Message(0, f"old{number}", sender, "bob", each, 1_000, 0)
        )


def test_what_an_earlier_run_left_is_sent_before_what_is_typed() -> None:
    book = Book()
    left_by_an_earlier_run(book, "1", "2")
    left_by_an_earlier_run(book, "of another user", sender="mallory", start=2)
    run = Run(online=False, book=book)
    assert run.screen.take() == ["2 messages kept from before will be sent."]
    run.type("bob-3")
    run.core.logged_in(HELLO, welcome())
    sent = [(each["text"], each["id"]) for each in run.link.sent]
    assert sent[:2] == [("1", "old0"), ("2", "old1")]
    assert sent[2][0] == "3"
    assert len(sent) == 3


def left(text: str, sender: str = "alice") -> Message:
    return Message(9, text, sender, "bob", text, 1_000, 0)


def test_what_another_program_leaves_in_the_outbox_is_sent_soon() -> None:
    run = Run()
    run.screen.take()
    run.book.left_by_others = [left("1"), left("2"), left("3", sender="mallory")]
    run.clock.advance(LOOK_SECONDS - 0.1)
    assert run.link.sent == []
    run.clock.advance(0.1)
    assert [each["text"] for each in run.link.sent] == ["1", "2"]
    assert run.screen.take() == [
        "2 messages left in the outbox by another program will be sent."
    ]
    run.core.happened(Accepted("1", "bob", "stored"))
    assert run.book.kept[-1] == ("stored", "Alice", "bob")
    run.book.left_by_others = [left("4")]
    run.clock.advance(LOOK_SECONDS)
    assert [each["text"] for each in run.link.sent] == ["1", "2", "4"]


def test_one_that_is_known_already_is_not_sent_twice() -> None:
    run = Run()
    for _ in range(2):
        run.book.left_by_others = [left("1")]
        run.clock.advance(LOOK_SECONDS)
    assert [each["text"] for each in run.link.sent] == ["1"]


def test_what_is_left_without_a_connection_is_sent_at_the_next_login() -> None:
    run = Run(online=False)
    run.book.left_by_others = [left("1")]
    run.clock.advance(LOOK_SECONDS)
    assert run.link.sent == []
    run.core.logged_in(HELLO, welcome())
    assert [each["text"] for each in run.link.sent][:1] == ["1"]


def test_what_is_left_after_the_leave_stays_for_the_next_run() -> None:
    run = Run()
    run.core.end_of_input()
    assert run.link.left == 1
    run.book.left_by_others = [left("1")]
    run.clock.advance(10 * LOOK_SECONDS)
    assert run.link.sent == []
    assert len(run.book.left_by_others) == 1


def test_an_outbox_that_cannot_be_read_is_looked_at_again() -> None:
    run = Run()
    run.book.broken = True
    run.clock.advance(LOOK_SECONDS)
    run.book.broken = False
    run.book.left_by_others = [left("1")]
    run.clock.advance(LOOK_SECONDS)
    assert [each["text"] for each in run.link.sent] == ["1"]


def test_what_was_kept_and_perhaps_not_shown_is_shown_at_the_start() -> None:
    book = Book()
    book.left_unshown.append(Message(7, "id", "bob", "Alice", "Hi", 1_000, 0))
    run = Run(online=False, book=book)
    assert run.screen.take() == ["bob: Hi (1970-01-01 00:00:01 UTC)"]
    assert book.marked == []
    run.clock.advance(reception.SHOWN_SECONDS)
    assert book.marked == [7]


def test_only_what_could_be_read_for_a_while_is_marked_as_shown(run: Run) -> None:
    run.core.happened(incoming("one"))
    run.clock.advance(reception.SHOWN_SECONDS / 2)
    run.core.happened(incoming("two"))
    run.book.slow = True
    run.core.happened(incoming("three"))
    run.clock.advance(reception.SHOWN_SECONDS / 2)
    assert run.book.marked == [1]
    run.clock.advance(reception.SHOWN_SECONDS)
    assert run.book.marked == [1, 2]  # the third is not on the screen yet
    run.book.catch_up()
    run.clock.advance(reception.SHOWN_SECONDS)
    assert run.book.marked == [1, 2, 3]


def test_what_could_not_be_kept_is_not_said_to_be_kept_at_the_end(run: Run) -> None:
    run.core.enter("bob-one")
    run.book.broken = True
    run.core.enter("bob-two")
    run.core.interrupt(130)
    assert run.screen.take(Kind.ERROR) == [
        "The history cannot be written (disk full):"
        " messages are sent and shown, and not kept.",
        "1 message not sent, and not kept either.",
        "1 message not sent, and kept: chat sends what is kept when it runs again as"
        " Alice.",
    ]


# Refused for a time ------------------------------------------------------------------


def full(message_id: str, to: str = "bob", code: str = "queue-full") -> Refused:
    return refusal(code, text="Full.", temporary=True, id=message_id, to=to)


def test_what_is_refused_for_a_time_is_sent_again_in_its_order(run: Run) -> None:
    first, second, third = run.send("bob-1"), run.send("bob-2"), run.send("carol-3")
    run.core.happened(full(first))
    assert run.screen.take() == ["Trying again to send to bob: Full."]
    run.clock.advance(FIRST_PAUSE_SECONDS)
    assert len(run.link.sent) == 3  # the second has no answer yet
    run.core.happened(full(second, code="out-of-order"))
    assert [each["id"] for each in run.link.sent[3:]] == [first, second]
    assert run.screen.take() == []
    run.core.happened(Accepted(third, "carol", "stored"))
    run.core.happened(Accepted(first, "bob", "stored"))
    run.core.happened(Accepted(second, "bob", "stored"))
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert run.status == Status.OK


def test_that_a_queue_is_full_is_said_once_while_anything_waits_for_it(
    run: Run,
) -> None:
    told = ["Trying again to send to bob: Full."]
    first, second = run.send("bob-1"), run.send("bob-2")
    run.core.happened(full(first))
    run.core.happened(full(second, code="out-of-order"))
    assert run.screen.take() == told
    run.clock.advance(FIRST_PAUSE_SECONDS)
    # Room for one, and no more: so it goes on, message by message.
    run.core.happened(Accepted(first, "bob", "stored"))
    run.core.happened(full(second))
    assert run.screen.take() == []
    run.clock.advance(FIRST_PAUSE_SECONDS)
    run.core.happened(Accepted(second, "bob", "stored"))
    third = run.send("bob-3")
    run.core.happened(full(third))
    assert run.screen.take() == told


def test_others_get_theirs_while_one_is_refused_for_a_time(run: Run) -> None:
    first = run.send("bob-1")
    run.core.happened(full(first))
    run.type("bob-2", "carol-3")
    assert [each["text"] for each in run.link.sent] == ["1", "3"]


def test_the_pauses_grow_and_begin_anew_after_a_success(run: Run) -> None:
    first = run.send("bob-1")
    pauses = []
    for _ in range(8):
        before = run.clock.seconds()
        sent = len(run.link.sent)
        run.core.happened(full(first))
        while len(run.link.sent) == sent:
            run.clock.advance(0.5)
        pauses.append(run.clock.seconds() - before)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    run.core.happened(Accepted(first, "bob", "stored"))
    second = run.send("bob-2")
    run.core.happened(full(second))
    run.clock.advance(FIRST_PAUSE_SECONDS)
    assert run.link.sent[-1]["id"] == second


def test_a_pipe_that_has_ended_gives_up_after_a_while_and_says_what_it_keeps(
    run: Run,
) -> None:
    first = run.send("bob-1")
    run.core.happened(full(first))
    run.core.end_of_input()
    run.screen.take()
    assert run.link.left == 0
    run.core.happened(full(first))
    run.clock.pump([1] * int(TIMEOUT + 1))
    assert run.link.left == 1
    run.core.happened(Goodbye())
    assert run.screen.take(Kind.ERROR) == [
        "1 message not sent, and kept: chat sends what is kept when it runs again as"
        " Alice."
    ]
    assert run.status == Status.NOT_ACCEPTED


def test_a_person_who_leaves_does_not_wait_for_what_is_refused_for_a_time(
    person: Run,
) -> None:
    first = person.send("bob-1")
    second = person.send("carol-2")
    person.core.happened(full(first))
    person.type("/quit")
    assert person.link.left == 0
    person.core.happened(Accepted(second, "carol", "delivered"))
    assert person.link.left == 1


# Acknowledging -----------------------------------------------------------------------


def numbered(sequence: int, text: str = "Hi") -> Incoming:
    return Incoming(
        Message(sequence, f"id-{sequence}", "bob", "Alice", text, 1_000, 0), False
    )


def acks(run: Run) -> list[int]:
    run.clock.advance(0)
    return [each["seq"] for each in run.link.sent if each["type"] == "ack"]


def test_what_is_kept_is_acknowledged_and_not_before(run: Run) -> None:
    run.book.slow = True
    run.core.happened(numbered(1))
    run.core.happened(numbered(2))
    assert acks(run) == []
    run.book.catch_up()
    assert acks(run) == [2]


def test_what_cannot_be_kept_is_not_acknowledged_nor_what_follows_it(run: Run) -> None:
    run.core.happened(numbered(1))
    run.book.broken = True
    run.core.happened(numbered(2))
    run.book.broken = False
    run.core.happened(numbered(3))
    assert acks(run) == [1]


def test_what_came_on_an_earlier_connection_is_not_acknowledged_on_a_later_one(
    run: Run,
) -> None:
    run.book.slow = True
    run.core.happened(numbered(1))
    run.core.lost("it broke")
    run.core.logged_in(HELLO, welcome())
    run.book.catch_up()
    assert acks(run) == []
    run.book.slow = False
    run.core.happened(numbered(1))
    assert acks(run) == [1]


def test_what_came_meanwhile_came_since_the_loss(person: Run) -> None:
    assert person.screen.gaps == []
    person.core.lost("it broke")
    person.core.lost("it broke again")
    assert person.screen.gaps == []
    person.core.logged_in(HELLO, welcome())
    assert person.screen.gaps == [int(NOW * 1000)]
    person.core.logged_in(HELLO, welcome())
    assert len(person.screen.gaps) == 1


def test_a_person_waits_for_a_lost_server_without_end(person: Run) -> None:
    person.core.lost("it broke")
    person.clock.advance(100 * TIMEOUT)
    assert not person.result.called


def test_a_pipe_waits_for_a_lost_server_as_long_as_at_first(run: Run) -> None:
    run.clock.advance(TIMEOUT)
    run.core.lost("it broke")
    run.clock.advance(TIMEOUT - 1)
    run.core.logged_in(HELLO, welcome())
    run.core.lost("it broke")
    run.clock.advance(TIMEOUT - 1)
    assert not run.result.called
    run.clock.advance(1)
    assert run.status == Status.UNREACHABLE


@pytest.mark.parametrize("status", [Status.REFUSED, Status.NOT_CHATD])
def test_what_ends_the_connection_for_good_ends_all(status: Status) -> None:
    run = Run(online=False)
    run.type("bob-Hi")
    run.core.ended(status, "alice cannot log in: no\x1b.")
    assert run.screen.take() == [
        "alice cannot log in: no\ufffd.",
        "1 message not sent, and kept:"
        " chat sends what is kept when it runs again as alice.",
    ]
    assert run.status == status
    assert run.screen.stopped


# Room --------------------------------------------------------------------------------


def test_a_pipe_is_read_no_faster_than_it_is_answered(run: Run) -> None:
    ids = [run.send("bob-Hi") for _ in range(ROOM - 1)]
    assert run.core.when_room().called
    ids.append(run.send("bob-Hi"))
    room = run.core.when_room()
    assert not room.called
    run.core.happened(Accepted(ids[7], "bob", "stored"))
    assert room.called


def test_a_refusal_makes_room_too(run: Run) -> None:
    ids = [run.send("bob,carol-Hi") for _ in range(ROOM // 2)]
    room = run.core.when_room()
    assert not room.called
    run.core.happened(refusal(id=ids[0]))
    assert room.called


def test_a_pipe_is_read_to_a_bound_without_a_connection(run: Run) -> None:
    run.core.lost("it broke")
    run.type(*["bob-Hi"] * ROOM)
    room = run.core.when_room()
    assert not room.called
    run.core.logged_in(HELLO, welcome())
    assert not room.called
    run.core.happened(Accepted(run.link.sent[0]["id"], "bob", "stored"))
    assert room.called


def test_before_the_login_a_pipe_is_read_to_a_bound() -> None:
    run = Run(online=False)
    run.type(*["bob-Hi"] * (ROOM - 1))
    assert run.core.when_room().called
    run.type("bob-Hi")
    room = run.core.when_room()
    assert not room.called
    run.core.ended(Status.REFUSED, "no")
    assert room.called


def test_a_person_always_has_room(person: Run) -> None:
    for _ in range(2 * ROOM):
        person.send("bob-Hi")
    person.core.lost("it broke")
    assert person.core.when_room().called


def test_the_front_end_can_have_nothing_received_for_a_while(run: Run) -> None:
    run.core.hold_incoming()
    assert run.link.holds == {"output"}
    run.core.release_incoming()
    assert not run.link.holds


# The end -----------------------------------------------------------------------------


def test_after_the_input_it_ends_when_all_is_answered_and_said_goodbye(
    run: Run,
) -> None:
    message_id = run.send("bob-Hi")
    run.core.end_of_input()
    run.core.end_of_input()
    assert run.link.left == 0
    run.core.happened(Accepted(message_id, "bob", "stored"))
    assert run.link.left == 1
    assert not run.result.called
    run.core.happened(Goodbye())
    assert run.status == Status.OK
    assert run.screen.stopped
    assert not run.clock.getDelayedCalls()


def test_a_connection_lost_while_leaving_is_made_again_while_something_is_not_sent(
    run: Run,
) -> None:
    message_id = run.send("bob-Hi")
    run.core.end_of_input()
    run.core.lost("it broke")
    assert not run.result.called
    run.core.logged_in(HELLO, welcome())
    assert run.link.sent[-1]["id"] == message_id
    run.core.happened(Accepted(message_id, "bob", "stored"))
    run.core.lost("it broke")
    assert run.status == Status.OK


def test_who_leaves_without_a_connection_is_told_what_is_kept(person: Run) -> None:
    person.send("bob-Hi")
    person.core.lost("it broke")
    person.screen.take()
    person.type("/quit")
    assert person.screen.take() == [
        "1 message not sent, and kept: chat sends what is kept when it runs again as"
        " Alice."
    ]
    assert person.status == Status.UNREACHABLE


def test_quit_leaves_and_what_follows_it_is_not_sent(run: Run) -> None:
    run.type("/quit", "bob-Hi")
    assert run.link.left == 1
    assert run.link.sent == []
    run.core.happened(Goodbye())
    assert run.status == Status.OK


def test_an_input_that_ends_before_the_login_waits_for_it() -> None:
    run = Run(online=False)
    run.type("bob-Hi")
    run.core.end_of_input()
    assert not run.result.called
    run.core.logged_in(HELLO, welcome())
    (sent,) = run.link.sent
    assert run.link.left == 0
    run.core.happened(Accepted(sent["id"], "bob", "stored"))
    assert run.link.left == 1


def test_an_input_without_lines_still_fetches_what_is_queued() -> None:
    run = Run(online=False)
    run.core.end_of_input()
    run.core.logged_in(HELLO, welcome(queued=1))
    run.core.happened(incoming("Hi", queued=True))
    run.core.happened(Goodbye())
    assert run.screen.take() == ["bob: Hi (2026-11-18 11:06:40 UTC)"]
    assert run.status == Status.OK


def test_a_quit_before_the_login_leaves_at_the_login() -> None:
    run = Run(online=False)
    run.type("bob-1", "/quit", "bob-2")
    run.core.logged_in(HELLO, welcome())
    (sent,) = run.link.sent
    assert sent["text"] == "1"
    run.core.happened(Accepted(sent["id"], "bob", "stored"))
    assert run.link.left >= 1


def test_a_person_may_leave_before_the_server_is_reached() -> None:
    run = Run(interactive=True, online=False)
    run.core.end_of_input()
    assert run.status == Status.UNREACHABLE


def test_help_and_quit_need_no_connection(person: Run) -> None:
    person.core.lost("it broke")
    person.screen.take()
    person.type("/help")
    assert len(person.screen.take(Kind.ANSWER)) == 2 + len(COMMANDS)
    person.type("/quit")
    assert person.status == Status.OK


def test_a_person_may_leave_while_the_connection_is_lost(person: Run) -> None:
    person.core.lost("it broke")
    person.core.end_of_input()
    assert person.status == Status.OK


def test_the_end_of_the_front_end_is_the_end_of_the_input(person: Run) -> None:
    person.screen.ended.callback(None)
    assert person.link.left == 1
    person.core.happened(Goodbye())
    assert person.status == Status.OK


def test_what_was_received_is_kept_and_shown_before_the_end(run: Run) -> None:
    run.book.slow = True
    run.core.happened(incoming("Hi"))
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert not run.result.called
    assert not run.screen.stopped
    run.book.catch_up()
    assert run.screen.take() == ["bob: Hi"]
    assert not run.result.called  # that it was shown is kept, too
    run.book.catch_up()
    assert run.status == Status.OK


def test_the_connection_is_closed_before_the_end(run: Run) -> None:
    run.link.slow = True
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert not run.screen.stopped
    assert run.link.stopped is not None
    run.link.stopped.callback(None)
    assert run.status == Status.OK


def test_an_interrupt_ends_it_with_its_status_whatever_is_under_way(run: Run) -> None:
    run.send("bob-Hi")
    run.core.interrupt(143)
    run.core.interrupt(130)
    assert run.status == 143
    run.core.attempt_failed("late")
    run.type("bob-late")
    assert run.screen.take() == [
        "1 message not sent, and kept: chat sends what is kept when it runs again as"
        " Alice."
    ]


def test_an_output_that_is_lost_ends_it_with_a_status(run: Run) -> None:
    run.core.output_lost()
    assert run.link.left == 1
    run.core.happened(Goodbye())
    assert run.status == Status.NOT_ACCEPTED


def test_an_error_about_no_line_counts_as_one(run: Run) -> None:
    run.core.happened(refusal("internal", text="Something went wrong."))
    run.core.end_of_input()
    run.core.happened(Goodbye())
    assert run.screen.take() == ["Something went wrong."]
    assert run.status == Status.NOT_ACCEPTED


def test_a_front_end_that_breaks_ends_it(run: Run, logged_errors: Any) -> None:
    run.screen.ended.errback(Failure(RuntimeError("no terminal")))
    assert run.status == Status.NOT_ACCEPTED
    assert len(logged_errors.flush(RuntimeError)) == 1


# Passwords ---------------------------------------------------------------------------

PRESENT = "Your present password (an empty line changes nothing):"
NEW = "Your new password (an empty line changes nothing):"
AGAIN = "The same again:"
SET = "From now on every login as Alice needs this password."
NOTHING_CHANGED = "Nothing was changed."


def test_a_person_is_told_that_a_name_is_open() -> None:
    for private, where in ((True, ""), (False, ", over TLS or on the server itself")):
        book = Book()
        book.talked_with = ["bob"]
        run = Run(interactive=True, online=False, private=private, book=book)
        run.core.logged_in(HELLO, welcome(is_open=True))
        told = run.screen.take(Kind.NOTICE)
        assert told[3] == (
            f"Anybody can log in as Alice; /password protects the name{where}."
        )
        assert told[4].startswith("Type <target>-<message>")


@pytest.fixture
def owner() -> Run:
    """Somebody at a terminal whose name is open."""
    run = Run(interactive=True, online=False)
    run.core.logged_in(HELLO, welcome(is_open=True))
    run.screen.take()
    return run


def test_a_first_password_is_asked_for_twice_and_remembered(owner: Run) -> None:
    owner.type("/password")
    assert owner.screen.take() == [NEW]
    assert owner.screen.hidden
    owner.type("secret-one")
    assert owner.screen.take() == [AGAIN]
    assert owner.screen.hidden
    owner.type("secret-one")
    assert not owner.screen.hidden
    assert owner.link.sent == [{"type": "password", "new": "secret-one"}]
    assert owner.link.remembered == []
    owner.core.happened(PasswordSet())
    assert owner.screen.take(Kind.ANSWER) == [SET]
    assert owner.link.remembered == ["secret-one"]
    owner.type("/password")
    assert owner.screen.take() == [PRESENT]


def test_another_password_needs_the_present_one(person: Run) -> None:
    person.core.logged_in(HELLO, welcome())
    person.screen.take()
    person.type("/password", "old one", "new one", "new one")
    assert person.screen.take() == [PRESENT, NEW, AGAIN]
    assert person.link.sent == [
        {"type": "password", "new": "new one", "old": "old one"}
    ]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ([""], NOTHING_CHANGED),
        (["secret", ""], NOTHING_CHANGED),
        (["secret", "other"], f"These are two passwords. {NOTHING_CHANGED}"),
    ],
)
def test_an_empty_line_or_two_passwords_change_nothing(
    owner: Run, typed: list[str], answer: str
) -> None:
    owner.type("/password", *typed)
    assert owner.screen.take(Kind.ANSWER) == [answer]
    assert not owner.screen.hidden
    assert owner.link.sent == []
    assert owner.send("bob-Hi")


def test_an_empty_present_password_changes_nothing(owner: Run) -> None:
    owner.core.happened(PasswordSet())
    owner.screen.take()
    owner.type("/password", "")
    assert owner.screen.take() == [PRESENT, NOTHING_CHANGED]


def test_a_password_that_the_server_refuses_is_not_remembered(owner: Run) -> None:
    owner.type("/password", "short", "short")
    owner.screen.take()
    owner.core.happened(refusal("bad-password", text="It is short."))
    assert owner.screen.take(Kind.ERROR) == ["It is short."]
    owner.type("/password", "long enough", "long enough")
    owner.core.happened(PasswordSet())
    assert owner.link.remembered == ["long enough"]


def test_a_password_cannot_be_given_with_the_command(owner: Run) -> None:
    owner.type("/password secret")
    assert owner.screen.take() == [
        "Usage of /password: /password (nothing was changed)"
    ]
    assert owner.link.sent == []


def test_nobody_can_be_asked_in_a_pipe(run: Run) -> None:
    run.type("/password")
    assert run.screen.take(Kind.ERROR) == [
        "line 1: /password asks for passwords, and nobody can be asked here."
    ]


def test_a_password_is_not_asked_for_where_others_could_read_it() -> None:
    run = Run(interactive=True, private=False)
    run.type("/password")
    (line,) = run.screen.take(Kind.ERROR)
    assert "others could read it" in line
    assert not run.screen.hidden


def test_a_password_is_not_asked_for_without_a_connection(owner: Run) -> None:
    owner.core.lost("it broke")
    owner.screen.take()
    owner.type("/password")
    assert owner.screen.take() == ["Log in first. Nothing was sent."]


def test_a_loss_leaves_the_questions_and_changes_nothing(owner: Run) -> None:
    owner.type("/password", "bob-secret")
    owner.core.lost("it broke")
    assert owner.screen.hidden
    owner.screen.take()
    owner.type("bob-secret")
    assert owner.screen.take() == [f"There is no connection. {NOTHING_CHANGED}"]
    assert owner.link.sent == []
    assert owner.book.kept == []


def test_a_loss_before_the_answer_is_told(owner: Run) -> None:
    owner.type("/password", "secret", "secret")
    owner.screen.take()
    owner.core.lost("it broke")
    assert owner.screen.take(Kind.ERROR) == [
        "Whether the new password was set is not known: the connection was lost"
        " before the answer."
    ]


def test_an_end_among_the_questions_shows_again_what_is_typed(owner: Run) -> None:
    owner.type("/password", "secret")
    owner.core.interrupt(143)
    assert not owner.screen.hidden
    assert owner.status == 143
