"""The command line of ``chat``."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from chatd import __version__
from chatd.client.address import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
    Address,
    BadAddress,
    parse_address,
    parse_host,
    parse_port,
    parse_user,
)
from chatd.client.frontend import FrontEnd
from chatd.client.historyfile import (
    HistoryError,
    data_folder,
    histories,
    history_path,
    open_history,
    reading,
)
from chatd.client.pins import PinError, Pins, pins_path
from chatd.client.search import find
from chatd.client.secrets import BadSource, given_password
from chatd.client.statuses import Status
from chatd.client.trust import Trust
from chatd.fingerprint import parse_fingerprint
from chatd.wire.display import neutralise

_DUMB: Final = ("", "dumb", "unknown")

_CONTEXT: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 88,
}

_HELP: Final = """Send and receive messages through a chatd.

\b
  chat                     asks for server, port and name
  chat alice@host:5555     asks nothing
  chat history             shows what was said; see chat history --help

The address may leave out the name, which is asked for then, the port (5555, or 5556
with --tls) and the host (127.0.0.1); an IPv6 address stands in brackets, as in
alice@[::1]:5555.

A line <target>-<message> sends a message, /help lists the commands, /quit leaves.

Lines may come from a pipe or a file as well:

\b
  echo 'bob-Backup done' | chat backup@host

It ends then when the input has ended and every line has its answer; messages go to
standard output, errors and news of the connection to standard error.
"""

_EPILOG: Final = """\b
Exit status:
  0  every line was accepted
  1  some line was refused, or is refused for the time being and was kept
  2  the command line is wrong
  3  the server refused the login
  4  the server could not be reached within --timeout; what was read is kept
  5  what answered is no chatd of this version
  6  the history is in use by another chat, or cannot be used
  7  the server's certificate is not accepted
  128 and its number after a signal
"""


class _HistoryOption(click.Option):
    """``--history``, whose help says where the person's histories are."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = f"{self.help}  [default: {_default_history()}]"
        return super().get_help_record(ctx)


def _default_history() -> str:
    try:
        folder = str(data_folder())
    except HistoryError:
        return "chat_history_NAME.db in the user's data folder"
    home = os.path.expanduser("~")
    if folder.startswith(f"{home}/"):
        folder = f"~{folder[len(home) :]}"
    return f"chat_history_NAME.db in {folder}"


@click.command(
    "chat", context_settings=_CONTEXT, help=_HELP, epilog=_EPILOG, add_help_option=True
)
@click.argument("address", required=False, metavar="[NAME@HOST:PORT]")
@click.option(
    "--plain", is_flag=True, help="Plain lines, as without a terminal or on a dumb one."
)
@click.option(
    "--history",
    "given",
    cls=_HistoryOption,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where messages are kept: a file, or a folder for it.",
)
@click.option(
    "--tls",
    is_flag=True,
    help="Encrypt, and see by its certificate that it is the right server.",
)
@click.option(
    "--fingerprint",
    callback=lambda _, __, text: text and _fingerprint(text),
    metavar="SHA256",
    help="With --tls: accept the certificate with this fingerprint, now and later, and"
    " no other.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file whose first line is the password, readable to nobody else. Without it"
    " CHAT_PASSWORD counts; somebody at a terminal is asked.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to try to reach the server; somebody at a terminal who was logged"
    " in is reconnected however long it takes.",
)
@click.version_option(__version__, prog_name="chat")
def chat(
    address: str | None,
    plain: bool,
    given: Path | None,
    tls: bool,
    fingerprint: str | None,
    password_file: Path | None,
    timeout: float,
) -> int:
    """Converse; return the exit status."""
    if fingerprint and not tls:
        raise click.UsageError("--fingerprint goes with --tls only.")
    try:
        password = given_password(password_file, os.environ)
    except BadSource as bad:
        raise click.UsageError(str(bad)) from None
    wanted = _whole_address(address, DEFAULT_TLS_PORT if tls else DEFAULT_PORT)
    user = wanted.user
    assert user is not None
    trust = Trust(wanted.server, Pins(pins_path()), fingerprint) if tls else None
    opened = open_history(history_path(user, given), user)
    # Only now: all that can go wrong without a reactor has gone right.
    front_end, reactor = _front_end(plain)
    from chatd.client.running import Settings, run

    interactive = sys.stdin.isatty()
    settings = Settings(wanted, user.shown, interactive, timeout, trust, password)
    return run(settings, opened, front_end, reactor)


@click.command("chat history", context_settings=_CONTEXT)
@click.option(
    "--user", metavar="NAME", help="Whose history; the one used last, if not given."
)
@click.option(
    "--with", "correspondent", metavar="NAME", help="Only messages to or from NAME."
)
@click.option(
    "--search", metavar="WORDS", help="Only messages with each of these words."
)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="How many messages at most.",
)
@click.option(
    "--history",
    "given",
    cls=_HistoryOption,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where messages are kept: a file, or a folder with them.",
)
def history(
    user: str | None,
    correspondent: str | None,
    search: str | None,
    last: int,
    given: Path | None,
) -> int:
    """Show the last messages sent and received, without a server.

    Times are UTC. It works while a chat is running, too.
    """
    path = _history_to_show(user, given)
    with reading(path) as connection:
        lines = find(connection, correspondent=correspondent, words=search, last=last)
    if not lines:
        click.echo(f"No such message in {neutralise(str(path))}.", err=True)
    for line in lines:
        click.echo(line.encode(errors="replace"))
    return Status.OK


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``chat``, and exit with its status."""
    _open_missing_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    command: click.Command = chat
    if given[:1] == ["history"]:
        command, given = history, given[1:]
    sys.exit(_status(command, given))


def _status(command: click.Command, arguments: list[str]) -> int:
    """Run a command; say what went wrong in one line, and return the exit status."""
    try:
        result = command.main(arguments, prog_name=command.name, standalone_mode=False)
    except click.ClickException as error:
        return _complain(Status.USAGE, error.format_message())
    except BadAddress as error:
        return _complain(Status.USAGE, str(error))
    except HistoryError as error:
        return _complain(Status.HISTORY, str(error))
    except PinError as error:
        return _complain(Status.CERTIFICATE, str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return 130
    except BrokenPipeError:
        # Nobody reads; what is still buffered must not fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.NOT_ACCEPTED
    return int(result or Status.OK)


def _complain(status: Status, line: str) -> int:
    line = neutralise(" ".join(line.split()))
    click.echo(f"chat: {line}".encode(errors="replace"), err=True)
    return status


def _fingerprint(text: str) -> str:
    try:
        return parse_fingerprint(text)
    except ValueError as error:
        raise click.UsageError(f"--fingerprint: {error}.") from None


def _whole_address(text: str | None, default_port: int) -> Address:
    """Return server and user, asking for what is not given."""
    address = None if text is None else parse_address(text, default_port)
    if address is not None and address.user is not None:
        return address
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "Nobody can be asked here: say as whom and where to connect, for example"
            " chat alice@host:5555."
        )
    if address is None:
        host = _ask("Server address", parse_host, DEFAULT_HOST)
        port = _ask("Port", parse_port, str(default_port))
    else:
        host, port = address.host, address.port
    return Address(_ask("User name", parse_user), host, port)


def _ask(question: str, parse: Callable[[str], Any], default: str | None = None) -> Any:
    def checked(answer: str) -> Any:
        try:
            return parse(answer.strip())
        except BadAddress as error:
            raise click.UsageError(str(error)) from None

    return click.prompt(question, default=default, value_proc=checked)


def _history_to_show(user: str | None, given: Path | None) -> Path:
    if user is not None:
        return history_path(parse_user(user), given)
    if given is not None and not given.is_dir():
        return given
    folder = data_folder() if given is None else given
    found = histories(folder)
    if not found:
        raise HistoryError(f"There is no history in {folder}.")
    latest, path = found[0]
    if len(found) > 1:
        others = ", ".join(name for name, _ in found[1:])
        click.echo(neutralise(f"{latest}'s history; also: {others}"), err=True)
    return path


def _front_end(plain: bool) -> tuple[FrontEnd, Any]:
    """Return the front end for where this runs, and the reactor that it needs."""
    dumb = os.environ.get("TERM", "").lower() in _DUMB
    if plain or dumb or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from twisted.internet import reactor

        from chatd.client.plain import Plain

        return Plain(reactor), reactor
    import asyncio

    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    from chatd.client.screen import Screen

    return Screen(), reactor


def _open_missing_streams() -> None:
    """Open /dev/null for each standard stream that is closed.

    Otherwise the next file or socket to be opened would take its place.
    """
    for number, name, mode in (
        (0, "stdin", "r"),
        (1, "stdout", "w"),
        (2, "stderr", "w"),
    ):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
