"""Sending from a script: what is to be sent, until it is safe or the time is over.

Nothing is kept before the server has accepted it, so what a script was told has failed
is never sent later. It is sent again, under its id, when the connection was lost before
the answer, and when it was refused for the time being.
"""

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from chatd.client.connection import events
from chatd.client.connection.events import Accepted, Event, Hello, Refused, Welcome
from chatd.client.history.places import HistoryError
from chatd.client.script.record import Earlier, LookUp, Record
from chatd.client.script.unconfirmed import Limits, unconfirmed
from chatd.client.statuses import Status, worse
from chatd.client.talk.input import MAX_LINE, MAX_MESSAGE
from chatd.client.talk.neighbours import Link
from chatd.client.talk.outbox import Outbox, Outgoing, key_of
from chatd.wire.answers import Refusal
from chatd.wire.message import Message
from chatd.wire.names import name_key

ASK_AGAIN_SECONDS: Final = 5.0
"""How often the server is asked whether what was stored has been delivered."""


class Wait(Enum):
    """What has to be confirmed of a message before it counts as sent."""

    STORED = "stored"
    DELIVERED = "delivered"


class Sender:
    """Sends messages until all is confirmed (the connection's `Listener`).

    `tell` is given lines for people, which are failures or, where the caller wants to
    know, what became of each message (`verbose`). `timeout` is in seconds: of one
    message it is for everything, of a `stream` for each step forward. What `look_up`
    knows is not sent again. `advice` is a sentence on what to do about what may have
    been sent. `changed` is called when there may be room for more.
    """

    def __init__(
        self,
        record: Record,
        clock: IReactorTime,
        tell: Callable[[str], None],
        *,
        user: str,
        server: str,
        wait: Wait,
        timeout: float,
        stream: bool = False,
        look_up: LookUp | None = None,
        advice: str = "",
        verbose: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.user = user
        self._record = record
        self._clock = clock
        self._tell = tell
        self._server = server
        self._wait = wait
        self._timeout = timeout
        self._stream = stream
        self._look_up = look_up
        self._advice = advice
        self._verbose = verbose
        self._now = now
        self._link: Link | None = None
        self._started = False
        self._online = False
        self._been_online = False
        self._ended = False
        self._over: Deferred[int] = Deferred()
        self._worst = Status.OK
        self._reason = "it does not answer"
        self._deadline: IDelayedCall | None = None
        self._asking: IDelayedCall | None = None
        self._limits = Limits(MAX_LINE, MAX_MESSAGE)
        self._outbox = Outbox(record, clock, self, at_once=wait is Wait.STORED)
        # Stored, and to be waited for until they are delivered.
        self._undelivered: dict[tuple[str, str], Outgoing] = {}
        self._reached: dict[str, None] = {}
        self._looking_up = 0
        self._closed = False
        self._record_failed = False
        self.changed: Callable[[], None] = lambda: None

    async def run(self, link: Link) -> int:
        """Send until the end; return the exit status."""
        self._link = link
        self._watch_time()
        if self._stream or len(self._outbox):
            self._connect()
        self._end_if_done()
        status = await self._over
        if self._started:
            await link.stop()
        await self._record.settled()
        return status

    def put(
        self, targets: Sequence[str], text: str, message_id: str, number: int = 0
    ) -> None:
        """Send a text to each target; `number` is that of its line, or 0."""
        now = int(self._now() * 1000)
        messages = [
            Message(0, message_id, self.user, target, text, now, 0)
            for target in targets
        ]
        if self._look_up is not None:
            self._looking_up += 1
            looking = self._look_up(messages)
            _ = looking.addCallbacks(
                self._looked_up, self._look_up_failed, (messages, number)
            )
        else:
            self._put(messages, number)

    def load(self, messages: Sequence[Message]) -> None:
        """Send what was kept for that before."""
        self._outbox.load(messages)

    def close(self) -> None:
        """Take note that nothing is put any more: the end is when all is confirmed."""
        self._closed = True
        self._end_if_done()

    def fail(self, line: str, number: int = 0) -> None:
        """Tell that something was not sent."""
        self._fail(Status.NOT_ACCEPTED, line, number)

    def interrupt(self, status: int) -> None:
        """End now, whatever is under way, with this status."""
        if not self._ended:
            self._tell_what_is_open("before the end")
            self._end(status)

    @property
    def waiting(self) -> int:
        """How many messages are not confirmed."""
        return len(self._outbox) + self._looking_up + len(self._undelivered)

    @property
    def over(self) -> bool:
        """Whether the end has come."""
        return self._ended

    # What the connection calls (`Listener`).

    def logged_in(self, hello: Hello, welcome: Welcome) -> None:
        """Send all there is."""
        self._online = self._been_online = True
        self._limits = Limits(
            hello.max_line or MAX_LINE, hello.max_message or MAX_MESSAGE
        )
        self.user = welcome.user
        for outgoing in self._outbox.unanswered():
            message = outgoing.message
            if refusal := self._limits.too_long(message):
                code, text = refusal.code, refusal.text
                self._refused(Refused(code, text, False, message.id, message.target))
        self._outbox.connected()
        self._ask_again()
        self._stepped()
        self._end_if_done()

    def happened(self, event: Event) -> None:
        """Act on what the server says."""
        match event:
            case Accepted():
                self._accepted(event)
            case Refused():
                self._refused(event)
            case _:
                pass

    def attempt_failed(self, reason: str) -> None:
        """Remember why."""
        self._reason = reason

    def pausing(self, seconds: float) -> None:
        """Nothing follows from it."""

    def trying(self) -> None:
        """Nothing follows from it."""

    def lost(self, reason: str) -> None:
        """Send again what has no answer, on the next connection."""
        self._online = False
        self._reason = reason
        _cancel(self._asking)
        self._outbox.disconnected()

    def ended(self, status: Status, reason: str) -> None:
        """Say so, and end."""
        self._tell(reason)
        self._tell_what_is_open("before that")
        self._end(status)

    # What the outbox calls (`Owner`).

    def transmit(self, line: str) -> None:
        """Send a line to the server."""
        assert self._link is not None
        self._link.send(line)

    def keep(self, keeping: Deferred[bool]) -> None:
        """Take note that something is being kept."""
        _ = keeping.addErrback(self.keeping_failed)

    def keeping_failed(self, failure: Failure) -> None:
        """Say, once, that the history lacks something; what is sent is safe."""
        if not self._record_failed:
            self._record_failed = True
            self._tell(
                "What was sent is safe, but is not in the history."
                f" {failure.getErrorMessage()}"
            )

    def put_off(self, outgoing: Outgoing, reason: str) -> None:
        """Say that a message will be sent again, where that is asked for."""
        self._say(f"Trying again to send to {outgoing.message.target}: {reason}")

    def outbox_changed(self) -> None:
        """End if nothing is left to be done."""
        self._end_if_done()

    # What is sent.

    def _looked_up(
        self,
        found: Sequence[Earlier | None],
        messages: list[Message],
        number: int,
    ) -> None:
        self._looking_up -= 1
        left = []
        for message, earlier in zip(messages, found, strict=True):
            if earlier is None:
                left.append(message)
            elif earlier.text != message.text:
                used = Refusal("id-used", id=message.id, name=earlier.receiver)
                self.fail(used.text, number)
            elif earlier.status == "delivered" or (
                earlier.status == "stored" and self._wait is Wait.STORED
            ):
                self._say(f"{earlier.receiver} had it before (id {message.id}).")
            else:
                left.append(message)
        self._put(left, number)

    def _look_up_failed(self, failure: Failure) -> None:
        self._looking_up -= 1
        _ = failure.trap(HistoryError)
        why = failure.getErrorMessage()
        self._tell(f"Nothing was sent: nobody knows whether it was sent before. {why}")
        self._end(Status.HISTORY)

    def _put(self, messages: list[Message], number: int) -> None:
        if messages and not self._ended:
            idle = not self.waiting
            if self._online and (refusal := self._limits.too_long(messages[0])):
                for _ in messages:
                    self._fail(Status.NOT_ACCEPTED, refusal.text, number)
            else:
                self._outbox.put(messages, number)
            if idle and self._stream:
                self._watch_time()
            self._connect()
        self._end_if_done()

    def _connect(self) -> None:
        if self._link is not None and not self._started and not self._ended:
            self._started = True
            self._link.start()

    # What becomes of it.

    def _accepted(self, event: Accepted) -> None:
        key = key_of(event.id, event.to)
        found = [each for each in self._outbox.find(event.id) if each.key == key]
        delivered = event.status == "delivered"
        if found and not delivered and self._wait is Wait.DELIVERED:
            # Before the outbox has none: the end is when both have none.
            self._undelivered[key] = found[0]
        if found:
            self._say(f"{event.status.capitalize()} for {event.to} (id {event.id}).")
        if not found and delivered and key in self._undelivered:
            message = self._undelivered.pop(key).message
            self.keep(self._record.accepted(message, self.user, event.to, event.status))
            self._say(f"Delivered for {event.to} (id {event.id}).")
        if delivered or self._wait is Wait.STORED:
            self._reached[event.to] = None
        _ = self._outbox.accepted(event, self.user)
        self._stepped()
        self._end_if_done()

    def _refused(self, event: Refused) -> None:
        about = [
            each
            for each in self._outbox.find(event.id or "")
            if event.to is None or each.key[1] == name_key(event.to)
        ]
        if not event.temporary:
            unknown = event.code == "unknown-user"
            status = Status.UNKNOWN_USER if unknown else Status.NOT_ACCEPTED
            known = key_of(event.id or "", event.to or "") in self._undelivered
            if about or not known:
                self._fail(status, event.text, about[0].number if about else 0)
        _ = self._outbox.refused(event)
        if not event.temporary:
            self._stepped()
        self._end_if_done()

    def _fail(self, status: Status, line: str, number: int = 0) -> None:
        self._worst = worse(self._worst, status)
        self._tell(f"line {number}: {line}" if number else line)

    def _say(self, line: str) -> None:
        if self._verbose:
            self._tell(line)

    def _ask_again(self) -> None:
        """Send again what is stored: the answer is what has become of it."""
        self._asking = None
        if self._wait is not Wait.DELIVERED:
            return
        for outgoing in self._undelivered.values():
            message = outgoing.message
            self.transmit(events.send([message.target], message.text, message.id))
        self._asking = self._clock.callLater(ASK_AGAIN_SECONDS, self._ask_again)

    # The time.

    def _stepped(self) -> None:
        """Take note of a step forward: in a stream it gives the next one its time."""
        if self._stream and not self._ended:
            self._watch_time()

    def _watch_time(self) -> None:
        _cancel(self._deadline)
        if self._ended or (self._been_online and not self.waiting and self._stream):
            return
        self._deadline = self._clock.callLater(self._timeout, self._too_late)

    def _too_late(self) -> None:
        if self._been_online:
            self._tell_what_is_open(f"within {self._timeout:g} s")
            self._end(self._worst)
        else:
            self._tell(
                f"Could not reach {self._server} within {self._timeout:g} s"
                f" ({self._reason}). Nothing was sent."
            )
            self._end(Status.UNREACHABLE)

    # The end.

    def _tell_what_is_open(self, when: str) -> None:
        """Say what is not confirmed, and how it can be sent again without harm."""
        left, stored = self._outbox.unanswered(), list(self._undelivered.values())
        if not self._been_online:
            left = []  # it is clear that nothing was sent
        for status, line, number in unconfirmed(left, stored, when, self._advice):
            self._fail(status, line, number)

    def _end_if_done(self) -> None:
        self.changed()
        if self._closed and self._link is not None and not self.waiting:
            self._end(self._worst)

    def _end(self, status: int) -> None:
        if self._ended:
            return
        self._ended = True
        self._online = False
        _cancel(self._deadline)
        _cancel(self._asking)
        self._outbox.disconnected()
        if status != Status.OK and self._reached and not self._stream:
            # Who sends it to all again would send it to these twice.
            self._tell(f"It was sent to {', '.join(self._reached)}.")
        self._over.callback(status)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
