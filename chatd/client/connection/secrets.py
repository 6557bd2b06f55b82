"""The password of one's own name: where it comes from, and over what it may go.

It is kept in memory only, for the next login. It never comes from the command line,
which everybody on the machine can read.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed

from chatd.client.connection.events import Refused

VARIABLE: Final = "CHAT_PASSWORD"
"""The environment variable that has the password where nobody can be asked."""

NEEDED: Final = "password-needed"
"""The code of the refusal that a login with the password may follow."""

ASKED_AGAIN: Final = (NEEDED, "wrong-password", "bad-password")
"""The codes of the refusals after which another password may do."""

QUESTION: Final = "Password (not shown while you type):"

_LONGEST_LINE: Final = 4096
_OTHERS: Final = 0o077


class BadSource(ValueError):
    """Where the password should come from is no good; str() says why, as a sentence."""


class Asker(Protocol):
    """Who asks the person: `chatd.client.talk.questions.Questions`."""

    def ask_secret(self, *lines: str) -> Deferred[str]:
        """Ask, and show nothing of the answer; fire with it."""


class OwnPassword:
    """The password with which a run logs in.

    Without an `asker` nobody can be asked. It goes only over what is `private`: TLS, or
    a connection that does not leave this machine.
    """

    def __init__(
        self,
        user: str,
        *,
        private: bool,
        given: str | None = None,
        asker: Asker | None = None,
    ) -> None:
        self._user = user
        self._private = private
        self._password = given
        self._asker = asker
        self._why: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether the person has to be asked before the next attempt."""
        return self._why is not None

    def to_send(self) -> str | None:
        """Return what a login may send, if there is anything."""
        return self._password if self._private else None

    def remember(self, password: str) -> None:
        """Use this one from now on."""
        self._password = password
        self._why = None

    def refused(self, refused: Refused) -> str | None:
        """Take note that a login needs another one; return why there will be none.

        None says that the person is to be asked.
        """
        if not self._private:
            return (
                f"{self._user} needs a password, and others could read it on this"
                " connection: use chat --tls."
            )
        if self._asker is None and refused.code == NEEDED:
            return (
                f"{self._user} needs a password: put it into the environment variable"
                f" {VARIABLE}, or into a file for --password-file."
            )
        if self._asker is None:
            return f"{self._user} cannot log in: {refused.text}"
        self._password = None
        self._why = refused.text
        return None

    def ready(self) -> Deferred[None]:
        """Fire once there is something to log in with; ask, if it has to be."""
        if self._why is None or self._asker is None:
            return succeed(None)
        return self._asker.ask_secret(self._why, QUESTION).addCallback(self._answered)

    def _answered(self, password: str) -> Deferred[None]:
        if password:
            self.remember(password)
        return self.ready()


def given_password(
    path: Path | None, environment: MutableMapping[str, str]
) -> str | None:
    """Return the first line of a file, else what the environment has, if anything.

    It is taken out of the environment, which other programs inherit.
    Raises `BadSource`.
    """
    in_environment = environment.pop(VARIABLE, "")
    if path is not None:
        return _first_line(path)
    try:
        in_environment.encode()
    except UnicodeEncodeError:
        raise BadSource(f"What {VARIABLE} has is not UTF-8.") from None
    return in_environment or None


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # Of what was opened, not of what has the name by now.
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise BadSource(
                    f"--password-file: others may use {path}: chmod 600 helps."
                )
            line = file.readline(_LONGEST_LINE).rstrip(b"\r\n").decode()
    except OSError as error:
        raise BadSource(f"--password-file: {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadSource(f"--password-file: {path} is not UTF-8.") from None
    if not line:
        raise BadSource(f"--password-file: the first line of {path} is empty.")
    return line
