"""Writes to many connections and reads from all, with as little work as can be.

The generator must cost far less than the server: what is written was made before, what
comes is read into memory that is there, units are counted by division, and who sent
what is seen by every n-th byte of it. All is checked afterwards.
"""

import gc
import select
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from harness.connection import Connection
from harness.credit import Credit

SILENCE: Final = 3.0
"""Seconds without a byte after which what is missing counts as lost."""

_IN: Final = select.EPOLLIN
_BOTH: Final = select.EPOLLIN | select.EPOLLOUT


@dataclass(frozen=True)
class Outcome:
    """What a load took: seconds to the last byte, and this process's part of them."""

    seconds: float
    generator_seconds: float
    closed: int

    @property
    def generator(self) -> float:
        """Which part of the time the generator was busy."""
        return self.generator_seconds / self.seconds


def pump(
    connections: Iterable[Connection],
    *,
    credit: Credit | None = None,
    acknowledge: Callable[[Connection, int, int], bytes] | None = None,
    silence: float = SILENCE,
) -> Outcome:
    """Write and read until all that is expected has come, or nothing comes any more."""
    by_descriptor = {each.socket.fileno(): each for each in connections}
    unfinished = sum(each.expected > 0 for each in by_descriptor.values())
    blocked: set[Connection] = set()
    gone: set[Connection] = set()
    clock = time.perf_counter
    with select.epoll() as epoll:
        for descriptor, each in by_descriptor.items():
            each.socket.setblocking(False)
            writes = each.allowed > each.sent
            epoll.register(descriptor, _BOTH if writes else _IN)
            if writes:
                blocked.add(each)
        gc.collect()
        gc.disable()
        begun = last = clock()
        own = time.process_time()
        while unfinished:
            events = epoll.poll(silence)
            if not events:
                break
            for descriptor, mask in events:
                connection = by_descriptor[descriptor]
                if mask & ~select.EPOLLOUT:
                    before = connection.done
                    if not connection.receive():
                        unfinished -= before < connection.expected
                        epoll.unregister(descriptor)
                        blocked.discard(connection)
                        gone.add(connection)
                        continue
                    after = connection.done
                    if after != before:
                        if acknowledge and connection.expected:
                            connection.pending += acknowledge(connection, before, after)
                            if not connection.send() and connection not in blocked:
                                epoll.modify(descriptor, _BOTH)
                                blocked.add(connection)
                        if credit:
                            credit.came(connection, before, after)
                        if before < connection.expected <= after:
                            unfinished -= 1
                if mask & select.EPOLLOUT and connection.send():
                    epoll.modify(descriptor, _IN)
                    blocked.discard(connection)
            last = clock()
            if credit:
                for sender in credit.settle():
                    if sender in blocked or sender in gone or not sender.worthwhile:
                        continue
                    if not sender.send():
                        epoll.modify(sender.socket.fileno(), _BOTH)
                        blocked.add(sender)
        own = time.process_time() - own
        gc.enable()
    for each in by_descriptor.values():
        if each.socket.fileno() >= 0:
            each.socket.settimeout(30)
    return Outcome(max(last - begun, 1e-9), own, len(gone))
