"""Sends at a steady rate, whatever comes back, and takes the time of each message."""

import gc
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.connection import Connection
from harness.pump import SILENCE


@dataclass(frozen=True)
class Paced:
    """Seconds that messages took, and how late the generator wrote them."""

    taken: Sequence[float]
    late: Sequence[float]


def pace(
    senders: Sequence[Connection],
    receivers: Sequence[Connection],
    *,
    rate: float,
    each: int,
    key_offset: int,
) -> Paced:
    """Write one message after the other, sender by sender, at so many a second.

    A message's time is from just before its write until it has been read. The generator
    never sleeps, so that its own waking up is no part of that. `key_offset`
    is where in what arrives the sender's number stands.
    """
    clock = time.perf_counter
    count = len(senders)
    total = count * each
    written = [0.0] * total
    late = [0.0] * total
    taken: list[float] = []
    by_descriptor = {each.socket.fileno(): each for each in receivers}
    with select.epoll() as epoll:
        for descriptor, connection in by_descriptor.items():
            connection.socket.setblocking(False)
            epoll.register(descriptor, select.EPOLLIN)
        gc.collect()
        gc.disable()
        begun = last = clock()
        turn = 0
        while len(taken) < total and clock() - last < SILENCE:
            now = clock()
            due = begun + turn / rate
            if turn < total and now >= due:
                number, sender = divmod(turn, count)
                connection = senders[sender]
                start = number * connection.unit_sent
                packet = connection.out[start : start + connection.unit_sent]
                late[turn] = now - due
                written[turn] = last = clock()
                connection.socket.send(packet)
                turn += 1
            for descriptor, _ in epoll.poll(0):
                connection = by_descriptor[descriptor]
                before = connection.done
                if not connection.receive():
                    epoll.unregister(descriptor)
                    continue
                last = clock()
                size = connection.size
                for index in range(before, connection.done):
                    at = connection.skip + index * size + key_offset
                    key = connection.inbox[at : at + 13]
                    sent = int(key[6:]) * count + int(key[:5])
                    taken.append(last - written[sent])
        gc.enable()
    return Paced(taken, late)
