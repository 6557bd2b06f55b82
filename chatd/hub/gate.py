"""The gate: who gets in, under which name, and who has to wait.

What shows that somebody may log in is up to the portal's checkers; here is what is the
same for all of them: whether a password is to be asked for, on which connections it may
be, and how long those wait who guess.
"""

from dataclasses import dataclass
from typing import Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import LoginFailed
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from chatd.accounts import Origin
from chatd.clock import WallClock
from chatd.credentials import (
    Claim,
    NameAndPassword,
    OpenNames,
    OwnPasswords,
    Policy,
    Users,
)
from chatd.hub.peer import Peer
from chatd.hub.realm import ISession, LoggedIn, Mind, Realm, Sessions
from chatd.hub.session import Session
from chatd.limits import Tally
from chatd.passwords import BadPassword, Hasher, prepare
from chatd.store.records import StoreFailure, User
from chatd.throttle import LONGEST_BY_NAME, LONGEST_BY_NETWORK, Attempts
from chatd.wire.answers import Refusal
from chatd.wire.names import Name

DAY: Final = 24 * 3600 * 1000

TOLD_OF_PASSWORD: Final = 7 * DAY
"""For how long the logins after a password was set say so, in milliseconds."""


@dataclass(frozen=True, slots=True)
class PasswordSet:
    """When a name was first given its password, and from where; for its logins."""

    time: int
    address: str


class Gate:
    """Lets connections in.

    `checkers`, if any, take the place of the passwords kept here: then every login
    needs one, and names are registered as these let them in.
    """

    _log = Logger()

    def __init__(
        self,
        hub: Sessions,
        users: Users,
        hasher: Hasher,
        policy: Policy,
        clock: IReactorTime,
        now: WallClock,
        checkers: tuple[ICredentialsChecker, ...] = (),
    ) -> None:
        self.policy = policy
        self._hub = hub
        self._users = users
        self._hasher = hasher
        self._clock = clock
        self._now = now
        self._elsewhere = bool(checkers)
        self._by_name = Attempts(LONGEST_BY_NAME)
        self._by_network = Attempts(LONGEST_BY_NETWORK)
        self._claiming = Tally()
        # The names to which a password is being given, and who waits for that.
        self._setting: dict[str, list[Deferred[None]]] = {}
        self._pauses: dict[Deferred[None], IDelayedCall] = {}
        self._stopping = False
        if not checkers:
            checkers = (OpenNames(policy), OwnPasswords(users, hasher))
        self._portal = Portal(Realm(hub), checkers)

    def stop(self) -> None:
        """Let nobody wait any more: a stop waits for all that was read."""
        self._stopping = True
        for over, end in list(self._pauses.items()):
            end.cancel()
            over.errback(Refusal("shutting-down"))

    def may_ask(self, origin: Origin) -> bool:
        """Whether a password may go over the connection."""
        return origin.private or self.policy.plaintext_passwords

    async def login(
        self,
        name: Name,
        origin: Origin,
        peer: Peer | None,
        password: str | None = None,
    ) -> LoggedIn:
        """Log a connection in; the caller starts the session.

        Raises `Refusal`: password-needed, not-private, wrong-password, bad-password,
        busy, and what `Hub.login` raises.
        """
        if password is not None and not self.may_ask(origin):
            raise Refusal("not-private", name=name.shown)
        if self._elsewhere:
            if password is None:
                raise self._password_needed(name, origin)
            return await self._prove(name, origin, peer, password, None)
        # From before it is looked whether there is a password: until this is over
        # nobody gives the name its first one.
        self._claiming.add(name.key)
        try:
            return await self._login(name, origin, peer, password)
        finally:
            self._claiming.remove(name.key)

    async def _login(
        self, name: Name, origin: Origin, peer: Peer | None, password: str | None
    ) -> LoggedIn:
        found_at = self._hub.moment()
        user = await self._users.find_user(name.key)
        while name.key in self._setting:
            await self._set(name.key)
            found_at = self._hub.moment()
            user = await self._users.find_user(name.key)
        if password is None:
            claim = Claim(name.key, user)
        elif user is None and self.policy.registration:
            await self._pause(self._wait_of_network(origin))
            encoded = await self._hasher.hash(_prepared(password))
            claim = Claim(name.key, None, encoded)
        elif user is None or user.password or self.policy.require_password:
            return await self._prove(name, origin, peer, password, user)
        else:
            # It is open to all: what was given proves nothing, and harms nothing.
            claim = Claim(name.key, user)
        mind = Mind(name, origin, peer, user, found_at, claim.password)
        try:
            found = await self._enter(claim, mind)
        except LoginFailed:
            raise self._password_needed(name, origin) from None
        if claim.password is not None:
            self._withdraw_of_network(origin)
        return found

    async def _prove(
        self,
        name: Name,
        origin: Origin,
        peer: Peer | None,
        password: str,
        user: User | None,
    ) -> LoggedIn:
        delay = self._by_name.begin(name.key, self._clock.seconds())
        if user is not None and user.address == origin.host:
            delay = 0.0
        await self._pause(max(delay, self._wait_of_network(origin)))
        mind = Mind(name, origin, peer, proved=True)
        given = NameAndPassword(name.key, password)
        try:
            found = await self._enter(given, mind)
        except LoginFailed:
            raise Refusal("wrong-password") from None
        if given.proved not in (None, found.user.password):
            # Another one was set while this one was being checked.
            found.session.close()
            raise Refusal("wrong-password")
        self._by_name.succeeded(name.key)
        self._withdraw_of_network(origin)
        return found

    def _password_needed(self, name: Name, origin: Origin) -> Refusal:
        code = "password-needed" if self.may_ask(origin) else "not-private"
        return Refusal(code, name=name.shown)

    def password_set(self, found: LoggedIn) -> PasswordSet | None:
        """Return when the password was set, if that is not long ago."""
        user = found.user
        if found.new or user.password_time is None or user.password_from is None:
            return None
        if abs(self._now() - user.password_time) > TOLD_OF_PASSWORD:
            return None
        return PasswordSet(user.password_time, user.password_from)

    def may_be_protected(self, found: LoggedIn) -> bool:
        """Whether the name is open, and its user could give it a password."""
        return not self._elsewhere and found.user.password is None

    async def has_password(self, session: Session) -> bool:
        """Return whether a session's name has a password.

        Raises `Refusal`: passwords-elsewhere.
        """
        if self._elsewhere:
            raise Refusal("passwords-elsewhere")
        return (await self._user_of(session)).password is not None

    async def set_password(
        self, session: Session, origin: Origin, old: str | None, new: str
    ) -> None:
        """Give a session's name a password, or another one.

        Who has one must know it. The first one can be set only by the one connection
        that is logged in: anybody else who is could have thought the name theirs.
        Raises `Refusal`: passwords-elsewhere, not-private, bad-password,
        wrong-password, name-in-use, busy, not-stored.
        """
        if self._elsewhere:
            raise Refusal("passwords-elsewhere")
        if not self.may_ask(origin):
            raise Refusal("not-private", name=session.name)
        user = await self._user_of(session)
        if user.password is not None:
            await self._check_old(user, old)
        encoded = await self._hasher.hash(_prepared(new))
        others = session.receiver.connections > 1 or self._claiming[user.key] > 0
        if user.password is None and others:
            raise Refusal("name-in-use", name=session.name)
        waiting = self._setting.setdefault(user.key, [])
        try:
            done = await self._users.set_password(
                user.id, user.password, encoded, self._now(), origin.host
            )
        except StoreFailure:
            done = False
        finally:
            self._setting.pop(user.key, None)
            while waiting:
                waiting.pop().callback(None)
        if not done:
            raise Refusal("password-not-set")
        self._log.info(
            "{name} set a password from {origin}", name=session.name, origin=origin
        )

    async def _set(self, key: str) -> None:
        """Wait until a password is set that is being set."""
        done: Deferred[None] = Deferred()
        self._setting[key].append(done)
        await done

    async def _check_old(self, user: User, old: str | None) -> None:
        await self._pause(self._by_name.begin(user.key, self._clock.seconds()))
        verdict = await self._hasher.verify(user.password, old or "")
        if not verdict.right:
            raise Refusal("wrong-password")
        self._by_name.succeeded(user.key)

    async def _enter(self, credentials: ICredentials, mind: Mind) -> LoggedIn:
        _, found, _ = await self._portal.login(credentials, mind, ISession)
        assert isinstance(found, LoggedIn)
        return found

    def _wait_of_network(self, origin: Origin) -> float:
        if origin.exempt:
            return 0.0
        return self._by_network.begin(origin.network, self._clock.seconds())

    def _withdraw_of_network(self, origin: Origin) -> None:
        if not origin.exempt:
            self._by_network.withdraw(origin.network)

    async def _pause(self, seconds: float) -> None:
        if not seconds:
            return
        if self._stopping:
            raise Refusal("shutting-down")
        over: Deferred[None] = Deferred()
        self._pauses[over] = self._clock.callLater(seconds, over.callback, None)
        try:
            await over
        finally:
            del self._pauses[over]

    async def _user_of(self, session: Session) -> User:
        user = await self._users.find_user(session.receiver.key)
        if user is None or user.id != session.receiver.id:
            raise Refusal("account-closed")
        return user


def _prepared(password: str) -> str:
    try:
        return prepare(password)
    except BadPassword as bad:
        raise Refusal("bad-password", reason=str(bad)) from None
