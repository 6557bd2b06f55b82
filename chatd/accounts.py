"""Accounts: who may log in, and under which name.

A name belongs to whoever logs in under it first and again later; a name that nobody has
yet is registered by its first login.
"""

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chatd.clock import WallClock
from chatd.limits import HourlyTally, Limits, Tally
from chatd.store.records import Arrival, StoreFailure, User
from chatd.wire.answers import Refusal
from chatd.wire.names import Name


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from.

    `host` is an address or a path; `exempt` connections, from this machine, are not
    counted by address. On a `private` one nobody else reads along: it is under TLS, or
    does not leave this machine.
    """

    host: str
    port: int | None
    exempt: bool
    private: bool = False

    def __str__(self) -> str:
        if self.port is None:
            return self.host
        return (
            f"[{self.host}]:{self.port}"
            if ":" in self.host
            else f"{self.host}:{self.port}"
        )


class Users(Protocol):
    """What the accounts need of the store."""

    def find_user(self, key: str) -> Deferred[User | None]:
        """Return the user of that key."""


class Register(Protocol):
    """What the accounts need of the journal."""

    def arrive(self, arrival: Arrival) -> Deferred[tuple[User, bool] | None]:
        """Record a login, after everything that was accepted before it."""

    def depart(self, user: int, time: int) -> None:
        """Record when a user was last seen."""


class Accounts:
    """Admits users, and remembers when they came and went."""

    _log = Logger()

    def __init__(
        self,
        users: Users,
        register: Register,
        limits: Limits,
        clock: IReactorTime,
        now: WallClock,
    ) -> None:
        self._users = users
        self._register = register
        self._limits = limits
        self._clock = clock
        self._now = now
        self._new_names = HourlyTally()
        self._registering = Tally()

    async def admit(self, name: Name, origin: Origin) -> tuple[User, bool]:
        """Return the user of that name, and whether the name is new.

        A known user is admitted even where nothing can be written. Raises `Refusal`:
        too-many-names, not-registered.
        """
        user = await self._users.find_user(name.key)
        if user is None:
            self._check_new_names(origin)
            self._registering.add(origin.host)
        arrival = Arrival(name.key, name.shown, origin.host, origin.port, self._now())
        try:
            admitted = await self._register.arrive(arrival)
        except StoreFailure:
            admitted = None
        finally:
            if user is None:
                self._registering.remove(origin.host)
        if admitted is not None:
            if admitted[1] and not origin.exempt:
                self._new_names.add(origin.host, self._clock.seconds())
            return admitted
        if user is None:
            raise Refusal("not-registered", name=name.shown, reason="disk full")
        self._log.warn("The login of {name} could not be recorded", name=user.name)
        return user, False

    def depart(self, user: int) -> None:
        """Remember that a user was seen until now."""
        self._register.depart(user, self._now())

    def _check_new_names(self, origin: Origin) -> None:
        limit = self._limits.new_names
        count = self._new_names.count(origin.host, self._clock.seconds())
        if not origin.exempt and count + self._registering[origin.host] >= limit:
            raise Refusal("too-many-names", limit=limit)
