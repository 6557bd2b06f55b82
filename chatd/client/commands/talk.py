"""A conversation: what ``chat alice@host`` begins."""

import difflib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from chatd import __version__
from chatd.client.commands.connecting import account
from chatd.client.commands.options import (
    CONTEXT,
    Given,
    address_argument,
    conversation_options,
    pass_given,
)
from chatd.client.history.file import open_history
from chatd.client.history.places import history_path
from chatd.client.settings.settings import Settings

if TYPE_CHECKING:
    from chatd.client.frontends.frontend import FrontEnd

_DUMB: Final = ("", "dumb", "unknown")


class Conversation(click.Command):
    """The command that has no name of its own: its help is that of ``chat``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words; where they cannot be an address, a command may be meant."""
        first = args[0] if args else ""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # Subclasses are about options; this one says that there are more words.
            if type(error) is not click.UsageError or not first.isidentifier():
                raise
            raise click.UsageError(_no_command(ctx, first)) from None

    def get_help(self, ctx: click.Context) -> str:
        """Return the help of ``chat``."""
        return super().get_help(ctx) if ctx.parent is None else ctx.parent.get_help()


def _no_command(ctx: click.Context, word: str) -> str:
    group = ctx.parent.command if ctx.parent is not None else None
    names = sorted(group.commands) if isinstance(group, click.Group) else []
    near = difflib.get_close_matches(word, names, 1)
    meant = f" Is {near[0]} meant?" if near else ""
    return (
        f"There is no command {word[:64]!r}.{meant} The commands are"
        f" {', '.join(names)}; an address stands alone."
    )


@click.command("talk", cls=Conversation, context_settings=CONTEXT)
@address_argument
@conversation_options
@click.version_option(__version__, prog_name="chat")
@pass_given
def talk(given: Given) -> int:
    """Converse; return the exit status."""
    settings = given.settings()
    user, whole = account(settings, may_ask=True)
    opened = open_history(history_path(user, settings.history), user, _tell)
    # Only now: all that can go wrong without a reactor has gone right.
    front_end, reactor = _front_end(given.plain, settings)
    from chatd.client.talk.running import run

    return run(
        whole,
        opened,
        front_end,
        reactor,
        interactive=sys.stdin.isatty(),
        presence=settings.presence,
        recent=settings.recent,
    )


def _front_end(plain: bool, settings: Settings) -> "tuple[FrontEnd, Any]":
    """Return the front end for where this runs, and the reactor that it needs."""
    bell = settings.bell == "always"
    dumb = os.environ.get("TERM", "").lower() in _DUMB
    if plain or dumb or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from twisted.internet import reactor

        from chatd.client.frontends.plain import Plain

        return Plain(reactor, bell=bell), reactor
    import asyncio

    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    from chatd.client.frontends.screen import Screen

    screen = Screen(colour=settings.colour, background=settings.background, bell=bell)
    return screen, reactor


def _tell(line: str) -> None:
    click.echo(line, err=True)
