"""The counters that keep to the limits, and the table of limits itself."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chatd.limits import HOUR, Bucket, HourlyTally, Limits, Tally

# The bucket -------------------------------------------------------------------------


def waits(bucket: Bucket, *times: float) -> list[float]:
    return [bucket.take(now) for now in times]


def test_a_burst_passes_without_delay() -> None:
    bucket = Bucket(rate=2, burst=4, now=0)
    assert waits(bucket, 0, 0, 0) == [0, 0, 0]


def test_after_the_burst_each_line_waits_for_its_token() -> None:
    bucket = Bucket(rate=2, burst=3, now=0)
    assert waits(bucket, 0, 0, 0, 0.5, 1, 1.5) == [0, 0, 0.5, 0.5, 0.5, 0.5]


def test_a_pause_gives_tokens_back_but_no_more_than_the_burst() -> None:
    bucket = Bucket(rate=2, burst=3, now=0)
    assert waits(bucket, 0, 0, 0) == [0, 0, 0.5]
    assert waits(bucket, 100, 100, 100) == [0, 0, 0.5]


def test_a_burst_after_a_silence_is_no_larger_than_any_other() -> None:
    """What a full bucket could not take in must not be there later either."""
    bucket = Bucket(rate=1, burst=10, now=0)
    assert waits(bucket, *[100] * 10) == [0] * 9 + [1]
    assert bucket.take(101) == 1


def test_a_line_that_could_not_be_held_back_is_paid_for_later() -> None:
    bucket = Bucket(rate=2, burst=1, now=0)
    assert waits(bucket, 0, 0, 0) == [0.5, 1, 1.5]


def test_a_clock_that_is_set_back_delays_nobody_for_long() -> None:
    bucket = Bucket(rate=2, burst=1, now=1_000)
    assert waits(bucket, 1_000, 0, 1, 1.5) == [0.5, 1, 0.5, 0.5]


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.sampled_from([0, 0, 0, 0.125, 1, 3]), max_size=60),
)
def test_who_waits_as_told_never_sends_more_than_burst_and_rate_allow(
    rate: int, burst: int, gaps: list[float]
) -> None:
    now = 0.0
    bucket = Bucket(rate, burst, now)
    taken: list[float] = []
    for gap in gaps:
        now += gap
        taken.append(now)
        now += bucket.take(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            lines, seconds = last - first + 1, taken[last] - taken[first]
            assert lines <= burst + rate * seconds + 1e-6


@given(st.integers(1, 5), st.integers(2, 5), st.lists(st.floats(1, 5), max_size=30))
def test_who_keeps_to_the_rate_is_never_delayed(
    rate: int, burst: int, gaps: list[float]
) -> None:
    now = 0.0
    bucket = Bucket(rate, burst, now)
    for gap in gaps:
        assert bucket.take(now) <= 1e-6
        now += gap / rate


# Tallies ----------------------------------------------------------------------------


def test_a_tally_counts_each_address_for_itself() -> None:
    tally = Tally()
    for key in ("a", "b", "a"):
        tally.add(key)
    assert (tally["a"], tally["b"], tally["c"]) == (2, 1, 0)
    tally.remove("a")
    assert (tally["a"], tally["b"]) == (1, 1)


def test_an_address_that_has_left_takes_no_memory() -> None:
    tally = Tally()
    for key in map(str, range(100)):
        assert tally[key] == 0
        tally.add(key)
    for key in map(str, range(100)):
        tally.remove(key)
        assert tally[key] == 0
    assert len(tally._counts) == 0


@given(st.lists(st.sampled_from("abc")))
def test_a_tally_is_the_number_of_those_who_came_and_have_not_left(keys: str) -> None:
    tally = Tally()
    there: list[str] = []
    for key in keys:
        if there.count(key) < 2:
            there.append(key)
            tally.add(key)
        else:
            there.remove(key)
            tally.remove(key)
        assert [tally[each] for each in "abc"] == [there.count(each) for each in "abc"]


def test_what_happened_is_counted_for_an_hour() -> None:
    tally = HourlyTally()
    tally.add("a", 0)
    tally.add("a", 10)
    tally.add("b", 20)
    assert tally.count("a", HOUR - 1) == 2
    assert tally.count("a", HOUR) == 1
    assert tally.count("a", HOUR + 9) == 1
    assert tally.count("a", HOUR + 10) == 0
    assert tally.count("b", HOUR + 10) == 1


def test_what_happened_more_than_an_hour_ago_takes_no_memory() -> None:
    tally = HourlyTally()
    for second in range(1_000):
        tally.add(str(second), second)
    assert tally.count("unheard of", 1_000 + HOUR) == 0
    assert len(tally._events) == 0
    assert len(tally._counts._counts) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, HOUR / 2))))
def test_an_hourly_tally_is_the_number_of_events_in_the_last_hour(
    steps: list[tuple[str, float]],
) -> None:
    tally = HourlyTally()
    clock = Clock()
    events: list[tuple[float, str]] = []
    for key, gap in steps:
        clock.advance(gap)
        now = clock.seconds()
        tally.add(key, now)
        events.append((now, key))
        for each in "ab":
            expected = sum(1 for at, who in events if who == each and at > now - HOUR)
            assert tally.count(each, now) == expected


# The table --------------------------------------------------------------------------


def test_every_option_is_listed_once_with_its_default_and_its_meaning() -> None:
    options = Limits.options()
    names = [option for _, option, _, _ in options]
    assert len(set(names)) == len(names)
    for field, option, default, meaning in options:
        assert getattr(Limits(), field) == default
        assert option.startswith(("max-", "min-"))
        assert meaning


# What the documents promise.
DEFAULTS: dict[str, int] = {
    "line": 16_384,
    "message": 12_288,
    "json_line": 131_072,
    "connections": 10_000,
    "connections_by_address": 256,
    "connections_by_user": 16,
    "login_time": 60,
    "bad_names": 10,
    "line_rate": 1_000,
    "line_burst": 10_000,
    "queue_messages": 100_000,
    "queue_bytes": 104_857_600,
    "queue_share": 50,
    "new_names": 100,
    "database": 10_737_418_240,
    "free_disk": 67_108_864,
    "unacknowledged": 1_048_576,
    "pending_messages": 10_000,
    "pending_bytes": 1_048_576,
    "unread_answers": 262_144,
}


@pytest.mark.parametrize(("field", "default"), DEFAULTS.items())
def test_the_defaults_are_those_promised(field: str, default: int) -> None:
    assert getattr(Limits(), field) == default


def test_a_limit_cannot_be_changed_behind_anybodys_back() -> None:
    change: Callable[..., Any] = setattr
    with pytest.raises(AttributeError):
        change(Limits(), "line", 1)
