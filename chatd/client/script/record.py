"""What is kept of messages that scripts send, and known of those sent before."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from chatd.client.history.batches import Batches
from chatd.client.history.rows import Kept
from chatd.client.history.shared import SharedHistory
from chatd.client.talk import outbox
from chatd.wire.message import Message


class Earlier(Protocol):
    """What a history has of an id: to whom, what, and what became of it."""

    @property
    def receiver(self) -> str:
        """The name as the server shows it."""

    @property
    def text(self) -> str:
        """What was sent."""

    @property
    def status(self) -> str:
        """``waiting``, ``stored``, ``delivered`` or ``refused``."""


class Record(outbox.Keeper, Protocol):
    """What is kept of messages that are sent.

    Where a delivery is waited for, `accepted` comes again for it.
    """

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept."""


LookUp = Callable[[Sequence[Message]], Deferred[Sequence[Earlier | None]]]
"""Returns for each message what was sent before under its id, to its target."""


class SharedRecord:
    """A history that is used and not owned (`Record`); nothing here waits for it.

    One thread reads and writes. What is to be kept while it writes is kept together in
    the next transaction. All methods are called in the reactor's thread, and the
    Deferreds fire there; they fail with `HistoryError`, and `AnotherText`.
    """

    def __init__(self, shared: SharedHistory, reactor: Any) -> None:
        self._shared = shared
        self._reactor = reactor
        self._threads = ThreadPool(0, 1, "history")
        self._threads.start()
        self._changes = Batches(self._write)

    def earlier(
        self, messages: Sequence[Message]
    ) -> Deferred[Sequence[Earlier | None]]:
        """Return for each message what was sent under its id to its target."""

        def find() -> list[Kept | None]:
            find = self._shared.earlier
            return [find(each.sender, each.id, each.target) for each in messages]

        return deferToThreadPool(self._reactor, self._threads, find)

    def queue(self, message: Message) -> Deferred[bool]:
        """Keep nothing: what is not accepted is not sent later; True."""
        return succeed(True)

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        """Keep that the server has accepted a message, or delivered it since; True.

        `sender` and `receiver` are the names as the server shows them.
        """
        sent = replace(message, sender=sender, target=receiver)
        return self._changes.add((sent, status))

    def refused(self, message: Message) -> Deferred[bool]:
        """Keep nothing; True."""
        return succeed(True)

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be kept is kept, and said to be."""
        return self._changes.settled()

    def close(self) -> None:
        """End the thread; blocks until what is under way is done."""
        self._threads.stop()

    def _write(self, changes: Sequence[tuple[Message, str]]) -> Deferred[list[bool]]:
        def write() -> list[bool]:
            for status, together in groupby(changes, lambda change: change[1]):
                self._shared.append([message for message, _ in together], status)
            return [True] * len(changes)

        return deferToThreadPool(self._reactor, self._threads, write)


class NoRecord:
    """Keeps nothing: the record where there is no history."""

    def queue(self, message: Message) -> Deferred[bool]:
        """Keep nothing; True."""
        return succeed(True)

    def accepted(
        self, message: Message, sender: str, receiver: str, status: str
    ) -> Deferred[bool]:
        """Keep nothing; True."""
        return succeed(True)

    def refused(self, message: Message) -> Deferred[bool]:
        """Keep nothing; True."""
        return succeed(True)

    def settled(self) -> Deferred[None]:
        """Fire."""
        return succeed(None)
