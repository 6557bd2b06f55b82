"""The hub: logins, presence, and the receivers in memory."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chatd.accounts import Accounts
from chatd.clock import WallClock
from chatd.hub.delivery import Delivery
from chatd.hub.pending import Pending
from chatd.hub.realm import LoggedIn, Mind
from chatd.hub.receiver import Receiver
from chatd.hub.recent import Room
from chatd.hub.resends import Earlier, Resends
from chatd.hub.run import Runs
from chatd.hub.session import Session, Surroundings
from chatd.hub.watches import WatchRoom
from chatd.journal import Journal
from chatd.limits import Limits
from chatd.store.records import AccountChange, StoreFailure, User
from chatd.store.store import Store
from chatd.turn import Turn
from chatd.wire.answers import Refusal
from chatd.wire.message import DerivedIds
from chatd.wire.names import BadName, Name, parse_name

IDLE_RECEIVERS = 10_000
"""How many receivers are kept in memory before idle ones are forgotten."""

EXPIRE_AT_ONCE = 1_000

MOST_ROUTES = 100_000
"""How many ways to write names are known at once."""

WEEK = 7 * 24 * 3600 * 1000
"""How long the ids of stored messages are known, in milliseconds."""


@dataclass(frozen=True, slots=True)
class NameList:
    """Some names, in alphabetical order, and how many more there are."""

    names: Sequence[str]
    more: int


class Unreadable(Exception):
    """The store could not be asked; that is logged."""


class Hub:
    """Who is online, and where a message goes."""

    _log = Logger()

    def __init__(
        self,
        store: Store,
        journal: Journal,
        accounts: Accounts,
        limits: Limits,
        clock: IReactorTime,
        now: WallClock,
        turn: Turn,
    ) -> None:
        self._store = store
        self._journal = journal
        self._accounts = accounts
        self._limits = limits
        self._clock = clock
        self._now = now
        self._receivers: dict[str, Receiver] = {}
        self._most_receivers = IDLE_RECEIVERS
        # Whoever reads a user and then finds none in memory must know whether there was
        # one meanwhile: it may have got messages that the read did not see.
        self._forgotten = 0
        # In the order of their last logins, and in that of the alphabet.
        self._online: dict[str, Receiver] = {}
        self._online_keys: list[str] = []
        self._sessions: dict[int, tuple[Session, ...]] = {}
        # How many changes of accounts were heard of, and which was a user's last.
        self._changes = 0
        self._changed: dict[int, int] = {}
        self.pending = Pending(limits.all_pending_bytes)
        # Those in memory, by what is written in a line to send to them.
        self._routes: dict[bytes, Receiver] = {}
        self.runs = Runs(journal, store.allot, turn, now)
        self.recent_room = Room(limits.all_recent_bytes)
        self._watch_room = WatchRoom()
        self._resends = Resends()
        self.ids = DerivedIds(store.id_secret)
        self._surroundings = Surroundings(
            journal,
            store.allot,
            self.runs,
            clock,
            now,
            limits,
            self.pending,
            self._resends,
            presence=self,
        )

    async def login(self, mind: Mind) -> LoggedIn:
        """Log a connection in.

        The caller starts the session when the connection is ready for messages.
        Raises `Refusal`:
        wrong-password, account-closed, too-many-names, not-registered,
        too-many-connections.
        """
        # What an administrator changes from here on may have come too late for it.
        since, changes = self._now(), self._changes
        forgotten = self._forgotten
        name = mind.name
        user, new = await self._accounts.admit(
            name,
            mind.origin,
            known=mind.known,
            password=mind.password,
            proved=mind.proved,
        )
        receiver = self._receivers.get(user.key)
        if receiver is not None and receiver.id != user.id:
            # The name was freed and taken again, and only that has been heard of yet.
            self._end_removed(receiver.id)
            receiver = None
        if receiver is None and forgotten == self._forgotten:
            receiver = self._remember(self._receiver(user))
        elif receiver is None:
            receiver = await self._receiver_of(name)
        if receiver is None:
            raise Refusal("not-registered", name=name.shown, reason="disk error")
        if receiver.id != user.id or self._changed.get(user.id, 0) > changes:
            raise Refusal("account-closed")
        limit = self._limits.connections_by_user
        if receiver.connections >= limit:
            raise Refusal("too-many-connections", limit=limit, scope="of one user")
        receiver.connections += 1
        delivery = None
        if mind.peer is not None:
            delivery = Delivery(
                receiver,
                mind.peer,
                self._store,
                self._clock,
                self._limits.unacknowledged,
            )
        session = Session(receiver, delivery, since, self._surroundings)
        sessions = self._sessions.get(receiver.id, ())
        self._sessions[receiver.id] = (*sessions, session)
        return LoggedIn(session, new, user)

    def came(self, receiver: Receiver) -> None:
        """Take note that a user has one more connection that receives."""
        if self._online.pop(receiver.key, None) is None:
            insort(self._online_keys, receiver.key)
        self._online[receiver.key] = receiver

    def went(self, receiver: Receiver) -> None:
        """Take note that a user may have one connection less that receives."""
        if not receiver.online and self._online.pop(receiver.key, None) is not None:
            del self._online_keys[bisect_left(self._online_keys, receiver.key)]

    def left(self, session: Session) -> None:
        """Take note that a session is closed."""
        receiver = session.receiver
        receiver.connections -= 1
        sessions = self._sessions.pop(receiver.id)
        if others := tuple(each for each in sessions if each is not session):
            self._sessions[receiver.id] = others
        self._accounts.depart(receiver.id)

    def account_changed(self, change: AccountChange) -> None:
        """End a user's sessions: an administrator has changed the account.

        Not those whose login began after it, and so with what has been changed. A
        removed user's name is free from now on.
        """
        if change.kind == "removed":
            self._end_removed(change.user)
        elif change.kind == "changed":
            self._changes += 1
            self._changed[change.user] = self._changes
            now = self._now()
            for session in self._sessions.get(change.user, ()):
                # One of a time to come is from before the clock was set back.
                if session.since <= change.time or session.since > now:
                    session.expel(Refusal("account-closed"))

    def _end_removed(self, user: int) -> None:
        for key, receiver in list(self._receivers.items()):
            if receiver.id == user:
                del self._receivers[key]
                self._routes.clear()
        # Even if there was none: it may have been read, and be on its way.
        self._forgotten += 1
        for session in self._sessions.get(user, ()):
            session.expel(Refusal("account-closed"))

    def route(self, target: bytes) -> Receiver | None:
        """Return to whom a target leads, as a sender has written it in UTF-8.

        None if it is not the name of one who is in memory.
        """
        receiver = self._routes.get(target)
        if receiver is None:
            try:
                name = parse_name(target.decode(), reserved_too=True)
            except BadName:
                return None
            receiver = self._receivers.get(name.key)
            if receiver is not None:
                if len(self._routes) >= MOST_ROUTES:
                    self._routes.clear()
                self._routes[target] = receiver
        return receiver

    def known(self, names: Iterable[Name], sender: str) -> list[Receiver] | None:
        """Return the receivers of those names, if all can be sent to without a look-up.

        None means that `find` must be asked.
        """
        found = []
        for name in names:
            receiver = self._receivers.get(name.key)
            if receiver is None or not receiver.backlog.knows(sender):
                return None
            found.append(receiver)
        return found

    async def find(self, names: Sequence[Name], sender: str) -> list[Receiver | None]:
        """Return the receivers of those names, None for a name that nobody has.

        They are ready to be sent to by `sender` in the turn in which this returns.
        Raises `Unreadable`.
        """
        found: list[Receiver | None] = []
        try:
            for name in names:
                receiver = await self._receiver_of(name)
                found.append(receiver)
                if receiver is not None:
                    # While another is looked up this one must not be forgotten.
                    receiver.lookers += 1
                    await self._look_up_share(receiver, sender)
        except StoreFailure:
            raise self._unreadable("A message's target") from None
        finally:
            for each in found:
                if each is not None:
                    each.lookers -= 1
        return found

    async def sent_before(
        self, sender: Receiver, message_id: str
    ) -> dict[int, Earlier]:
        """Return what the store knows of an id of a sender's, by target.

        Raises `Unreadable`.
        """
        try:
            return await self._sent_before(sender, message_id)
        except StoreFailure:
            raise self._unreadable("A message's id") from None

    async def _sent_before(
        self, sender: Receiver, message_id: str
    ) -> dict[int, Earlier]:
        ids = self._resends.of(sender.id)
        if ids.highest is None:
            highest = await self._store.highest_stored_id(sender.id)
            ids = self._resends.of(sender.id)
            ids.highest = max(highest, ids.highest or "")
            if not ids.may_be_stored(message_id):
                return {}
        found = await self._store.find_stored_ids(sender.id, message_id)
        return {target: Earlier(*each) for target, each in found.items()}

    async def forget_ids(self) -> None:
        """Forget the ids of messages that were stored more than a week ago."""
        now = self._now()
        await self._store.forget_stored_ids(now - WEEK, now + WEEK)

    def online(self, most: int, besides: str) -> NameList:
        """Return who is online, those who came last; `besides` is left out."""
        names: list[str] = []
        for key in reversed(self._online):
            if key != besides:
                if len(names) == most:
                    break
                names.append(key)
        others = len(self._online) - (besides in self._online)
        shown = [self._online[key].name for key in sorted(names)]
        return NameList(shown, others - len(names))

    def online_by_prefix(self, prefix: str, most: int, besides: str) -> NameList:
        """Return who is online whose name begins so, in alphabetical order."""
        prefix = prefix.lower()
        keys = self._online_keys
        first = bisect_left(keys, prefix)
        behind = bisect_left(keys, prefix + "\U0010ffff")
        # One more than is shown, as oneself may be among them.
        some = keys[first : min(behind, first + most + 1)]
        shown = [self._online[key].name for key in some if key != besides][:most]
        own = besides in self._online and besides.startswith(prefix)
        return NameList(shown, behind - first - own - len(shown))

    async def users(self, most: int) -> NameList:
        """Return the users, those seen last, in alphabetical order."""
        seen = await self._store.names_seen_last(most)
        names = [name for name, _ in sorted(seen, key=lambda each: each[1])]
        return NameList(names, max(0, self._store.users - len(names)))

    async def users_by_prefix(self, prefix: str, most: int) -> NameList:
        """Return the users whose name begins so, in alphabetical order."""
        names, count = await self._store.names_by_prefix(prefix.lower(), most)
        return NameList(names, count - len(names))

    async def expire(self, age: float) -> None:
        """Drop the queues of names that nobody used for `age` seconds."""
        before = self._now() - int(age * 1000)
        for key in await self._store.unused_queues(before, EXPIRE_AT_ONCE):
            receiver = await self._receiver_of(Name(key, key))
            if receiver is not None and not receiver.connections:
                self._log.info(
                    "Dropping the queue of {name}, unused: {count} messages",
                    name=receiver.name,
                    count=receiver.backlog.stored,
                )
                receiver.confirm(receiver.committed)

    async def _receiver_of(self, name: Name) -> Receiver | None:
        while (receiver := self._receivers.get(name.key)) is None:
            forgotten = self._forgotten
            user = await self._store.find_user(name.key)
            if user is None:
                return None
            if name.key not in self._receivers and forgotten == self._forgotten:
                self._remember(self._receiver(user))
        return receiver

    def _unreadable(self, what: str) -> Unreadable:
        self._log.failure("{what} cannot be looked up", what=what)
        return Unreadable()

    def _receiver(self, user: User) -> Receiver:
        return Receiver(
            user,
            self._journal,
            self._limits,
            self.recent_room,
            self._watch_room,
            self._store.last_position,
        )

    async def _look_up_share(self, receiver: Receiver, sender: str) -> None:
        if not receiver.backlog.knows(sender):
            receiver.backlog.learn(
                sender, await self._store.find_share(receiver.id, sender)
            )

    def _remember(self, receiver: Receiver) -> Receiver:
        if len(self._receivers) >= self._most_receivers:
            self._forget_idle()
        self._receivers[receiver.key] = receiver
        return receiver

    def _forget_idle(self) -> None:
        # The older half, and not again for the next new one: all are looked at.
        idle = [key for key, receiver in self._receivers.items() if receiver.idle]
        self._routes.clear()
        for key in idle[: IDLE_RECEIVERS // 2]:
            del self._receivers[key]
            self._forgotten += 1
        self._most_receivers = max(
            IDLE_RECEIVERS, len(self._receivers) + IDLE_RECEIVERS // 2
        )
