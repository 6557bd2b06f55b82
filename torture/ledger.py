"""The ledger: what was sent, told and received, in the order in which it was seen.

It is kept outside the daemon, by those who talk to it. A *stream* is what one sender
writes in one order: a text connection, or a JSON sender over all its connections. Its
messages are numbered from 1, so a message to one receiver is known by its stream, its
number and its target. Nothing here judges; that is done by `torture.judgement`.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


class Key(NamedTuple):
    """One message to one receiver."""

    stream: str
    number: int
    target: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.number} to {self.target}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message is about to be written to a connection."""

    connection: str
    key: Key


@dataclass(frozen=True, slots=True)
class Stored:
    """The sender was told that a message is on disk."""

    connection: str
    key: Key


@dataclass(frozen=True, slots=True)
class Delivered:
    """The sender was told that a message is delivered."""

    connection: str
    key: Key


@dataclass(frozen=True, slots=True)
class Refused:
    """The sender was told that a message was not sent."""

    connection: str
    key: Key
    code: str


@dataclass(frozen=True, slots=True)
class SomeStored:
    """The sender was told that some message of the connection to a target is stored.

    Without ``/confirm on`` it cannot be known which.
    """

    connection: str
    target: str


@dataclass(frozen=True, slots=True)
class SomeRefused:
    """The sender was told that some message of the connection was not sent."""

    connection: str
    target: str
    code: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender was told that all messages of the connection are safe or refused.

    `answered` says whether each of them has an answer of its own before that.
    """

    connection: str
    answered: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """A receiver is about to log in.

    What a connection that `acks` has received counts once it was acked; else what its
    kernel has acknowledged counts. A `history` is no connection but what a client has
    kept over all of its own, or, with `commands`, what the commands it ran have had.
    """

    connection: str
    receiver: str
    acks: bool = False
    history: bool = False
    commands: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A message came on a connection."""

    connection: str
    key: Key


@dataclass(frozen=True, slots=True)
class Acked:
    """The first so many messages of a connection are about to be acked."""

    connection: str
    count: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The daemon has shown that it knows of the first so many messages' arrival."""

    connection: str
    count: int


@dataclass(frozen=True, slots=True)
class DaemonEnded:
    """The daemon ended; `clean` if it was stopped and said that all is saved."""

    clean: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something was seen that must not be, whatever became of the messages."""

    what: str


Event = (
    Sent
    | Stored
    | Delivered
    | Refused
    | SomeStored
    | SomeRefused
    | Goodbye
    | Joined
    | Received
    | Acked
    | Confirmed
    | DaemonEnded
    | Trouble
)


class Ledger:
    """The events of one round, as they came."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._connections: dict[str, int] = {}

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> None:
        """Write an event down."""
        self._events.append(event)

    def new_connection(self, player: str) -> str:
        """Return a name for one more connection of a player."""
        number = self._connections.get(player, 0) + 1
        self._connections[player] = number
        return f"{player}.{number}"

    def write(self, path: Path) -> None:
        """Keep it in a file, an event a line."""
        with path.open("w", encoding="utf-8") as file:
            for event in self._events:
                fields = asdict(event)
                fields = {
                    name: str(value) if name == "key" else value
                    for name, value in fields.items()
                }
                print(json.dumps({"event": type(event).__name__, **fields}), file=file)
