"""Acknowledgements are looked for at a steady pace, a few at a time."""

import pytest
from twisted.internet.task import Clock

from chatd.server.ticker import LOOKS_A_TURN, TICK_SECONDS, TURNS, Ticker
from chatd.turn import Turn


class Looker:
    """Stands for an outlet, and counts how often it has looked."""

    def __init__(self) -> None:
        self.looked = 0
        self.fails = False

    def look(self) -> None:
        self.looked += 1
        if self.fails:
            raise ZeroDivisionError

    def flush(self) -> None:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ticker(clock: Clock) -> Ticker:
    return Ticker(clock, Turn(clock))


def add(ticker: Ticker, count: int) -> list[Looker]:
    lookers = [Looker() for _ in range(count)]
    for each in lookers:
        ticker.add(each)
    return lookers


def test_who_waits_looks_once_when_its_time_has_come(
    clock: Clock, ticker: Ticker
) -> None:
    (looker,) = add(ticker, 1)
    clock.advance(0.9 * TICK_SECONDS)
    assert looker.looked == 0
    clock.advance(0.1 * TICK_SECONDS)
    assert looker.looked == 1
    clock.advance(TICK_SECONDS)
    assert looker.looked == 1


def test_of_many_who_wait_only_a_few_look_in_one_turn(
    clock: Clock, ticker: Ticker
) -> None:
    lookers = add(ticker, 2 * LOOKS_A_TURN + 1)
    counts: list[int] = []

    def count() -> None:
        counts.append(sum(each.looked for each in lookers))
        if len(counts) < 3:
            clock.callLater(0, count)

    clock.callLater(TICK_SECONDS, count)
    clock.advance(TICK_SECONDS)
    assert counts == [LOOKS_A_TURN, 2 * LOOKS_A_TURN, 2 * LOOKS_A_TURN + 1]
    assert clock.getDelayedCalls() == []


def test_all_have_looked_after_some_turns_however_many_they_are(
    clock: Clock, ticker: Ticker
) -> None:
    lookers = add(ticker, 100 * LOOKS_A_TURN)
    counts: list[int] = []

    def count() -> None:
        counts.append(sum(each.looked for each in lookers))
        if len(counts) < TURNS:
            clock.callLater(0, count)

    clock.callLater(TICK_SECONDS, count)
    clock.advance(TICK_SECONDS)
    share = len(lookers) // TURNS
    assert counts == [share * turn for turn in range(1, TURNS + 1)]


def test_who_waits_has_one_place_though_turns_are_longer_than_ticks(
    clock: Clock, ticker: Ticker
) -> None:
    lookers = add(ticker, 100 * LOOKS_A_TURN)
    turns = 0

    def work() -> None:
        nonlocal turns
        clock.rightNow += TICK_SECONDS
        for each in lookers:
            ticker.add(each)
        turns += 1
        if turns < 3 * TURNS:
            clock.callLater(0, work)

    clock.callLater(TICK_SECONDS, work)
    clock.advance(TICK_SECONDS)
    looks = [each.looked for each in lookers]
    assert min(looks) >= 2
    assert max(looks) <= 4


def test_who_comes_while_others_still_look_waits_its_own_time(
    clock: Clock, ticker: Ticker
) -> None:
    late: list[Looker] = []
    add(ticker, LOOKS_A_TURN + 1)
    clock.callLater(TICK_SECONDS, lambda: late.extend(add(ticker, 1)))
    clock.advance(TICK_SECONDS)
    assert [each.looked for each in late] == [0]
    clock.advance(TICK_SECONDS)
    assert [each.looked for each in late] == [1]


def test_one_that_fails_keeps_no_other_from_looking(
    clock: Clock, ticker: Ticker
) -> None:
    lookers = add(ticker, 3)
    lookers[0].fails = True
    with pytest.raises(ZeroDivisionError):
        clock.advance(TICK_SECONDS)
    clock.advance(0)
    assert [each.looked for each in lookers] == [1, 1, 1]
