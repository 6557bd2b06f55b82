"""Two kinds of time: the even one of time-outs, and the date on the wall.

The reactor's time, which all time-outs and intervals are measured by, is that of the
wall clock in Twisted: when an administrator or NTP sets that one back by an hour,
whatever was to happen at once happens an hour later. `run_evenly` mends this. What
people read, and what must mean the same after a restart, comes from a `WallClock`.
"""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

WallClock: TypeAlias = Callable[[], int]
"""Returns milliseconds since 1970-01-01 UTC; they may jump, in both directions."""


def wall_clock() -> int:
    """Return the machine's date and time: a `WallClock`."""
    return time.time_ns() // 1_000_000


def run_evenly(reactor: Any) -> None:
    """Let a reactor's time go on evenly from now, whatever the wall clock does.

    Every reactor of Twisted asks its own `seconds` (`IReactorTime`) whenever it
    schedules a call and when it looks for those that are due. Calls scheduled before
    this stay right; to do it twice changes nothing.
    """
    begun = reactor.seconds() - time.monotonic()
    reactor.seconds = lambda: begun + time.monotonic()
