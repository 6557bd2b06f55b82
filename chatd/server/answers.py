"""Answers in the order of the requests, however late each is known.

A late answer, one that waits for the disk, holds back the answers after it; messages
from others are not answers, and pass.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred


class Slot:
    """The place of one answer; resolved exactly once, perhaps with nothing."""

    __slots__ = ("_answers", "awaited", "begun", "lines")

    def __init__(self, answers: "Answers") -> None:
        self._answers = answers
        self.lines: Sequence[str] | None = None
        self.awaited: Sequence[Deferred[None]] = ()
        """Who waits until this answer, and so all before it, is written."""
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


class Writer(Protocol):
    """Who writes what is to be answered."""

    def write_answers(self, lines: list[str]) -> None:
        """Write answers."""

    def answers_held(self, held: int) -> None:
        """Take note how many characters of answers wait behind a late one.

        Told whenever that grows; all of them are written in the end.
        """


class Answers:
    """Gives the answers of one connection to its writer, in order."""

    __slots__ = ("_held", "_slots", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer: Writer | None = writer
        self._held = 0
        self._slots: deque[Slot] | None = None

    def slot(self) -> Slot:
        """Keep a place for an answer after all those asked for so far."""
        slot = Slot(self)
        if self._slots is None:
            self._slots = deque()
        self._slots.append(slot)
        return slot

    def say(self, *lines: str) -> None:
        """Answer at once, after all those that are still awaited."""
        if self._slots:
            self.slot().resolve(*lines)
        else:
            self._write(list(lines))

    def _write(self, lines: list[str]) -> None:
        if self._writer is not None:
            self._writer.write_answers(lines)

    def close(self) -> None:
        """Write nothing any more, whatever becomes known."""
        self._writer = None

    async def all_given(self) -> None:
        """Return when every answer asked for so far is written."""
        if self._slots:
            done: Deferred[None] = Deferred()
            last = self._slots[-1]
            last.awaited = [*last.awaited, done]
            await done

    def known(self, lines: Sequence[str]) -> None:
        """Write the answers that are known and that nothing holds back."""
        self._held += sum(map(len, lines))
        self._advance()
        if self._held and lines and self._writer is not None:
            self._writer.answers_held(self._held)

    def _advance(self) -> None:
        ready: list[str] = []
        awaited: list[Deferred[None]] = []
        while self._slots and self._slots[0].lines is not None:
            slot = self._slots.popleft()
            ready.extend(slot.lines or ())
            awaited.extend(slot.awaited)
        if not self._slots:
            # Most connections have none on most of their days.
            self._slots = None
        elif self._slots[0].begun:
            ready.extend(self._slots[0].begun)
            self._slots[0].begun = ()
        if ready:
            self._held -= sum(map(len, ready))
            self._write(ready)
        for given in awaited:
            given.callback(None)


def encoded(lines: Iterable[str]) -> bytes:
    """Return lines as they go over the wire."""
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")
