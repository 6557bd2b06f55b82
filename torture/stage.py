"""What the players of one round share: the daemon's address, the ledger, the time."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import Final, Protocol, TypeVar

from torture.ledger import Ledger, Refused, Trouble
from torture.link import Address, Link

T = TypeVar("T")

PATIENCE: Final = 45.0
"""Seconds after which what should have happened counts as never happening.

A stop may take 40 s by its promise.
"""

LONG_PATIENCE: Final = 4 * PATIENCE
"""The same, where a small queue that somebody empties slowly is to take everything."""

_RETRY_SECONDS: Final = 0.03


class Stage:
    """Where a round is played.

    `ending` is set when nothing new is to be sent, `leaving` when all senders have
    finished. `features` are those of the daemon's ``hello``.
    """

    def __init__(
        self, address: Address, ledger: Ledger, features: frozenset[str]
    ) -> None:
        self.address = address
        self.ledger = ledger
        self.features = features
        self.ending = asyncio.Event()
        self.leaving = asyncio.Event()
        self._links: dict[Link, str] = {}

    async def connect(self, player: str, *, small: bool = False) -> Link:
        """Connect, however long the daemon is away. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    link = await Link.connect(self.address, small=small)
                except OSError:
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                self._links = {
                    each: name for each, name in self._links.items() if not each.end
                }
                self._links[link] = player
                return link

    def links(self) -> list[Link]:
        """Return the connections there are."""
        return [each for each in self._links if not each.end]

    async def progress(self, events: int, seconds: float) -> None:
        """Wait until so much has happened, or for so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        wanted = len(self.ledger) + events
        while (
            len(self.ledger) < wanted and asyncio.get_running_loop().time() < deadline
        ):
            await asyncio.sleep(0.002)

    async def refusal(self, seconds: float) -> None:
        """Wait until somebody is told that a message was not stored, or for so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        seen = len(self.ledger)
        while asyncio.get_running_loop().time() < deadline:
            news = islice(self.ledger, seen, None)
            if any(isinstance(each, Refused) for each in news):
                return
            await asyncio.sleep(0.001)

    def trouble(self, what: str) -> None:
        """Write down what must not be."""
        self.ledger.add(Trouble(what))

    @contextmanager
    def expecting(self, what: str, seconds: float = PATIENCE) -> Iterator[None]:
        """Write down that something did not happen if it takes too long."""
        try:
            yield
        except TimeoutError:
            self.trouble(f"not within {seconds:.0f} s: {what}")


class Player(Protocol):
    """Somebody who takes part in a round."""

    name: str

    async def play(self) -> None:
        """Send, or receive, until there is no more to do."""


async def either(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, or so many seconds; return whether the event came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


def weighted(dice: Random, choices: dict[str, int]) -> str:
    """Return one of the choices, those of more weight more often."""
    return dice.choices(list(choices), list(choices.values()))[0]


async def patiently(work: Awaitable[T], seconds: float = PATIENCE) -> T:
    """Wait, but not for ever. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        return await work
