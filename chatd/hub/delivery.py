"""A delivery: how one connection gets its user's messages.

A delivery is *catching up* or *live*. One that catches up gets its messages from the
store, a page at a time, each after the transport has drained; login with a long queue
and a receiver that stopped reading are this one mechanism. A live one is written each
message as soon as that is accepted. It turns live when, in one reactor turn, the store
has nothing after its position and what is accepted and not yet on disk has been written
to it from memory; it falls behind when what its peer has not acknowledged exceeds a
bound. So the memory for a slow peer is that bound and one page.

Of two connections of one name the first drains the backlog: the second *waits* until
the first has everything that was queued, or shown to the first, when the second came,
or has failed, or has got nowhere for a while. This keeps one rule, by which messages
are taken from the queue: every message up to a delivery's position was written to it,
or is known to have reached another connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from chatd import background
from chatd.hub.accepted import AcceptedMessage, AcceptedRun
from chatd.hub.pages import PAGE_BYTES, Terms, write_messages, write_rows
from chatd.hub.patience import UNTRIED, Patience, Untried
from chatd.hub.peer import Peer
from chatd.hub.receiver import Receiver
from chatd.hub.state import State
from chatd.hub.unconfirmed import NOTHING, Unconfirmed
from chatd.hub.window import CROWDED_BYTES, fitting, takes
from chatd.store.records import StoreFailure
from chatd.wire.block import Row
from chatd.wire.message import Message

STALL_SECONDS = 10.0
RETRY_SECONDS = 1.0

ACKNOWLEDGE_SECONDS = 1.0
"""How long a program that leaves may take for each of its last acknowledgements."""

MISSED = "Some messages went only to another connection of yours."


@dataclass(slots=True, eq=False, repr=False)
class Delivery:
    """Delivers one user's messages to one connection, until closed."""

    _log = Logger()
    _receiver: Receiver
    _peer: Peer
    _terms: Terms
    state: State = State.NEW
    _queued_upto: int = 0
    _position: int = 0
    _acknowledged: int = 0
    _unconfirmed: Unconfirmed = NOTHING
    _begun: Deferred[None] | None = None
    _news: Deferred[None] | None = None
    _done: Sequence[Deferred[None]] = ()
    _stall: Patience | Untried = UNTRIED
    _patience: Patience | Untried = UNTRIED
    _finishing: bool = False
    _told_missed: bool = False
    _overtaken: int = 0

    @property
    def as_lines(self) -> bool:
        """Whether it is a person's: its machine acknowledges what is written to it."""
        return not self._peer.acknowledges

    @property
    def live(self) -> bool:
        """Whether each message is written as soon as it is accepted."""
        return self.state is State.LIVE

    @property
    def writing(self) -> bool:
        """Whether it is written what is accepted now."""
        return self.state is State.LIVE and not self._finishing

    @property
    def draining(self) -> bool:
        """Whether this takes messages from the queue, or is past its end."""
        return self.state in (State.CATCHING_UP, State.LIVE)

    @property
    def must_wait(self) -> bool:
        """Whether another connection is draining what waits now."""
        receiver = self._receiver
        return receiver.delivered < receiver.under_way and any(
            other is not self and other.draining for other in receiver.deliveries
        )

    @property
    def elsewhere(self) -> bool:
        """Whether the backlog is going to another connection that catches up."""
        return self.must_wait and all(
            not other.live for other in self._receiver.deliveries
        )

    def start(self) -> Deferred[None] | None:
        """Begin; what the queue holds now counts as queued at login.

        Fires when the first page of it is written, or will come later; there is nothing
        to wait for if none will come, or not soon.
        """
        begun = None
        receiver = self._receiver
        self._queued_upto = receiver.committed
        self._position = receiver.delivered
        if self.must_wait:
            self._queued_upto = receiver.under_way
            self.state = State.WAITING
            self._watch_for_stall()
        elif receiver.delivered < receiver.committed or not self._turn_live():
            begun = self._begun = Deferred()
            self._catch_up()
        receiver.joined(self)
        return begun

    def close(self) -> None:
        """End; what the peer is not known to have stays in the queue."""
        self._confirm_part()
        state, self.state = self.state, State.CLOSED
        self._stall.end()
        if state not in (State.NEW, State.CLOSED):
            self._receiver.left(self)
        self._tell_begun()
        self._tell_news()
        self._tell_done()
        self._patience = UNTRIED

    def has_room_for(self, run: AcceptedRun) -> bool:
        """Whether a whole run can be written."""
        peer, most = self._peer, self._terms.max_outstanding
        return takes(peer, self._unconfirmed, most, run.count, peer.bytes_for(run))

    @property
    def near(self) -> bool:
        """Whether it may have what is accepted now before anything else is done."""
        return not self._unconfirmed.messages and self.writing and self._peer.near

    def deliver_at_once(self, run: AcceptedRun, lines: bytes) -> bool:
        """Write a run to a `near` peer; return whether it has it already."""
        mark, arrived = self._peer.send_now(lines)
        if arrived:
            self._position = run.last
            self._acknowledged = mark
        else:
            self._to_be_confirmed.add(mark, run.last, run.size, run.count)
            self._written_upto(run.last)
        return arrived

    def write_run(self, run: AcceptedRun, lines: bytes) -> None:
        """Write a run that was just accepted, for which there is room."""
        mark = self._peer.write_run(run, lines)
        self._to_be_confirmed.add_run(mark, run, each=self._peer.acknowledges)
        self._written_upto(run.last)

    @property
    def _to_be_confirmed(self) -> Unconfirmed:
        """What is not confirmed, for more to be added."""
        if self._unconfirmed is NOTHING:
            self._unconfirmed = Unconfirmed()
        return self._unconfirmed

    def _confirm_part(self) -> None:
        """Count what the peer has of messages that it has not all of."""
        first = self._unconfirmed.first
        if first is None or not self.draining or not self.as_lines:
            return
        mark, last = first
        missing = mark - self._acknowledged
        position = self._unconfirmed.position_before(missing)
        if position is not None:
            self._receiver.confirm(position)
        else:
            self._receiver.confirm_part(last, missing)

    def offer(self, entry: AcceptedMessage) -> None:
        """Write a message that was just accepted, if this delivery is live."""
        if self.writing and not self._write_unsettled([entry]):
            self._catch_up()

    def acknowledged(self, mark: int) -> None:
        """Take note that the peer has everything up to a mark."""
        self._acknowledged = mark
        position = self._unconfirmed.confirm(mark)
        self._patience.go_on()
        if position:
            self._receiver.confirm(position, self)
            self._tell_news()
            self._tell_done()

    def more_stored(self) -> None:
        """Take note that the queue has grown."""
        self._tell_news()

    def another_confirmed(self) -> None:
        """Take note that some connection got further."""
        self._unconfirmed.forget(self._receiver.delivered)
        self._tell_news()
        self._tell_done()
        if self.state is State.WAITING:
            if self._receiver.delivered >= self._queued_upto:
                self._position = self._queued_upto
                self._stall.end()
                self._catch_up()
            elif self._finishing:
                # The other gets on, however slowly: what waits is in good hands.
                self._queued_upto = self._position
                self._tell_done()
            else:
                self._watch_for_stall()
        elif not self._overtaken and self._receiver.delivered > self._position:
            self._overtaken = self._receiver.delivered

    def another_took_over(self) -> None:
        """Give that one its time."""
        if self.state is State.WAITING:
            self._watch_for_stall()

    def another_left(self) -> None:
        """Take over if the connection that was draining the backlog has gone."""
        if self.state is State.WAITING and not self.must_wait:
            self._take_over()

    def finish(self, *, queued: bool, listening: bool = True) -> Deferred[None]:
        """Deliver no more than what is written, and what was `queued` at login.

        Fires when the peer has all that, or is gone. A program that should acknowledge
        and does not is not waited for, nor one to which nobody is `listening` any more.
        """
        self._finishing = True
        if self._peer.acknowledges:
            self._patience.end()
            self._patience = Patience(
                self._terms.clock, ACKNOWLEDGE_SECONDS, self._tell_done
            )
            self._patience.lost = not listening
        if not queued:
            self._queued_upto = self._position
        done: Deferred[None] = Deferred()
        self._done = [*self._done, done]
        self._tell_done()
        return done

    def _tell_begun(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.callback(None)

    def _tell_news(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.callback(None)

    def _tell_done(self) -> None:
        if not self._done:
            return
        open_ = self.state is not State.CLOSED
        awaited = len(self._unconfirmed) > 0 and not self._patience.lost
        if open_ and (awaited or self._position < self._queued_upto):
            return
        done, self._done = self._done, ()
        self._patience.end()
        for each in done:
            each.callback(None)

    def _write(self, messages: Sequence[Message]) -> None:
        write_messages(self._peer, self._to_be_confirmed, messages, self._queued_upto)
        self._written_upto(messages[-1].position)

    def _written_upto(self, position: int) -> None:
        self._position = position
        self._receiver.shown = max(self._receiver.shown, position)
        self._patience.go_on()

    def _before(self, entries: Sequence[AcceptedMessage], count: int) -> int:
        """Return the position before the last of so many entries."""
        return entries[count - 2].first if count > 1 else self._position

    def _write_unsettled(self, entries: Sequence[AcceptedMessage]) -> bool:
        """Write messages from memory, while there is room; return whether for all."""
        most = self._terms.max_outstanding
        count = fitting(self._peer, self._unconfirmed, most, entries)
        if self._finishing:
            while count and self._before(entries, count) >= self._queued_upto:
                count -= 1
        written = entries[:count]
        for entry in written:
            entry.shown = True
        if written:
            self._write([entry.message for entry in written])
        return len(written) == len(entries)

    def _catch_up(self) -> None:
        self.state = State.CATCHING_UP
        self._receiver.keep_recent(self._position)
        background.start(
            self._write_pages(), self._log, f"Delivery to {self._receiver.name} failed"
        )

    async def _write_pages(self) -> None:
        receiver, as_lines = self._receiver, self.as_lines
        while True:
            if self._begun is None:
                await self._peer.drained()
            if self.state is not State.CATCHING_UP or self._finished:
                self._tell_done()
                return
            if self._position < receiver.delivered:
                self._skip_to(receiver.delivered)
            committed = receiver.committed
            self._overtaken = 0
            most = CROWDED_BYTES if self._peer.crowded else PAGE_BYTES
            page = receiver.recent_page(self._position, most, as_lines=as_lines)
            in_memory = page is not None
            if page is None:
                page = await self._read_page(most, as_lines)
            if page is None:
                self._tell_begun()
                await deferLater(self._terms.clock, RETRY_SECONDS)
                continue
            if self.state is not State.CATCHING_UP:
                return
            # What was there when the read began may have reached another connection,
            # and left the queue, before it was read.
            if page:
                if 0 < self._overtaken < page[0].first:
                    self._skip_to(self._overtaken)
                write_rows(self._peer, self._to_be_confirmed, page, self._queued_upto)
                self._written_upto(page[-1].last)
            elif self._position < committed:
                self._skip_to(committed)
            self._tell_begun()
            self._tell_done()
            if self._position >= receiver.committed:
                if self._turn_live():
                    self._tell_done()
                    return
                if not self._finished:
                    self._news = Deferred()
                    await self._news
            elif not in_memory:
                continue
            # Others have their turn; and more may be stored in this one.
            await deferLater(self._terms.clock, 0)

    async def _read_page(self, most: int, as_lines: bool) -> list[Row] | None:
        """Return the next messages in the store; None if it fails."""
        receiver = self._receiver
        receiver.keep_recent(self._position)
        try:
            return await self._terms.pages.page(
                receiver.id, receiver.name, self._position, most, as_lines=as_lines
            )
        except StoreFailure:
            self._log.failure("The queue of {name} cannot be read", name=receiver.name)
            return None

    def _turn_live(self) -> bool:
        """Write what is accepted and not on disk; return whether that was all of it.

        What was not in the store when it was read, and was not written from memory,
        would be missed: so this is done in the turn in which the page was written.
        """
        receiver = self._receiver
        if self._position < receiver.delivered:
            self._skip_to(receiver.delivered)
        if not self._write_unsettled(receiver.unsettled_after(self._position)):
            return False
        self.state = State.LIVE
        self._told_missed = False
        receiver.caught_up()
        return True

    @property
    def _finished(self) -> bool:
        return self._finishing and self._position >= self._queued_upto

    def _skip_to(self, position: int) -> None:
        """Leave out what another connection has; say so, once while catching up."""
        if not self._told_missed:
            self._told_missed = True
            self._peer.notice(MISSED)
        self._position = position

    def _watch_for_stall(self) -> None:
        self._stall.end()
        self._stall = Patience(self._terms.clock, STALL_SECONDS, self._take_over)

    def _take_over(self) -> None:
        self._stall.end()
        self._position = self._receiver.delivered
        self._receiver.took_over(self)
        self._catch_up()
