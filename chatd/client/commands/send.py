"""The command ``chat send``: messages from scripts."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import click

from chatd.client.commands.connecting import account
from chatd.client.commands.given import checked, whole_input
from chatd.client.commands.offered import complete_correspondents
from chatd.client.commands.options import CONTEXT, Given, pass_given, script_options
from chatd.client.commands.outbox import STATUSES, Keeping, verbose_option
from chatd.client.history.places import HistoryError, history_path
from chatd.wire.display import neutralise
from chatd.wire.message import new_id
from chatd.wire.names import BadName, parse_name

if TYPE_CHECKING:
    from chatd.client.connection.account import Account
    from chatd.client.history.shared import SharedHistory

_ID: Final = re.compile(r"[!-~]{1,64}")
_NUMBER_LENGTH: Final = len(".0000001")
"""What the id of a line has behind the one that was given."""

_HELP: Final = """Send a message, and end when it is safe.

\b
  chat --as cron@host send bob 'Backup done'
  df -h | chat send bob,carol

Without TEXT, standard input is the message, without its last line end. A TEXT that
begins with a hyphen stands behind --. Nothing is printed; what went wrong is a line
on standard error.

It only sends: it is not online, and gets no messages. What was accepted is in the
history; what failed is nowhere, and is not sent later. What may have been sent when
the time is over can be sent again without harm, with the --id that is told then.
"""


def _targets(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    try:
        names = [parse_name(each, reserved_too=True) for each in value.split(",")]
    except BadName as bad:
        raise click.BadParameter(f"{value[:64]!r}: {bad}", ctx, param) from None
    return tuple({name.key: name.shown for name in names}.values())


def _id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _ID.fullmatch(value):
        why = "an id is 1 to 64 printable ASCII characters without spaces."
        raise click.BadParameter(why, ctx, param)
    return value


@click.command(
    "send",
    context_settings=CONTEXT,
    help=_HELP,
    epilog=STATUSES.format(history="cannot be used"),
)
@click.argument(
    "targets",
    metavar="TARGET[,TARGET...]",
    callback=_targets,
    shell_complete=complete_correspondents,
)
@click.argument("text", required=False, metavar="[TEXT]")
@click.option(
    "--lines",
    is_flag=True,
    help="Send each line of standard input as it comes, but empty ones.",
)
@click.option(
    "--wait",
    type=click.Choice(["stored", "delivered"]),
    default="stored",
    show_default=True,
    help="What has to be confirmed: that it is on the server's disk, or that the"
    " receiver has it.",
)
@click.option(
    "--id",
    "given_id",
    metavar="ID",
    callback=_id,
    help="The message's own name: the same once more is sent only once.",
)
@click.option(
    "--outbox",
    is_flag=True,
    help="Keep it and return at once; chat flush sends it, or the next chat.",
)
@verbose_option
@script_options(
    "How long everything may take, to the confirmation; with --lines, how long to wait"
    " for the next one while some line has none."
)
@pass_given
def send(
    given: Given,
    targets: tuple[str, ...],
    text: str | None,
    lines: bool,
    wait: str,
    given_id: str | None,
    outbox: bool,
    verbose: bool,
) -> int:
    """Send; return the exit status."""
    if lines and text is not None:
        raise click.UsageError("--lines is for standard input: leave out TEXT.")
    if outbox and wait != "stored":
        raise click.UsageError("--outbox waits for nothing: leave out --wait.")
    if lines and given_id is not None and len(given_id) > 64 - _NUMBER_LENGTH:
        longest = 64 - _NUMBER_LENGTH
        raise click.UsageError(
            f"With --lines an --id has {longest} characters at most."
        )
    settings = given.settings()
    user, whole = account(settings, may_ask=False)
    message_id = given_id or new_id()
    whole_text = None if lines else checked(_bytes(text))
    # Not at the top: it needs Twisted.
    from chatd.client.history.shared import sharing

    def tell(line: str) -> None:
        click.echo(f"chat: {neutralise(line)}", err=True)

    with ExitStack() as stack:
        shared: SharedHistory | None = None
        try:
            path = history_path(user, settings.history)
            shared = stack.enter_context(sharing(path, user, whole.server))
        except HistoryError as error:
            if outbox or given_id is not None:
                raise
            # What is to be said may be that the disk is full.
            tell(f"What is sent will not be in the history. {error}")
        for note in shared.notes if shared else ():
            tell(note)
        if outbox:
            assert shared is not None
            keeping = Keeping(shared, user.shown, targets, tell)
            if whole_text is None:
                return keeping.lines(message_id)
            return keeping.text(message_id, whole_text)
        return _send(
            whole,
            shared,
            targets,
            message_id,
            whole_text,
            wait=wait,
            advice=_advice(message_id, lines=lines),
            look_up=given_id is not None,
            verbose=verbose,
        )


def _bytes(text: str | None) -> bytes:
    return whole_input() if text is None else text.encode(errors="surrogateescape")


def _advice(message_id: str, *, lines: bool) -> str:
    if lines:
        return (
            "To send all of it again, and nothing twice, use the same input with"
            f" --lines --id {message_id}."
        )
    return f"To send it again, and nothing twice, use --id {message_id}."


def _send(
    whole: "Account",
    shared: "SharedHistory | None",
    targets: Sequence[str],
    message_id: str,
    text: str | None,
    *,
    wait: str,
    advice: str,
    look_up: bool,
    verbose: bool,
) -> int:
    """Send a text, or without any each line of standard input."""
    from twisted.internet import reactor

    from chatd.client.connection.link import Link
    from chatd.client.frontends.plain import Plain
    from chatd.client.script.feeding import Feed
    from chatd.client.script.record import NoRecord, SharedRecord
    from chatd.client.script.scripting import run_sender, teller
    from chatd.client.script.sender import Sender, Wait

    front_end = Plain(reactor)
    record = None if shared is None else SharedRecord(shared, reactor)
    sender = Sender(
        record or NoRecord(),
        reactor,
        teller(front_end),
        user=whole.user,
        server=whole.server,
        wait=Wait(wait),
        timeout=whole.timeout,
        stream=text is None,
        look_up=record.earlier if record is not None and look_up else None,
        advice=advice,
        verbose=verbose,
    )

    async def work(link: Link) -> int:
        if text is None:
            return await Feed(sender, targets, message_id).run(front_end, link)
        sender.put(targets, text, message_id)
        sender.close()
        return await sender.run(link)

    try:
        return run_sender(whole, front_end, reactor, sender, work)
    finally:
        if record is not None:
            record.close()
