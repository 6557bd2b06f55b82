"""Users, as ``chatctl user`` changes them: who may log in."""

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from chatd.store import administration
from chatd.store.beside import database_beside
from chatd.store.opening import StoreError
from chatd.wire.display import neutralise
from chatd.wire.names import BadName, Name, parse_name
from chatd.wire.text import stamp


class NameType(click.ParamType[Name]):
    """A name, as it could be given at the prompt."""

    name = "name"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Name:
        """Return the name. Fails with the reason why it is none."""
        if isinstance(value, Name):
            return value
        try:
            return parse_name(str(value))
        except BadName as bad:
            self.fail(str(bad), param, ctx)


NAME: Final = NameType()


@click.group(
    invoke_without_command=True,  # and then shows its help as it was laid out
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    default="server.db",
    show_default=True,
    help="The database of chatd, which may be running.",
)
@click.pass_context
def user(context: click.Context, db: Path) -> None:
    """Add, list, protect, disable or remove users.

    A running chatd acts upon it within seconds: it ends the connections of a user that
    was changed.
    """
    context.obj = db
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@user.command("list")
@click.pass_obj
def list_users(db: Path) -> None:
    """List all users: their password, when they were last seen, and what waits."""
    with _database(db) as connection:
        accounts = administration.accounts(connection)
    rows = [("NAME", "PASSWORD", "LAST SEEN", "FROM", "WAITING", "")]
    rows += [
        (
            each.name,
            "yes" if each.has_password else "no",
            stamp(each.last_seen),
            each.address or "-",
            str(each.queued_messages),
            "disabled" if each.disabled else "",
        )
        for each in accounts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(neutralise("  ".join(cells).rstrip()))


@user.command()
@click.argument("name", type=NAME)
@click.option("--open", "is_open", is_flag=True, help="Without a password.")
@click.pass_obj
def add(db: Path, name: Name, is_open: bool) -> None:
    """Register NAME, with a password that is asked for."""
    encoded = None if is_open else _ask_password()
    with _database(db) as connection:
        try:
            administration.add_user(
                connection, name.key, name.shown, encoded, _milliseconds
            )
        except administration.NameTaken:
            raise click.ClickException(f"{name.shown} is a user already.") from None
    click.echo(f"Added {name.shown}.")


@user.command()
@click.argument("name", type=NAME)
@click.option("--remove", is_flag=True, help="Take the password away.")
@click.pass_obj
def password(db: Path, name: Name, remove: bool) -> None:
    """Set the password of NAME, which is asked for."""
    encoded = None if remove else _ask_password()
    with _database(db) as connection, _known(name):
        administration.set_password(connection, name.key, encoded, _milliseconds)
    if remove:
        click.echo(f"{name.shown} has no password any more.")
    else:
        click.echo(f"Every login as {name.shown} needs this password from now on.")


@user.command()
@click.argument("name", type=NAME)
@click.pass_obj
def disable(db: Path, name: Name) -> None:
    """Let NAME log in no more; what waits for it is kept."""
    _set_disabled(db, name, disabled=True)
    click.echo(f"Disabled {name.shown}.")


@user.command()
@click.argument("name", type=NAME)
@click.pass_obj
def enable(db: Path, name: Name) -> None:
    """Let NAME log in again."""
    _set_disabled(db, name, disabled=False)
    click.echo(f"Enabled {name.shown}.")


@user.command()
@click.argument("name", type=NAME)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(db: Path, name: Name, yes: bool) -> None:
    """Remove NAME, and drop what waits for it; anybody may register it again."""
    with _database(db) as connection, _known(name):
        if not yes:
            click.confirm(
                f"Remove {name.shown}, and all messages that wait for it?",
                abort=True,
                err=True,
            )
        dropped = administration.remove_user(connection, name.key, _milliseconds)
    waiting = "1 message was" if dropped == 1 else f"{dropped} messages were"
    click.echo(f"Removed {name.shown}; {waiting} waiting.")


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database. Raises `click.ClickException`."""
    try:
        with database_beside(path) as connection:
            yield connection
    except StoreError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _known(name: Name) -> Iterator[None]:
    try:
        yield
    except administration.NoSuchUser:
        raise click.ClickException(f"There is no user {name.shown}.") from None


def _set_disabled(path: Path, name: Name, *, disabled: bool) -> None:
    with _database(path) as connection, _known(name):
        administration.set_disabled(
            connection, name.key, _milliseconds, disabled=disabled
        )


def _ask_password() -> str:
    """Ask for a password, twice on a terminal, and return it encoded."""
    # Not at the top: they need Twisted, and this is imported for each Tab.
    from chatd.passwords import BadPassword, encode, prepare

    if sys.stdin.isatty():
        given = click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        try:
            given = sys.stdin.buffer.readline().decode()
        except UnicodeDecodeError:
            raise click.ClickException("The password is not valid UTF-8.") from None
        given = given.removesuffix("\n").removesuffix("\r")
    try:
        return encode(prepare(given))
    except BadPassword as bad:
        raise click.ClickException(str(bad)) from None


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
