"""Presence: who is told that a user comes or goes.

A connection *watches* users: it has named them, and is told of each whether they are
online, first and whenever that changes. Nobody else is told anything, so a login costs
one look into a dictionary, and what it leaves to the end of the turn is a step for each
who watches that name.

What is told is the state, not each change: what changes twice before it is told is told
as it is then, or not at all. So all that is kept for a watcher who does not read is
which names may have changed; their states are looked up when there is room to write.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chatd.hub.online import Online
from chatd.store.records import StoreFailure, User
from chatd.turn import Turn
from chatd.wire.answers import Refusal
from chatd.wire.names import Name

MOST_WATCHED: Final = 500_000
"""How many names all connections together may watch; some 400 bytes each, or 1,450.

A user may have no more of them than are left over, so that others have some.
"""

TOLD_A_TURN: Final = 100
"""How many watchers are told of a change before others have their turn."""

WRITTEN_AT_ONCE: Final = 100
"""How many states are written before it is looked whether there is room for more."""

NOTHING: Final[dict[str, bool | None]] = {}
NO_NAMES: Final[dict[str, None]] = {}
"""The same for all who watch nobody, and to whom all is told."""


class Audience(Protocol):
    """The connection of a watcher."""

    @property
    def congested(self) -> bool:
        """Whether so much is written and not sent that more has to wait."""

    def present(self, states: Sequence[tuple[str, bool]]) -> None:
        """Write of each of these users whether they are online."""

    def call_when_drained(self, call: Callable[[], object]) -> None:
        """Call back when all that was written is sent, or the connection is lost."""


class _Watched:
    """A name that somebody watches: as it is shown, and by whom, the first first."""

    __slots__ = ("shown", "watchers")

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.watchers: dict[Watcher, None] = {}


class Watchers:
    """All who watch somebody, by whom they watch."""

    _log = Logger()

    def __init__(
        self,
        online: Online,
        find_user: Callable[[str], Awaitable[User | None]],
        clock: IReactorTime,
        turn: Turn,
    ) -> None:
        self._online = online
        self._find_user = find_user
        self._clock = clock
        self._turn = turn
        self._watched: dict[str, _Watched] = {}
        self._count = 0
        self._count_by_user: dict[str, int] = {}
        # Who may have to be told: first of the name being told, then of the others.
        self._telling = ""
        self._to_tell: list[Watcher] = []
        self._changed: dict[str, None] = {}
        self._due = False

    async def shown(self, names: Sequence[Name]) -> dict[str, str]:
        """Return each name by its key, once: as it is shown, or as given.

        The latter if nobody has it, or the store cannot be asked.
        """
        found: dict[str, str] = {}
        looked_up: list[tuple[str, Awaitable[User | None]]] = []
        for name in names:
            if name.key in found:
                continue
            shown = self._online.shown(name.key)
            if shown is None:
                looked_up.append((name.key, self._find_user(name.key)))
            found[name.key] = shown or name.shown
        failed = False
        for key, looking in looked_up:
            try:
                user = await looking
            except StoreFailure:
                if not failed:
                    self._log.failure("Names that are watched cannot be looked up")
                failed = True
            else:
                found[key] = found[key] if user is None else user.name
        return found

    def changed(self, key: str, shown: str) -> None:
        """Take note that a user came or went."""
        watched = self._watched.get(key)
        if watched is None:
            return
        watched.shown = shown
        self._changed[key] = None
        if not self._due:
            self._due = True
            self._turn.at_end(self._tell)

    def stop(self) -> None:
        """Tell nobody of anybody: all will go now."""
        self._watched.clear()

    def _tell(self) -> None:
        for _ in range(TOLD_A_TURN):
            while not self._to_tell:
                if not self._changed:
                    self._due = False
                    return
                self._telling = next(iter(self._changed))
                del self._changed[self._telling]
                watched = self._watched.get(self._telling)
                if watched is not None:
                    self._to_tell = list(reversed(watched.watchers))
            watcher = self._to_tell.pop()
            try:
                watcher.look(self._telling)
            except Exception:  # the next one is somebody else
                self._log.failure("A watcher could not be told who is online")
        self._clock.callLater(0, self._tell)

    # What a watcher calls.

    def state(self, key: str) -> tuple[str, bool]:
        """Return a watched name as it is shown, and whether the user is online."""
        shown = self._online.shown(key)
        if shown is not None:
            return shown, True
        watched = self._watched.get(key)
        return (key if watched is None else watched.shown), False

    def make_room(self, user: str, before: int, after: int) -> None:
        """Count that a connection of a user watches so many instead of so many.

        Raises `Refusal`: too-many-watched.
        """
        of_user = self._count_by_user.get(user, 0) + after - before
        of_all = self._count + after - before
        if after > before and of_user > MOST_WATCHED - of_all:
            raise Refusal("too-many-watched", limit=MOST_WATCHED)
        self._count = of_all
        if of_user:
            self._count_by_user[user] = of_user
        else:
            self._count_by_user.pop(user, None)

    def add(self, watcher: "Watcher", key: str, shown: str) -> None:
        """Have somebody told of a user from now on."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched(shown)
        watched.shown = shown
        watched.watchers[watcher] = None

    def remove(self, watcher: "Watcher", key: str) -> None:
        """Have somebody told of a user no more."""
        watched = self._watched.get(key)
        if watched is not None:
            watched.watchers.pop(watcher, None)
            if not watched.watchers:
                del self._watched[key]


class Watcher:
    """What one connection watches; `user` is the key of its user's name."""

    __slots__ = ("_audience", "_told", "_untold", "_user", "_waiting", "_watchers")

    def __init__(self, watchers: Watchers, audience: Audience, user: str) -> None:
        self._watchers = watchers
        self._audience = audience
        self._user = user
        # What it was told of each; None before the first time.
        self._told = NOTHING
        # Of whom there may be something to tell; it was told all of the others.
        self._untold = NO_NAMES
        self._waiting = False

    def watch(self, names: Mapping[str, str]) -> None:
        """Watch these from now on, and no others; tell of each what is now.

        They are as shown, by their keys. Raises `Refusal`: too-many-watched; then
        nothing has changed.
        """
        watchers, told = self._watchers, self._told
        watchers.make_room(self._user, len(told), len(names))
        for key in told:
            if key not in names:
                watchers.remove(self, key)
        for key, shown in names.items():
            watchers.add(self, key, shown)
        self._told = dict.fromkeys(names) or NOTHING
        self._untold = dict.fromkeys(names) or NO_NAMES
        self._tell()

    def end(self) -> None:
        """Watch nobody any more."""
        self.watch({})

    def look(self, key: str) -> None:
        """Tell of a user, if that is news."""
        if key not in self._told:
            return
        if self._untold is NO_NAMES:
            self._untold = {}
        self._untold[key] = None
        self._tell()

    def _tell(self) -> None:
        while self._untold and not self._waiting:
            if self._audience.congested:
                self._waiting = True
                self._audience.call_when_drained(self._drained)
                return
            states = []
            for key in list(islice(self._untold, WRITTEN_AT_ONCE)):
                del self._untold[key]
                state = self._watchers.state(key)
                if self._told[key] != state[1]:
                    self._told[key] = state[1]
                    states.append(state)
            if states:
                self._audience.present(states)
        if not self._untold:
            self._untold = NO_NAMES

    def _drained(self) -> None:
        self._waiting = False
        self._tell()
