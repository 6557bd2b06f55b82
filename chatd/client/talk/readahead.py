"""How far a front end that reads faster than anybody types should read ahead."""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed

ROOM: Final = 256
"""How many messages may await answers before front ends should read no further."""


class ReadAhead:
    """Lets front ends read on while there is room, which the core knows."""

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self._has_room = has_room
        self._waiting: list[Deferred[None]] = []

    def when_room(self) -> Deferred[None]:
        """Fire when another line should be entered, perhaps at once."""
        if self._has_room():
            return succeed(None)
        room: Deferred[None] = Deferred()
        self._waiting.append(room)
        return room

    def offer(self) -> None:
        """Let those who wait go on, as long as there is room."""
        while self._waiting and self._has_room():
            self._waiting.pop(0).callback(None)
