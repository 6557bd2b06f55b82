"""Players that are commands for scripts: ``chat send`` and ``chat listen``."""

import asyncio
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from torture.ledger import Joined, Key, Received, Sent, Stored
from torture.programs import CHAT, Client
from torture.stage import LONG_PATIENCE, Stage, patiently
from torture.talkers import Load
from torture.texts import origin_of, text_of

_AGAIN: Final = (1, 4, 9, -signal.SIGKILL)
"""The statuses after which the same is sent again: a full queue is one of them."""

_LOOK_SECONDS: Final = 0.1

_TAKE: Final = (
    # One write, so that a command whose chat was killed writes into no other's line.
    'text=$(cat; echo .) && printf "%s %s %s\\n" "$CHAT_FROM" "$CHAT_ID" "${text%.}"'
    ' >> "$0" && [ $(($$ % $1)) -ne 0 ]'
)
"""A command that keeps what it gets in a file, and then fails now and then."""


class CommandReceiver(Client):
    """A ``chat listen --exec`` that runs all the time, to be killed and frozen.

    What it had is what its command has written, with the sender and the id of each
    message. It may be there several times, under one id.
    """

    def __init__(
        self, name: str, user: str, stage: Stage, dice: Random, folder: Path
    ) -> None:
        super().__init__(name, user, stage, dice, folder)
        self._got = folder / f"{name}.got"
        self._fails = dice.choice([200, 1_000_000])

    async def start(self) -> Process:
        """Start one; what it says goes to a file."""
        take = shlex.join(["sh", "-c", _TAKE, str(self._got), str(self._fails)])
        with (self._folder / f"{self.name}.said").open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(str(CHAT), "--as", f"{self._user}@{self._stage.address}"),
                *("--timeout", "60", "listen", "--exec", take),
                stdin=DEVNULL,
                stdout=said,
                stderr=STDOUT,
            )
        return self._process

    async def play(self) -> None:
        """Run it, and start it again whenever it was killed, until all are leaving."""
        while not self._stage.leaving.is_set():
            process = await self.start()
            ended = asyncio.create_task(process.wait())
            leaving = asyncio.create_task(self._stage.leaving.wait())
            await asyncio.wait([ended, leaving], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if ended.done() and process.returncode != -signal.SIGKILL:
                self._stage.trouble(f"{self.name} ended with {process.returncode}")
                return
        await self._stop()

    async def collect(self, waiting: Callable[[str], int]) -> None:
        """Get what still waits, as `waiting` counts it, and write down all it had."""
        await self.start()
        with self._stage.expecting(f"all that waits for {self.name}", LONG_PATIENCE):
            async with asyncio.timeout(LONG_PATIENCE):
                while waiting(self._user):
                    await asyncio.sleep(_LOOK_SECONDS)
        await self._stop()
        ledger, connection = self._stage.ledger, f"{self.name}.commands"
        ledger.add(Joined(connection, self._user, history=True, commands=True))
        seen: set[tuple[str, str]] = set()
        lines = self._got.read_text().splitlines() if self._got.exists() else []
        for line in lines:
            sender, message_id, text = line.split(" ", 2)
            origin = origin_of(text)
            if origin is None:
                self._stage.trouble(f"{self.name} has got {line[:200]!r}")
            elif (sender, message_id) not in seen:
                seen.add((sender, message_id))
                ledger.add(Received(connection, Key(*origin, self._user)))

    async def _stop(self) -> None:
        """End it in order: what its command has done is acknowledged."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with self._stage.expecting(f"the end of {self.name}"):
                status = await patiently(process.wait())
                if status not in (128 + signal.SIGTERM, -signal.SIGTERM):
                    self._stage.trouble(f"{self.name} ended with {status}")
        await self.kill()


class CommandSender(Client):
    """A ``chat send --lines`` that is fed the same under one id until it succeeds."""

    def __init__(
        self, name: str, stage: Stage, dice: Random, folder: Path, load: Load
    ) -> None:
        super().__init__(name, name, stage, dice, folder)
        self._load = load

    async def play(self) -> None:
        """Send everything, again and again until all of it is stored."""
        numbers = range(1, self._load.count + 1)
        fillers = [self._load.some_filler(self._dice) for _ in numbers]
        texts = [
            text_of(self.name, number, filler)
            for number, filler in zip(numbers, fillers, strict=True)
        ]
        keys = [Key(self.name, each, to) for each in numbers for to in self._targets]
        lines = "".join(f"{text}\n" for text in texts).encode()
        with self._stage.expecting(f"the end of {self.name}", LONG_PATIENCE):
            async with asyncio.timeout(LONG_PATIENCE):
                while not await self._send(keys, lines):
                    await asyncio.sleep(self._dice.random() * 0.2)
        await self.kill()

    @property
    def _targets(self) -> tuple[str, ...]:
        return self._load.targets

    async def _send(self, keys: Sequence[Key], lines: bytes) -> bool:
        """Run it once; return whether it has to be run no more."""
        connection = self._stage.ledger.new_connection(self.name)
        for key in keys:
            self._stage.ledger.add(Sent(connection, key))
        process = await self.start()
        with suppress(BrokenPipeError, ConnectionResetError):
            await process.communicate(lines)
        status = await process.wait()
        if status == 0:
            for key in keys:
                self._stage.ledger.add(Stored(connection, key))
        elif status not in _AGAIN:
            self._stage.trouble(f"{self.name} ended with {status}")
        return status not in _AGAIN

    async def start(self) -> Process:
        """Start one on the same history; what it says goes to a file."""
        with (self._folder / f"{self.name}.said").open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(str(CHAT), "--as", f"{self.name}@{self._stage.address}"),
                *("--history", str(self.history), "--timeout", "10"),
                *("send", "--lines", "--id", self.name, ",".join(self._targets)),
                stdin=PIPE,
                stdout=said,
                stderr=STDOUT,
            )
        return self._process
