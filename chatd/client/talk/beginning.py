"""What earlier runs have left: it is shown, and sent, at the beginning."""

import sqlite3
from typing import Final

from twisted.python.failure import Failure

from chatd.client.talk.keeping import Keeping
from chatd.client.talk.neighbours import Keeper
from chatd.client.talk.people import People
from chatd.client.talk.reception import Reception
from chatd.client.talk.sending import Sending

MOST_CORRESPONDENTS: Final = 1000
"""With how many people one has talked last is known from the history."""


async def begin(
    history: Keeper,
    reception: Reception,
    sending: Sending,
    people: People,
    keeping: Keeping,
) -> bool:
    """Take up what is in the history; return whether it is there, and empty."""
    try:
        names = await history.correspondents(MOST_CORRESPONDENTS)
        people.talked_before(names)
        await reception.load()
        await sending.load()
    except sqlite3.Error:
        keeping.fail(Failure())
        return False
    return not names
