"""A receiver that stops reading in the midst of a flood, and reads on: who notices."""

import json
import selectors
import time
from collections.abc import Callable, Iterator
from threading import Semaphore
from typing import TYPE_CHECKING

import pytest
from conftest import DEADLINE, FLOOD_PART

from chatd.hub.window import MAX_UNCONFIRMED

if TYPE_CHECKING:
    from tests.system.conftest import Connect, StartDaemon, StartFlood, TextClient

pytestmark = pytest.mark.slow

UNSLOWED = ("--max-line-rate=1M", "--max-line-burst=1M", "--max-queue-messages=10M")
IN_A_ROW = 200
"""So many messages that never touched the disk are no accident."""

UNDER_WAY = 1_000
"""How many of alice's messages have no answer yet, at most.

With more of them it would depend on how busy the machine is, and not on the daemon,
whether bob can acknowledge one before it is written to disk.
"""


class Program:
    """A connection that speaks JSON; `read` returns what came, if anything has."""

    def __init__(self, client: "TextClient", name: str) -> None:
        self.client = client
        self._tail = b""
        client.send("/json", json.dumps({"type": "login", "user": name}))
        client.expect('{"type":"welcome"')
        client.expect("\n")

    def read(self) -> Iterator[dict[str, object]]:
        *lines, self._tail = (self._tail + self.client.receive()).split(b"\n")
        for line in lines:
            yield json.loads(line)


class Flooded:
    """Bob, to whom alice writes without a pause; both are read here.

    `texts` are those that bob got, `at_once` says how many of the last messages were
    delivered without ever having been stored, and `stored` how many were stored. There
    is `room` for more once some are answered.
    """

    def __init__(self, alice: Program, bob: Program) -> None:
        self.texts: list[int] = []
        self.at_once = 0
        self.stored = 0
        self.room = Semaphore(UNDER_WAY // FLOOD_PART)
        self._answered = 0
        self._alice = alice
        self._bob = bob
        self._waiting: set[object] = set()

    def go_on(self, until: Callable[[], bool], *, bob_reads: bool) -> None:
        readers = {self._alice: self._hear_alice}
        if bob_reads:
            readers[self._bob] = self._hear_bob
        deadline = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            for program, hear in readers.items():
                selector.register(program.client, selectors.EVENT_READ, hear)
            while not until():
                assert time.monotonic() < deadline, "not in time"
                for key, _ in selector.select(1):
                    key.data()

    def _hear_alice(self) -> None:
        for each in self._alice.read():
            assert each["type"] == "accepted", each
            if each["status"] == "stored":
                self.stored += 1
                self.at_once = 0
                self._waiting.add(each["id"])
            elif each["id"] in self._waiting:
                self._waiting.remove(each["id"])
                continue
            else:
                self.at_once += 1
            self._answered += 1
            if self._answered % FLOOD_PART == 0:
                self.room.release()

    def _hear_bob(self) -> None:
        last = None
        for each in self._bob.read():
            if each["type"] == "message":
                self.texts.append(int(str(each["text"])))
                last = each["seq"]
        if last is not None:
            self._bob.client.send(json.dumps({"type": "ack", "seq": last}))


def test_a_receiver_that_stopped_reading_is_soon_live_again_while_the_flood_goes_on(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    daemon = start_daemon(*UNSLOWED)
    bob = Program(connect(daemon), "bob")
    alice = Program(connect(daemon), "alice")
    flooded = Flooded(alice, bob)

    def line(number: int) -> str:
        return json.dumps(
            {"type": "send", "to": "bob", "text": str(number), "id": f"{number:09}"}
        )

    sending = flood(alice.client, line, room=flooded.room)
    flooded.go_on(lambda: flooded.at_once >= IN_A_ROW, bob_reads=True)
    behind = flooded.stored + 2 * MAX_UNCONFIRMED
    flooded.go_on(lambda: flooded.stored >= behind, bob_reads=False)
    assert sending.sending
    flooded.go_on(lambda: flooded.at_once >= IN_A_ROW, bob_reads=True)
    assert sending.sending
    assert flooded.texts == list(range(len(flooded.texts)))
