"""Stopping under load: what was answered is kept, whatever the peers do.

And receivers that stop reading: they harm nobody, and get everything in the end.
"""

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import (
        Connect,
        Daemon,
        StartDaemon,
        StartFlood,
        TextClient,
    )

pytestmark = pytest.mark.slow

UNSLOWED = (
    "--max-line-rate=1M",
    "--max-line-burst=1M",
    "--max-queue-messages=1M",
)
STORED = "User 'bob' is offline. Message stored.\n"
STOPPING = (
    "The server is stopping. Nothing more was taken; please connect again later.\n"
)


def numbers(said: str, sender: str) -> list[int]:
    """Return the numbers that a sender's messages begin with, in their order."""
    return [int(each) for each in re.findall(rf"^{sender}: (\d+).*\n", said, re.M)]


def away(connect: "Connect", daemon: "Daemon", name: str) -> None:
    """Make a user who is not online."""
    connect(daemon, name).leave()


def test_what_was_answered_is_queued_once_and_in_order(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    daemon = start_daemon(*UNSLOWED)
    away(connect, daemon, "bob")
    senders = {name: connect(daemon, name) for name in ("alice", "carol", "dave")}
    floods = [flood(each, "bob-{}".format, 5_000) for each in senders.values()]
    for each in senders.values():
        each.expect(STORED * 300)

    daemon.send_signal(signal.SIGTERM)
    answered = {}
    # All are read at once: who does not read and close in time is cut off.
    with ThreadPoolExecutor(len(senders)) as threads:
        rests = list(threads.map(lambda each: each.rest(), senders.values()))
    for (name, client), rest, sending in zip(
        senders.items(), rests, floods, strict=True
    ):
        assert rest.replace(STORED, "") == STOPPING
        assert rest.endswith(STOPPING)
        answered[name] = client.heard.count(STORED)
        sending.stop()
        client.close()
    assert daemon.wait() == 0

    said = connect(start_daemon(), "bob").leave()
    for name, count in answered.items():
        assert numbers(said, name) == list(range(count))
    assert said.startswith(f"You have {sum(answered.values())} offline messages:\n")


def test_after_a_goodbye_everything_is_safe(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon(*UNSLOWED)
    away(connect, daemon, "bob")
    senders = {f"user{number}": connect(daemon) for number in range(12)}
    for name, client in senders.items():
        client.send(name, *(f"bob-{number}" for number in range(500)), "/quit")

    # All are read at once: who does not read and close in time is cut off.
    with ThreadPoolExecutor(len(senders)) as threads:
        rests = {name: threads.submit(each.rest) for name, each in senders.items()}
        first = rests["user0"].result()
        daemon.send_signal(signal.SIGTERM)
        answers = {name: rest.result() for name, rest in rests.items()}
    for client in senders.values():
        client.close()
    assert daemon.wait() == 0

    said = connect(start_daemon(), "bob").leave()
    assert first.endswith("Goodbye.\n")
    for name, answer in answers.items():
        assert answer.endswith(("Goodbye.\n", STOPPING))
        count = 500 if answer.endswith("Goodbye.\n") else answer.count(STORED)
        assert answer.count(STORED) == count
        assert numbers(said, name) == list(range(count))


def test_lines_that_waited_for_their_turn_are_taken(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon("--max-line-rate=1", "--max-line-burst=5")
    away(connect, daemon, "bob")
    alice = connect(daemon, "alice")
    alice.send(*(f"bob-{number}" for number in range(100)))
    alice.expect(STORED)

    daemon.send_signal(signal.SIGTERM)
    alice.rest()
    alice.close()
    assert daemon.wait() == 0

    assert alice.heard.endswith(STORED * 100 + STOPPING)
    said = connect(start_daemon(), "bob").leave()
    assert numbers(said, "alice") == list(range(100))


def test_a_receiver_who_is_there_gets_each_message_once_across_a_stop(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    daemon = start_daemon(*UNSLOWED)
    bob, alice = connect(daemon, "bob"), connect(daemon, "alice")
    alice.send("/confirm on")
    alice.expect("Every message is answered.\n")
    sending = flood(alice, "bob-{}".format, 5_000)
    bob.expect("alice: 1000\n")

    daemon.send_signal(signal.SIGTERM)
    said = bob.rest()
    bob.close()
    answers = alice.rest()
    sending.stop()
    alice.close()
    assert daemon.wait() == 0

    assert said.endswith(STOPPING)
    assert answers.endswith(STOPPING)
    confirmed = len(
        re.findall(r"^(?:Delivered to|Stored for) bob\.$", alice.heard, re.M)
    )
    said = bob.heard + connect(start_daemon(), "bob").leave()
    assert numbers(said, "alice") == list(range(confirmed))


def test_no_peer_can_delay_a_stop_for_long(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    daemon = start_daemon(*UNSLOWED)
    away(connect, daemon, "carol")
    stranger, idle = connect(daemon), connect(daemon, "idle")  # never close
    bob = connect(daemon, "bob")  # reads nothing
    alice = connect(daemon, "alice")
    flood(alice, lambda number: f"bob-{number} {'x' * 1000}", 10_000).finish()
    assert alice.leave() == "Goodbye.\n"
    deaf = connect(daemon, "deaf")  # reads no answer, and does not stop sending
    sending = flood(deaf, "carol-{}".format)
    deaf.expect("User 'carol' is offline. Message stored.\n")

    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 20
    sending.stop()

    assert idle.rest(cut=True) == STOPPING
    assert stranger.rest(cut=True) == f"\n{STOPPING}"
    daemon = start_daemon()
    said = bob.rest(cut=True) + connect(daemon, "bob").leave()
    assert set(numbers(said, "alice")) == set(range(10_000))
    said = connect(daemon, "carol").leave()
    stored = numbers(said, "deaf")
    assert stored == list(range(len(stored)))
    deaf.rest(cut=True)
    answered = deaf.heard.count("User 'carol' is offline. Message stored.\n")
    assert len(stored) >= answered > 0


# A receiver that stops --------------------------------------------------------------


def test_a_receiver_who_stops_reading_gets_everything_and_delays_nobody(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    count, text = 20_000, "x" * 1_000
    daemon = start_daemon(*UNSLOWED)
    bob, alice = connect(daemon, "bob"), connect(daemon, "alice")
    carol, dave = connect(daemon, "carol"), connect(daemon, "dave")

    def said(one: "TextClient", other: "TextClient", name: str, what: str) -> None:
        one.send(f"{name}-{what}")
        other.expect(f": {what}\n", seconds=5)

    sending = flood(alice, lambda number: f"bob-{number:05} {text}", count)
    exchanges = 0
    while sending.sending or exchanges < 20:
        exchanges += 1
        said(carol, dave, "dave", f"question {exchanges}")
        said(dave, carol, "carol", f"answer {exchanges}")
    assert alice.leave() == "Goodbye.\n"

    assert bob.heard.endswith("(/help lists the commands)\n")
    bob.expect(f"alice: {count - 1:05} {text}\n")
    assert numbers(bob.heard, "alice") == list(range(count))
    assert bob.heard.count(text) == count
    assert bob.leave() == "Goodbye.\n"
    assert connect(daemon, "bob").leave() == "Goodbye.\n"
    assert daemon.most_memory() < 200 << 20
