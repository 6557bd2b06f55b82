"""Pages of a queue: where they come from, and how they are written to a peer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from chatd.hub.peer import Peer
from chatd.hub.unconfirmed import Unconfirmed
from chatd.wire.block import Block, Row, each_message
from chatd.wire.message import Message

PAGE_BYTES: Final = 256 * 1024
"""How large a page is as long as memory is not short."""


class Pages(Protocol):
    """What a delivery needs of the store."""

    def page(
        self,
        target: int,
        target_name: str,
        after: int,
        max_bytes: int,
        *,
        as_lines: bool,
    ) -> Deferred[list[Row]]:
        """Return the next messages of a queue, in order; empty if there are none.

        There are more of those that are kept together if they become lines.
        """


@dataclass(frozen=True, slots=True)
class Terms:
    """What all deliveries have in common.

    `max_outstanding` is how many bytes a live peer may have unacknowledged.
    """

    pages: Pages
    clock: IReactorTime
    max_outstanding: int


def write_rows(
    peer: Peer, unconfirmed: Unconfirmed, rows: Sequence[Row], queued_upto: int
) -> None:
    """Write what comes from a queue; what is kept together goes to a person so, too.

    Up to the position `queued_upto` it was queued when the user logged in.
    """
    if peer.acknowledges:
        write_messages(peer, unconfirmed, each_message(rows), queued_upto)
        return
    messages: list[Message] = []
    for row in rows:
        if isinstance(row, Message):
            messages.append(row)
            continue
        write_messages(peer, unconfirmed, messages, queued_upto)
        messages = []
        if row.first <= queued_upto < row.last:
            _write_block(peer, unconfirmed, row.upto(queued_upto), queued=True)
            row = row.after(queued_upto)
        _write_block(peer, unconfirmed, row, queued=row.last <= queued_upto)
    write_messages(peer, unconfirmed, messages, queued_upto)


def write_messages(
    peer: Peer, unconfirmed: Unconfirmed, messages: Sequence[Message], queued_upto: int
) -> None:
    """Write messages that stand for themselves."""
    queued = [each for each in messages if each.position <= queued_upto]
    marks: list[int] = []
    if queued:
        marks += peer.deliver(queued, queued=True)
    if len(queued) < len(messages):
        marks += peer.deliver(messages[len(queued) :], queued=False)
    for message, mark in zip(messages, marks, strict=True):
        unconfirmed.add(mark, message.position, message.weight)


def _write_block(
    peer: Peer, unconfirmed: Unconfirmed, block: Block, *, queued: bool
) -> None:
    mark, sizes = peer.deliver_block(block, queued=queued)
    unconfirmed.add(mark, block.last, block.weight, block.count, sizes)
