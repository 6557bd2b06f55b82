"""Answers in the order of the requests, however late each is known.

A late answer, one that waits for the disk, holds back the answers after it; messages
from others are not answers, and pass.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred


class Slot:
    """The place of one answer; resolved exactly once, perhaps with nothing."""

    __slots__ = ("_answers", "begun", "lines")

    def __init__(self, answers: "Answers") -> None:
        self._answers = answers
        self.lines: Sequence[str] | None = None
        self.begun: Sequence[str] = ()
        """What of the answer is known, and not written yet, before it is resolved."""

    def begin(self, lines: Sequence[str]) -> None:
        """Give a part of the answer, behind those given before; more will come."""
        self.begun = [*self.begun, *lines]
        self._answers.known(lines)

    def resolve(self, *lines: str) -> None:
        """Give the answer; further calls do nothing."""
        if self.lines is None:
            self.lines = [*self.begun, *lines] if self.begun else lines
            self.begun = ()
            self._answers.known(lines)


class Answers:
    """Writes the answers of one connection, in order.

    `on_held` is told how many characters of answers are known and wait behind a late
    one, whenever that grows; all of them are written in the end.
    """

    __slots__ = (
        "_asked",
        "_given",
        "_held",
        "_on_held",
        "_slots",
        "_waiting",
        "_write",
    )

    def __init__(
        self,
        write: Callable[[list[str]], None],
        on_held: Callable[[int], None] = lambda held: None,
    ) -> None:
        self._write = write
        self._on_held = on_held
        self._held = 0
        self._slots: deque[Slot] | None = None
        self._asked = 0
        self._given = 0
        self._waiting: Sequence[tuple[int, Deferred[None]]] = ()

    def slot(self) -> Slot:
        """Keep a place for an answer after all those asked for so far."""
        slot = Slot(self)
        if self._slots is None:
            self._slots = deque()
        self._slots.append(slot)
        self._asked += 1
        return slot

    def say(self, *lines: str) -> None:
        """Answer at once, after all those that are still awaited."""
        if self._slots:
            self.slot().resolve(*lines)
        else:
            self._write(list(lines))

    def close(self) -> None:
        """Write nothing any more, whatever becomes known."""
        self._write = self._on_held = _ignore

    async def all_given(self) -> None:
        """Return when every answer asked for so far is written."""
        if self._slots:
            done: Deferred[None] = Deferred()
            self._waiting = [*self._waiting, (self._asked, done)]
            await done

    def known(self, lines: Sequence[str]) -> None:
        """Write the answers that are known and that nothing holds back."""
        self._held += sum(map(len, lines))
        self._advance()
        if self._held and lines:
            self._on_held(self._held)

    def _advance(self) -> None:
        ready: list[str] = []
        while self._slots and self._slots[0].lines is not None:
            ready.extend(self._slots.popleft().lines or ())
            self._given += 1
        if not self._slots:
            # Most connections have none on most of their days.
            self._slots = None
        elif self._slots[0].begun:
            ready.extend(self._slots[0].begun)
            self._slots[0].begun = ()
        if ready:
            self._held -= sum(map(len, ready))
            self._write(ready)
        while self._waiting and self._waiting[0][0] <= self._given:
            (_, given), *self._waiting = self._waiting
            given.callback(None)


def encoded(lines: Iterable[str]) -> bytes:
    """Return lines as they go over the wire."""
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _ignore(_: object) -> None:
    """Nobody is there."""
