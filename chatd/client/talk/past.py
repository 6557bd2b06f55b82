"""What was said before a run, as far as a front end shows it at the start."""

import sqlite3
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from chatd.client.frontends.frontend import FrontEnd, State
from chatd.client.history.rows import Kept
from chatd.client.history.search import Wanted
from chatd.wire.message import Message

_STATES: Final = {state.value: state for state in State}


class Keeper(Protocol):
    """What this needs of a history: `chatd.client.history.history.History` has it."""

    def recent(self, wanted: Wanted, last: int) -> Deferred[list[Kept]]:
        """Return the last messages, the earliest of them first."""

    def not_shown(self) -> Deferred[list[Message]]:
        """Return what was kept, and perhaps not shown."""


async def recall(keeper: Keeper, front_end: FrontEnd, server: str, count: int) -> None:
    """Show the last messages of a server, so many at most, before anything else.

    What is shown for the first time, or is still to be sent, is not among them: it
    follows. Whatever was queued is new since the last message there was.
    """
    try:
        unseen = {each.position for each in await keeper.not_shown()}
        found = await keeper.recent(Wanted(server), last=max(count, 1) + len(unseen))
    except sqlite3.Error:
        return  # who needs the history says so
    read = [
        each
        for each in found
        if each.position not in unseen and each.status != State.WAITING.value
    ]
    for each in read[-count:] if count else []:
        state = None
        if each.direction == "sent":
            state = _STATES.get(each.status, State.STORED)
        front_end.remembered(_message(each), state)
    if read:
        front_end.away(read[-1].time or None)


def _message(kept: Kept) -> Message:
    return Message(
        kept.position, kept.id, kept.sender, kept.receiver, kept.text, kept.time, 0
    )
