"""What the settings say about a connection: all of it, or what is missing and why."""

import os
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from chatd.client.connection.account import Account
from chatd.client.connection.pins import Pins, pins_path
from chatd.client.settings.address import (
    DEFAULT_HOST,
    BadAddress,
    Server,
    parse_host,
    parse_port,
    parse_user,
)
from chatd.client.settings.settings import Level, Settings
from chatd.wire.names import Name

_NOBODY: Final = (
    "Nobody can be asked here: say as whom and where to connect, with"
    " --as alice@host:5555, or with CHAT_USER and CHAT_SERVER, or in the settings file."
)


def account(settings: Settings, *, may_ask: bool) -> tuple[Name, Account]:
    """Return where to connect, as whom and with what, and that name again.

    What is missing is asked for, if that may be and somebody is there. Raises
    `click.UsageError` and `PinError`.
    """
    # Not at the top: they need Twisted, and this is imported for each --help.
    from chatd.client.connection.secrets import VARIABLE, BadSource, given_password
    from chatd.client.connection.trust import Trust

    path = settings.password_file
    if settings.origins["password_file"].level == Level.FILE and os.environ.get(
        VARIABLE
    ):
        path = None  # the environment counts more than the settings file
    try:
        password = given_password(path, os.environ)
    except BadSource as bad:
        raise click.UsageError(str(bad)) from None
    user, host, port = _whole(settings, may_ask=may_ask)
    trust = None
    if settings.tls:
        trust = Trust(str(Server(host, port)), Pins(pins_path()), settings.fingerprint)
    return user, Account(user.shown, host, port, settings.timeout, trust, password)


def _whole(settings: Settings, *, may_ask: bool) -> tuple[Name, str, int]:
    """Return name, host and port, asking for what is not set."""
    user, server = settings.user, settings.server
    port = settings.default_port
    if user is None:
        if not (may_ask and sys.stdin.isatty() and sys.stdout.isatty()):
            raise click.UsageError(_NOBODY)
        if server is None:
            host = _ask("Server address", parse_host, DEFAULT_HOST)
            server = Server(host, _ask("Port", parse_port, str(port)))
        user = _ask("User name", parse_user)
    server = server or Server(DEFAULT_HOST)
    return user, server.host, server.port or port


def _ask(question: str, parse: Callable[[str], Any], default: str | None = None) -> Any:
    def checked(answer: str) -> Any:
        try:
            return parse(answer.strip())
        except BadAddress as error:
            raise click.UsageError(str(error)) from None

    return click.prompt(question, default=default, value_proc=checked)
