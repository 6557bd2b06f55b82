"""Dying at any moment: what was answered is there when the daemon runs again."""

import random
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, StartDaemon, StartFlood, TextClient

pytestmark = pytest.mark.slow

ROUNDS = 10
UNSLOWED = ("--max-line-rate=1M", "--max-line-burst=1M", "--max-queue-messages=1M")
ANSWER = re.compile(r"^(?:Delivered to|Stored for) bob\.\n", re.M)


def numbers(said: str, sender: str, round_: int) -> list[int]:
    """Return the numbers of a sender's messages of a round, in their order."""
    found = re.findall(rf"^{sender}: {round_}/(\d+)(?: \(.*\))?\n", said, re.M)
    return [int(each) for each in found]


def test_what_was_answered_survives_a_kill_at_any_moment(
    start_daemon: "StartDaemon", connect: "Connect", flood: "StartFlood"
) -> None:
    moments = random.Random(20261122)
    names = ("alice", "carol")
    daemon = start_daemon(*UNSLOWED)
    connect(daemon, "bob").leave()

    for round_ in range(ROUNDS):
        # In every other round bob is there, and some messages reach him at once.
        bob = connect(daemon, "bob") if round_ % 2 else None
        senders = {name: connect(daemon, name) for name in names}
        for each in senders.values():
            each.send("/confirm on")
            each.expect("Every message is answered.\n")
        line = f"bob-{round_}/{{}}".format
        floods = [flood(each, line, 3_000) for each in senders.values()]
        wanted = moments.randrange(1, 3_000)
        for each in senders.values():
            await_answers(each, wanted // len(senders))

        daemon.kill()
        for sending in floods:
            sending.stop()
        answered = {}
        for name, client in senders.items():
            client.rest(cut=True)
            answered[name] = len(ANSWER.findall(client.heard))
        at_once = bob.rest() if bob is not None else ""

        daemon = start_daemon(*UNSLOWED)
        later = connect(daemon, "bob").leave()
        for name, count in answered.items():
            assert count > 0
            first = numbers(at_once, name, round_)
            second = numbers(later, name, round_)
            # Each connection has a part without a gap. What he has on both is what
            # nobody had recorded yet as received.
            assert first == list(range(len(first)))
            start = second[0] if second else len(first)
            assert start <= len(first)
            assert second == list(range(start, start + len(second)))
            assert len(first) >= count or start + len(second) >= count
        assert numbers(later, r"\w+", round_ - 1) == []


def await_answers(client: "TextClient", count: int) -> None:
    """Read until that many messages are answered."""
    for _ in range(max(1, count)):
        client.expect(" bob.\n")
