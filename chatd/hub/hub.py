"""The hub: logins, presence, and the receivers in memory."""

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chatd import background
from chatd.accounts import Accounts
from chatd.clock import WallClock
from chatd.hub.book import Book
from chatd.hub.delivery import Delivery
from chatd.hub.online import NameList, Online
from chatd.hub.pages import Terms
from chatd.hub.pending import Pending
from chatd.hub.presence import Watchers
from chatd.hub.queues import Queues
from chatd.hub.realm import LoggedIn, Mind, Moment
from chatd.hub.receiver import Receiver
from chatd.hub.recent import Room
from chatd.hub.resends import Earlier, Resends
from chatd.hub.runs import Runs
from chatd.hub.session import Session, Surroundings
from chatd.hub.watches import WatchRoom
from chatd.journal import Journal
from chatd.limits import Limits
from chatd.store.records import AccountChange, Seen, StoreFailure, User
from chatd.store.store import Store
from chatd.store.transactions import LISTED_SEEN_LAST
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
        self._now = now
        self._receivers: dict[str, Receiver] = {}
        self._most_receivers = IDLE_RECEIVERS
        # Whoever reads a user and then finds none in memory must know whether there was
        # one meanwhile: it may have got messages that the read did not see.
        self._forgotten = 0
        self._online = Online()
        self.watchers = Watchers(self._online, store.find_user, clock, turn)
        self._sessions: dict[Session, None] = {}
        # How many changes of accounts were heard of, and which was a user's last.
        self._changes = 0
        self._changed: dict[int, int] = {}
        self.pending = Pending(limits.all_pending_bytes)
        # Those in memory, by what is written in a line to send to them.
        self._routes: dict[bytes, Receiver] = {}
        self.turn = turn
        self.runs = Runs(journal, store.allot, turn, now, self.route)
        self.recent_room = Room(limits.all_recent_bytes)
        self._queues = Queues(journal, limits, self.recent_room, WatchRoom())
        self._terms = Terms(store, clock, limits.unacknowledged)
        self._resends = Resends()
        self._book = Book(store.seen_last, LISTED_SEEN_LAST)
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

    def moment(self) -> Moment:
        """Return what is known now: to be asked before a user is looked up.

        What an administrator changes from then on may have come too late for that.
        """
        return Moment(self._now(), self._changes, self._forgotten)

    def login(self, mind: Mind) -> LoggedIn | Deferred[LoggedIn]:
        """Log a connection in; at once, if nothing has to be looked up.

        The caller starts the session when the connection is ready for messages.
        Raises, or fails with, `Refusal`:
        wrong-password, account-closed, too-many-names, not-registered,
        too-many-connections.
        """
        user, found_at = mind.known, mind.found_at
        if user is None or found_at is None or mind.proved:
            # Proving takes time: what was found before it may be true no more.
            return Deferred.fromCoroutine(self._look_up_and_login(mind))
        receiver = self._known_receiver(user, found_at)
        if receiver is None:
            return Deferred.fromCoroutine(self._look_up_and_login(mind))
        self._accounts.admit_known(user, mind.origin, mind.password, proved=False)
        return self._let_in(mind, receiver, user, found_at, new=False)

    async def _look_up_and_login(self, mind: Mind) -> LoggedIn:
        name, found_at = mind.name, self.moment()
        user, new = await self._accounts.admit(
            name, mind.origin, password=mind.password, proved=mind.proved
        )
        receiver = self._known_receiver(user, found_at)
        if receiver is None:
            receiver = await self._receiver_of(name)
        if receiver is None:
            raise Refusal("not-registered", name=name.shown, reason="disk error")
        return self._let_in(mind, receiver, user, found_at, new=new)

    def _known_receiver(self, user: User, found_at: Moment) -> Receiver | None:
        """Return the receiver of a user who was just looked up; None if not known."""
        receiver = self._receivers.get(user.key)
        if receiver is not None and receiver.id != user.id:
            # The name was freed and taken again, and only that has been heard of yet.
            self._end_removed(receiver.id)
            receiver = None
        if receiver is None and found_at.forgotten == self._forgotten:
            receiver = self._remember(self._receiver(user))
        return receiver

    def _let_in(
        self,
        mind: Mind,
        receiver: Receiver,
        user: User,
        found_at: Moment,
        *,
        new: bool,
    ) -> LoggedIn:
        changed = self._changed.get(user.id, 0) > found_at.changes
        if receiver.id != user.id or changed:
            raise Refusal("account-closed")
        limit = self._limits.connections_by_user
        if receiver.connections >= limit:
            raise Refusal("too-many-connections", limit=limit, scope="of one user")
        receiver.connections += 1
        delivery = None
        if mind.peer is not None:
            delivery = Delivery(receiver, mind.peer, self._terms)
        session = Session(receiver, delivery, found_at.since, self._surroundings)
        self._sessions[session] = None
        self._saw(receiver)
        return LoggedIn(session, new, user)

    def came(self, receiver: Receiver) -> None:
        """Take note that a user has one more connection that receives."""
        if self._online.came(receiver):
            self.watchers.changed(receiver.key, receiver.name)

    def went(self, receiver: Receiver) -> None:
        """Take note that a user may have one connection less that receives."""
        if self._online.went(receiver):
            self.watchers.changed(receiver.key, receiver.name)

    def left(self, session: Session) -> None:
        """Take note that a session is closed."""
        receiver = session.receiver
        receiver.connections -= 1
        del self._sessions[session]
        self._accounts.depart(receiver.id)
        if self._receivers.get(receiver.key) is receiver:
            self._saw(receiver)

    def _saw(self, receiver: Receiver) -> None:
        seen = Seen(receiver.id, receiver.key, receiver.name, self._now())
        self._book.saw(seen)

    def account_changed(self, change: AccountChange) -> None:
        """End a user's sessions: an administrator has changed the account.

        Not those whose login began after it, and so with what has been changed. A
        removed user's name is free from now on.
        """
        if change.kind == "removed":
            self._end_removed(change.user)
        if change.kind in ("removed", "added"):
            self._book.forget(change.user)
            background.start(
                self._fill_book(), self._log, "The client book cannot be read"
            )
        elif change.kind == "changed":
            self._changes += 1
            self._changed[change.user] = self._changes
            now = self._now()
            for session in self._sessions_of(change.user):
                # One of a time to come is from before the clock was set back.
                if session.since <= change.time or session.since > now:
                    session.expel(Refusal("account-closed"))

    def _sessions_of(self, user: int) -> list[Session]:
        # All are looked at, which is seldom: a list for each user would stay in memory.
        return [each for each in self._sessions if each.receiver.id == user]

    def _end_removed(self, user: int) -> None:
        for key, receiver in list(self._receivers.items()):
            if receiver.id == user:
                del self._receivers[key]
                self._routes.clear()
        # Even if there was none: it may have been read, and be on its way.
        self._forgotten += 1
        for session in self._sessions_of(user):
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
        return self._online.latest(most, besides)

    def online_by_prefix(self, prefix: str, most: int, besides: str) -> NameList:
        """Return who is online whose name begins so, in alphabetical order."""
        return self._online.by_prefix(prefix, most, besides)

    def users(self) -> NameList:
        """Return the users, those seen last, in alphabetical order."""
        names = self._book.names()
        return NameList(names, max(0, self._store.users - len(names)))

    async def _fill_book(self) -> None:
        self._book.fill(await self._store.names_seen_last(LISTED_SEEN_LAST))

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
        return Receiver(user, self._queues, self._store.last_position)

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
