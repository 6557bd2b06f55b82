"""What is sent, and what the server says of it."""

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from chatd.client.connection.events import Accepted, Refused
from chatd.client.frontends.frontend import FrontEnd, State
from chatd.client.talk.arrivals import Arrivals
from chatd.client.talk.outbox import Outbox, counted, key_of
from chatd.client.talk.output import Output
from chatd.client.talk.people import People
from chatd.client.talk.receipts import Receipts
from chatd.wire.message import Message
from chatd.wire.names import name_key


class Keeper(Protocol):
    """What is needed of a history: `chatd.client.history.history.History` has it."""

    def waiting(self) -> Deferred[list[Message]]:
        """Return what an earlier run has kept and not sent."""

    def delivered(self, sender: str, message_id: str, receiver: str) -> Deferred[bool]:
        """Keep that a message sent was delivered."""


class Owner(Protocol):
    """Who sends."""

    @property
    def user(self) -> str:
        """The sender, as the server shows it."""

    @property
    def online(self) -> bool:
        """Whether there is a login."""

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept, which may fail."""


class Sending:
    """Puts messages into the outbox, and shows what becomes of them.

    Where somebody sits and the front end does not draw that, in lines.
    """

    def __init__(
        self,
        outbox: Outbox,
        keeper: Keeper,
        arrivals: Arrivals,
        receipts: Receipts,
        people: People,
        output: Output,
        front_end: FrontEnd,
        owner: Owner,
        *,
        interactive: bool,
    ) -> None:
        self._outbox = outbox
        self._keeper = keeper
        self._arrivals = arrivals
        self._receipts = receipts
        self._people = people
        self._output = output
        self._front_end = front_end
        self._owner = owner
        self._interactive = interactive

    async def load(self) -> None:
        """Take what an earlier run has kept; before anything is sent.

        What other programs leave later is taken then. Fails with `sqlite3.Error`.
        """
        kept = await self._keeper.waiting()
        if waiting := self._take(kept):
            self._output.notice(f"{counted(waiting)} kept from before will be sent.")
        self._arrivals.start(self._arrived)

    def _arrived(self, messages: Sequence[Message]) -> None:
        if waiting := self._take(messages):
            self._output.notice(
                f"{counted(waiting)} left in the outbox by another program will be"
                " sent."
            )

    def _take(self, messages: Sequence[Message]) -> int:
        """Send messages that are kept; return how many.

        What another user of this history has left waits for them.
        """
        own = name_key(self._owner.user)
        waiting = [each for each in messages if name_key(each.sender) == own]
        waiting = self._outbox.load(waiting)
        for message in waiting:
            self._output.sent(key_of(message.id, message.target), message)
        return len(waiting)

    def send(self, messages: Sequence[Message], number: int) -> None:
        """Keep messages, and send them as soon as there is a connection."""
        for message in messages:
            self._people.wrote(message.target)
            self._output.sent(key_of(message.id, message.target), message)
        self._outbox.put(messages, number)
        if self._tells and not self._owner.online:
            targets = ", ".join(each.target for each in messages)
            self._output.answer(
                f"Not connected yet: the message to {targets} is kept, and"
                " sent when there is a connection."
            )

    def accepted(self, event: Accepted) -> None:
        """Take note that a message is stored or delivered."""
        self._receipts.answered(event.id, event.to)
        user = self._owner.user
        outgoing = self._outbox.accepted(event, user)
        delivered = event.status == "delivered"
        if outgoing is None:
            if delivered:
                self._owner.keep(self._keeper.delivered(user, event.id, event.to))
                self._output.became(key_of(event.id, event.to), State.DELIVERED)
            return
        self._people.accepted(event.to)
        state = State.DELIVERED if delivered else State.STORED
        self._output.became(outgoing.key, state)
        if self._tells and not delivered:
            self._receipts.stored(event.id, event.to)

    def refused(self, event: Refused) -> bool:
        """Take an error; return whether it is about a message that was sent."""
        if event.id is None or not self._outbox.find(event.id):
            return False
        if refused := self._outbox.refused(event):
            for outgoing in refused:
                self._output.became(outgoing.key, State.REFUSED)
            self._output.fail(event.text, refused[0].number)
        return True

    def leave(self) -> None:
        """Take nothing more that others leave."""
        self._arrivals.stop()

    def wind_up(self) -> None:
        """Say at once what was to be said in a while; take nothing more."""
        self._arrivals.stop()
        self._receipts.tell_all()

    @property
    def _tells(self) -> bool:
        return self._interactive and not self._front_end.draws_states
