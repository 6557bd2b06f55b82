"""The command ``chat listen``: messages for scripts."""

from typing import Final

import click

from chatd.client.commands.connecting import account
from chatd.client.commands.options import CONTEXT, Given, pass_given, script_options

_STATUSES: Final = """\b
Exit status:
  0  --count messages were handled
  1  standard output was closed
  2  the command line is wrong, or the command of --exec cannot be run
  3  the server refused the login
  4  the server could not be reached within --timeout
  5  what answered is no chatd of this version
  7  the server's certificate is not accepted
  10  the command of --exec failed --attempts times
  128 and its number after a signal
"""


@click.command("listen", context_settings=CONTEXT, epilog=_STATUSES)
@click.option("--json", "as_object", is_flag=True, help="Print JSON, a line a message.")
@click.option(
    "--exec",
    "command",
    metavar="CMD",
    help="Run this command for each message, and print nothing.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --exec: give up after N failures of one message.  [default: never]",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after N messages.  [default: never]",
)
@script_options(
    "How long to try to reach the server at first; a connection that is lost later is"
    " made again however long it takes.",
    history=False,
)
@pass_given
def listen(
    given: Given,
    as_object: bool,
    command: str | None,
    attempts: int | None,
    count: int | None,
) -> int:
    """Print each message that comes, or run a command for it.

    A message is printed as sender: text, each line of it by itself. One that waited for
    the login bears its time.

    CMD is split into words as a shell does it, and run without one. The text is its
    standard input; CHAT_FROM, CHAT_TO, CHAT_ID, CHAT_TIME (in UTC) and CHAT_QUEUED
    (true or false) are in its environment. The next message waits until it has ended.
    If that is not with status 0, it is run again, after 1 to 60 seconds.

    What was printed, or whose command has succeeded, is acknowledged then: the server
    keeps all others, and they come again. So each message is handled at least once, in
    order; after a crash one may be handled twice, with the same CHAT_ID. There is no
    other history.
    """
    if attempts is not None and command is None:
        raise click.UsageError("--attempts goes with --exec only.")
    if as_object and command is not None:
        raise click.UsageError("--exec prints nothing: leave out --json.")
    # Not at the top: they need Twisted.
    from chatd.client.script.execution import BadCommand, Execution, parse_command

    try:
        words = None if command is None else parse_command(command)
    except BadCommand as bad:
        raise click.UsageError(f"--exec: {bad}") from None
    _, whole = account(given.settings(), may_ask=False)
    from twisted.internet import reactor

    from chatd.client.frontends.plain import Plain
    from chatd.client.script.listening import (
        GOODBYE_SECONDS,
        INTERRUPT_SECONDS,
        Handler,
        Listening,
    )
    from chatd.client.script.printing import Printer, as_json, as_lines
    from chatd.client.script.scripting import run_script, teller

    front_end = Plain(reactor)
    tell = teller(front_end)
    handler: Handler
    rescue = front_end.rescue
    if words is not None:
        handler = Execution(words, reactor, tell, attempts)
    else:
        printer = Printer(
            reactor,
            as_json if as_object else as_lines,
            lambda: listening.output_lost(),
        )
        handler, rescue = printer, printer.restore
    listening = Listening(
        handler,
        reactor,
        tell,
        server=whole.server,
        timeout=whole.timeout,
        count=count,
    )
    try:
        return run_script(
            whole,
            front_end,
            reactor,
            listener=listening,
            work=listening.run,
            interrupt=listening.finish,
            receive=True,
            rescue=rescue,
            seconds=INTERRUPT_SECONDS + GOODBYE_SECONDS + 1,
        )
    finally:
        rescue()
