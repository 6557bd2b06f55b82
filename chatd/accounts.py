"""Accounts: who may log in, and under which name.

A name belongs to whoever logs in under it first and again later; a name that nobody has
yet is registered by its first login.
"""

from ipaddress import IPv6Network
from typing import Final, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from chatd.clock import WallClock
from chatd.limits import HourlyTally, Limits, Tally
from chatd.store.records import Arrival, StoreFailure, User
from chatd.wire.answers import Refusal
from chatd.wire.names import Name

IPV6_PREFIX: Final = 64
"""How many bits of an IPv6 address count: whoever has one has all that share them."""


class Origin(NamedTuple):
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

    def visit(self, user: int, arrival: Arrival) -> None:
        """Record some time soon that a known user has logged in."""

    def depart(self, user: int, time: int) -> None:
        """Record some time soon when a user was last seen."""


class Accounts:
    """Admits users, and remembers when they came and went."""

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
        password: str | None = None,
        proved: bool = False,
    ) -> tuple[User, bool]:
        """Return the user of that name, and whether the name is new.

        A new name is registered with the `password`, encoded, if there is one, and is
        on disk then; `proved` is whether a known one was more than claimed. Raises
        `Refusal`: wrong-password, account-closed, too-many-names, not-registered.
        """
        user = await self._users.find_user(name.key)
        if user is not None:
            self.admit_known(user, origin, password, proved=proved)
            return user, False
        self._check_new_names(origin)
        self._registering.add(origin.network)
        arrival = Arrival(
            name.key, name.shown, origin.host, origin.port, self._now(), password
        )
        admitted: tuple[User, bool] | None = None
        try:
            admitted = await self._register.arrive(arrival)
        except StoreFailure:
            pass  # as where there is no room
        finally:
            self._registering.remove(origin.network)
        if admitted is None:
            raise Refusal("not-registered", name=name.shown, reason="disk full")
        if admitted[1] and not origin.exempt:
            self._new_names.add(origin.network, self._clock.seconds())
        self._check(*admitted, password, proved=proved)
        return admitted

    def admit_known(
        self, user: User, origin: Origin, password: str | None, *, proved: bool
    ) -> None:
        """Admit a user as just found, even where nothing can be written.

        Nobody waits until the login is recorded. Raises `Refusal`: wrong-password,
        account-closed.
        """
        self._check(user, False, password, proved=proved)
        arrival = Arrival(user.key, user.name, origin.host, origin.port, self._now())
        self._register.visit(user.id, arrival)

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
