"""Players that are programs: ``nc`` from a script, and the bundled client ``chat``."""

import asyncio
import shutil
import signal
import sqlite3
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from torture.ledger import Delivered, Goodbye, Joined, Key, Received, Sent, Stored
from torture.lines import PROMPT, SenderEar
from torture.stage import LONG_PATIENCE, Stage, either, patiently
from torture.talkers import Load
from torture.texts import origin_of, text_of

CHAT: Final = Path(sysconfig.get_path("scripts"), "chat")


def missing_nc() -> str | None:
    """Return why no ``nc`` can take part."""
    return None if shutil.which("nc") else "nc is missing: apt install netcat-openbsd"


async def end(process: Process) -> None:
    """Kill a program if it still runs."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Netcat:
    """Sends a few messages as a script does, again and again."""

    def __init__(self, name: str, stage: Stage, dice: Random, load: Load) -> None:
        self.name = name
        self._stage = stage
        self._dice = dice
        self._load = load

    async def play(self) -> None:
        """Send until there is no more to send."""
        left = self._load.count
        while left > 0 and not self._stage.ending.is_set():
            count = min(left, self._dice.randint(1, 20))
            left -= count
            with self._stage.expecting(f"the end of a netcat of {self.name}"):
                await self._send(count)
            await either(self._dice.random() * 0.2, self._stage.ending)

    async def _send(self, count: int) -> None:
        connection = self._stage.ledger.new_connection(self.name)
        confirm = self._dice.random() < 0.5
        ear = SenderEar(self._stage.ledger, connection, confirm=confirm)
        lines = [f"/send-only {self.name}", *(["/confirm on"] if confirm else [])]
        for number in range(1, count + 1):
            target = self._dice.choice(self._load.targets)
            lines.append(f"{target}-{text_of(connection, number, 0)}")
            ear.sent(Key(connection, number, target))
        address = self._stage.address
        process = await asyncio.create_subprocess_exec(
            *("nc", address.host, str(address.port)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        try:
            said, _ = await patiently(
                process.communicate(
                    "".join(f"{each}\n" for each in [*lines, "/quit"]).encode()
                )
            )
        finally:
            await end(process)
        for line in said.removeprefix(PROMPT).decode().split("\n")[:-1]:
            ear.hear(line)


class Client:
    """A ``chat`` in a pipe, with a history of its own, to be killed and frozen."""

    def __init__(
        self, name: str, user: str, stage: Stage, dice: Random, folder: Path
    ) -> None:
        self.name = name
        self._user = user
        self._stage = stage
        self._dice = dice
        self._folder = folder
        self._process: Process | None = None
        self.history = folder / f"{name}.db"

    async def start(self) -> Process:
        """Start one on the same history; what it says goes to a file."""
        with (self._folder / f"{self.name}.said").open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(
                    str(CHAT),
                    "--plain",
                    "--history",
                    str(self.history),
                    "--timeout",
                    "60",
                ),
                f"{self._user}@{self._stage.address}",
                stdin=PIPE,
                stdout=said,
                stderr=STDOUT,
            )
        return self._process

    async def kill(self) -> None:
        """``kill -9``, if it runs."""
        if self._process is not None:
            await end(self._process)

    async def freeze(self, seconds: float) -> None:
        """Stop it for some time (SIGSTOP, SIGCONT)."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)

    def kept(self, direction: str) -> list[tuple[str, str, str]]:
        """Return text, receiver and status of what is in its history, in order."""
        if not self.history.exists():
            return []
        with sqlite3.connect(f"file:{self.history}?mode=ro", uri=True) as database:
            found = database.execute(
                "SELECT message, receiver, status FROM messages"
                " WHERE direction = ? ORDER BY position",
                (direction,),
            ).fetchall()
        database.close()
        return found


class ClientReceiver(Client):
    """A ``chat`` that receives all the time; its history is what it had."""

    async def play(self) -> None:
        """Run it, and start it again whenever it was killed, until all are leaving."""
        while not self._stage.leaving.is_set():
            process = await self.start()
            await asyncio.wait(
                [
                    asyncio.create_task(process.wait()),
                    leaving := asyncio.create_task(self._stage.leaving.wait()),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            leaving.cancel()
            if process.returncode is not None:
                await asyncio.sleep(self._dice.random() * 0.2)
        await self.kill()

    async def collect(self) -> None:
        """Get what still waits, then write down all that it has kept."""
        process = await self.start()
        with self._stage.expecting(f"the end of the last chat of {self.name}"):
            await patiently(process.communicate(b""))
        await end(process)
        if process.returncode:
            self._stage.trouble(f"{self.name} ended with {process.returncode}")
        ledger = self._stage.ledger
        ledger.add(Joined(f"{self.name}.history", self._user, history=True))
        for text, _, _ in self.kept("received"):
            origin = origin_of(text)
            if origin is None:
                self._stage.trouble(f"{self.name} has kept {text[:200]!r}")
            else:
                ledger.add(Received(f"{self.name}.history", Key(*origin, self._user)))


class ClientSender(Client):
    """A ``chat`` that is fed lines through a pipe; a killed one is started again.

    Nothing is written to it twice: what a killed one had not kept is lost with it. Safe
    is what its history calls stored or delivered, and all if it ended with status 0.
    """

    def __init__(
        self, name: str, stage: Stage, dice: Random, folder: Path, load: Load
    ) -> None:
        super().__init__(name, name, stage, dice, folder)
        self._load = load
        self._number = 0

    async def play(self) -> None:
        """Send until all is sent, then once more what was left behind."""
        what = f"the end of the chat of {self.name}"
        with self._stage.expecting(what, LONG_PATIENCE):
            while self._number < self._load.count and not self._stage.ending.is_set():
                await self._feed()
            process = await self.start()
            await patiently(process.communicate(b""), LONG_PATIENCE)
        await self.kill()

    async def _feed(self) -> None:
        connection = self._stage.ledger.new_connection(self.name)
        process = await self.start()
        assert process.stdin is not None
        try:
            while self._number < self._load.count and not self._stage.ending.is_set():
                lines = [
                    self._line(connection)
                    for _ in range(self._dice.randint(1, self._load.burst))
                ]
                process.stdin.write("".join(lines).encode())
                await patiently(process.stdin.drain(), LONG_PATIENCE)
                await either(self._dice.random() * self._load.pause, self._stage.ending)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was killed
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.close()
        status = await patiently(process.wait(), LONG_PATIENCE)
        if status == 0:
            self._stage.ledger.add(Goodbye(connection, answered=False))
        elif status not in (1, -signal.SIGKILL):
            self._stage.trouble(f"{self.name} ended with {status}")

    def _line(self, connection: str) -> str:
        self._number += 1
        target = self._dice.choice(self._load.targets)
        key = Key(self.name, self._number, target)
        self._stage.ledger.add(Sent(connection, key))
        text = text_of(self.name, self._number, self._load.some_filler(self._dice))
        return f"{target}-{text}\n"

    def collect(self) -> None:
        """Write down what its history calls safe."""
        for text, receiver, status in self.kept("sent"):
            origin = origin_of(text)
            if origin is None:
                self._stage.trouble(f"{self.name} has kept {text[:200]!r} as sent")
                continue
            key = Key(*origin, receiver)
            if status == "stored":
                self._stage.ledger.add(Stored(f"{self.name}.history", key))
            elif status == "delivered":
                self._stage.ledger.add(Delivered(f"{self.name}.history", key))
