"""The realm: from credentials that were found good to a session (`twisted.cred`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from chatd.accounts import Origin
from chatd.hub.peer import Peer
from chatd.hub.session import Session
from chatd.store.records import User
from chatd.wire.names import Name


class ISession(Interface):
    """What is asked of the realm: a `LoggedIn`."""


Avatar: TypeAlias = tuple[type[Interface], object, Callable[[], None]]
"""What `IRealm` asks for: the interface, the avatar, and how it is left."""


class LoggedIn(NamedTuple):
    """The avatar: a session, whether its name is new, and the user as stored."""

    session: Session
    new: bool
    user: User


@dataclass(frozen=True, slots=True)
class Mind:
    """Who asks: the name as given, where it comes from, and who receives, if anybody.

    Without a `peer` the connection only sends: it is not online and gets no messages.
    `known` is the user of that name, if one was found. `password` is the encoded one
    that a new name gets. `proved` is whether the credentials were more than a claim.
    """

    name: Name
    origin: Origin
    peer: Peer | None
    known: User | None = None
    password: str | None = None
    proved: bool = False


class Sessions(Protocol):
    """What the realm needs of the hub."""

    async def login(self, mind: Mind) -> LoggedIn:
        """Log a connection in."""


@implementer(IRealm)
class Realm:
    """Makes sessions of a hub."""

    def __init__(self, hub: Sessions) -> None:
        self._hub = hub

    def requestAvatar(  # noqa: N802, as `IRealm` names it
        self,
        avatarId: object,  # noqa: N803
        mind: object,
        *interfaces: Any,
    ) -> Deferred[Avatar]:
        """Return a session that is not started (`IRealm`)."""
        if ISession not in interfaces or not isinstance(mind, Mind):
            raise NotImplementedError
        return Deferred.fromCoroutine(self._log_in(mind))

    async def _log_in(self, mind: Mind) -> Avatar:
        logged_in = await self._hub.login(mind)
        return ISession, logged_in, logged_in.session.close
