"""What was taken in one turn of the reactor and is not accepted yet: the runs of it."""

from collections.abc import Callable

from twisted.logger import Logger

from chatd.clock import WallClock
from chatd.hub.keyedrun import KeyedBatch
from chatd.hub.linerun import LineBatch
from chatd.hub.run import Routes, Run
from chatd.hub.session import Session
from chatd.journal import Journal
from chatd.turn import Turn


class Runs:
    """What was taken in this turn and is not accepted yet."""

    _log = Logger()

    def __init__(
        self,
        journal: Journal,
        allot: Callable[[int], int],
        turn: Turn,
        now: WallClock,
        routes: Routes,
    ) -> None:
        self._journal = journal
        self._allot = allot
        self._turn = turn
        self._now = now
        self._routes = routes
        # One of them at most has anything.
        self._lines: LineBatch | None = None
        self._keyed: KeyedBatch | None = None
        self._accepted: list[Run] = []

    def lines(self, session: Session, count: int) -> LineBatch:
        """Return where so many lines of a session can be gathered.

        What must be accepted before is accepted.
        """
        batch = self._lines
        if batch is None or not batch.takes(session, count):
            self.accept()
            batch = self._lines = LineBatch(self._routes)
            self._turn.at_end(self._end_turn)
        return batch

    def keyed(self, session: Session) -> KeyedBatch:
        """Return where messages of a session that have ids can be gathered.

        What must be accepted before is accepted.
        """
        batch = self._keyed
        if batch is None or not batch.takes(session):
            self.accept()
            batch = self._keyed = KeyedBatch(self._routes)
            self._turn.at_end(self._end_turn)
        return batch

    def accept(self) -> None:
        """Accept everything: write what can be shown, the rest goes to the disk.

        Called before anything else of a sender is taken.
        """
        if self._lines is not None or self._keyed is not None:
            self._accept()
        if self._accepted:
            self._hand_over()

    def _end_turn(self) -> None:
        if self._lines is not None or self._keyed is not None:
            self._accept()
            # When it is sent: what is acknowledged at once need not be held.
            self._turn.at_end(self._hand_over)

    def _accept(self) -> None:
        batch = self._lines or self._keyed
        self._lines = self._keyed = None
        time = self._now()
        divided, unseen, arrived = [], [], []
        runs = () if batch is None else batch.close()
        for run in runs:
            run.place(self._allot(run.count), time)
            try:
                if not run.receiver.accept_run(run):
                    divided.append(run)
            except Exception:
                # What else the turn has brought is not to be lost with it. Nobody is
                # told that these are safe: their senders wait, and get no goodbye.
                self._log.failure("Not accepted: messages to {to}", to=run.target_name)
                continue
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
