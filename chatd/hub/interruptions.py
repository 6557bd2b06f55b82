"""Interruptions: what keeps messages in order when one of them fails.

After a temporary error of a message, those that the sender has already sent after it
to the same target are refused. Else they would arrive before the failed one, when that
is sent again.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from chatd.hub.receiver import Receiver
from chatd.wire.answers import Refusal

FORGET_SECONDS: Final = 10.0
"""How long after its last refusal a sender with ids is taken for one who gave up."""


class Target(Protocol):
    """A receiver, or the name of one."""

    @property
    def key(self) -> str:
        """What tells its name from others."""


@dataclass(slots=True)
class _Interruption:
    """`first` is the id of what failed first, `refused` when something did last."""

    first: str | None
    position: int
    refused: float


class Interruptions:
    """The targets to which one connection's messages are refused."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.targets: dict[str, _Interruption] = {}
        self._stopped: float | None = None

    def came(self, target: Target, message_id: str) -> None:
        """Take note of a message, whatever is known of it.

        The one that failed first, sent again, ends the interruption.
        """
        interruption = self.targets.get(target.key)
        if interruption is not None and interruption.first == message_id:
            del self.targets[target.key]

    def check(self, target: Receiver, *, all_answered: bool) -> None:
        """See that a message would be in order. Raises `Refusal`: out-of-order.

        Time ends an interruption too, but only once all was answered, and without the
        time in which the clock stood: who does not know yet that a message failed has
        not given up.
        """
        interruption = self.targets.get(target.key)
        if interruption is None:
            return
        now = self._clock.seconds()
        quiet = (now if self._stopped is None else self._stopped) - interruption.refused
        if all_answered and quiet >= FORGET_SECONDS:
            del self.targets[target.key]
            return
        interruption.refused = now
        raise Refusal("out-of-order", name=target.name)

    def begin(self, target: Target, message_id: str | None, position: int) -> None:
        """Take note that a message failed for a time.

        One that is refused as it comes may fail before those that were accepted
        earlier: `position` tells which of them is the first.
        """
        interruption = self.targets.get(target.key)
        now = self._clock.seconds()
        if interruption is None or position < interruption.position:
            self.targets[target.key] = _Interruption(message_id, position, now)
        else:
            interruption.refused = now

    def answered(self) -> None:
        """Take note that the sender is told of all that failed only now."""
        now = self._clock.seconds()
        for interruption in self.targets.values():
            interruption.refused = now

    def sender_is_told(self, told: bool) -> None:
        """Count time towards its giving up only while it is told of everything."""
        if not told and self._stopped is None:
            self._stopped = self._clock.seconds()
        if not told or self._stopped is None:
            return
        now = self._clock.seconds()
        stood, self._stopped = now - self._stopped, None
        for interruption in self.targets.values():
            interruption.refused = min(interruption.refused + stood, now)

    def forgive(self) -> None:
        """Take messages again that come without ids: those under way were refused."""
        for key, interruption in list(self.targets.items()):
            if interruption.first is None:
                del self.targets[key]
