"""Changing the password: the questions, the request, and what becomes of it."""

from collections import deque
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client.connection import events
from chatd.client.connection.secrets import Asker
from chatd.client.talk.destination import Impossible
from chatd.client.talk.output import Output
from chatd.wire import text
from chatd.wire.answers import Refusal


class Owner(Protocol):
    """Whose password it is: `chatd.client.talk.core.ChatCore`."""

    @property
    def user(self) -> str:
        """The name that the password is for."""

    @property
    def online(self) -> bool:
        """Whether there is a login."""

    def transmit(self, line: str) -> None:
        """Send a line to the server; only while logged in."""

    def remember(self, password: str) -> None:
        """Log in with this password from now on."""


class PasswordChange:
    """Changes of the password of one's own name.

    A connection that is lost does not end the questions: whoever is typing a password
    would go on, and it would be shown, or sent as a message.
    """

    _log = Logger()

    def __init__(self, asker: Asker, output: Output, owner: Owner) -> None:
        self._asker = asker
        self._output = output
        self._owner = owner
        self._is_open = False
        self._dialogue: Deferred[None] | None = None
        # What was asked for and not answered; answers come in this order.
        self._requested: deque[str] = deque()

    def connected(self, *, is_open: bool) -> None:
        """Take note of a login, and whether the name has no password."""
        self._is_open = is_open

    def begin(self, *, interactive: bool, private: bool) -> None:
        """Ask the person. Raises `Refusal` and `Impossible`."""
        if not interactive:
            raise Impossible(
                "/password asks for passwords, and nobody can be asked here."
            )
        if not self._owner.online:
            raise Refusal("not-logged-in")
        if not private:
            # The server would say so too, but only once it has the password.
            raise Refusal("not-private", name=self._owner.user)
        dialogue = Deferred.fromCoroutine(self._ask())
        self._dialogue = dialogue.addErrback(self._failed)

    def done(self) -> None:
        """Take note that the server has set a password."""
        self._is_open = False
        if self._requested:
            self._owner.remember(self._requested.popleft())
        self._output.answer(text.protected(self._owner.user))

    def refused(self) -> None:
        """Take note that the server has refused something that is no message."""
        if self._requested:
            self._requested.popleft()

    def lost(self) -> None:
        """Take note of the loss of the connection."""
        if self._requested:
            self._requested.clear()
            self._output.fail(
                "Whether the new password was set is not known: the connection was lost"
                " before the answer."
            )

    def stop(self) -> None:
        """Ask nothing any more."""
        if self._dialogue is not None:
            self._dialogue.cancel()

    async def _ask(self) -> None:
        old = None
        if not self._is_open:
            old = await self._asker.ask_secret(text.ask_password("present"))
            if not old:
                self._output.answer(text.NOTHING_CHANGED)
                return
        new = await self._asker.ask_secret(text.ask_password("new"))
        if not new:
            self._output.answer(text.NOTHING_CHANGED)
            return
        again = await self._asker.ask_secret(text.PASSWORD_AGAIN)
        if again != new:
            self._output.answer(
                text.PASSWORDS_DIFFER if again else text.NOTHING_CHANGED
            )
        elif not self._owner.online:
            self._output.fail(f"There is no connection. {text.NOTHING_CHANGED}")
        else:
            self._requested.append(new)
            self._owner.transmit(events.password(new, old))

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("Changing the password", failure=failure)
