"""Changes gathered into batches: what comes while one is written forms the next."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

C = TypeVar("C")


class Batches(Generic[C]):
    """Has changes written together, so that a burst of them costs a few commits.

    `write` writes some of them, and fires with the result of each; if it fails, all of
    them have failed. It is called for one batch at a time. All this is done in the
    reactor's thread, and the Deferreds fire there, in the order of the calls.
    """

    def __init__(self, write: Callable[[Sequence[C]], Deferred[list[Any]]]) -> None:
        self.written = 0
        """How many batches there were."""
        self._write = write
        self._next: list[tuple[C, Deferred[Any]]] = []
        self._writing = False
        self._waiting: list[Deferred[None]] = []

    def add(self, change: C) -> Deferred[Any]:
        """Have a change written; fires with its result."""
        done: Deferred[Any] = Deferred()
        self._next.append((change, done))
        self._go_on()
        return done

    def settled(self) -> Deferred[None]:
        """Fire when all that was to be written is written, and said to be."""
        done: Deferred[None] = Deferred()
        if self._writing:
            self._waiting.append(done)
        else:
            done.callback(None)
        return done

    def _go_on(self) -> None:
        if self._writing:
            return
        if not self._next:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
            return
        self._writing = True
        self.written += 1
        batch, self._next = self._next, []

        def succeeded(results: list[Any]) -> None:
            for (_, done), result in zip(batch, results, strict=True):
                done.callback(result)

        def failed(failure: Failure) -> None:
            for _, done in batch:
                done.errback(failure)

        def over(result: object) -> None:
            self._writing = False
            self._go_on()

        outcome = self._write([change for change, _ in batch])
        _ = outcome.addCallbacks(succeeded, failed).addBoth(over)
