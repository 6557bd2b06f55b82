"""A player that receives JSON, and acks what it has."""

import asyncio
from collections import deque
from contextlib import suppress
from random import Random

from torture.ledger import Acked, Confirmed, Joined, Key, Received
from torture.link import Link
from torture.objects import ACK, CLOSING, Object, log_in, objects, say
from torture.stage import Stage, either, patiently, weighted
from torture.texts import origin_of


class ObjectReceiver:
    """Logs in, acks in batches and late, leaves in its manner, and comes again.

    Against a daemon without ``ack`` it counts as a text receiver does.
    """

    def __init__(self, name: str, user: str, stage: Stage, dice: Random) -> None:
        self.name = name
        self._user = user
        self._stage = stage
        self._dice = dice

    async def play(self) -> None:
        """Come and go until all senders have finished."""
        while not self._stage.leaving.is_set():
            with self._stage.expecting(f"the end of a connection of {self.name}"):
                await self._stay()
            if not self._stage.ending.is_set():
                await either(self._dice.choice([0, 0.1, 0.5]), self._stage.ending)

    async def _stay(self) -> None:
        link = await self._stage.connect(self.name, small=self._dice.random() < 0.2)
        try:
            await Visit(link, self.name, self._user, self._stage, self._dice).spend()
        finally:
            link.close()


class Visit:
    """One connection of an `ObjectReceiver`."""

    def __init__(
        self, link: Link, player: str, user: str, stage: Stage, dice: Random
    ) -> None:
        self._link = link
        self._user = user
        self._stage = stage
        self._dice = dice
        self._ledger = stage.ledger
        self._name = stage.ledger.new_connection(player)
        self._acks = ACK in stage.features
        self._brisk = stage.ending.is_set()
        self._count = 0
        self._acked = 0
        self._pings: deque[int] = deque()
        self._ponged = asyncio.Event()

    async def spend(self) -> None:
        """Be there from the login to the end."""
        self._ledger.add(Joined(self._name, self._user, acks=self._acks))
        await log_in(self._link, self._user)
        others = [asyncio.create_task(self._leave())]
        if self._acks and (self._brisk or self._dice.random() < 0.9):
            others.append(asyncio.create_task(self._ack_now_and_then()))
        try:
            await self._listen()
        finally:
            for each in others:
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each

    async def _listen(self) -> None:
        stuck_at = -1 if self._brisk else self._dice.choice([-1, -1, 0, 30])
        async for each in objects(self._link):
            match each["type"]:
                case "message":
                    self._receive(each)
                case "pong":
                    count = self._pings.popleft()
                    if self._acks:
                        self._ledger.add(Confirmed(self._name, count))
                    self._ponged.set()
                case "error" if each.get("code") in CLOSING:
                    pass
                case "goodbye" if not self._acks:
                    self._ledger.add(Confirmed(self._name, self._count))
                case "error" | "":
                    self._stage.trouble(f"{self._name} was told {each}")
            if 0 <= stuck_at <= self._count:
                stuck_at = -1
                await either(self._dice.random(), self._stage.ending)

    def _receive(self, message: Object) -> None:
        self._count += 1
        if message["seq"] != self._count:
            what = f"{self._name}: seq {message['seq']} instead of {self._count}"
            self._stage.trouble(what)
        origin = origin_of(message["text"])
        if origin is None or message["to"] != self._user:
            self._stage.trouble(f"{self._name} got {message}")
        else:
            self._ledger.add(Received(self._name, Key(*origin, self._user)))

    async def _ack_now_and_then(self) -> None:
        batch = 1 if self._brisk else self._dice.choice([1, 1, 10, 100])
        pause = 0.01 if self._brisk else self._dice.choice([0.001, 0.02, 0.2])
        while not self._link.end:
            await asyncio.sleep(pause)
            if self._count - self._acked >= batch:
                await self._ack(ping=self._dice.random() < 0.3)

    async def _ack(self, *, ping: bool) -> None:
        requests: list[Object] = []
        if self._acks and self._count > self._acked:
            self._acked = self._count
            self._ledger.add(Acked(self._name, self._acked))
            requests.append({"type": "ack", "seq": self._acked})
        if ping:
            self._pings.append(self._acked)
            requests.append({"type": "ping"})
        await say(self._link, *requests)

    async def _leave(self) -> None:
        stay = self._dice.choice([0.05, 0.3, 1, 5]) * self._dice.random()
        await either(stay, self._stage.ending)
        if self._brisk:
            await self._stage.leaving.wait()
        how = (
            "quit"
            if self._brisk
            else weighted(self._dice, {"quit": 2, "cut": 2, "end": 1})
        )
        if how == "cut" and self._acks:
            self._link.reset()
        elif how == "cut":
            self._link.kill()
        elif how == "end":
            self._link.end_input()
        else:
            self._ponged.clear()
            await self._ack(ping=True)
            with suppress(TimeoutError):
                await patiently(self._ponged.wait())
            await say(self._link, {"type": "quit"})
        await asyncio.sleep(40)
        self._stage.trouble(f"{self._name}: no end 40 s after {how}")
        self._link.kill()
