"""The people one talks with: who is known, to whom lines go, whose messages are unread.

An incoming message never changes to whom a half-typed line goes: which names count as
known for it is settled when it is begun. On a terminal that is its first key, elsewhere
when the line before was taken.
"""

from collections.abc import Callable, Sequence
from typing import Final

from chatd.client.talk.destination import Impossible, destination, mistyped, route
from chatd.client.talk.names import Names
from chatd.client.talk.unread import Unread
from chatd.client.talk.watching import Watching
from chatd.wire import text
from chatd.wire.names import Name

MOST_COMPARED: Final = 500
"""With how many names, those one talked with last, an unknown one is compared."""


class People:
    """Who is known, in focus, unread and watched.

    `interactive` says that somebody sits there. In a pipe a line goes elsewhere than to
    the focus only if it names who is in it: what is sent must not depend on who was
    known in that moment. `changed` is called when the focus or what is unread changes.
    """

    def __init__(
        self, watching: Watching, changed: Callable[[], None], *, interactive: bool
    ) -> None:
        self.names = Names()
        self.watching = watching
        self.focus: tuple[Name, ...] = ()
        self._changed = changed
        self._unread = Unread()
        self._interactive = interactive
        # How many names had been learned when the line that is typed was begun.
        self._learned = 0
        self._begun = False

    # To whom a line goes.

    def route(self, typed: str, max_message: int) -> text.Send | text.Command | None:
        """Return what an entered line means.

        Raises `Refusal` as `route` does, and `Impossible` for a name that is probably
        a mistake, where the text would go to somebody else for it.
        """
        if self._interactive:
            found = mistyped(
                typed,
                self.focus,
                self._is_known,
                self.names.talked_with(MOST_COMPARED, self._learned),
            )
            if found is not None:
                wrong, meant = found
                raise Impossible(
                    f"Nobody known is called {wrong!r}: is"
                    f" {self.names.spelling(meant)} meant? Nothing was sent. A space"
                    f" before it sends all of it to {self.focused}."
                )
        return route(typed, self.focus, self._is_known, max_message)

    def destination(self, typed: str) -> str:
        """Return to whom it would go, as one reads it; nothing for nobody."""
        targets = destination(typed, self.focus, self._is_known)
        return ", ".join(self.names.spelling(each.shown) for each in targets)

    def typing(self, typed: str) -> None:
        """Take note of what is half typed."""
        if not typed:
            self._begun = False
        elif not self._begun:
            self._begun = True
            self._learned = self.names.learned
        if typed:
            self.read(*self._focused)

    def entered(self, typed: str) -> None:
        """Take note that a line was entered, after it was obeyed."""
        self._begun = False
        self._learned = self.names.learned
        if not typed and self._unread.read_all():
            self._changed()

    def turn_to(self, targets: Sequence[Name]) -> None:
        """Let lines go to them from now on; to nobody, if there are none."""
        self.focus = tuple(targets)
        self._unread.read(*self._focused)
        self.watching.focused(self._focused)
        self._changed()

    @property
    def focused(self) -> str:
        """Those in focus as one reads it; nothing for nobody."""
        return ", ".join(map(self.names.spelling, self._focused))

    @property
    def _focused(self) -> list[str]:
        return [each.shown for each in self.focus]

    def _is_known(self, key: str) -> bool:
        return self._interactive and self.names.was_known(key, self._learned)

    # What is said.

    def wrote(self, target: str) -> None:
        """Take note of a message to somebody, who may not exist."""
        self.read(target)
        if self.names.is_known(target):
            self._talked(target)

    def accepted(self, target: str) -> None:
        """Take note that somebody exists, in the server's spelling."""
        self.names.remember(target)
        if not self.names.has_talked(target):
            self._talked(target)

    def heard_from(self, sender: str, *, own: bool) -> None:
        """Take note of a message; of one's `own` it is never unread."""
        self._talked(sender)
        if self._interactive and not own:
            self._unread.arrived(sender)
            self._changed()

    def read(self, *names: str) -> None:
        """Take note that one has turned to somebody."""
        if self._unread.read(*names):
            self._changed()

    def unread(self) -> list[tuple[str, int]]:
        """Return whose messages are unread and how many, the latest first."""
        return self._unread.counts()

    def talked_before(self, names: Sequence[str]) -> None:
        """Take note of whom one talked with in earlier runs, the latest first."""
        for name in reversed(names):
            self._talked(name)

    def _talked(self, name: str) -> None:
        self.names.talked(name)
        self.watching.talked(name)
