"""An entry: what was accepted, on its way to the disk, as the journal sees it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from chatd.store.records import IdRow
from chatd.wire.answers import Refusal
from chatd.wire.block import Row


class Entry(Protocol):
    """An accepted message on its way to the disk, or several that share their fate."""

    target: int
    count: int
    """How many messages it is."""
    under_way: bool
    """Set by the journal: whether a transaction has it."""

    @property
    def parts(self) -> Sequence["Entry"] | None:
        """What stands for it from now on, if it was taken apart."""

    @property
    def target_name(self) -> str:
        """The receiver's name, as shown."""

    @property
    def rows(self) -> Sequence[Row]:
        """What is written: each message, or the messages together."""

    @property
    def stored_ids(self) -> Sequence[IdRow]:
        """What is kept to know those if they are sent again that may be."""

    @property
    def shown(self) -> bool:
        """Whether somebody may have seen it: it can't be refused any more."""

    @property
    def delivered(self) -> bool:
        """Whether a receiver has it: it need not be written any more."""

    def separate(self) -> Sequence["Entry"]:
        """Take it apart: return an entry for each message."""

    def is_from(self, session: object) -> bool:
        """Whether a session has sent some of it."""

    def reconsider(self) -> Refusal | None:
        """Say whether the message must be refused after all.

        Asked in the turn in which a message was refused that was accepted before it.
        """

    def settle(self, refusal: Refusal | None) -> None:
        """Take note that the message is on disk, or refused."""


def separated(entries: Iterable[Entry], *, unshown: bool = False) -> Iterator[Entry]:
    """Return what stands for entries now; `unshown` ones are taken apart if asked.

    What is done with one may take the next apart: each is asked when its turn comes.
    """
    for entry in entries:
        parts = entry.parts
        if parts is None and unshown and not entry.shown:
            parts = entry.separate()
        if parts is None:
            yield entry
        else:
            yield from parts


def undelivered(entries: Iterable[Entry]) -> list[Entry]:
    """Return what stands for entries now and has to be written still."""
    return [entry for entry in separated(entries) if not entry.delivered]
