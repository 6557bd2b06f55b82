"""Players that talk text, over sockets as ``nc`` would."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from torture.ledger import Confirmed, Joined, Key
from torture.lines import GOODBYE, PROMPT, ReceiverEar, SenderEar
from torture.link import Link
from torture.stage import Stage, either, patiently, weighted
from torture.texts import text_of


@dataclass(frozen=True)
class Load:
    """How much a sender sends, to whom, and how fast.

    `burst` is how many messages it sends at most at once, `pause` how many seconds it
    may then rest, `filler` how many characters a text may have for nothing.
    """

    targets: tuple[str, ...]
    count: int
    burst: int
    pause: float
    filler: int

    def some_targets(self, dice: Random) -> list[str]:
        """Return whom the next message goes to: mostly one, sometimes several."""
        many = dice.random() < 0.1
        return dice.sample(
            self.targets, dice.randint(1, len(self.targets)) if many else 1
        )

    def some_filler(self, dice: Random) -> int:
        """Return how much longer the next text is made."""
        return dice.randrange(self.filler + 1) if dice.random() < 0.3 else 0


class TextSender:
    """Sends lines; each connection is a stream of its own, nothing is sent again."""

    def __init__(
        self, name: str, stage: Stage, dice: Random, load: Load, *, confirm: bool
    ) -> None:
        self.name = name
        self._stage = stage
        self._dice = dice
        self._load = load
        self._confirm = confirm
        self._left = load.count

    async def play(self) -> None:
        """Send until all is sent, over as many connections as it takes."""
        while self._left > 0 and not self._stage.ending.is_set():
            with self._stage.expecting(f"the conversation of {self.name}"):
                link = await self._stage.connect(self.name)
                try:
                    await self._converse(link)
                finally:
                    link.close()

    async def _converse(self, link: Link) -> None:
        connection = self._stage.ledger.new_connection(self.name)
        ear = SenderEar(self._stage.ledger, connection, confirm=self._confirm)
        if not await patiently(link.read_past(PROMPT)):
            return
        listening = asyncio.create_task(self._listen(link, ear))
        try:
            send_only = "/send-only " if self._dice.random() < 0.7 else ""
            confirm = "/confirm on\n" if self._confirm else ""
            hello = f"{send_only}{self.name}\n{confirm}"
            # Some leave before all is sent, and come again.
            budget = min(self._left, self._dice.choice([20, 100, 100_000]))
            if await link.write(hello.encode()):
                await self._send(link, ear, connection, budget)
            if self._dice.random() < 0.5:
                await link.write(b"/quit\n")
            else:
                link.end_input()
            await patiently(listening)
        finally:
            listening.cancel()

    async def _listen(self, link: Link, ear: SenderEar) -> None:
        async for line in link.lines():
            ear.hear(line)

    async def _send(self, link: Link, ear: SenderEar, stream: str, budget: int) -> None:
        dice, load, number = self._dice, self._load, 0
        while number < budget and not self._stage.ending.is_set():
            lines = []
            for _ in range(min(dice.randint(1, load.burst), budget - number)):
                number += 1
                targets = load.some_targets(dice)
                text = text_of(stream, number, load.some_filler(dice))
                lines.append(f"{','.join(targets)}-{text}\n")
                for target in targets:
                    ear.sent(Key(stream, number, target))
                self._left -= 1
            if not await link.write("".join(lines).encode()):
                return
            await either(dice.random() * load.pause, self._stage.ending)


class TextReceiver:
    """Logs in, reads in its manner, leaves in its manner, and comes again.

    Its messages are had once this machine's kernel has acknowledged them, which is when
    they can still be read from a connection that was cut off.
    """

    def __init__(
        self, name: str, user: str, stage: Stage, dice: Random, *, late: bool = False
    ) -> None:
        self.name = name
        self._user = user
        self._stage = stage
        self._dice = dice
        self._late = late

    async def play(self) -> None:
        """Come and go until all senders have finished."""
        if self._late:
            await self._stage.ending.wait()
        while not self._stage.leaving.is_set():
            with self._stage.expecting(f"the end of a connection of {self.name}"):
                await self._stay()
            if not self._stage.ending.is_set():
                await either(self._dice.choice([0, 0.1, 0.5]), self._stage.ending)

    async def _stay(self) -> None:
        brisk = self._stage.ending.is_set()
        manner = (
            "fast"
            if brisk
            else weighted(self._dice, {"fast": 4, "slow": 2, "stuck": 2})
        )
        link = await self._stage.connect(self.name, small=manner != "fast")
        try:
            if not await patiently(link.read_past(PROMPT)):
                return
            ledger = self._stage.ledger
            connection = ledger.new_connection(self.name)
            ear = ReceiverEar(ledger, connection, self._user)
            ledger.add(Joined(connection, self._user))
            await link.write(f"{self._user}\n".encode())
            leaving = asyncio.create_task(self._leave(link, brisk))
            try:
                await self._listen(link, ear, manner)
            finally:
                leaving.cancel()
                with suppress(asyncio.CancelledError):
                    await leaving
            if ear.goodbye:
                ledger.add(Confirmed(connection, ear.count))
        finally:
            link.close()

    async def _listen(self, link: Link, ear: ReceiverEar, manner: str) -> None:
        stuck_at = self._dice.randrange(50) if manner == "stuck" else -1
        slow = manner == "slow"
        lines = link.lines(1000, 0.002) if slow else link.lines()
        async for line in lines:
            ear.hear(line)
            if line == GOODBYE:
                continue
            if ear.count >= stuck_at >= 0:
                stuck_at = -1
                await either(self._dice.random(), self._stage.ending)

    async def _leave(self, link: Link, brisk: bool) -> None:
        """Leave at some time; what was read by then, and is to come, is up to that."""
        stay = self._dice.choice([0.05, 0.3, 1, 5]) * self._dice.random()
        await either(stay, self._stage.ending)
        if brisk:
            await self._stage.leaving.wait()
        how = (
            "quit" if brisk else weighted(self._dice, {"quit": 2, "end": 1, "kill": 2})
        )
        if how == "kill":
            link.kill()
        elif how == "end":
            link.end_input()
        else:
            await link.write(b"/quit\n")
        # A connection that is to end and does not is given up by whoever waits for it.
        await asyncio.sleep(40)
        self._stage.trouble(f"{self.name}: no end 40 s after {how}")
        link.kill()
