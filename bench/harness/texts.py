"""The messages: 64 bytes each, numbered, so that each can be looked for at the end."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

TEXT_BYTES: Final = 64
TAGS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

MARK: Final = b"#"
"""Begins a text, and is in nothing else that a server sends with it."""

_FILL: Final = b"x" * (TEXT_BYTES - 17)
_TEXT: Final = re.compile(rb"#[A-Za-z](\d{5}\.\d{7}) x{%d}\$" % len(_FILL))


def text_of(sender: int, number: int) -> bytes:
    """Return a sender's message: a mark, a letter of the sender's, and both numbers."""
    return b"#%c%05d.%07d %b$" % (TAGS[sender % len(TAGS)], sender, number, _FILL)


def key_of(sender: int, number: int) -> bytes:
    """Return what tells a message from all others: the two numbers in its text."""
    return b"%05d.%07d" % (sender, number)


@dataclass(frozen=True)
class Verdict:
    """What became of the messages to a receiver, or to several.

    `misplaced` are those that came after a later one of their sender.
    """

    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    strange: int = 0

    def __add__(self, other: "Verdict") -> "Verdict":
        """Add another receiver's."""
        return Verdict(
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.misplaced + other.misplaced,
            self.strange + other.strange,
        )

    def __str__(self) -> str:
        """Say what was wrong, or that nothing was."""
        wrong = [f"{count:,} {what}" for what, count in vars(self).items() if count]
        return ", ".join(wrong) or "all once and in order"


def judge(received: bytes | bytearray | memoryview, due: Iterable[bytes]) -> Verdict:
    """Compare what a receiver got with the keys of what was due to it."""
    keys = _TEXT.findall(received)
    wanted = sorted(due)
    # A stable sort leaves the order in which each sender's came.
    by_sender = sorted(keys, key=_sender)
    if by_sender == wanted:
        return Verdict()
    known, seen = set(wanted), set(keys)
    return Verdict(
        lost=len(known - seen),
        doubled=len(keys) - len(seen),
        misplaced=_misplaced(by_sender),
        strange=len(seen - known),
    )


def _sender(key: bytes) -> bytes:
    return key[:5]


def _misplaced(by_sender: Sequence[bytes]) -> int:
    highest, misplaced = b"", 0
    for key in by_sender:
        if key < highest:
            misplaced += 1
        else:
            highest = key
    return misplaced


@dataclass(frozen=True)
class Traffic:
    """Who sends how much to whom: message k of sender i goes to receiver i + k.

    Receivers are counted in a circle; `senders` and `receivers` are names. Where
    targets are not `mixed`, all of sender i go to receiver i.
    """

    senders: Sequence[str]
    receivers: Sequence[str]
    each: int
    mixed: bool = True

    @property
    def total(self) -> int:
        """How many messages there are in all."""
        return len(self.senders) * self.each

    def target(self, sender: int, number: int) -> str:
        """Return to whom a message goes."""
        step = number if self.mixed else 0
        return self.receivers[(sender + step) % len(self.receivers)]

    def due(self, receiver: int) -> list[bytes]:
        """Return the keys of all messages to a receiver, sender by sender."""
        return [
            key_of(sender, number)
            for sender in range(len(self.senders))
            for number in self._numbers(sender, receiver)
        ]

    def count(self, receiver: int) -> int:
        """Return how many messages go to a receiver."""
        senders = range(len(self.senders))
        return sum(len(self._numbers(sender, receiver)) for sender in senders)

    def _numbers(self, sender: int, receiver: int) -> range:
        circle = len(self.receivers)
        first = (receiver - sender) % circle
        if self.mixed:
            return range(first, self.each, circle)
        return range(0 if first else self.each)


def names(kind: str, count: int) -> list[str]:
    """Return names of equal length, such as s00007."""
    return [f"{kind}{number:05}" for number in range(count)]
