"""Logs in many times, one connection each, so many at the same time."""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.connection import Closed
from harness.pump import SILENCE


@dataclass(frozen=True)
class Visits:
    """How long all took, and each, in seconds; and this process's part of it."""

    seconds: float
    taken: Sequence[float]
    generator_seconds: float


class _Visit:
    """A connection on which somebody logs in."""

    def __init__(self, port: int, turn: int, hello: bytes) -> None:
        self.begun = time.perf_counter()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # One address has too few ports for all that were just closed.
        self.socket.bind((f"127.0.0.{2 + turn % 64}", 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(hello)
        self.came = b""


def visit(
    port: int, hellos: Iterator[bytes], ends: Sequence[bytes], at_once: int
) -> Visits:
    """Log in with each of what is written, and leave when one of the ends has come."""
    open_visits: dict[int, _Visit] = {}
    taken: list[float] = []
    turn = 0
    own, begun = time.process_time(), time.perf_counter()
    with select.epoll() as epoll:

        def begin() -> None:
            nonlocal turn
            hello = next(hellos, None)
            if hello is not None:
                new = _Visit(port, turn, hello)
                turn += 1
                open_visits[new.socket.fileno()] = new
                epoll.register(new.socket.fileno(), select.EPOLLIN)

        for _ in range(at_once):
            begin()
        while open_visits:
            ready = epoll.poll(SILENCE)
            if not ready:
                raise Closed(f"silence, and {len(open_visits)} logins are missing")
            for descriptor, _ in ready:
                current = open_visits[descriptor]
                data = current.socket.recv(1 << 16)
                if not data:
                    raise Closed(f"after {current.came[-200:]!r}")
                current.came += data
                if any(end in current.came for end in ends):
                    taken.append(time.perf_counter() - current.begun)
                    del open_visits[descriptor]
                    current.socket.close()
                    begin()
    return Visits(time.perf_counter() - begun, taken, time.process_time() - own)
