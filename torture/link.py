"""A connection to the daemon that can do what networks and dying programs do."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Literal, Self

_CHUNK: Final = 1 << 18

_ATTACH_FILTER: Final = 26
_DROP_ALL: Final = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF: return 0


class Address:
    """Where the daemon of a round listens."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Link:
    """A TCP connection, read only as far as somebody reads it.

    `end` says how it ended, once it has: "closed" by the daemon, "reset", or "here".
    """

    def __init__(self, connected: socket.socket) -> None:
        self.end = ""
        self._socket = connected
        self._writing = asyncio.Lock()
        self._unread = b""
        self._left = b""
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @classmethod
    async def connect(cls, address: Address, *, small: bool = False) -> Self:
        """Connect; with a `small` receive buffer the daemon soon has to wait.

        Raises `OSError`.
        """
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(10):
                await loop.sock_connect(made, (address.host, address.port))
        except BaseException:
            made.close()
            raise
        return cls(made)

    @property
    def over(self) -> bool:
        """Whether it has ended, and all that came was read."""
        return bool(self.end) and not self._left

    async def read(self, size: int = _CHUNK) -> bytes:
        """Return what comes next; nothing at the end."""
        while True:
            if self._left:
                data, self._left = self._left[:size], self._left[size:]
                return data
            if self.end:
                return b""
            try:
                data = self._socket.recv(size)
            except BlockingIOError:
                await self._wait_to("read")
                continue
            except OSError:
                self._ends("reset")
                return b""
            if not data:
                self._ends("closed")
            return data

    async def _wait_to(self, what: Literal["read", "write"]) -> None:
        loop, number = asyncio.get_running_loop(), self._socket.fileno()
        wake = self._waiting[what] = loop.create_future()
        start = loop.add_reader if what == "read" else loop.add_writer
        stop = loop.remove_reader if what == "read" else loop.remove_writer
        start(number, _wake, wake)
        try:
            await wake
        finally:
            del self._waiting[what]
            if not self.end:
                stop(number)

    async def lines(self, size: int = _CHUNK, pause: float = 0) -> AsyncIterator[str]:
        """Yield lines until the end, without their ends; a last part of one is none."""
        while True:
            *lines, self._unread = self._unread.split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            data = await self.read(size)
            if not data:
                return
            self._unread += data
            if pause:
                await asyncio.sleep(pause)

    async def read_past(self, end: bytes) -> bool:
        """Skip up to and with some bytes; return whether they came."""
        while end not in self._unread:
            data = await self.read()
            if not data:
                return False
            self._unread += data
        self._unread = self._unread.partition(end)[2]
        return True

    async def write(self, data: bytes) -> bool:
        """Write all, as fast as the daemon takes it; return whether that went well.

        If not, what the daemon said before can still be read.
        """
        left = memoryview(data)
        async with self._writing:
            while left and not self.end:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    await self._wait_to("write")
                except OSError:
                    return False
        return not left

    def end_input(self) -> None:
        """Close the sending side."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def mute(self) -> None:
        """Be as if the cable was pulled: from now on this machine gets nothing.

        The kernel drops, before it acknowledges anything, what comes for this socket.
        """
        if not self.end:
            code = ctypes.create_string_buffer(_DROP_ALL)
            program = struct.pack("HL", 1, ctypes.addressof(code))
            self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)

    def kill(self) -> None:
        """Cut it off, as the kernel does for a program that is killed.

        What this machine had acknowledged up to here can still be read: exactly that,
        since nothing more is let in before.
        """
        if self.end:
            return
        self.mute()
        with suppress(OSError):
            while data := self._socket.recv(_CHUNK):
                self._left += data
        self.reset()

    def reset(self) -> None:
        """Cut it off, and lose what was not read."""
        if not self.end:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._ends("here")

    def close(self) -> None:
        """Close it."""
        self._ends("here")

    def _ends(self, how: str) -> None:
        if self.end:
            return
        self.end = how
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for each in self._waiting.values():
            _wake(each)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
