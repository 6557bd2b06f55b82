"""The commands ``chat send`` and ``chat flush``: messages from scripts."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from chatd.client.commands.connecting import account
from chatd.client.commands.offered import complete_correspondents
from chatd.client.commands.options import CONTEXT, Given, pass_given, script_options
from chatd.client.historyfile import HistoryError, history_path, name_key, open_history
from chatd.client.statuses import Failed, Status
from chatd.wire.answers import Refusal
from chatd.wire.display import neutralise
from chatd.wire.message import Message, new_id
from chatd.wire.names import BadName, parse_name

if TYPE_CHECKING:
    from chatd.client.account import Account
    from chatd.client.sharedhistory import SharedHistory

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

_STATUSES: Final = """\b
Exit status:
  0  every message is stored, or delivered where that was asked for
  1  some message was refused
  2  the command line is wrong
  3  the server refused the login
  4  the server could not be reached within --timeout; nothing was sent
  5  what answered is no chatd of this version
  6  the history {history}
  7  the server's certificate is not accepted
  8  nobody has the name that was written to
  9  not confirmed within --timeout; standard error says what may have been sent
  128 and its number after a signal

Of several that apply, 9 comes before 1, and 1 before 8.
"""

_verbose: Final = click.option(
    "-v", "--verbose", is_flag=True, help="Say what becomes of each message."
)


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
    epilog=_STATUSES.format(history="cannot be used"),
)
@click.argument(
    "targets",
    metavar="TARGET[,TARGET...]",
    callback=_targets,
    shell_complete=complete_correspondents,
)
@click.argument("text", required=False, metavar="[TEXT]")
@click.option(
    "--lines", is_flag=True, help="Send each line of standard input as it comes."
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
@_verbose
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
    texts: Iterable[tuple[str, str]] = ()
    if not lines:
        texts = [(message_id, _checked(_argument(text) or _whole_input()))]
    elif outbox:
        texts = _numbered_lines(message_id)
    # Not at the top: it needs Twisted.
    from chatd.client.sharedhistory import sharing

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
            _keep(shared, user.shown, targets, texts)
            return Status.OK
        return _send(
            whole,
            shared,
            [(targets, each, its_id) for its_id, each in texts],
            (targets, message_id) if lines else None,
            wait=wait,
            advice=_advice(message_id, lines=lines),
            look_up=given_id is not None,
            verbose=verbose,
        )


def _advice(message_id: str, *, lines: bool) -> str:
    what = "all of it" if lines else "it"
    return f"To send {what} again, and nothing twice, use --id {message_id}."


def _send(
    whole: "Account",
    shared: "SharedHistory | None",
    messages: Sequence[tuple[Sequence[str], str, str]],
    stream: tuple[Sequence[str], str] | None,
    *,
    wait: str,
    advice: str,
    look_up: bool,
    verbose: bool,
) -> int:
    from twisted.internet import reactor

    from chatd.client.feeding import Feed
    from chatd.client.link import Link
    from chatd.client.plain import Plain
    from chatd.client.record import NoRecord, SharedRecord
    from chatd.client.scripting import run_script, teller
    from chatd.client.sender import Sender, Wait

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
        stream=stream is not None,
        look_up=record.earlier if record is not None and look_up else None,
        advice=advice,
        verbose=verbose,
    )

    async def work(link: Link) -> int:
        if stream is not None:
            return await Feed(sender, *stream).run(front_end, link)
        for each in messages:
            sender.put(*each)
        sender.close()
        return await sender.run(link)

    try:
        return run_script(
            whole,
            front_end,
            reactor,
            listener=sender,
            work=work,
            interrupt=sender.interrupt,
            receive=False,
            rescue=front_end.rescue,
        )
    finally:
        if record is not None:
            record.close()


# The text ----------------------------------------------------------------------------


def _argument(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="surrogateescape")


def _whole_input() -> bytes:
    if sys.stdin.isatty():
        click.echo("Type the message; Ctrl-D on a line of its own ends it.", err=True)
    from chatd.client.frontend import MAX_TYPED

    # One more, so that what is too long is seen to be.
    return sys.stdin.buffer.read(MAX_TYPED + 1).removesuffix(b"\n").removesuffix(b"\r")


def _numbered_lines(message_id: str) -> Iterator[tuple[str, str]]:
    """Return the lines of standard input, with the ids that `Feed` gives them."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        text = line.rstrip(b"\r\n")
        if text:
            try:
                yield f"{message_id}.{number:07}", _checked(text)
            except Failed as failed:
                raise Failed(failed.status, f"line {number}: {failed}") from None


def _checked(data: bytes) -> str:
    """Return a text that can be sent, as far as it is known here. Raises `Failed`."""
    from chatd.client.frontend import MAX_TYPED
    from chatd.client.input import MAX_MESSAGE

    if not data:
        raise Failed(Status.NOT_ACCEPTED, "The message is empty. Nothing was sent.")
    if len(data) > MAX_TYPED:
        refusal = Refusal("message-too-long", limit=MAX_MESSAGE)
        raise Failed(Status.NOT_ACCEPTED, refusal.text)
    try:
        # The server would change it, and find another text under its id.
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Failed(Status.NOT_ACCEPTED, Refusal("not-utf8").text) from None


# The outbox --------------------------------------------------------------------------


def _keep(
    shared: "SharedHistory",
    user: str,
    targets: Sequence[str],
    texts: Iterable[tuple[str, str]],
) -> None:
    """Put messages into the outbox. Raises `Failed`."""
    from time import time

    from chatd.client.input import MAX_MESSAGE
    from chatd.client.sharedhistory import AnotherText

    now = int(time() * 1000)
    texts = iter(texts)
    while some := list(islice(texts, 256)):
        messages = []
        for its_id, text in some:
            if len(text.encode()) > MAX_MESSAGE:
                refusal = Refusal("message-too-long", limit=MAX_MESSAGE)
                raise Failed(Status.NOT_ACCEPTED, refusal.text)
            messages += [Message(0, its_id, user, to, text, now, 0) for to in targets]
        try:
            shared.append(messages, "waiting")
        except AnotherText as another:
            earlier = another.earlier
            refusal = Refusal("id-used", id=earlier.id, name=earlier.receiver)
            raise Failed(Status.NOT_ACCEPTED, refusal.text) from None


@click.command(
    "flush",
    context_settings=CONTEXT,
    epilog=_STATUSES.format(history="is in use by another chat, or cannot be used"),
)
@_verbose
@script_options("How long to wait for the login, and then for the next confirmation.")
@pass_given
def flush(given: Given, verbose: bool) -> int:
    """Send what waits in the outbox.

    That is what chat send --outbox has kept, and what an earlier chat could not send.
    What is not confirmed stays there. A chat that runs with this history sends it by
    itself.
    """
    settings = given.settings()
    user, whole = account(settings, may_ask=False)
    opened = open_history(history_path(user, settings.history), user)
    # Not at the top: they need Twisted.
    from twisted.internet import reactor

    from chatd.client.history import History
    from chatd.client.link import Link
    from chatd.client.plain import Plain
    from chatd.client.scripting import run_script, teller
    from chatd.client.sender import Sender, Wait

    front_end = Plain(reactor)
    tell = teller(front_end)
    for note in opened.notes:
        tell(note)
    history = History(opened, reactor, whole.server)  # type: ignore[arg-type]
    sender = Sender(
        history,
        reactor,
        tell,
        user=whole.user,
        server=whole.server,
        wait=Wait.STORED,
        timeout=whole.timeout,
        stream=True,
        advice="It is kept: chat flush sends it again, and nobody gets it twice.",
        verbose=verbose,
    )

    async def work(link: Link) -> int:
        try:
            kept = await history.waiting()
            own = [each for each in kept if name_key(each.sender) == user.key]
            sender.load(own)
            sender.close()
            return await sender.run(link) if own else Status.OK
        finally:
            history.close()

    return run_script(
        whole,
        front_end,
        reactor,
        listener=sender,
        work=work,
        interrupt=sender.interrupt,
        receive=False,
        rescue=front_end.rescue,
    )
