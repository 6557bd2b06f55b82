"""Whether what is sent and received is kept: a history may fail, the talk goes on."""

from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client.talk.output import Output

_NOT_KEPT: Final = "messages are sent and shown, and not kept."


class Keeping:
    """Watches over what is being kept; `failed` once something could not be."""

    _log = Logger()

    def __init__(self, output: Output) -> None:
        self.failed = False
        self._output = output

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept."""
        self.watch(keeping.addCallbacks(lambda _: None, self.fail))

    def watch(self, work: Deferred[None]) -> None:
        """Log it if something fails that has no reason to."""
        _ = work.addErrback(
            lambda failure: self._log.failure("A history", failure=failure)
        )

    def fail(self, failure: Failure) -> None:
        """Say, once, that nothing is kept; messages are sent and shown all the same."""
        if not self.failed:
            self.failed = True
            why = failure.getErrorMessage()
            self._output.error(f"The history cannot be written ({why}): {_NOT_KEPT}")
