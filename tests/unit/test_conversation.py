"""What is written of a conversation, when, and in which order."""

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.frontends import conversation as module
from chatd.client.frontends.conversation import Conversation
from chatd.client.frontends.frontend import Key, Kind, Line, State
from chatd.client.frontends.layout import Row
from chatd.client.frontends.transcript import UNICODE
from chatd.wire.message import Message

NOON = 1_795_780_800_000  # 2026-11-27 12:00 UTC
DAY = 86_400_000
A, B, C = ("1", "bob"), ("2", "carol"), ("3", "bob")
WAITING, STORED = State.WAITING, State.STORED
DELIVERED, REFUSED = State.DELIVERED, State.REFUSED


@pytest.fixture(autouse=True, scope="module")
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


class Told(Conversation):
    """A conversation at 12:00, with a clock that the test sets."""

    def __init__(self, *, connected: bool = True) -> None:
        super().__init__(UNICODE, lambda: "alice", lambda: date(2026, 11, 27))
        self.now = 100.0
        if connected:
            self.connected(self.now)

    def say(self, key: Key, text: str = "Hi") -> None:
        message = Message(0, key[0], "alice", key[1], text, NOON, 0)
        self.sent(key, message, self.now)

    def hear(self, text: str, *, queued: bool = False, when: int = NOON) -> None:
        message = Message(0, "", "bob", "alice", text, when, 0)
        self.received(message, queued=queued)

    def turn(self, key: Key, state: State) -> None:
        self.became(key, state, self.now, NOON)

    def note(self, text: str) -> None:
        self.show(Line(Kind.NOTICE, text))

    def take(self) -> list[str]:
        return texts(self.settled(self.now, 40))

    def seen(self, most: int = 9) -> list[str]:
        return texts(self.unsettled(self.now, 40, most))


def texts(rows: list[Row]) -> list[str]:
    return [row.text.rstrip() for row in rows]


# What is settled --------------------------------------------------------------------


def test_what_comes_is_written_at_once_and_once() -> None:
    told = Told()
    told.hear("Hi")
    told.note("A notice.")
    assert told.take() == ["12:00 bob  Hi", "A notice."]
    assert told.take() == []


def test_a_message_stays_in_view_until_it_is_delivered() -> None:
    told = Told()
    told.say(A)
    assert told.take() == []
    assert told.seen() == ["12:00 → bob  Hi"]
    told.turn(A, DELIVERED)
    assert told.take() == ["12:00 → bob  Hi ✓✓"]
    assert told.seen() == []


def test_one_that_has_no_answer_after_a_moment_is_seen_to_wait() -> None:
    told = Told()
    told.say(A)
    assert told.waiting(told.now) == 0
    assert told.next_change(told.now) == told.now + module.ANSWER_SECONDS
    told.now += module.ANSWER_SECONDS
    assert told.seen() == ["12:00 → bob  Hi …"]
    assert told.waiting(told.now) == 1
    assert told.next_change(told.now) is None


def test_a_stored_message_waits_a_second_for_its_delivery() -> None:
    told = Told()
    told.say(A)
    told.turn(A, STORED)
    assert told.take() == []
    assert told.seen() == ["12:00 → bob  Hi ✓"]
    assert told.next_change(told.now) == told.now + module.STORED_SECONDS
    told.now += module.STORED_SECONDS
    assert told.take() == ["12:00 → bob  Hi ✓"]
    told.turn(A, DELIVERED)
    assert told.take() == ["12:00 bob has: Hi"]
    told.turn(A, DELIVERED)
    assert told.take() == []


def test_one_that_was_written_as_delivered_is_not_told_of_again() -> None:
    told = Told()
    told.say(A)
    told.turn(A, DELIVERED)
    told.take()
    told.turn(A, DELIVERED)
    assert told.take() == []


def test_an_error_stands_below_the_message_that_it_is_about() -> None:
    told = Told()
    told.say(A)
    told.turn(A, REFUSED)
    told.note("User 'bob' not found.")
    assert told.take() == ["12:00 → bob  Hi ✗", "User 'bob' not found."]


def test_an_answer_stands_below_its_question() -> None:
    told = Told()
    told.say(A, "Coffee?")
    told.hear("Yes!")
    assert told.take() == []
    told.turn(A, DELIVERED)
    assert told.take() == ["12:00 → bob  Coffee? ✓✓", "12:00 bob  Yes!"]


def test_an_answer_stands_below_a_question_that_is_only_stored() -> None:
    told = Told()
    told.say(A, "Coffee?")
    told.turn(A, STORED)
    told.say(B, "Tea?")
    told.turn(B, STORED)
    told.hear("Yes!")
    assert told.take() == ["12:00 → bob  Coffee? ✓", "12:00 bob  Yes!"]
    assert told.seen() == ["12:00 → carol  Tea? ✓"]
    # Who has answered has it: that is no news.
    told.turn(A, DELIVERED)
    assert told.take() == []


def test_what_comes_waits_for_no_message_longer_than_a_moment() -> None:
    told = Told()
    told.say(A)
    told.hear("Hello")
    told.now += module.ANSWER_SECONDS
    assert told.take() == ["12:00 bob  Hello"]
    assert told.seen() == ["12:00 → bob  Hi …"]


def test_messages_are_written_in_the_order_in_which_they_were_sent() -> None:
    told = Told()
    told.say(A, "one")
    told.say(B, "two")
    told.turn(B, DELIVERED)
    assert told.take() == []
    assert told.seen() == ["12:00 → bob  one", "12:00 → carol  two ✓✓"]
    # Stored is enough, if something behind it is known for good.
    told.turn(A, STORED)
    assert told.take() == ["12:00 → bob  one ✓", "12:00 → carol  two ✓✓"]


def test_one_that_is_put_off_does_not_hold_up_those_to_others() -> None:
    told = Told()
    told.say(A, "one")
    told.now += 1
    told.say(B, "two")
    told.turn(B, DELIVERED)
    assert told.take() == ["12:00 → carol  two ✓✓"]
    assert told.seen() == ["12:00 → bob  one …"]


# Without a connection ---------------------------------------------------------------


def test_what_is_sent_while_there_is_no_connection_waits_in_view() -> None:
    told = Told(connected=False)
    told.say(A)
    told.hear("Hello")
    assert told.take() == ["12:00 bob  Hello"]
    assert told.seen() == ["12:00 → bob  Hi …"]
    assert told.waiting(told.now) == 1
    assert told.next_change(told.now) is None


def test_what_waited_is_written_after_what_was_said_of_the_new_connection() -> None:
    told = Told()
    told.disconnected()
    told.say(A, "one")
    told.say(C, "two")
    told.note("Lost.")
    assert told.take() == ["Lost."]
    told.now += 60
    told.connected(told.now)
    told.turn(A, DELIVERED)
    told.turn(C, DELIVERED)
    told.note("Connected again.")
    assert told.take() == [
        "12:00 → bob  one ✓✓",
        "12:00 → bob  two ✓✓",
        "Connected again.",
    ]


def test_what_had_no_answer_before_the_loss_waits_and_is_young_again() -> None:
    told = Told()
    told.say(A)
    told.disconnected()
    assert told.waiting(told.now) == 1
    told.now += 60
    told.connected(told.now)
    told.connected(told.now + 60)  # it was told before: no news
    assert told.waiting(told.now) == 0


def test_no_more_rows_are_in_view_than_there_may_be() -> None:
    told = Told(connected=False)
    for number in range(8):
        told.say((str(number), "bob"), f"text {number}")
    assert told.seen(3) == [
        "... and 6 more waiting",
        "12:00 → bob  text 6 …",
        "12:00 → bob  text 7 …",
    ]
    assert len(told.seen(8)) == 8
    assert told.seen(1) == ["... and 8 more waiting"]


def test_a_long_message_alone_is_cut() -> None:
    told = Told(connected=False)
    told.say(A, "one\ntwo\nthree\nfour")
    assert told.seen(2) == ["12:00 → bob  one", "             two"]


# The end ----------------------------------------------------------------------------


def test_at_the_end_everything_is_written_with_its_state() -> None:
    told = Told()
    told.say(A, "one")
    told.turn(A, STORED)
    told.say(B, "two")
    told.note("The end.")
    assert texts(told.all(40)) == [
        "12:00 → bob  one ✓",
        "12:00 → carol  two …",
        "The end.",
    ]
    assert told.seen() == []


def test_when_nothing_is_drawn_any_more_nothing_waits_but_what_has_no_answer() -> None:
    told = Told()
    told.say(A, "one")
    told.turn(A, STORED)
    told.say(B, "two")
    told.note("Soon.")
    rows = told.settled(math.inf, 40)
    assert texts(rows) == ["12:00 → bob  one ✓", "Soon."]


# What was typed ---------------------------------------------------------------------


def test_what_was_typed_can_be_withdrawn_until_it_is_written() -> None:
    told = Told()
    first = told.typed("alice> ", "bob-Hi")
    told.withdraw(first)
    second = told.typed("alice> ", "/help")
    assert told.take() == ["alice> /help"]
    told.withdraw(second)


# Days, and what is old --------------------------------------------------------------


def test_a_day_begins_with_a_line() -> None:
    told = Told()
    told.hear("Today")
    told.hear("Tomorrow", when=NOON + DAY)
    told.hear("Too", when=NOON + DAY)
    told.hear("Odd", when=10**18)
    assert told.take() == [
        "12:00 bob  Today",
        "── Saturday, 28 November 2026 ──────────",
        "12:00 bob  Tomorrow",
        "12:00 bob  Too",
        "--:-- bob  Odd",
    ]


def test_what_was_read_before_is_old_and_what_was_queued_stands_below_a_line() -> None:
    told = Told(connected=False)
    old = Message(0, "", "bob", "alice", "Old", NOON - DAY, 0)
    own = Message(0, "", "alice", "bob", "Own", NOON - DAY, 0)
    told.remembered(old, None)
    told.remembered(own, STORED)
    told.away(NOON - DAY)
    told.note("Welcome.")
    told.connected(told.now)
    rows = told.settled(told.now, 40)
    assert texts(rows) == [
        "── Thursday, 26 November 2026 ──────────",
        "12:00 bob  Old",
        "12:00 → bob  Own ✓",
        "Welcome.",
    ]
    assert rows[1].fragments[0] == ("class:time class:old", "12:00")
    told.hear("Queued", queued=True, when=NOON - 1000)
    told.hear("More", queued=True)
    assert told.take() == [
        "── new since 26 November, 12:00 ────────",
        "── Friday, 27 November 2026 ────────────",
        "11:59 bob  Queued",
        "12:00 bob  More",
    ]


def test_there_is_no_line_if_nothing_was_queued() -> None:
    told = Told()
    told.away(None)
    told.hear("Live")
    told.hear("Queued, to another device", queued=True)
    assert told.take() == ["12:00 bob  Live", "12:00 bob  Queued, to another device"]


def test_of_very_many_stored_messages_the_latest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    told = Told()
    for key in (A, B, C):
        told.say(key)
        told.turn(key, STORED)
    told.all(40)
    for key in (A, B, C):
        told.turn(key, DELIVERED)
    assert told.take() == ["12:00 carol has: Hi", "12:00 bob has: Hi"]


def calls(work: Callable[[], object]) -> int:
    """Return how many functions of chatd are called, and generators gone on with."""
    made = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal made
        ours = str(frame.f_globals.get("__name__")).startswith("chatd.")
        made += event == "call" and ours

    gc.disable()  # what it finalises, of whatever test, may be called, too
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return made


@pytest.mark.parametrize("state", [None, WAITING, STORED])
def test_a_look_takes_as_long_however_many_wait(state: State | None) -> None:
    """Unsent, without an answer for long, or stored a moment ago behind such a one."""

    def look(many: int) -> int:
        told = Told(connected=state is not None)
        for number in range(many):
            told.say((str(number), "bob"))
        told.now += 1
        told.take()
        if state is STORED:
            for number in range(1, many):
                told.turn((str(number), "bob"), STORED)
            told.take()

        def event() -> None:
            told.say(("last", "carol"))
            told.turn(("last", "carol"), REFUSED)
            told.waiting(told.now)
            told.next_change(told.now)
            told.seen(3)

        return calls(event)

    look(100)  # what is found once is found faster
    assert look(1000) == look(100)


def test_thousands_that_waited_are_sent_and_written_in_their_order() -> None:
    told = Told(connected=False)
    keys = [(str(number), "bob") for number in range(2000)]
    for key in keys:
        told.say(key, f"text{key[0]}")
    told.connected(told.now)
    written: list[str] = []
    for key in keys:
        told.turn(key, DELIVERED)
        written += told.take()
        told.next_change(told.now)
    assert [line.split()[3] for line in written] == [f"text{key[0]}" for key in keys]
    assert told.seen() == []


def test_what_gets_older_while_it_is_looked_at_is_a_change_to_come() -> None:
    told = Told()
    told.say(A)
    told.turn(A, STORED)
    assert told.take() == []
    assert told.waiting(told.now + module.STORED_SECONDS) == 0
    assert told.next_change(told.now) == told.now + module.STORED_SECONDS


def test_a_look_with_no_prompt_makes_nothing_older_than_it_is() -> None:
    told = Told()
    told.say(A)
    told.settled(math.inf, 40)
    told.hear("Hello")
    assert told.take() == []
    assert told.next_change(told.now) == told.now + module.ANSWER_SECONDS


# Whatever happens -------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.integers(0, 9)),
            st.tuples(
                st.sampled_from(["stored", "delivered", "refused"]), st.integers(0, 9)
            ),
            st.tuples(st.just("hear"), st.integers(0, 9)),
            st.tuples(st.just("wait"), st.floats(0, 1.5)),
            st.tuples(st.sampled_from(["lost", "again", "take"]), st.none()),
        )
    )
)
def test_each_is_written_exactly_once_and_what_comes_in_its_order(
    steps: list[tuple[str, int | float | None]],
) -> None:
    told = Told()
    said: dict[int, State] = {}
    heard = 0
    written: list[str] = []
    for what, value in steps:
        if what == "say":
            assert isinstance(value, int)
            if value in said:
                continue
            said[value] = WAITING
            told.say((str(value), "bob"), f"said{value}")
        elif what == "hear":
            told.hear(f"heard{heard}")
            heard += 1
        elif what == "wait":
            assert value is not None
            told.now += value
        elif what == "lost":
            told.disconnected()
        elif what == "again":
            told.connected(told.now)
        elif what == "take":
            written += told.take()
        elif isinstance(value, int) and said.get(value) in (WAITING, STORED):
            said[value] = State(what)
            told.turn((str(value), "bob"), State(what))
    told.now += 10
    written += told.take()
    # Only what has no answer may still be in view.
    left = [number for number, state in said.items() if state is WAITING]
    assert len(told.seen(99)) == len(left)
    written += texts(told.all(40))
    words = [line.split()[-1] for line in written if " bob  heard" in line]
    assert words == [f"heard{number}" for number in range(heard)]
    own = [line.split()[3] for line in written if "→ bob" in line]
    assert sorted(own) == sorted(f"said{number}" for number in said)
