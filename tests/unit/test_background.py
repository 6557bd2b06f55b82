"""Work that nobody waits for."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd import background


class Log(Logger):
    """Keeps what failed, and why."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.failures: list[tuple[str, BaseException]] = []

    def failure(
        self, format: str, failure: Failure | None = None, **fields: object
    ) -> None:
        self.failures.append((format, (failure or Failure()).value))


@pytest.fixture
def log() -> Log:
    return Log()


def test_work_that_need_not_wait_is_done_at_once(log: Log) -> None:
    done = []

    async def work() -> None:
        done.append(await succeed(1))
        done.append(await succeed(2))

    background.start(work(), log, "The work failed")

    assert done == [1, 2]
    assert log.failures == []


def test_work_goes_on_with_the_result_of_each_deferred(log: Log) -> None:
    first: Deferred[str] = Deferred()
    second: Deferred[str] = Deferred()
    done = []

    async def work() -> None:
        done.append(await first)
        done.append(await second)

    background.start(work(), log, "The work failed")
    assert done == []
    first.callback("one")
    assert done == ["one"]
    second.callback("two")
    assert done == ["one", "two"]
    assert log.failures == []


def test_what_a_deferred_fails_with_is_raised_where_it_is_awaited(log: Log) -> None:
    awaited: Deferred[None] = Deferred()
    caught = []

    async def work() -> None:
        for each in (awaited, fail(LookupError("later"))):
            try:
                await each
            except LookupError as error:
                caught.append(str(error))

    background.start(work(), log, "The work failed")
    awaited.errback(LookupError("first"))

    assert caught == ["first", "later"]
    assert log.failures == []


@pytest.mark.parametrize("waits", [False, True])
def test_a_failure_is_logged(log: Log, waits: bool) -> None:
    awaited: Deferred[None] = Deferred()
    error = ValueError("wrong")

    async def work() -> None:
        if waits:
            await awaited
        raise error

    background.start(work(), log, "The work failed")
    awaited.callback(None)

    assert log.failures == [("The work failed", error)]
    assert awaited.result is None


def test_what_a_deferred_failed_with_is_logged_once(log: Log) -> None:
    awaited: Deferred[None] = Deferred()
    error = ValueError("wrong")

    async def work() -> None:
        await awaited

    background.start(work(), log, "The work failed")
    awaited.errback(error)

    assert log.failures == [("The work failed", error)]
    assert awaited.result is None
