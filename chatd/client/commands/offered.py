"""The names that Tab offers in a shell: those of a history, if one can be read."""

import re
import sqlite3
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from chatd.client.commands.options import Given
from chatd.client.history.file import reading
from chatd.client.history.places import (
    HistoryError,
    data_folder,
    histories,
    history_shown,
)
from chatd.client.history.search import correspondents
from chatd.client.settings.address import BadAddress, parse_user
from chatd.client.settings.settings import BadSettings, Settings

MOST: Final = 1000
"""How many names are looked up."""

_NAME: Final = re.compile(r"[\w.]+")


def complete_correspondents(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return with whom one talked, the last first.

    Of several names with commas the last is completed. Whatever goes wrong, there is
    nothing to be completed then: nobody could be told.
    """
    before, comma, typed = incomplete.rpartition(",")
    earlier = before.casefold().split(",")
    return [
        CompletionItem(f"{before}{comma}{name}")
        for name in _correspondents(ctx)
        if _fits(name, typed) and name.casefold() not in earlier
    ]


def complete_users(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return those who have a history here, the one used last first."""
    settings = _settings(ctx)
    if settings is None:
        return []
    return [
        CompletionItem(user)
        for user, _ in _histories(settings)
        if _fits(user, incomplete)
    ]


def _fits(name: str, typed: str) -> bool:
    # What an old history has as a name may be anything, and a shell reads this.
    return bool(_NAME.fullmatch(name)) and name.casefold().startswith(typed.casefold())


def _correspondents(ctx: click.Context) -> list[str]:
    settings = _settings(ctx)
    if settings is None:
        return []
    user = ctx.params.get("user")
    try:
        whose = settings.user if user is None else parse_user(user)
        path, _ = history_shown(whose, settings.history)
        with reading(path) as connection:
            return correspondents(connection, MOST)
    except (BadAddress, HistoryError, OSError, sqlite3.Error):
        return []


def _settings(ctx: click.Context) -> Settings | None:
    given = ctx.find_object(Given) or Given()
    try:
        return given.settings()
    except BadSettings:
        return None


def _histories(settings: Settings) -> list[tuple[str, Path]]:
    try:
        return histories(settings.history or data_folder())
    except (HistoryError, OSError):
        return []
