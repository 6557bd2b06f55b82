"""The command ``chat history``: what was said."""

import sys
from collections.abc import Callable, Iterator
from typing import Final

import click

from chatd.client.commands.offered import complete_correspondents, complete_users
from chatd.client.commands.options import (
    CONTEXT,
    Given,
    config_option,
    pass_given,
    setting_option,
)
from chatd.client.history.file import reading
from chatd.client.history.places import history_shown
from chatd.client.history.printed import (
    csv_header,
    csv_record,
    for_terminal,
    json_line,
    lines,
)
from chatd.client.history.search import (
    Found,
    TooManyWords,
    Wanted,
    find,
    words_searched,
)
from chatd.client.history.times import first_moment, last_moment
from chatd.client.settings.address import parse_user
from chatd.client.statuses import Status
from chatd.wire.display import neutralise

_Read = Callable[[str], int]


class _Moment(click.ParamType[int]):
    """A date, or a date and a time; `read` says which moment of it counts."""

    name = "time"

    def __init__(self, read: _Read) -> None:
        self._read: Final = read

    def convert(
        self,
        value: str | int,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time. Write 2026-11-22 or 2026-11-22T18:42:53.",
                param,
                ctx,
            )


@click.command("history", context_settings=CONTEXT)
@click.option(
    "--user",
    metavar="NAME",
    shell_complete=complete_users,
    help="Whose history; the one used last, if not given.",
)
@click.option(
    "--with",
    "correspondent",
    metavar="NAME",
    shell_complete=complete_correspondents,
    help="Only messages to or from NAME.",
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
    "--since",
    type=_Moment(first_moment),
    metavar="TIME",
    help="Only messages from TIME on: 2026-11-22, or 2026-11-22T18:42:53.",
)
@click.option(
    "--until", type=_Moment(last_moment), metavar="TIME", help="Only those up to TIME."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a header.")
@setting_option("history", "Where messages are kept: a file, or a folder with them.")
@config_option
@pass_given
def history(
    given: Given,
    user: str | None,
    correspondent: str | None,
    search: str | None,
    last: int,
    since: int | None,
    until: int | None,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Show the last messages sent and received, without a server.

    Words are found inside others, too; capitals and accents do not matter. Times are
    UTC. It works while a chat is running, too.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv do not go together.")
    try:
        words_searched(search or "")
    except TooManyWords as too_many:
        raise click.UsageError(str(too_many)) from None
    settings = given.settings()
    whose = settings.user if user is None else parse_user(user)
    path, users = history_shown(whose, settings.history)
    if len(users) > 1:
        latest, *others = users
        line = f"{latest}'s history; also: {', '.join(others)}"
        click.echo(neutralise(line), err=True)
    wanted = Wanted(None, correspondent, since, until)
    with reading(path) as connection:
        found = find(connection, search or "", wanted, last=last)
    if not found:
        click.echo(f"No such message in {neutralise(str(path))}.", err=True)
    if as_csv:
        written = _as_csv(found)
    elif as_json:
        written = (f"{json_line(each.message)}\n" for each in found)
    else:
        written = _for_people(found, marked=_is_coloured(settings.colour))
    for each in written:
        click.echo(each.encode(errors="replace"), nl=False)
    return Status.OK


def _for_people(found: list[Found], *, marked: bool) -> Iterator[str]:
    for each in found:
        for line in lines(each.message, each.spans if marked else ()):
            yield f"{line}\n"


def _as_csv(found: list[Found]) -> Iterator[str]:
    safe: Callable[[str], str] = for_terminal if sys.stdout.isatty() else str
    yield csv_header()
    for each in found:
        yield safe(csv_record(each.message))


def _is_coloured(colour: str) -> bool:
    return colour == "always" or (colour == "auto" and sys.stdout.isatty())
