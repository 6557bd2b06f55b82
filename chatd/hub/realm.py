"""The realm: from credentials that were found good to a session (`twisted.cred`)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from chatd.accounts import Origin
from chatd.hub.peer import Peer
from chatd.hub.session import Session
from chatd.store.records import User
from chatd.wire.names import Name


class Moment(NamedTuple):
    """What was known when a user was looked up.

    `since` is that time, by the clock on the wall, in milliseconds; `changes` and
    `forgotten` how much the hub had heard of and let go of.
    """

    since: int
    changes: int
    forgotten: int


class ISession(Interface):
    """What is asked of the realm: a `LoggedIn`."""


Avatar: TypeAlias = tuple[type[Interface], object, Callable[[], None]]
"""What `IRealm` asks for: the interface, the avatar, and how it is left."""


class LoggedIn(NamedTuple):
    """The avatar: a session, whether its name is new, and the user as stored."""

    session: Session
    new: bool
    user: User


class Mind(NamedTuple):
    """Who asks: the name as given, where it comes from, and who receives, if anybody.

    Without a `peer` the connection only sends: it is not online and gets no messages.
    `known` is the user of that name, if one was found, and `found_at` when it was
    looked for. `password` is the encoded one that a new name gets. `proved` is whether
    the credentials were more than a claim.
    """

    name: Name
    origin: Origin
    peer: Peer | None
    known: User | None = None
    found_at: Moment | None = None
    password: str | None = None
    proved: bool = False


class Sessions(Protocol):
    """What the realm needs of the hub."""

    def moment(self) -> Moment:
        """Return what is known now: to be asked before a user is looked up."""

    def login(self, mind: Mind) -> LoggedIn | Deferred[LoggedIn]:
        """Log a connection in; at once, if nothing has to be looked up."""


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
    ) -> Avatar | Deferred[Avatar]:
        """Return a session that is not started (`IRealm`)."""
        if ISession not in interfaces or not isinstance(mind, Mind):
            raise NotImplementedError
        found = self._hub.login(mind)
        if isinstance(found, Deferred):
            return found.addCallback(_avatar)
        return _avatar(found)


def _avatar(found: LoggedIn) -> Avatar:
    return ISession, found, found.session.close
