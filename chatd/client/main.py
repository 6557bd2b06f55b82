"""The command line of ``chat``: each of its commands is a module of its own."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from chatd import __version__
from chatd.client.commands.config import config
from chatd.client.commands.history import history
from chatd.client.commands.listen import listen
from chatd.client.commands.options import (
    CONTEXT,
    CONVERSATIONAL,
    Given,
    conversation_options,
    pass_given,
)
from chatd.client.commands.outbox import flush
from chatd.client.commands.send import send
from chatd.client.commands.talk import talk
from chatd.client.connection.pins import PinError
from chatd.client.history.places import HistoryError
from chatd.client.settings.address import BadAddress
from chatd.client.settings.settings import BadSettings
from chatd.client.statuses import Failed, Status
from chatd.shellcompletion import completion_command, prepare
from chatd.wire.display import neutralise

_HELP: Final = """Send and receive messages through a chatd.

\b
  chat alice@host:5555     a conversation
  chat                     the same, with what is not set asked for
  chat send bob 'Hi'       a message from a script; see chat send --help
  chat history             what was said; chat COMMAND --help tells more

The first word is an address, if it is not the name of a command: a server that has such
a name is written with an @, as in chat @send. What an address leaves out comes from
the settings (see chat config), else the host is 127.0.0.1, the port 5555, or 5556 with
--tls, and the name is asked for. An IPv6 address stands in brackets, as in
alice@[::1]:5555. An option may stand before a command or behind it.

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
  8  nobody has the name that was written to (send, flush)
  9  not confirmed within --timeout (send, flush)
  10  the command of --exec failed --attempts times (listen)
  128 and its number after a signal
"""


_HYPHEN: Final = (
    " A text that begins with a hyphen stands behind --, as in chat send bob -- -5."
)


class Chat(click.Group):
    """Commands, and a conversation where the first word is the name of none of them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, and what is left for it."""
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return talk.name, talk, args

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each of the two forms."""
        name = ctx.command_path
        formatter.write_usage(name, "[OPTIONS] [NAME@HOST:PORT]")
        formatter.write_usage(name, "[OPTIONS] COMMAND ...", prefix=" " * 7)

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands and the options, those of a conversation by themselves."""
        self.format_commands(ctx, formatter)
        common: list[tuple[str, str]] = []
        special: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                of_conversation = param.name in CONVERSATIONAL
                (special if of_conversation else common).append(record)
        for title, records in (
            ("Options", common),
            ("Options of a conversation", special),
        ):
            with formatter.section(title):
                formatter.write_dl(records)


@click.group(
    "chat",
    cls=Chat,
    context_settings=CONTEXT,
    help=_HELP,
    epilog=_EPILOG,
    invoke_without_command=True,
)
@conversation_options
@click.version_option(__version__, prog_name="chat")
@pass_given
@click.pass_context
def chat(ctx: click.Context, given: Given) -> Any:
    """Go on to the command; without any, converse."""
    name = ctx.invoked_subcommand
    if name is None:
        return ctx.invoke(talk)
    if name not in (talk.name, config.name) and given.conversational:
        raise click.UsageError(
            f"{given.conversational[0]} is for a conversation, and not for chat {name}."
        )
    return None


chat.add_command(send)
chat.add_command(flush)
chat.add_command(listen)
chat.add_command(history)
chat.add_command(config)
chat.add_command(completion_command("chat"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``chat``, and exit with its status."""
    _open_missing_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare()
    sys.exit(_status(given))


def _status(arguments: list[str]) -> int:
    """Run the command; say what went wrong in one line, and return the exit status."""
    try:
        result = chat.main(arguments, prog_name="chat", standalone_mode=False)
    except click.NoSuchOption as error:
        hint = _HYPHEN if send.name in arguments else ""
        return _complain(Status.USAGE, error.format_message() + hint)
    except click.ClickException as error:
        return _complain(Status.USAGE, error.format_message())
    except (BadAddress, BadSettings) as error:
        return _complain(Status.USAGE, str(error))
    except HistoryError as error:
        return _complain(Status.HISTORY, str(error))
    except Failed as error:
        return _complain(error.status, str(error))
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
