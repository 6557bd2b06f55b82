"""The plan of a round: who takes part, what they do, and what goes wrong.

It follows from the seed and the number of the round alone, so that a round can be
played again. What then happens in which order is up to the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from torture.talkers import Load

Kind = Literal["text", "text-confirm", "json", "nc", "chat", "listen", "send"]

_UNSLOWED: Final = ("--max-line-rate=1M", "--max-line-burst=1M")


@dataclass(frozen=True)
class SenderPlan:
    """A sender, by its name; the kind is how it talks."""

    name: str
    kind: Kind
    load: Load


@dataclass(frozen=True)
class ReceiverPlan:
    """A player that receives, and the user it logs in as; a late one comes late."""

    name: str
    user: str
    kind: Kind
    late: bool = False


@dataclass(frozen=True)
class Plan:
    """A whole round. `killed_at_the_end`: the daemon's last end is no stop."""

    seed: str
    number: int
    fault: str
    options: tuple[str, ...]
    users: tuple[str, ...]
    senders: tuple[SenderPlan, ...]
    receivers: tuple[ReceiverPlan, ...]
    seconds: float
    killed_at_the_end: bool

    def dice(self, of: str) -> Random:
        """Return the chances of one player, or of the fault."""
        return Random(f"{self.seed}/{self.number}/{of}")


def plan_round(seed: str, number: int, faults: Sequence[str], *, nc: bool) -> Plan:
    """Return the plan of a round; faults take turns, so that each has its share."""
    dice = Random(f"{seed}/{number}")
    fault = faults[number % len(faults)]
    users = tuple(f"r{each}" for each in range(1, dice.randint(2, 5) + 1))
    receivers = [each for user in users[:-1] for each in _receivers(dice, user, fault)]
    # The last of them is away until nothing new is sent.
    receivers.append(ReceiverPlan(f"{users[-1]}late", users[-1], "text", late=True))
    # A command for each message takes its time.
    few = any(each.kind == "listen" for each in receivers)
    senders = [
        SenderPlan(f"s{each}", kind, _load(dice, users, kind, few=few))
        for each, kind in enumerate(_sender_kinds(dice, fault, nc=nc), 1)
    ]
    return Plan(
        seed,
        number,
        fault,
        _options(dice),
        users,
        tuple(senders),
        tuple(receivers),
        dice.uniform(0.5, 2),
        fault == "kill" or dice.random() < 0.2,
    )


def _options(dice: Random) -> tuple[str, ...]:
    options = [*_UNSLOWED]
    if dice.random() < 0.3:
        options.append(f"--max-queue-messages={dice.choice([20, 200, 1000])}")
    if dice.random() < 0.4:
        options.append(f"--max-unacknowledged={dice.choice(['1K', '16K', '128K'])}")
    return tuple(options)


def _receivers(dice: Random, user: str, fault: str) -> list[ReceiverPlan]:
    if dice.random() < (0.4 if fault == "client-kill" else 0.1):
        return [ReceiverPlan(f"{user}chat", user, "chat")]
    if dice.random() < (0.3 if fault in ("kill", "stop", "client-kill") else 0.1):
        return [ReceiverPlan(f"{user}exec", user, "listen")]
    kinds: list[Kind] = ["text", "json"]
    connections = dice.choice([1, 1, 1, 2, 3])
    return [
        ReceiverPlan(f"{user}{letter}", user, dice.choice(kinds))
        for letter in "abc"[:connections]
    ]


def _sender_kinds(dice: Random, fault: str, *, nc: bool) -> list[Kind]:
    kinds: list[Kind] = ["json", "text", "text-confirm"]
    found = [*kinds, *dice.choices(kinds, k=dice.randint(0, 4))]
    if nc and dice.random() < 0.3:
        found.append("nc")
    if fault == "client-kill" or dice.random() < 0.3:
        found.append("chat")
    if fault == "client-kill" or dice.random() < 0.3:
        found.append("send")
    return found


def _load(dice: Random, users: tuple[str, ...], kind: Kind, *, few: bool) -> Load:
    targets = tuple(dice.sample(users, dice.randint(1, len(users))))
    return Load(
        targets,
        count=dice.choice([20, 200, 200 if few else 1000]) if kind != "nc" else 40,
        burst=dice.choice([1, 10, 100]),
        pause=dice.choice([0.0, 0.01, 0.1]),
        filler=dice.choice([0, 100, 5000]),
    )
