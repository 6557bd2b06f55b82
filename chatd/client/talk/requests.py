"""What the server is asked that is no message: lists, and the like."""

from collections.abc import Callable
from typing import Protocol

from chatd.wire.answers import Refusal


class Life(Protocol):
    """What is known of the login: `chatd.client.talk.lifetime.Lifetime`."""

    @property
    def online(self) -> bool:
        """Whether there is one."""

    @property
    def been_online(self) -> bool:
        """Whether there was one."""


class Requests:
    """Requests; those made before the first login wait for it."""

    def __init__(self, life: Life, send: Callable[[str], None]) -> None:
        self._life = life
        self._send = send
        self._waiting: list[str] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, request: str) -> None:
        """Send a request now, or at the first login; refuse it in between."""
        if self._life.online:
            self._send(request)
        elif self._life.been_online:
            raise Refusal("not-logged-in")
        else:
            self._waiting.append(request)

    def connected(self) -> None:
        """Send what has waited."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._send(each)
