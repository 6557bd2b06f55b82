"""Accounts: who may log in, and under which name.

A name belongs to whoever logs in under it first and again later; a name that nobody has
yet is registered by its first login.
"""

from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chatd.clock import WallClock
from chatd.limits import HourlyTally, Limits, Tally
from chatd.store.records import Arrival, StoreFailure, User
from chatd.wire.answers import Refusal
from chatd.wire.names import Name

IPV6_PREFIX: Final = 64
"""How many bits of an IPv6 address count: whoever has one has all that share them."""


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

    @property
    def network(self) -> str:
        """What stands for this origin where something is counted by address."""
        if ":" not in self.host:
            return self.host
        return str(IPv6Network((self.host, IPV6_PREFIX), strict=False))

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

    async def admit(
        self,
        name: Name,
        origin: Origin,
        *,
        known: User | None = None,
        password: str | None = None,
        proved: bool = False,
    ) -> tuple[User, bool]:
        """Return the user of that name, and whether the name is new.

        `known` is the user, if one was found already. A new name is registered with the
        `password`, encoded, if there is one; `proved` is whether a known one was more
        than claimed. A known user is admitted even where nothing can be written. Raises
        `Refusal`: wrong-password, account-closed, too-many-names, not-registered.
        """
        user = known or await self._users.find_user(name.key)
        if user is None:
            self._check_new_names(origin)
            self._registering.add(origin.network)
        arrival = Arrival(
            name.key, name.shown, origin.host, origin.port, self._now(), password
        )
        try:
            admitted = await self._register.arrive(arrival)
        except StoreFailure:
            admitted = None
        finally:
            if user is None:
                self._registering.remove(origin.network)
        if admitted is not None:
            if admitted[1] and not origin.exempt:
                self._new_names.add(origin.network, self._clock.seconds())
        elif user is None:
            raise Refusal("not-registered", name=name.shown, reason="disk full")
        else:
            self._log.warn("The login of {name} could not be recorded", name=user.name)
            admitted = user, False
        self._check(*admitted, password, proved=proved)
        return admitted

    @staticmethod
    def _check(user: User, new: bool, password: str | None, *, proved: bool) -> None:
        # The account may have changed since the credentials were found good.
        if user.disabled:
            raise Refusal("account-closed")
        if not new and (password or (user.password and not proved)):
            raise Refusal("wrong-password")

    def depart(self, user: int) -> None:
        """Remember that a user was seen until now."""
        self._register.depart(user, self._now())

    def _check_new_names(self, origin: Origin) -> None:
        if origin.exempt:
            return
        limit = self._limits.new_names
        count = self._new_names.count(origin.network, self._clock.seconds())
        if count + self._registering[origin.network] >= limit:
            raise Refusal("too-many-names", limit=limit)
