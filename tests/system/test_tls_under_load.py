"""A certificate that is renewed while many talk."""

import asyncio
import signal
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from certificates import Made

from chatd.fingerprint import fingerprint

if TYPE_CHECKING:
    from tests.system.conftest import Daemon, StartDaemon

pytestmark = pytest.mark.slow

DEADLINE: Final = 60.0
PAIRS: Final = 10
RENEWALS: Final = 4
UNDER_WAY: Final = 5
"""How many messages of each are under way: each one that comes is followed by one."""

BETWEEN: Final = 10
"""How many messages everybody gets after each renewal, before the next."""


class Talker:
    """Somebody who sends a partner one numbered message for each that comes."""

    def __init__(self, port: int, name: str, partner: str) -> None:
        self.name = name
        self.sent = 0
        self.received: list[str] = []
        self.certificate = ""
        self._port = port
        self._partner = partner
        self._came = asyncio.Event()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=context
        )
        der = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.certificate = fingerprint(der)

    async def log_in(self) -> None:
        self._writer.write(f"{self.name}\n".encode())
        await self._reader.readuntil(b"(/help lists the commands)\n")

    def send(self) -> None:
        self._writer.write(f"{self._partner}-{self.sent}\n".encode())
        self.sent += 1

    async def talk(self, go_on: Callable[[], bool]) -> None:
        """Talk until the partner says so, or the connection ends."""
        async for line in self._reader:
            text = line.decode().removeprefix(f"{self._partner}: ").removesuffix("\n")
            if text == "the last":
                return
            self.received.append(text)
            self._came.set()
            if go_on():
                self.send()

    async def has(self, count: int) -> None:
        """Wait until so many have come."""
        while len(self.received) < count:
            self._came.clear()
            await self._came.wait()

    def say_the_last(self) -> None:
        self._writer.write(f"{self._partner}-the last\n".encode())

    async def leave(self) -> str:
        """Quit; return all that comes until the end."""
        self._writer.write(b"/quit\n")
        said = await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()
        return said.decode()


async def renew_while_all_talk(daemon: "Daemon", port: int, folder: Path) -> None:
    renewing = True
    talkers: list[Talker] = []
    for number in range(PAIRS):
        one, other = f"one{number}", f"other{number}"
        talkers += [Talker(port, one, other), Talker(port, other, one)]
    stranger = Talker(port, "stranger", "nobody")
    await asyncio.gather(*(each.connect() for each in [*talkers, stranger]))
    await asyncio.gather(*(each.log_in() for each in talkers))
    talks = [asyncio.create_task(each.talk(lambda: renewing)) for each in talkers]
    for each in talkers:
        for _ in range(UNDER_WAY):
            each.send()

    async def unless_one_is_dropped(happens: Coroutine[Any, Any, Any]) -> None:
        first = asyncio.ensure_future(happens)
        await asyncio.wait([first, *talks], return_when=asyncio.FIRST_COMPLETED)
        assert first.done(), "somebody was dropped"
        await first

    for number in range(RENEWALS):
        renewed = Made("localhost").write(folder)
        daemon.send_signal(signal.SIGHUP)
        loaded = asyncio.to_thread(daemon.wait_for_log, renewed.fingerprint)
        await unless_one_is_dropped(loaded)
        newcomer = Talker(port, f"newcomer{number}", "nobody")
        await newcomer.connect()
        await newcomer.log_in()
        assert newcomer.certificate == renewed.fingerprint
        assert await newcomer.leave() == "Goodbye.\n"
        more = [each.has(len(each.received) + BETWEEN) for each in talkers]
        await unless_one_is_dropped(asyncio.wait_for(asyncio.gather(*more), DEADLINE))

    renewing = False
    for each in talkers:
        each.say_the_last()
    await asyncio.wait_for(asyncio.gather(*talks), DEADLINE)
    for one, other in zip(talkers[::2], talkers[1::2], strict=True):
        assert one.received == [str(number) for number in range(other.sent)]
        assert other.received == [str(number) for number in range(one.sent)]
    await stranger.log_in()
    assert {await each.leave() for each in [*talkers, stranger]} == {"Goodbye.\n"}


def test_a_reload_under_load_drops_nobody(
    start_daemon: "StartDaemon", home: Path
) -> None:
    Made("localhost").write(home)
    daemon = start_daemon(
        "--port=tcp:0:interface=127.0.0.1",
        "--port=ssl:0:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem",
    )
    port = int(daemon.addresses[1].rpartition(":")[2])
    asyncio.run(renew_while_all_talk(daemon, port, home))
    assert daemon.log().count("Loaded again: ") == RENEWALS
    assert "expires soon" not in daemon.log()
