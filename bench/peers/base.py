"""What a benchmark has to know of a server to measure it."""

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.connection import Connection, connect
from harness.process import Server, free_port


class Peer(ABC):
    """A kind of server: how it is started and spoken to.

    `can` has what it is able to do: "route", "store" (for who is away, answered),
    "json" and so on; rows leave out who cannot do theirs. `settings` is what the report
    says of how it is run.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    settings: ClassVar[str]
    can: ClassVar[frozenset[str]] = frozenset({"route"})
    delivery_mark: ClassVar[bytes] = b""
    """What each message has when it arrives, if these differ in length."""

    answer_mark: ClassVar[bytes] = b""
    """What each answer has that says that a message was passed on, if so."""

    def missing(self) -> str:
        """Return which program is missing, or nothing."""
        return "" if shutil.which(self.program, path=_PATH) else self.program

    @property
    def path(self) -> str:
        """The program's path."""
        return shutil.which(self.program, path=_PATH) or self.program

    @abstractmethod
    def version(self) -> str:
        """Return its version."""

    def server(self, folder: Path) -> Server:
        """Return a server to be started, with all its files in a new folder."""
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        return Server(self.command(folder, port), port, folder)

    @abstractmethod
    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Write its configuration, and return the command that starts it."""

    logged_in: ClassVar[Sequence[bytes]]
    """What one of tells that one is logged in."""

    at_once: ClassVar[int] = 100
    """How many may log in at the same time, so that none is turned away."""

    logs_in_slowly: ClassVar[bool] = False
    """Whether it lets people in only now and then, however few there are."""

    logs_in_by_steps: ClassVar[bool] = False
    """Whether `hello` is only the first of several things to be written."""

    most_users: ClassVar[int] = 1_000_000

    @abstractmethod
    def hello(self, name: str) -> bytes:
        """Return what is written to log in, to send and to receive."""

    def begin(self, connection: Connection, name: str) -> None:
        """Begin to log in, without waiting for anything."""
        connection.write(self.hello(name))

    @abstractmethod
    def finish(self, connection: Connection, name: str) -> None:
        """Wait until one is logged in; nothing more is on its way afterwards."""

    def log_in_to_send(self, connection: Connection, name: str) -> None:
        """Log in to send only, if that makes a difference."""
        self.begin(connection, name)
        self.finish(connection, name)

    @abstractmethod
    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return what a sender writes to send a text; all have the same length."""

    def acknowledge(self, inbox: Connection, before: int, after: int) -> bytes:
        """Return what a receiver writes when it has got more messages."""
        return b""

    @property
    def acknowledges(self) -> bool:
        """Whether a receiver has to acknowledge anything."""
        return type(self).acknowledge is not Peer.acknowledge

    def receivers(self, port: int, names: Sequence[str]) -> list[Connection]:
        """Return connections that are logged in.

        Many log in at the same time: InspIRCd lets people in once a second.
        """
        connections: list[Connection] = []
        for first in range(0, len(names), self.at_once):
            some = names[first : first + self.at_once]
            new = [connect(port) for _ in some]
            connections += new
            for connection, name in zip(new, some, strict=True):
                self.begin(connection, name)
            for connection, name in zip(new, some, strict=True):
                self.finish(connection, name)
        return connections

    def senders(self, port: int, names: Sequence[str]) -> list[Connection]:
        """Return connections that are logged in to send."""
        if type(self).log_in_to_send is Peer.log_in_to_send:
            return self.receivers(port, names)
        connections = [connect(port) for _ in names]
        for connection, name in zip(connections, names, strict=True):
            self.log_in_to_send(connection, name)
        return connections


class StoringPeer(Peer):
    """A server that keeps messages for who is away, and says so of each."""

    stores: ClassVar[str]
    can = frozenset({"route", "store"})

    most_kept: ClassVar[int] = 1_000_000
    """How many messages for one user it can keep in the time that there is."""

    def stored(self, message: bytes) -> bytes:
        """Return a message that is to be answered once it is kept."""
        return message

    def log_in_to_store(self, connection: Connection, name: str) -> None:
        """Log in to send what is to be kept."""
        self.log_in_to_send(connection, name)

    def prepare(self, connection: Connection, name: str) -> None:
        """Do what comes before `come_back`, if anything does."""

    @abstractmethod
    def make_known(self, port: int, name: str) -> None:
        """Make a user known for whom messages are kept from now on."""

    stored_mark: ClassVar[bytes] = b""
    """What each answer has that says that a message is kept, if these differ."""

    kept_mark: ClassVar[bytes] = b""
    """What each message has that was kept, if these differ in length."""

    greeting_bytes: ClassVar[int] = 0
    """What comes before what was kept, where there is no mark."""

    def come_back(self, name: str) -> bytes:
        """Return what is written to get all that was kept."""
        return self.hello(name)


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def first_line(*command: str) -> str:
    """Return the first line that a command prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "?"
