"""The command ``chat config``: what is set, and where."""

from pathlib import Path

import click

from chatd.client.commands.options import (
    CONTEXT,
    Given,
    connecting_options,
    default_history,
    pass_given,
    screen_options,
)
from chatd.client.settings.file import write_commented
from chatd.client.settings.kinds import toml
from chatd.client.settings.settings import SETTINGS, BadSettings, Level, Settings
from chatd.client.statuses import Status
from chatd.wire.display import neutralise


@click.command("config", context_settings=CONTEXT)
@click.option(
    "--init",
    is_flag=True,
    help="Write a settings file with every setting explained, and none of them set. One"
    " that is there is left alone.",
)
@connecting_options
@screen_options
@pass_given
def config(given: Given, init: bool) -> int:
    """Show each setting, and where it comes from.

    What counts is, in rising order: the default, the settings file, the environment
    (CHAT_SERVER for server, and so on), and the command line. What is printed is in
    the form of the settings file.
    """
    path = given.settings_file
    if init:
        if path is None:
            raise BadSettings(
                "There is no folder for it: this user has no home. Set HOME, or name a"
                " file with --config."
            )
        write_commented(path)
        click.echo(_line(f"Wrote {path}; every line in it is a comment."))
        return Status.OK
    settings = given.settings()
    click.echo(_line(f"# {_about(path)}"))
    for line in _lines(settings):
        click.echo(_line(line))
    return Status.OK


def _about(path: Path | None) -> str:
    if path is None:
        return "There is no settings file: this user has no home."
    there = "" if path.exists() else ", and there is none: chat config --init makes one"
    return f"The settings file is {path}{there}."


def _lines(settings: Settings) -> list[str]:
    rows = []
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        origin = settings.origins[setting.name]
        if value is not None:
            rows.append((f"{setting.name} = {toml(value)}", origin.place))
        elif setting.name == "history" and origin.level == Level.DEFAULT:
            rows.append((f"# {setting.name}", f"default: {default_history()}"))
        else:
            place = "not set" if origin.place == "default" else origin.place
            rows.append((f"# {setting.name}", place))
    width = max(len(assignment) for assignment, _ in rows)
    return [f"{assignment:{width}}  # {place}" for assignment, place in rows]


def _line(text: str) -> bytes:
    return neutralise(text).encode(errors="replace")
