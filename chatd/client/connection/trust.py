"""Trust: whether the certificate that a server presents is accepted.

What was pinned counts, and nothing else. For a server without a pin the authorities
that this system trusts may vouch; if they do not, a person is asked, once.
"""

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from chatd.client.connection.pins import Pins
from chatd.client.statuses import Status


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate: its fingerprint, and why no authority vouches for it, if so."""

    fingerprint: str
    doubt: str | None


class Rejected(Exception):
    """The server is not what it should be, and will not be; str() says it in a line."""

    def __init__(self, status: Status, line: str) -> None:
        super().__init__(line)
        self.status = status


class Unknown(Exception):
    """Nobody vouches for this certificate, so that a person has to."""

    def __init__(self, presented: Presented) -> None:
        super().__init__(presented)
        self.presented = presented


class Asker(Protocol):
    """Who asks the person: `chatd.client.talk.questions.Questions`."""

    def ask(self, *lines: str) -> Deferred[bool]:
        """Ask; fire with the answer."""


class Trust:
    """Decides about one server; `expected` is a fingerprint from the command line."""

    def __init__(self, server: str, pins: Pins, expected: str | None = None) -> None:
        self.server = server
        self._pins = pins
        self._expected = expected

    def judge(self, presented: Presented) -> None:
        """Return if the certificate is accepted. Raises `Rejected` and `Unknown`."""
        now = presented.fingerprint
        pinned = self._pins.of(self.server)
        if self._expected is not None:
            if now != self._expected:
                raise Rejected(
                    Status.CERTIFICATE,
                    f"The certificate of {self.server} is another than --fingerprint"
                    f" says: its SHA-256 fingerprint is {now}, not {self._expected}."
                    " Nothing was sent.",
                )
        elif pinned is not None:
            if now != pinned:
                raise Rejected(
                    Status.CERTIFICATE,
                    f"The certificate of {self.server} has changed: its SHA-256"
                    f" fingerprint is {now}, and was {pinned}. Nothing was sent."
                    " Somebody may be in between; or the server has a new one, as"
                    " whoever runs it can tell. If that is so, run chat once with"
                    f" --fingerprint {now}",
                )
        elif presented.doubt is not None:
            raise Unknown(presented)

    def unpinned(self, presented: Presented) -> bool:
        """Whether an accepted certificate is still to be pinned."""
        return (
            self._expected is not None
            and self._pins.of(self.server) != presented.fingerprint
        )

    def pin(self, presented: Presented) -> None:
        """Accept a certificate from now on. Raises `PinError` if that is not kept."""
        self._pins.keep(self.server, presented.fingerprint)

    def refusal(self, unknown: Unknown) -> Rejected:
        """Return how to refuse where nobody can be asked."""
        presented = unknown.presented
        return Rejected(
            Status.CERTIFICATE,
            f"The certificate of {self.server} is not known: {presented.doubt}. Nothing"
            " was sent. If whoever runs the server tells you its SHA-256 fingerprint is"
            f" the same, run chat with --fingerprint {presented.fingerprint}",
        )

    def question(self, unknown: Unknown) -> tuple[str, ...]:
        """Return the lines in which to ask a person."""
        presented = unknown.presented
        return (
            f"The certificate of {self.server} is not known: {presented.doubt}."
            " Its SHA-256 fingerprint is",
            presented.fingerprint,
            "If whoever runs the server tells you the same, type yes: it is trusted"
            " from now on. Else type no.",
        )

    def declined(self) -> Rejected:
        """Return how to end after a no."""
        return Rejected(
            Status.CERTIFICATE,
            f"The certificate of {self.server} was not accepted. Nothing was sent.",
        )
