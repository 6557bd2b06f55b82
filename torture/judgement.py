"""What the ledger shows: the promises that were broken.

* *lost*: the sender was told that it is safe, and the receiver never had it. On a
  connection that acks, had means acked.
* *doubled*: it came twice on one connection or is twice in a history; or it came again
  on a connection that logged in after the daemon had shown that it knew of the arrival,
  unless the daemon died in between.
* *disordered*: it came after a later one of the same stream, on one connection.
* *refused but seen*: the sender was told that it was not sent, and it came.
* *unanswered*: the connection said goodbye, and some message had no answer.
* *trouble*: everything else that must not be.

What is allowed: a message may come again after the daemon died, because it had not
written down yet that it arrived; a sender may have to send again what it has no answer
to, and a daemon that was started in between knows only what it has stored.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from torture.ledger import (
    Acked,
    Confirmed,
    DaemonEnded,
    Delivered,
    Event,
    Goodbye,
    Joined,
    Key,
    Ledger,
    Received,
    Refused,
    Sent,
    SomeRefused,
    SomeStored,
    Stored,
    Trouble,
)

KINDS: Final = (
    "lost",
    "doubled",
    "disordered",
    "refused but seen",
    "unanswered",
    "trouble",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise; `count` messages have it."""

    kind: str
    what: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a round's messages; `accepted` counts those said to be safe.

    Of the `received` ones `by_command` were handed to commands. `restarts` says how
    often the daemon was started again.
    """

    accepted: int
    received: int
    by_command: int
    restarts: int
    findings: list[Finding]

    def count(self, kind: str) -> int:
        """Return how many messages, or troubles, are of a kind."""
        return sum(each.count for each in self.findings if each.kind == kind)


def judge(ledger: Ledger, *, complete: bool = True) -> Verdict:
    """Compare what was told with what was received, once all is over.

    Nothing can be called lost if the round was given up and is not `complete`.
    """
    case = _Case(ledger)
    findings = [
        *case.lost(),
        *case.miscounted(),
        *case.doubled(),
        *case.disordered(),
        *case.refused_but_seen(),
        *case.unanswered(),
        *case.contradicted(),
        *(
            Finding("trouble", event.what)
            for event in ledger
            if isinstance(event, Trouble)
        ),
    ]
    if not complete:
        findings = [each for each in findings if each.kind != "lost"]
    ends = sum(isinstance(event, DaemonEnded) for event in ledger)
    return Verdict(
        case.accepted, len(case.seen), case.by_command(), max(0, ends - 1), findings
    )


@dataclass(slots=True)
class _Sending:
    """A connection that sends, in the `epoch` (a daemon's life) in which it began."""

    epoch: int
    sent: Counter[Key] = field(default_factory=Counter)
    stored: Counter[Key] = field(default_factory=Counter)
    delivered: Counter[Key] = field(default_factory=Counter)
    refused: Counter[Key] = field(default_factory=Counter)
    some_stored: Counter[str] = field(default_factory=Counter)
    some_refused: Counter[str] = field(default_factory=Counter)
    lower: dict[Key, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    goodbye: Goodbye | None = None

    def answers(self, key: Key) -> int:
        return self.stored[key] + self.delivered[key] + self.refused[key]


@dataclass(slots=True)
class _Receiving:
    """A connection that receives; moments are places in the ledger."""

    joined: Joined
    moment: int
    epoch: int
    received: list[tuple[Key, int]] = field(default_factory=list)
    acked: int = 0
    confirmed: list[tuple[int, int]] = field(default_factory=list)

    @property
    def had(self) -> list[Key]:
        keys = [key for key, _ in self.received]
        return keys[: self.acked] if self.joined.acks else keys

    def confirmations(self) -> Iterator[tuple[Key, int]]:
        """Yield the keys whose arrival the daemon knew of, and from when on."""
        done = 0
        for count, moment in self.confirmed:
            for key, _ in self.received[done:count]:
                yield key, moment
            done = max(done, count)


class _Case:
    """The ledger's events, by connection and by message."""

    def __init__(self, ledger: Ledger) -> None:
        self._ends: list[bool] = []
        self._sending: dict[str, _Sending] = {}
        self._receiving: dict[str, _Receiving] = {}
        self._sends: dict[Key, list[tuple[int, int]]] = defaultdict(list)
        self._answers: dict[Key, list[tuple[int, str, int]]] = defaultdict(list)
        for moment, event in enumerate(ledger):
            self._take(moment, event)
        self.had = {key for each in self._receiving.values() for key in each.had}
        self.seen = {
            key for each in self._receiving.values() for key, _ in each.received
        }
        self._first_had: dict[Key, tuple[int, int]] = {}
        for each in self._receiving.values():
            for key, moment in each.received[: len(each.had)]:
                self._first_had.setdefault(key, (moment, each.epoch))
        self.accepted = 0
        self._safe: set[Key] = set()

    def _take(self, moment: int, event: Event) -> None:
        match event:
            case Sent(connection, key):
                self._sender(connection).sent[key] += 1
                self._sends[key].append((moment, len(self._ends)))
            case Stored(connection, key):
                sender = self._sender(connection)
                sender.stored[key] += 1
                sender.lower[key].append((moment, "stored"))
                self._answers[key].append((moment, "stored", sender.epoch))
            case Delivered(connection, key):
                sender = self._sender(connection)
                sender.delivered[key] += 1
                self._answers[key].append((moment, "delivered", sender.epoch))
            case Refused(connection, key):
                sender = self._sender(connection)
                sender.refused[key] += 1
                sender.lower[key].append((moment, "refused"))
            case SomeStored(connection, target):
                self._sender(connection).some_stored[target] += 1
            case SomeRefused(connection, target):
                self._sender(connection).some_refused[target] += 1
            case Goodbye(connection):
                self._sender(connection).goodbye = event
            case Joined(connection):
                self._receiving[connection] = _Receiving(event, moment, len(self._ends))
            case Received(connection, key):
                self._receiving[connection].received.append((key, moment))
            case Acked(connection, count):
                self._receiving[connection].acked = count
            case Confirmed(connection, count):
                self._receiving[connection].confirmed.append((count, moment))
            case DaemonEnded(clean):
                self._ends.append(clean)
            case Trouble():
                pass

    def _sender(self, connection: str) -> _Sending:
        if connection not in self._sending:
            self._sending[connection] = _Sending(len(self._ends))
        return self._sending[connection]

    def by_command(self) -> int:
        """Return how many messages commands have had."""
        return sum(
            len(each.received)
            for each in self._receiving.values()
            if each.joined.commands
        )

    # The rules, one by one.

    def lost(self) -> Iterator[Finding]:
        """Find what was said to be safe, message by message, and was never had."""
        safe: dict[Key, str] = {}
        for name, each in self._sending.items():
            for key in {**each.sent, **each.stored, **each.delivered}:
                if each.stored[key] or each.delivered[key]:
                    word = "delivered" if each.delivered[key] else "stored"
                    safe.setdefault(key, f"{word} (said to {name})")
                elif each.goodbye and each.goodbye.answered and not each.refused[key]:
                    safe.setdefault(key, f"goodbye (said to {name})")
        self.accepted += len(safe)
        self._safe = set(safe)
        for key, why in safe.items():
            if key not in self.had:
                yield Finding("lost", f"{key}: {why}")

    def miscounted(self) -> Iterator[Finding]:
        """Find it where answers do not say which message they are about.

        After a goodbye exactly those must have come that were not refused.
        """
        for name, each in self._sending.items():
            loose = each.goodbye and not each.goodbye.answered
            if not (loose or each.some_stored or each.some_refused):
                continue
            for target in sorted({key.target for key in each.sent}):
                keys = [key for key in each.sent if key.target == target]
                had = sum(key in self.had for key in keys)
                seen = sum(key in self.seen for key in keys)
                most = len(keys) - each.some_refused[target]
                least = most if loose else each.some_stored[target]
                # A client's history may have told already which they are.
                known = sum(key in self._safe for key in keys)
                self.accepted += max(0, least - known)
                what = f"from {name} to {target}: {len(keys)} sent,"
                if had < least:
                    what = f"{what} {least} safe, {had} came"
                    yield Finding("lost", what, least - had)
                if seen > most:
                    what = f"{what} {len(keys) - most} refused, {seen} came"
                    yield Finding("refused but seen", what, seen - most)

    def doubled(self) -> Iterator[Finding]:
        """Find what came again and had to come once."""
        for name, each in self._receiving.items():
            for key, count in Counter(key for key, _ in each.received).items():
                if count > 1:
                    yield Finding(
                        "doubled", f"{key}: {count} times on {name}", count - 1
                    )
        known: dict[Key, list[tuple[int, _Receiving]]] = defaultdict(list)
        for each in self._receiving.values():
            for key, moment in each.confirmations():
                known[key].append((moment, each))
        for name, later in self._receiving.items():
            if later.joined.history:
                continue
            for key in dict.fromkeys(key for key, _ in later.received):
                for moment, earlier in known[key]:
                    if moment < later.moment and self._remembers(key, earlier, later):
                        first = earlier.joined.connection
                        yield Finding("doubled", f"{key}: on {first}, then on {name}")
                        break

    def _remembers(self, key: Key, earlier: _Receiving, later: _Receiving) -> bool:
        """Whether what arrived on one connection must not come on another one."""
        if not all(self._ends[earlier.epoch : later.epoch]):
            return False
        stored = next(
            (moment for moment, word, _ in self._answers[key] if word == "stored"), None
        )
        return not any(
            epoch > earlier.epoch and (stored is None or moment < stored)
            for moment, epoch in self._sends[key]
        )

    def disordered(self) -> Iterator[Finding]:
        """Find what came after a later message of its stream."""
        for name, each in self._receiving.items():
            highest: dict[str, int] = {}
            for key in dict.fromkeys(key for key, _ in each.received):
                if not each.joined.history and self._was_sent_anew(key, each):
                    continue
                before = highest.get(key.stream, 0)
                if key.number < before:
                    yield Finding("disordered", f"{key}: after {before} on {name}")
                highest[key.stream] = max(before, key.number)

    def _was_sent_anew(self, key: Key, to: _Receiving) -> bool:
        """Whether a daemon may have taken for new what its receiver had before."""
        first_had = self._first_had.get(key)
        if first_had is None or first_had[0] > to.moment:
            return False
        return any(epoch > first_had[1] for _, epoch in self._sends[key])

    def refused_but_seen(self) -> Iterator[Finding]:
        """Find what was refused for good and came all the same."""
        by_key: dict[Key, list[_Sending]] = defaultdict(list)
        for each in self._sending.values():
            for key in each.sent:
                by_key[key].append(each)
        unknown = [key for key in self.seen if key not in by_key]
        yield from (
            Finding("trouble", f"{key} came and was not sent") for key in unknown
        )
        for key in self.seen:
            refused = [each.epoch for each in by_key[key] if each.refused[key]]
            if not refused or any(
                each.stored[key] or each.delivered[key] for each in by_key[key]
            ):
                continue
            # The answer may have died with an earlier daemon, which had accepted it.
            if any(
                each.answers(key) < each.sent[key] and each.epoch < max(refused)
                for each in by_key[key]
            ):
                continue
            yield Finding("refused but seen", str(key))

    def unanswered(self) -> Iterator[Finding]:
        """Find what had no answer when the connection said goodbye."""
        for name, each in self._sending.items():
            if each.goodbye is None or not each.goodbye.answered:
                continue
            for key, count in each.sent.items():
                if each.answers(key) < count:
                    yield Finding("unanswered", f"{key} at the goodbye to {name}")

    def contradicted(self) -> Iterator[Finding]:
        """Find answers that take back an earlier one, or are too many for one send."""
        for name, each in self._sending.items():
            for key, count in each.sent.items():
                answers = each.stored[key], each.delivered[key], each.refused[key]
                took_back = self._taken_back(key, each)
                if took_back or (count == 1 and max(answers) > 1):
                    what = (
                        f"{key}: stored, delivered, refused {answers} times to {name}"
                    )
                    yield Finding("trouble", what)

    def _taken_back(self, key: Key, by: _Sending) -> bool:
        """Whether a lower answer followed a higher one that the daemon knew of.

        What was only delivered is known to the daemon that did it.
        """
        for moment, word in by.lower[key]:
            if word == "stored" and by.sent[key] > 1:
                continue  # it may be about the other one
            for before, known, epoch in self._answers[key]:
                if before < moment and (
                    (word == "refused" and known == "stored")
                    or (known == "delivered" and epoch == by.epoch)
                ):
                    return True
        return False
