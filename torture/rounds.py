"""One round: a daemon, players and a fault, from the first login to the verdict."""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from torture.collecting import collect, register
from torture.daemon import Daemon, DaemonFailed
from torture.database import waiting
from torture.faults import FAULTS, Fault, Victims
from torture.judgement import Verdict, judge
from torture.ledger import Ledger, Trouble
from torture.link import Address, Link
from torture.objects import features
from torture.plan import Plan, ReceiverPlan, SenderPlan
from torture.programs import Client, ClientReceiver, ClientSender, Netcat
from torture.receiving import ObjectReceiver
from torture.scripts import CommandReceiver, CommandSender
from torture.sending import ObjectSender
from torture.stage import Player, Stage, either
from torture.talkers import TextReceiver, TextSender

ROUND_SECONDS: Final = 240.0
"""After how long a round is given up."""


@dataclass(frozen=True)
class Result:
    """What came of a round; `kept` is the folder that has everything, if it is kept."""

    plan: Plan
    verdict: Verdict
    seconds: float
    kept: Path | None


def play(plan: Plan, keep: Path | None) -> Result:
    """Play a round in this process; keep what it leaves if a promise was broken."""
    begun = monotonic()
    with tempfile.TemporaryDirectory(
        prefix="torture-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        one = Round(plan, folder)
        asyncio.run(one.play())
        verdict = judge(one.ledger, complete=one.complete)
        kept = None
        if keep is not None and verdict.findings:
            kept = keep / f"{plan.seed}-{plan.number}"
            one.ledger.write(folder / "ledger.jsonl")
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept)
    return Result(plan, verdict, monotonic() - begun, kept)


def own_address() -> Address:
    """Return an address of loopback that no other process uses for this.

    The port is none of those that the system gives to clients: one of them that tries
    to connect while the daemon is away would else sit down on it.
    """
    pid = os.getpid()
    return Address(
        f"127.{64 + (pid >> 16) % 128}.{pid >> 8 & 255}.{pid & 255 or 1}", 15555
    )


class Round:
    """A round, in a folder of its own."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.ledger = Ledger()
        self.complete = False
        """Whether everything that waited was collected at the end."""
        self._plan = plan
        self._folder = folder
        self._clients: list[Client] = []

    async def play(self) -> None:
        """Play it to its end, or as far as it comes."""
        plan = self._plan
        fault = FAULTS.get(plan.fault, Fault)(plan.dice("fault"))
        try:
            setting = fault.prepare(self._folder)
            address = setting.address or own_address()
            daemon = Daemon(
                setting.folder,
                self._folder,
                address,
                self.ledger,
                [*plan.options, *setting.options],
                under=setting.under,
                environment=setting.environment,
                tolerant=fault.tolerant,
            )
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._play(fault, daemon, address)
            except TimeoutError:
                self.ledger.add(Trouble(f"the round did not end in {ROUND_SECONDS} s"))
            except DaemonFailed:
                pass  # it is in the ledger
            finally:
                await daemon.end()
                for each in self._clients:
                    await each.kill()
                if setting.folder != self._folder:
                    for path in setting.folder.glob("server.db*"):
                        shutil.copy(path, self._folder)
        finally:
            fault.clear()

    async def _play(self, fault: Fault, daemon: Daemon, address: Address) -> None:
        plan = self._plan
        await daemon.start()
        link = await Link.connect(address)
        stage = Stage(address, self.ledger, await features(link))
        link.close()
        await register(stage, [*plan.users, *(each.name for each in plan.senders)])

        senders = [self._sender(each, stage) for each in plan.senders]
        receivers = [self._receiver(each, stage) for each in plan.receivers]
        players: list[Player] = [*senders, *receivers]
        self._clients = [each for each in players if isinstance(each, Client)]
        tasks = {each.name: asyncio.create_task(each.play()) for each in players}
        try:
            load = asyncio.create_task(self._watch(stage, tasks, senders))
            await fault.strike(Victims(stage, daemon, self._clients))
            await load
            stage.ending.set()
            await self._finish(tasks, senders)
            stage.leaving.set()
            await self._finish(tasks, receivers)
        finally:
            for task in tasks.values():
                task.cancel()

        if plan.killed_at_the_end:
            await daemon.kill()
        else:
            await daemon.stop()
        await daemon.start()
        for client in self._clients:
            if isinstance(client, ClientReceiver):
                await client.collect()
            elif isinstance(client, CommandReceiver):
                await client.collect(lambda user: waiting(daemon.database).get(user, 0))
            elif isinstance(client, ClientSender):
                client.collect()
        theirs = {
            each.user for each in plan.receivers if each.kind in ("chat", "listen")
        }
        dice = plan.dice("collecting")
        for user in plan.users:
            if user not in theirs:
                await collect(stage, user, dice)
        await daemon.stop()
        self.complete = True
        for user, count in waiting(daemon.database).items():
            if user in plan.users:
                stage.trouble(f"{count} messages still wait for {user}")

    async def _watch(
        self, stage: Stage, tasks: dict[str, asyncio.Task[None]], senders: list[Player]
    ) -> None:
        """Wait until the time of sending is over."""
        busy = [tasks[each.name] for each in senders]
        await asyncio.wait(busy, timeout=self._plan.seconds)
        await either(0, stage.ending)

    async def _finish(
        self, tasks: dict[str, asyncio.Task[None]], players: list[Player]
    ) -> None:
        """Wait for players; one that fails has a mistake, or was told nonsense."""
        theirs = [tasks[each.name] for each in players]
        found = await asyncio.gather(*theirs, return_exceptions=True)
        for player, result in zip(players, found, strict=True):
            if isinstance(result, BaseException):
                self.ledger.add(Trouble(f"{player.name} failed: {result!r}"))

    def _sender(self, plan: SenderPlan, stage: Stage) -> Player:
        dice = self._plan.dice(plan.name)
        match plan.kind:
            case "json":
                return ObjectSender(plan.name, stage, dice, plan.load)
            case "nc":
                return Netcat(plan.name, stage, dice, plan.load)
            case "chat":
                return ClientSender(plan.name, stage, dice, self._folder, plan.load)
            case "send":
                return CommandSender(plan.name, stage, dice, self._folder, plan.load)
        confirm = plan.kind == "text-confirm"
        return TextSender(plan.name, stage, dice, plan.load, confirm=confirm)

    def _receiver(self, plan: ReceiverPlan, stage: Stage) -> Player:
        dice = self._plan.dice(plan.name)
        match plan.kind:
            case "json":
                return ObjectReceiver(plan.name, plan.user, stage, dice)
            case "chat":
                return ClientReceiver(plan.name, plan.user, stage, dice, self._folder)
            case "listen":
                return CommandReceiver(plan.name, plan.user, stage, dice, self._folder)
        return TextReceiver(plan.name, plan.user, stage, dice, late=plan.late)
