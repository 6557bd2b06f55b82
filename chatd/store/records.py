"""What goes into the store and comes out of it: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from chatd.wire.block import Row

ChangeKind = Literal["added", "changed", "removed"]


class StoreFailure(Exception):
    """The store could not do what it was asked: its disk or database fails."""


@dataclass(slots=True)
class Amount:
    """A number of messages, and their bytes."""

    messages: int = 0
    bytes: int = 0

    def fits(self, size: int, max_messages: float, max_bytes: float) -> bool:
        """Whether one more message of `size` bytes stays within the bounds."""
        return self.messages < max_messages and self.bytes + size <= max_bytes

    def add(self, messages: int, size: int) -> None:
        """Add the messages and their bytes; negative figures take away."""
        self.messages += messages
        self.bytes += size


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored, with what waits in its queue at the time of reading.

    `first_position` and `last_position` are those of the first and the last message
    in the queue, 0 for an empty one. `address` is where the last login came from.

    `password` is encoded; without one the name is open to all. `password_time` is when
    the first one was set, in milliseconds since 1970-01-01 UTC, and `password_from`
    where that came from. Who is `disabled` may not log in.
    """

    id: int
    key: str
    name: str
    queued_messages: int
    queued_bytes: int
    first_position: int
    last_position: int
    address: str | None = None
    password: str | None = field(default=None, repr=False)
    password_time: int | None = None
    password_from: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A login to be recorded; a name not known yet is registered by it.

    `time` is in milliseconds since 1970-01-01 UTC; `port` is None where there is none.
    `password` is what a new name is protected by, encoded; of a known one it says
    nothing.
    """

    key: str
    name: str
    address: str
    port: int | None
    time: int
    password: str | None = field(default=None, repr=False)


class Seen(NamedTuple):
    """When a user was last seen, in milliseconds since 1970-01-01 UTC."""

    id: int
    key: str
    name: str
    time: int


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What an administrator has changed beside a running chatd: a user, by its id.

    `time` is in milliseconds since 1970-01-01 UTC.
    """

    number: int
    user: int
    time: int
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Removed:
    """What one removal took from a queue of one sender's messages."""

    sender: str
    messages: int
    size: int


class StoredId(NamedTuple):
    """What a message is known by when it is sent again, and what it was: a row.

    `sender` and `target` are user ids; the three with `id` are the key. `digest` is
    that of the text, `time` in milliseconds since 1970-01-01 UTC.
    """

    position: int
    sender: int
    id: str
    target: int
    digest: bytes
    time: int


IdRow: TypeAlias = tuple[int, int, str, int, bytes, int]
"""A `StoredId`, by its fields."""


@dataclass(slots=True)
class Batch:
    """What one transaction writes.

    `messages` are pairs of the receiver's user id and the message, or several that are
    kept together; those of one receiver are in the order of their positions. `ids` are
    those of messages that may be sent again. `removals` says for a user id up to which
    position its messages go; `visits` which known users have logged in; `departures`
    when a user was last seen.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    visits: dict[int, Arrival] = field(default_factory=dict)
    departures: dict[int, int] = field(default_factory=dict)
    removals: dict[int, int] = field(default_factory=dict)
    messages: Sequence[tuple[int, Row]] = ()
    ids: Sequence[IdRow] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did.

    `refused` is why the batch's messages were not written, in words, or None. An
    arrival that could not be recorded, a new name on a full disk, has None in
    `arrived`; a known user's is answered all the same.
    """

    refused: str | None
    arrived: Sequence[tuple[User, bool] | None]
    removed: Mapping[int, Sequence[Removed]]
