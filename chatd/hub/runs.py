"""What was taken in one turn of the reactor and is not accepted yet: the runs of it."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from chatd.clock import WallClock
from chatd.hub.receiver import Receiver
from chatd.hub.run import Chunk, Run
from chatd.hub.session import Session
from chatd.journal import Journal
from chatd.turn import Turn

Routes: TypeAlias = Callable[[bytes], Receiver | None]
"""Returns to whom a target leads, None if that is not known here."""


class Runs:
    """What was taken in this turn and is not accepted yet."""

    def __init__(
        self,
        journal: Journal,
        allot: Callable[[int], int],
        turn: Turn,
        now: WallClock,
    ) -> None:
        self._journal = journal
        self._allot = allot
        self._turn = turn
        self._now = now
        # Also by what was written in a line to send to them, in this turn.
        self._runs: dict[Receiver, Run] = {}
        self._by_target: dict[bytes, Run] = {}
        self._sessions: set[Session] = set()
        self._kind: type[Run] = Run
        self._accepted: list[Run] = []

    def add(
        self, chunk: Chunk, groups: Mapping[bytes, list[bytes]], routes: Routes
    ) -> bytes | None:
        """Add a chunk, whose texts are grouped by target.

        Returns the first target for which that cannot be done, or of which a text is
        empty. Then nothing is added: the lines from there on are for somebody else.
        """
        session = chunk.session
        self.accept_before(session, chunk.kind)
        if not self._runs:
            self._turn.at_end(self._end_turn)
        by_target = self._by_target
        for target, texts in groups.items():
            run = by_target.get(target)
            if run is None:
                receiver = routes(target)
                if receiver is None:
                    self._withdraw(chunk)
                    return target
                run = by_target[target] = self._run_for(receiver)
            count = run.count + len(texts)
            if (
                count > run.room
                or run.chunk is chunk
                or b"" in texts
                or not run.receiver.backlog.knows(session.name)
            ):
                self._withdraw(chunk)
                return target
            run.count = count
            run.chunk = chunk
            run.pieces.append((chunk, texts))
        self._sessions.add(session)
        return None

    def accept_before(self, session: Session, kind: type[Run]) -> None:
        """Accept what must be, before messages of a session can be added."""
        if session in self._sessions or kind is not self._kind:
            # The answers to its chunks have an order.
            self.accept()
            self._kind = kind

    def _run_for(self, receiver: Receiver) -> Run:
        run = self._runs.get(receiver)
        if run is None:
            room = receiver.backlog.unshared_room()
            run = self._runs[receiver] = self._kind(receiver, room)
        return run

    def _withdraw(self, chunk: Chunk) -> None:
        for run in self._runs.values():
            if run.chunk is chunk:
                run.count -= len(run.pieces.pop()[1])
                run.chunk = run.pieces[-1][0] if run.pieces else None

    def accept(self) -> None:
        """Accept everything: write what can be shown, the rest goes to the disk.

        Called before anything else of a sender is taken.
        """
        if self._runs:
            self._accept()
        if self._accepted:
            self._hand_over()

    def _end_turn(self) -> None:
        if self._runs:
            self._accept()
            # When it is sent: what is acknowledged at once need not be held.
            self._turn.at_end(self._hand_over)

    def _accept(self) -> None:
        runs, self._runs = self._runs, {}
        self._by_target.clear()
        self._sessions.clear()
        time = self._now()
        divided, unseen, arrived = [], [], []
        for receiver, run in runs.items():
            if not run.pieces:
                continue
            run.place(self._allot(run.count), time)
            if not receiver.accept_run(run):
                divided.append(run)
            if run.delivered:
                arrived.append(run)
                continue
            if not run.shown:
                unseen.append(run)
            self._accepted.append(run)
        for run in unseen:
            run.expect()
        for run in divided:
            for part in run.separate():
                run.receiver.accept(part)
                part.tell_if_shown()
        # Last: who is told may send more, and everything else comes before that.
        for run in arrived:
            run.arrived()

    def _hand_over(self) -> None:
        """Give the journal what is not delivered by now, in the order of acceptance."""
        accepted, self._accepted = self._accepted, []
        for run in accepted:
            if not run.delivered:
                self._journal.take(run)
