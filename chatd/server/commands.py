"""The commands of the text form: one table, from which the help is made.

A command is one entry; docs/protocol.md lists the same, and a test compares the two.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from chatd.hub.gate import Gate
from chatd.hub.hub import Hub
from chatd.hub.session import Session
from chatd.server.answers import Answers
from chatd.server.connection import Connection
from chatd.server.dialog import Cancelled
from chatd.server.speaking import LISTED_ON_REQUEST
from chatd.wire import text
from chatd.wire.answers import Refusal


class Speaker(Protocol):
    """What a command needs of the form in which it was typed."""

    session: Session | None
    connection: Connection
    answers: Answers
    confirm: bool

    @property
    def hub(self) -> Hub:
        """Where users and messages are."""

    @property
    def gate(self) -> Gate:
        """What lets connections in."""

    def begin_dialog(self, talk: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Ask the person something; fires when it was asked, or is over."""

    async def ask(self, question: str) -> str:
        """Ask something in a dialog, and return the answer. Raises `Cancelled`."""

    def leave(self) -> None:
        """Say goodbye once all that was sent is safe, and close."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: how it is typed, what it does, and the function that does it."""

    usage: str
    meaning: str
    run: Callable[[Speaker, str], Deferred[None] | None]

    @property
    def name(self) -> str:
        """The word that calls it, with its slash."""
        return self.usage.partition(" ")[0]


def _help(form: Speaker, argument: str) -> None:
    width = max(len(each.usage) for each in COMMANDS.values())
    form.answers.say(
        "<target>-<message> sends a message; a,b-<message> sends it to several.",
        *(f"  {each.usage:{width}}   {each.meaning}" for each in COMMANDS.values()),
    )


def _who(form: Speaker, argument: str) -> None:
    besides = form.session.receiver.key if form.session is not None else ""
    found = form.hub.online_by_prefix(argument, LISTED_ON_REQUEST, besides)
    form.answers.say(text.online(found.names, text.more_by_prefix(found.more)))


def _users(form: Speaker, argument: str) -> Deferred[None]:
    async def look_up() -> None:
        found = await form.hub.users_by_prefix(argument, LISTED_ON_REQUEST)
        form.answers.say(text.book(found.names, text.more_by_prefix(found.more)))

    return Deferred.fromCoroutine(look_up())


def _confirm(form: Speaker, argument: str) -> None:
    if argument not in ("on", "off"):
        raise Refusal(
            "bad-argument", command="/confirm", usage=COMMANDS["/confirm"].usage
        )
    form.confirm = argument == "on"
    form.answers.say(text.confirming(form.confirm))


def _password(form: Speaker, argument: str) -> Deferred[None] | None:
    if argument:
        # Nor is it to stand where everybody sees it.
        usage = COMMANDS["/password"].usage
        raise Refusal("bad-argument", command="/password", usage=usage)
    return form.begin_dialog(_set_password(form))


async def _set_password(form: Speaker) -> None:
    session, origin = form.session, form.connection.origin
    if session is None:
        raise Refusal("not-logged-in")
    if not form.gate.may_ask(origin):
        raise Refusal("not-private", name=session.name)
    old = None
    try:
        if await form.gate.has_password(session):
            old = await form.ask(text.ask_password("present"))
        new = await form.ask(text.ask_password("new"))
        if await form.ask(text.PASSWORD_AGAIN) != new:
            form.answers.say(text.PASSWORDS_DIFFER)
            return
    except Cancelled:
        form.answers.say(text.NOTHING_CHANGED)
        return
    await form.gate.set_password(session, origin, old, new)
    form.answers.say(text.protected(session.name))


def _quit(form: Speaker, argument: str) -> None:
    form.leave()


COMMANDS: Final[dict[str, Command]] = {
    each.name: each
    for each in (
        Command("/who [prefix]", "lists who else is online", _who),
        Command("/users [prefix]", "lists all users", _users),
        Command("/confirm on|off", "answers every message, or only some", _confirm),
        Command("/password", "protects your name with a password", _password),
        Command("/help", "lists the commands", _help),
        Command("/quit", "leaves, once everything sent is safe", _quit),
    )
}
