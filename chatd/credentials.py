"""Credentials: what shows that somebody may log in under a name (`twisted.cred`).

A name without a password is only claimed. A name with one is logged in to with
`IUsernamePassword`, as everywhere in Twisted, so that another checker may take the
place of ours: see ``--auth``.
"""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from chatd.passwords import Hasher
from chatd.store.records import StoreFailure, User

AvatarId: TypeAlias = bytes | tuple[()]
"""What a checker returns: the key of a name, encoded."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the administrator has chosen.

    With `registration` off no name is registered by its first login. With
    `require_password` nobody logs in without one. `plaintext_passwords` are asked for
    on connections, too, on which others can read them.
    """

    registration: bool = True
    require_password: bool = False
    plaintext_passwords: bool = False


class IClaim(ICredentials):
    """A name that somebody claims, without any proof."""


@implementer(IClaim)
@dataclass(frozen=True, slots=True)
class Claim:
    """A name, by its key, and the user who has it, None for a new name.

    A new one is to have the `password`, encoded.
    """

    key: str
    user: User | None
    password: str | None = field(default=None, repr=False)


class NameAndPassword(UsernamePassword):
    """A name, by its key, and its password, as Twisted's checkers read them.

    `proved` is the encoded password that this was found to be, where it is kept here.
    """

    def __init__(self, key: str, password: str) -> None:
        super().__init__(key.encode(), password.encode())
        self.proved: str | None = None


class Users(Protocol):
    """What the checkers need of the store."""

    def find_user(self, key: str) -> Deferred[User | None]:
        """Return the user of that key."""

    def set_password(
        self, user: int, before: str | None, password: str, time: int, address: str
    ) -> Deferred[bool]:
        """Set a user's password, if it still is the one of `before`."""


@implementer(ICredentialsChecker)
class OpenNames:
    """Lets in who claims a name that is open, or one that may be registered."""

    credentialInterfaces = (IClaim,)  # noqa: N815, as `ICredentialsChecker` names it

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def requestAvatarId(self, credentials: Claim) -> Deferred[AvatarId]:  # noqa: N802
        """Return the key (`ICredentialsChecker`)."""
        policy, user = self._policy, credentials.user
        if user is None:
            protected = credentials.password is not None
            allowed = policy.registration and (protected or not policy.require_password)
        else:
            allowed = not (user.password or policy.require_password)
        if not allowed:
            return fail(UnauthorizedLogin())
        key: AvatarId = credentials.key.encode()
        return succeed(key)


@implementer(ICredentialsChecker)
class OwnPasswords:
    """Lets in who has the password that the name was given here."""

    credentialInterfaces = (IUsernamePassword,)  # noqa: N815

    def __init__(self, users: Users, hasher: Hasher) -> None:
        self._users = users
        self._hasher = hasher

    def requestAvatarId(  # noqa: N802
        self, credentials: NameAndPassword
    ) -> Deferred[AvatarId]:
        """Return the key (`ICredentialsChecker`). Raises `Refusal` too: busy."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: NameAndPassword) -> AvatarId:
        key = bytes(credentials.username)
        while credentials.proved is None:
            user = await self._users.find_user(key.decode())
            encoded = None if user is None else user.password
            verdict = await self._hasher.verify(encoded, credentials.password.decode())
            if not verdict.right:
                raise UnauthorizedLogin
            credentials.proved = encoded
            if verdict.better is not None and user is not None:
                credentials.proved = await self._improve(user, verdict.better)
        return key

    async def _improve(self, user: User, better: str) -> str | None:
        """Keep a better hash; return what is kept, None if another password is."""
        try:
            done = await self._users.set_password(user.id, user.password, better, 0, "")
        except StoreFailure:
            return user.password  # the next login tries again
        return better if done else None
