"""What the daemon says to a text connection, and what it means for the ledger."""

import re
from collections import deque
from typing import Final

from torture.ledger import (
    Delivered,
    Goodbye,
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
from torture.texts import origin_of

PROMPT: Final = b"Enter your username: "
GOODBYE: Final = "Goodbye."

_MESSAGE: Final = re.compile(
    r"([^ ]+): (.*?)(?: \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\))?"
)
_STORED: Final = re.compile(
    r"Stored for (.+)\.|User '(.+)' is offline\. Message stored\."
)
_DELIVERED: Final = re.compile(r"Delivered to (.+)\.")
_REFUSED: Final = {
    "queue-full": re.compile(r"The queue of '(.+)' is full\. .*"),
    "not-stored": re.compile(r"Could not store the message to '(.+)' \(.*"),
    "out-of-order": re.compile(r"Nothing was sent to '(.+)': an earlier .*"),
    "unknown-user": re.compile(r"User '(.+)' not found\."),
}
_OTHERS: Final = re.compile(
    r"Welcome, .*|Client book => .*|Users online => .*|Type <target>.*"
    r"|Anybody can log in as .*"
    r"|You have \d+ offline messages?:|Every message is answered\."
    r"|Your \d+ offline messages? (is|are) going to another connection of yours\."
    r"|Some messages went only to another connection of yours\."
    r"|The server is stopping\..*|No login within 60 seconds\..*|Goodbye\.|"
)
"""What may be said and is about no message."""


class SenderEar:
    """Listens to the answers of a text connection; the stream is the connection.

    With `confirm` each message has exactly one answer, in order.
    """

    def __init__(self, ledger: Ledger, connection: str, *, confirm: bool) -> None:
        self._ledger = ledger
        self._connection = connection
        self._confirm = confirm
        self._awaited: deque[Key] = deque()

    @property
    def awaited(self) -> int:
        """How many messages have no answer yet, if each has one."""
        return len(self._awaited)

    def sent(self, key: Key) -> None:
        """Take note that a message is about to be sent."""
        self._ledger.add(Sent(self._connection, key))
        if self._confirm:
            self._awaited.append(key)

    def hear(self, line: str) -> None:
        """Take a line after the login."""
        if match := _STORED.fullmatch(line):
            self._answer("stored", match[1] or match[2])
        elif match := _DELIVERED.fullmatch(line):
            self._answer("delivered", match[1])
        elif line == GOODBYE:
            self._ledger.add(Goodbye(self._connection, answered=self._confirm))
        elif not _OTHERS.fullmatch(line):
            self._hear_refusal(line)

    def _hear_refusal(self, line: str) -> None:
        for code, pattern in _REFUSED.items():
            if match := pattern.fullmatch(line):
                self._answer(code, match[1])
                return
        self._ledger.add(Trouble(f"{self._connection} was told {line[:200]!r}"))

    def _answer(self, answer: str, target: str) -> None:
        connection = self._connection
        if self._confirm:
            if not self._awaited or self._awaited[0].target != target:
                what = f"{connection}: {answer} for {target}, out of turn"
                self._ledger.add(Trouble(what))
                return
            key = self._awaited.popleft()
            if answer == "stored":
                self._ledger.add(Stored(connection, key))
            elif answer == "delivered":
                self._ledger.add(Delivered(connection, key))
            else:
                self._ledger.add(Refused(connection, key, answer))
        elif answer == "stored":
            self._ledger.add(SomeStored(connection, target))
        elif answer != "delivered":
            self._ledger.add(SomeRefused(connection, target, answer))


class ReceiverEar:
    """Listens to the messages of a text connection; `count` is how many came."""

    def __init__(self, ledger: Ledger, connection: str, receiver: str) -> None:
        self.count = 0
        self.goodbye = False
        self._ledger = ledger
        self._connection = connection
        self._receiver = receiver

    def hear(self, line: str) -> None:
        """Take a line after the login."""
        match = _MESSAGE.fullmatch(line)
        if match is None:
            self.goodbye |= line == GOODBYE
            if not _OTHERS.fullmatch(line):
                self._ledger.add(Trouble(f"{self._connection} was told {line[:200]!r}"))
            return
        origin = origin_of(match[2])
        if origin is None:
            self._ledger.add(Trouble(f"{self._connection} got {line[:200]!r}"))
            return
        self.count += 1
        self._ledger.add(Received(self._connection, Key(*origin, self._receiver)))
