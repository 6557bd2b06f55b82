"""Work that nobody waits for: a coroutine is started, and its failure is logged."""

from collections.abc import Coroutine
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure


def start(work: Coroutine[Any, Any, None], log: Logger, failed: str) -> None:
    """Run a coroutine until its first wait, and the rest as its Deferreds fire.

    `failed` is logged, with the failure, if it raises. Work that need not wait, as most
    need not, costs less than with `Deferred.fromCoroutine`.
    """
    _go_on(None, work, log, failed)


def _go_on(
    result: object, work: Coroutine[Any, Any, None], log: Logger, failed: str
) -> None:
    try:
        if isinstance(result, Failure):
            awaited = result.throwExceptionIntoGenerator(work)
        else:
            # The Deferred itself gives its result to whoever awaits it.
            awaited = work.send(None)
    except StopIteration:
        return
    except Exception:
        log.failure(failed)
        return
    awaited.addBoth(_go_on, work, log, failed)
