"""What is shown of the past at the start."""

import sqlite3
from dataclasses import dataclass, field
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed

from chatd.client.frontends.frontend import FrontEnd, State
from chatd.client.history.rows import Kept
from chatd.client.history.search import Wanted
from chatd.client.talk.past import recall
from chatd.wire.message import Message

SERVER = "host:5555"


def kept(position: int, status: str = "received") -> Kept:
    sent = status != "received"
    who = ("alice", "bob") if sent else ("bob", "alice")
    direction = "sent" if sent else "received"
    text, time = f"text {position}", 1000 * position
    return Kept(position, *who, text, time, direction, status, "", SERVER)


@dataclass
class History:
    rows: list[Kept]
    unseen: list[int] = field(default_factory=list)
    broken: bool = False

    def recent(self, wanted: Wanted, last: int) -> Deferred[list[Kept]]:
        assert wanted == Wanted(SERVER)
        if self.broken:
            return fail(sqlite3.OperationalError("disk I/O error"))
        return succeed(self.rows[-last:])

    def not_shown(self) -> Deferred[list[Message]]:
        rows = [each for each in self.rows if each.position in self.unseen]
        return succeed([Message(r.position, "", "", "", "", 0, 0) for r in rows])


class Screen:
    def __init__(self) -> None:
        self.shown: list[tuple[Any, ...]] = []

    def remembered(self, message: Message, state: State | None) -> None:
        self.shown.append((message.sender, message.target, message.text, state))

    def away(self, since: int | None) -> None:
        self.shown.append(("away", since))


def recalled(history: History, count: int) -> list[tuple[Any, ...]]:
    screen = Screen()
    front_end = cast(FrontEnd, screen)
    done = Deferred.fromCoroutine(recall(history, front_end, SERVER, count))
    assert done.result is None
    return screen.shown


def test_the_last_messages_are_shown_and_what_is_new_is_new_since_then() -> None:
    rows = [kept(1), kept(2), kept(3, "stored"), kept(4, "delivered"), kept(5)]
    assert recalled(History(rows), 4) == [
        ("bob", "alice", "text 2", None),
        ("alice", "bob", "text 3", State.STORED),
        ("alice", "bob", "text 4", State.DELIVERED),
        ("bob", "alice", "text 5", None),
        ("away", 5000),
    ]


def test_what_was_not_seen_yet_or_not_sent_yet_is_not_old() -> None:
    rows = [kept(1), kept(2, "waiting"), kept(3), kept(4)]
    assert recalled(History(rows, unseen=[3, 4]), 2) == [
        ("bob", "alice", "text 1", None),
        ("away", 1000),
    ]


def test_nothing_is_shown_if_nothing_is_wanted_or_there_is_nothing() -> None:
    assert recalled(History([kept(1), kept(2)]), 0) == [("away", 2000)]
    assert recalled(History([]), 10) == []


def test_a_history_that_cannot_be_read_is_somebody_elses_to_report() -> None:
    assert recalled(History([kept(1)], broken=True), 10) == []


def test_a_time_that_is_not_known_is_none() -> None:
    unknown = Kept(1, "bob", "alice", "Hi", 0, "received", "odd", "", SERVER)
    assert recalled(History([unknown]), 1)[-1] == ("away", None)
