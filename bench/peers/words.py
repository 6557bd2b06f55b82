"""twisted.words: the IRC server that comes with Twisted."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import twisted
from harness.texts import names as names_of
from peers.irc import IrcPeer

_PASSWORD: Final = "secret"
_USERS: Final = 1000


class Words(IrcPeer):
    """`twistd words`; its names and passwords are on the command line.

    A file of them fails: it is read as bytes, and a name is a string.
    """

    name = "twisted.words"
    program = "twistd"
    most_users = _USERS
    # It says this after the end of the message of the day.
    logged_in = (b" 004 ",)
    settings = "backlog=4096, --auth memory: of 4,000 names"

    def missing(self) -> str:
        """Return nothing: Twisted is here."""
        return ""

    @property
    def path(self) -> str:
        """The installed twistd."""
        return str(Path(sysconfig.get_path("scripts"), "twistd"))

    def version(self) -> str:
        """Return Twisted's."""
        return f"Twisted {twisted.__version__}"

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Return the command."""
        names = [each for kind in "sril" for each in names_of(kind, _USERS)]
        users = ":".join(f"{name}:{_PASSWORD}" for name in names)
        return [
            *(self.path, "-n", "--pidfile=", "words"),
            *("--irc-port", f"tcp:{port}:backlog=4096:interface=127.0.0.1"),
            *("--auth", f"memory:{users}"),
        ]

    def hello(self, name: str) -> bytes:
        """Say the password first."""
        return f"PASS {_PASSWORD}\r\n".encode() + super().hello(name)
