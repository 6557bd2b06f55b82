"""Line runs: messages that were written as lines of text, gathered by their receivers.

Many senders at work make chunks in which each receiver has a line or two. What is done
for each chunk and receiver is then done for nearly every message, so nothing is: a line
becomes the line that its receiver will see, in the list of that receiver, and a turn's
chunks are counted out together, when the last of it is settled. Which messages are of
which chunk is found out by going through the chunks once more, where somebody has to
know: for messages that go to the disk, or whose senders are to be answered.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from operator import length_hint
from typing import Final, Protocol

from chatd.hub import run
from chatd.hub.acceptance import Acceptance
from chatd.hub.receiver import Receiver
from chatd.hub.run import Piece, Routes, Run
from chatd.hub.session import Session

MOST_LINES: Final = 20_000
"""How many lines are gathered before they are accepted, though the turn goes on."""

MANY_LINES: Final = 100
"""How many lines of a chunk are looked at as one, as far as each receiver has many."""

_DASH: Final = repeat(b"-")


class LineChunk(run.Chunk, Protocol):
    """A chunk of lines that are messages.

    `count` and `size` are how many messages and bytes its session has counted in for
    it, but for those that are counted out one by one.
    """

    count: int
    size: int

    @property
    def lines(self) -> Sequence[bytes]:
        """The lines, without their ends."""


class LineRun(Run):
    """Messages to one receiver that were written as lines, accepted together."""

    more = 0
    """How many messages there are more than there are `lines`."""

    def __init__(self, receiver: Receiver, batch: "LineBatch") -> None:
        self.receiver = receiver
        self.target = receiver.id
        self.lines: list[bytes] = []
        """What shows them to a person, until it is composed: some may be together."""
        self._batch = batch

    @property
    def gathered(self) -> int:
        """How many messages there are, until it is composed."""
        return len(self.lines) + self.more

    @property
    def pieces(self) -> Sequence[Piece]:
        """Whose messages it consists of, in their order."""
        return self._batch.pieces(self.receiver)

    def compose(self) -> bytes:
        """Return the lines that show the messages to a person.

        What is the text's own is told apart only when the `size` is measured.
        """
        self.lines.append(b"")
        lines = b"\n".join(self.lines)
        self.lines = []
        self.size = len(lines)
        return lines

    def separate(self) -> Sequence[Acceptance]:
        """Take it apart: from here on each message stands for itself."""
        is_first = self.parts is None
        parts = super().separate()
        if is_first:
            self._count_out()
        return parts

    def is_from(self, session: object) -> bool:
        """Whether a session may have sent some of it."""
        return session in self._batch.sessions

    def _leave_out(self, chunk: run.Chunk, texts: Sequence[bytes]) -> None:
        self._batch.leave_out(chunk, len(texts), sum(map(len, texts)))

    def _count_out(self) -> None:
        self._batch.settled()


class LineBatch:
    """Lines that are gathered until they are accepted, in a turn at most.

    `sessions` are those that have sent some of them, and `receivers` those for whom
    they are, by what is written in a line to send to them.

    Nothing that it keeps once it is closed leads back to it: what is made for each turn
    must not be left to the search for cycles.
    """

    def __init__(self, routes: Routes) -> None:
        self.sessions: dict[Session, LineChunk] = {}
        self._routes = routes
        self._count = 0
        self._most = MOST_LINES
        self._left = 0
        self.receivers: dict[bytes, Receiver] = {}
        self._runs: dict[Receiver, LineRun] = {}
        # What adds a line for a target; for some it has to be looked at again whether
        # it may, for each chunk.
        self._adders: dict[bytes, Callable[[bytes], None]] = {}
        self._once: list[bytes] = []
        # Of chunks that have something for the disk.
        self._known_pieces: dict[Session, dict[Receiver, list[bytes]]] = {}
        self._pieces: dict[Receiver, list[Piece]] | None = None

    def takes(self, session: Session, lines: int) -> bool:
        """Whether so many more lines can be gathered with the others."""
        # The answers to a session's chunks have an order.
        return session not in self.sessions and self._count + lines <= self._most

    def gather(self, session: Session, lines: Sequence[bytes]) -> int:
        """Gather a session's lines, as far as they are messages to those who are known.

        Returns how many were taken: their chunk must be added then.
        """
        known = self._adders
        while self._once:
            del known[self._once.pop()]
        if len(lines) >= MANY_LINES and self._gather_many(session, lines):
            return len(lines)
        prefix = session.prefix
        waiting = iter(lines)
        for target, _, text in map(bytes.partition, waiting, _DASH):
            add = known.get(target) or self._adder(target, session, lines)
            if add is None or not text:
                return len(lines) - length_hint(waiting) - 1
            add(prefix + text)
        return len(lines)

    def _gather_many(self, session: Session, lines: Sequence[bytes]) -> bool:
        """Gather lines if nothing is special about any; return whether that is so."""
        groups: dict[bytes, list[bytes]] = {}
        for target, _, text in map(bytes.partition, lines, _DASH):
            try:
                groups[target].append(text)
            except KeyError:
                groups[target] = [text]
        for target, texts in groups.items():
            add = self._adders.get(target) or self._adder(target, session, lines)
            if add is None or b"" in texts:
                return False
        receivers = self.receivers
        pieces = {receivers[target]: texts for target, texts in groups.items()}
        if len(pieces) < len(groups):
            return False  # one is written in two ways
        if not all(receiver.online for receiver in pieces):
            self._known_pieces[session] = pieces
        prefix = session.prefix
        between = b"\n" + prefix
        for receiver, texts in pieces.items():
            run = self._runs[receiver]
            run.lines.append(prefix + between.join(texts))
            run.more += len(texts) - 1
        return True

    def add(self, chunk: LineChunk) -> None:
        """Add the chunk of what was gathered last."""
        self.sessions[chunk.session] = chunk
        self._count += chunk.count

    def close(self) -> Sequence[LineRun]:
        """Return what was gathered; nothing is added any more."""
        runs = []
        for each in self._runs.values():
            each.count = each.gathered
            if each.count:
                runs.append(each)
        self._left = len(runs)
        self._runs.clear()
        self._adders.clear()
        return runs

    def pieces(self, receiver: Receiver) -> Sequence[Piece]:
        """Return which messages to one receiver are of which chunk, in their order."""
        if self._pieces is None:
            self._pieces = self._divide()
        return self._pieces[receiver]

    def _divide(self) -> dict[Receiver, list[Piece]]:
        receivers = self.receivers
        pieces: dict[Receiver, list[Piece]] = {each: [] for each in receivers.values()}
        for session, chunk in self.sessions.items():
            groups = self._known_pieces.get(session) or self._group(chunk.lines)
            for receiver, texts in groups.items():
                pieces[receiver].append((chunk, texts))
        return pieces

    def _group(self, lines: Sequence[bytes]) -> dict[Receiver, list[bytes]]:
        groups: dict[Receiver, list[bytes]] = {}
        for target, _, text in map(bytes.partition, lines, _DASH):
            receiver = self.receivers[target]
            if receiver in groups:
                groups[receiver].append(text)
            else:
                groups[receiver] = [text]
        return groups

    def leave_out(self, chunk: run.Chunk, messages: int, size: int) -> None:
        """Leave it to the session of a chunk to count so many out one by one."""
        its = self.sessions[chunk.session]
        its.count -= messages
        its.size -= size

    def settled(self) -> None:
        """Count everything out with the last run that is settled.

        Whose it was is needed no more, unless a transaction has it; then it is known.
        A run may be held some time longer, and so many thousands of lines with it.
        """
        self._left -= 1
        if self._left:
            return
        sessions, self.sessions = self.sessions, {}
        # To ask from now on whose a message was is an error, not an empty answer.
        self.receivers, self._known_pieces = {}, {}
        for session, chunk in sessions.items():
            session.pending_messages -= chunk.count
            session.settled_chunk(chunk.size)

    def _adder(
        self, target: bytes, session: Session, lines: Sequence[bytes]
    ) -> Callable[[bytes], None] | None:
        """Return what adds a session's lines for a target, None if they may not be.

        It stays known.
        """
        receiver = self.receivers.get(target) or self._routes(target)
        if receiver is None:
            return None
        self.receivers[target] = receiver
        run = self._runs.get(receiver)
        if run is None:
            run = self._runs[receiver] = LineRun(receiver, self)
            run.room = receiver.backlog.unshared_room()
        backlog = receiver.backlog
        if run.room >= self._count + len(lines) and backlog.knows_all:
            self._most = min(self._most, run.room)
        else:
            begin = target + b"-"
            count = sum(line.startswith(begin) for line in lines)
            if run.gathered + count > run.room or not backlog.knows(session.name):
                return None
            self._once.append(target)
        add = self._adders[target] = run.lines.append
        return add
