"""The command ``chat history``: what was said."""

from pathlib import Path

import click

from chatd.client.address import parse_user
from chatd.client.commands.options import (
    CONTEXT,
    Given,
    config_option,
    pass_given,
    setting_option,
)
from chatd.client.historyfile import (
    HistoryError,
    data_folder,
    histories,
    history_path,
    reading,
)
from chatd.client.search import find
from chatd.client.statuses import Status
from chatd.wire.display import neutralise
from chatd.wire.names import Name


@click.command("history", context_settings=CONTEXT)
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
@setting_option("history", "Where messages are kept: a file, or a folder with them.")
@config_option
@pass_given
def history(
    given: Given,
    user: str | None,
    correspondent: str | None,
    search: str | None,
    last: int,
) -> int:
    """Show the last messages sent and received, without a server.

    Times are UTC. It works while a chat is running, too.
    """
    settings = given.settings()
    whose = settings.user if user is None else parse_user(user)
    path = _history_to_show(whose, settings.history)
    with reading(path) as connection:
        lines = find(connection, correspondent=correspondent, words=search, last=last)
    if not lines:
        click.echo(f"No such message in {neutralise(str(path))}.", err=True)
    for line in lines:
        click.echo(line.encode(errors="replace"))
    return Status.OK


def _history_to_show(user: Name | None, given: Path | None) -> Path:
    if user is not None:
        return history_path(user, given)
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
