"""A player that sends JSON with ids, and sends again until it has an answer."""

import asyncio
from random import Random
from typing import Final

from torture.ledger import Delivered, Goodbye, Key, Refused, Sent, Stored
from torture.link import Link
from torture.objects import CLOSING, RESEND, Object, log_in, objects, say
from torture.stage import Stage, either, patiently
from torture.talkers import Load
from torture.texts import text_of
from torture.unsettled import Unsettled

_LOOK_SECONDS: Final = 0.05
_LONGEST_PAUSE: Final = 0.2


def doubled(sends: list[Object], dice: Random) -> Object:
    """Put one of the sends in once more, and return it.

    It stands before the next one to any of its targets. Behind that it would break the
    order itself: if the first copy fails, and what is after it, the second one ends the
    refusals to its target, and what comes then overtakes what was refused.
    """
    first = dice.randrange(len(sends))
    again, last = sends[first], first + 1
    while last < len(sends) and not {*again["to"]} & {*sends[last]["to"]}:
        last += 1
    sends.insert(dice.randint(first + 1, last), again)
    return again


class ObjectSender:
    """Sends with ids; sends again what has no answer, or a temporary error, in order.

    Its stream is one over all its connections. To a daemon without ``resend`` what has
    no answer when a connection breaks is given up. Now and then it sends a message
    twice on purpose, and another text under an id that was used.
    """

    def __init__(self, name: str, stage: Stage, dice: Random, load: Load) -> None:
        self.name = name
        self._stage = stage
        self._dice = dice
        self._load = load
        self._window = dice.choice([1, 10, 100, 1000])
        self._unsettled = Unsettled()
        self._number = 0
        self._fillers: dict[int, int] = {}
        self._answered = asyncio.Event()
        # Of the connection at hand.
        self._connection = ""
        self._settled: list[Key] = []
        self._probes: dict[Key, Key] = {}
        self._pause = 0.0
        self._goodbye = False

    async def play(self) -> None:
        """Send until all is sent, and answered as far as that can be."""
        while not (self._goodbye and self._finished()):
            with self._stage.expecting(f"the answers to {self.name}"):
                await patiently(self._converse())

    def _all_sent(self) -> bool:
        return self._number >= self._load.count or self._stage.ending.is_set()

    def _finished(self) -> bool:
        return self._all_sent() and not self._unsettled

    async def _converse(self) -> None:
        link = await self._stage.connect(self.name)
        self._connection = self._stage.ledger.new_connection(self.name)
        self._settled.clear()
        self._probes.clear()
        self._goodbye = False
        self._pause = 0.0
        if RESEND in self._stage.features:
            self._unsettled.fail_all()
        else:
            self._unsettled.clear()
        await log_in(link, self.name, receive=self._dice.random() < 0.2)
        listening = asyncio.create_task(self._listen(link))
        try:
            while not (self._finished() or listening.done()):
                self._answered.clear()
                if not await self._send_some(link):
                    await either(_LOOK_SECONDS, self._answered)
            await say(link, {"type": "quit"})
            await listening
        finally:
            listening.cancel()
            link.close()

    # Sending.

    async def _send_some(self, link: Link) -> bool:
        """Send what can be sent now; return whether there was something."""
        sends = await self._again() or self._anew()
        if RESEND in self._stage.features and self._dice.random() < 0.05:
            if sends and self._dice.random() < 0.7:
                again = doubled(sends, self._dice)
                self._sent_again(again)
            else:
                sends += self._with_used_id()
        if not sends:
            return False
        await say(link, *sends)
        await asyncio.sleep(self._dice.random() * self._load.pause)
        return True

    async def _again(self) -> list[Object]:
        if self._pause:
            await asyncio.sleep(self._pause)
        room = max(0, self._window - self._unsettled.under_way)
        parts = list(self._unsettled.to_be_sent())
        # To each target the first of its parts, or order would be lost.
        return [self._send(number, [target]) for number, target in parts[:room]]

    def _anew(self) -> list[Object]:
        sends: list[Object] = []
        for _ in range(self._dice.randint(1, self._load.burst)):
            if self._all_sent() or self._unsettled.under_way >= self._window:
                break
            targets = self._load.some_targets(self._dice)
            if any(self._unsettled.waits(each) for each in targets):
                break
            self._number += 1
            self._fillers[self._number] = self._load.some_filler(self._dice)
            sends.append(self._send(self._number, targets))
        return sends

    def _sent_again(self, again: Object) -> None:
        number = int(again["id"].rpartition(".")[2])
        for target in again["to"]:
            key = Key(self.name, number, target)
            self._stage.ledger.add(Sent(self._connection, key))

    def _with_used_id(self) -> list[Object]:
        """Return a send whose id was used for another text, if there can be one."""
        if not self._settled:
            return []
        used = self._dice.choice(self._settled)
        if used in self._probes:
            return []
        self._number += 1
        probe = self._probes[used] = Key(self.name, self._number, used.target)
        self._stage.ledger.add(Sent(self._connection, probe))
        text = text_of(self.name, self._number, 0)
        id = self._id(used.number)
        return [{"type": "send", "to": [used.target], "text": text, "id": id}]

    def _send(self, number: int, targets: list[str]) -> Object:
        for target in targets:
            self._unsettled.sent(number, target)
            self._stage.ledger.add(
                Sent(self._connection, Key(self.name, number, target))
            )
        text = text_of(self.name, number, self._fillers[number])
        send = {"type": "send", "to": targets, "text": text, "id": self._id(number)}
        if self._dice.random() < 0.1:
            send["want"] = "stored"
        return send

    def _id(self, number: int) -> str:
        return f"{self.name}.{number:07}"

    # Listening.

    async def _listen(self, link: Link) -> None:
        async for each in objects(link):
            match each["type"]:
                case "accepted" | "error" if "id" in each and "to" in each:
                    self._hear_answer(each)
                    self._answered.set()
                case "goodbye":
                    self._goodbye = True
                    self._stage.ledger.add(Goodbye(self._connection, answered=True))
                case "error" if each.get("code") in CLOSING:
                    pass
                case "error" | "":
                    self._stage.trouble(f"{self._connection} was told {each}")
        self._answered.set()

    def _hear_answer(self, answer: Object) -> None:
        number, target = int(answer["id"].rpartition(".")[2]), answer["to"]
        key, ledger = Key(self.name, number, target), self._stage.ledger
        if answer["type"] == "error":
            code = answer["code"]
            if code == "id-used":
                probe = self._probes.pop(key, None)
                if probe is None:
                    self._stage.trouble(f"{key} was told id-used")
                else:
                    ledger.add(Refused(self._connection, probe, code))
                return
            ledger.add(Refused(self._connection, key, code))
            if answer["temporary"]:
                self._unsettled.failed(number, target)
                self._pause = min(self._pause + 0.01, _LONGEST_PAUSE)
            else:
                self._stage.trouble(f"{key} was told {answer}")
                self._unsettled.settled(number, target)
            return
        made = Delivered if answer["status"] == "delivered" else Stored
        ledger.add(made(self._connection, key))
        self._pause = 0.0
        self._unsettled.settled(number, target)
        self._settled.append(key)
