"""Who comes and goes, of those one talks to and those one has asked for.

The server is asked to watch a bounded list of names, and tells of each whether they are
online, first and at each change. A person is told of changes only, and only of those
that last: a connection that is lost and made again within seconds is none.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.client.connection import events
from chatd.client.connection.events import Hello, Presence
from chatd.wire.names import name_key

MOST_TALKED_WITH: Final = 50
"""How many of those one has talked with lately are watched."""

MOST_WATCHED: Final = 1000
"""How many are watched at a server that does not tell its limit."""

SETTLED_SECONDS: Final = 3.0
"""How long a change has to last before it is told."""

RETURN_SECONDS: Final = 30.0
"""How long others may take to be there again after one's own connection was lost.

Often it was lost because the server was stopped: everybody's was.
"""

ASKING_SECONDS: Final = 1.0
"""How long to wait, at least, before the server is asked again."""


class Watching:
    """Watches names on one connection after another.

    `send` sends a line to the server, only while there is a login; `tell` tells the
    person. Those one talks with are watched only if `talked_with_too`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[str], None],
        tell: Callable[[str], None],
        *,
        talked_with_too: bool,
    ) -> None:
        self._clock = clock
        self._send = send
        self._tell = tell
        self._talked_with_too = talked_with_too
        self._most = 0  # what the server takes; none without a login
        self._user = ""
        # Names by their keys. Those talked with are in order, the latest last.
        self._asked_for: dict[str, str] = {}
        self._focus: dict[str, str] = {}
        self._talked: dict[str, str] = {}
        self._unwanted: set[str] = set()
        # On this connection.
        self._watched: dict[str, str] = {}
        self._asking: IDelayedCall | None = None
        self._asked_at = float("-inf")
        self._online: dict[str, bool] = {}
        self._told: dict[str, bool] = {}
        self._to_tell: set[str] = set()
        self._settling: dict[str, IDelayedCall] = {}
        # Who was there when the last connection was lost.
        self._before: set[str] = set()

    # The connection.

    def connected(self, hello: Hello, user: str) -> None:
        """Begin anew: `user` is oneself, and not watched."""
        self.lost()
        self._user = name_key(user)
        if "watch" in hello.features:
            most = hello.max_watched
            self._most = MOST_WATCHED if most is None else most
        self._ask_now()

    def lost(self) -> None:
        """Forget what was told on this connection; tell nothing any more."""
        self._before |= {key for key, online in self._told.items() if online}
        self._most = 0
        self._watched = {}
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        settling, self._settling = self._settling, {}
        for each in settling.values():
            each.cancel()
        self._online.clear()
        self._told.clear()
        self._to_tell.clear()

    @property
    def possible(self) -> bool:
        """Whether the server can watch, as far as is known."""
        return bool(self._most)

    def happened(self, event: Presence) -> None:
        """Take note of who is online, and tell of a change once it has lasted."""
        key = name_key(event.user)
        if key not in self._watched:
            return  # it was told before the server knew
        self._online[key] = event.online
        first, seconds = key not in self._told, SETTLED_SECONDS
        if first:
            self._told[key] = event.online
            if key in self._to_tell:
                self._to_tell.remove(key)
                self._tell_state(event.user, event.online)
            elif key in self._before:
                self._told[key], seconds = True, RETURN_SECONDS
            self._before.discard(key)
        if event.online == self._told[key]:
            if key in self._settling:
                self._settling.pop(key).cancel()
        elif key not in self._settling:
            self._settling[key] = self._clock.callLater(
                seconds, self._settled, key, event.user
            )

    # Whom to watch.

    def talked(self, *names: str) -> None:
        """Take note that one talks with somebody now."""
        if not self._talked_with_too:
            return
        for name in names:
            key = name_key(name)
            known = key in self._talked
            self._talked.pop(key, None)
            self._talked[key] = name
            if not known:
                if len(self._talked) > MOST_TALKED_WITH:
                    del self._talked[next(iter(self._talked))]
                self._ask_soon()

    def focused(self, names: Iterable[str]) -> None:
        """Take note of whom one is talking to from now on."""
        if self._talked_with_too:
            self._focus = {name_key(name): name for name in names}
            self._ask_soon()

    def watch(self, names: Iterable[str]) -> None:
        """Watch somebody because the person has asked for it; tell how it is now."""
        for name in names:
            key = name_key(name)
            if key == self._user:
                self._tell_state(name, True)
                continue
            self._asked_for[key] = name
            self._unwanted.discard(key)
            if key in self._online:
                self._tell_state(name, self._online[key])
            else:
                self._to_tell.add(key)
        self._ask_now()

    def unwatch(self, names: Iterable[str]) -> None:
        """Watch somebody no longer, until the person asks for it."""
        for name in names:
            self._asked_for.pop(name_key(name), None)
            self._unwanted.add(name_key(name))
        self._ask_now()

    def watched(self) -> list[tuple[str, bool | None]]:
        """Return who is watched, and whether they are online; None if not known."""
        wanted = self._wanted(self._most)
        return [(name, self._online.get(key)) for key, name in wanted.items()]

    def _wanted(self, most: int) -> dict[str, str]:
        """Return the names to be watched by their keys, the most important first."""
        latest = dict(reversed(self._talked.items()))
        every = {**latest, **self._focus, **self._asked_for}
        order = [*self._asked_for, *self._focus, *latest]
        unwanted = self._unwanted - self._asked_for.keys() | {self._user}
        keys = [key for key in dict.fromkeys(order) if key not in unwanted]
        return {key: every[key] for key in keys[:most]}

    # What the server is asked.

    def _ask_soon(self) -> None:
        if self._most and self._asking is None:
            earliest = self._asked_at + ASKING_SECONDS
            pause = max(0.0, earliest - self._clock.seconds())
            self._asking = self._clock.callLater(pause, self._ask)

    def _ask_now(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        if self._most:
            self._ask()

    def _ask(self) -> None:
        self._asking = None
        wanted = self._wanted(self._most)
        if wanted.keys() != self._watched.keys():
            self._asked_at = self._clock.seconds()
            self._watched = wanted
            self._forget_others(wanted)
            self._send(events.watch(list(wanted.values())))

    def _forget_others(self, wanted: dict[str, str]) -> None:
        for key in self._told.keys() - wanted.keys():
            del self._told[key], self._online[key]
            self._to_tell.discard(key)
            if key in self._settling:
                self._settling.pop(key).cancel()

    def _settled(self, key: str, name: str) -> None:
        del self._settling[key]
        online = self._told[key] = self._online[key]
        self._tell(f"{name} is here." if online else f"{name} has left.")

    def _tell_state(self, name: str, online: bool) -> None:
        self._tell(f"{name} is here." if online else f"{name} is not here.")


def watch_list(watched: Sequence[tuple[str, bool | None]]) -> str:
    """Return the line that says who is watched."""
    states = {None: "", True: " (here)", False: " (away)"}
    names = [f"{name}{states[online]}" for name, online in watched]
    return f"Watched => {', '.join(names) or '(nobody)'}"
