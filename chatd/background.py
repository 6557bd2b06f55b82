"""Work that nobody waits for: a coroutine is started, and its failure is logged."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger


def start(work: Coroutine[Any, Any, None], log: Logger, failed: str) -> None:
    """Run a coroutine until its first wait, and the rest as its Deferreds fire.

    `failed` is logged, with the failure, if it raises.
    """
    running = Deferred.fromCoroutine(work)
    _ = running.addErrback(lambda failure: log.failure(failed, failure=failure))
