"""What a person is told at the login, and the lists, as in the text form."""

from typing import Final

from chatd.client.connection.events import Listing, Welcome
from chatd.wire import text

FIRST_HINT: Final = (
    "bob-Hi writes to bob, as any line does after /to bob (/help lists the commands)"
)
LAST_HINT: Final = "/quit or Ctrl-D leaves; what is not sent yet is sent next time."


def greeting(welcome: Welcome, *, private: bool) -> list[str]:
    """Return the lines of the greeting; `private` says that nobody else reads along."""
    more = text.more_listed_by
    lines = [
        text.welcome(welcome.user, new=welcome.new),
        text.book(welcome.users, more("/users", welcome.more_users)),
        text.online(welcome.online, more("/who", welcome.more_online)),
    ]
    if welcome.is_open:
        lines.append(text.open_name(welcome.user, private=private))
    lines.append(text.HINT)
    if welcome.queued:
        lines.append(text.backlog(welcome.queued))
    return lines


def first_greeting(welcome: Welcome, *, private: bool) -> list[str]:
    """Return the greeting of somebody who sits here for the first time.

    It is three lines: who one is, how to send, and how it ends.
    """
    who = text.welcome(welcome.user, new=welcome.new)
    if welcome.is_open:
        who += f" {text.open_name(welcome.user, private=private)}"
    lines = [who, FIRST_HINT, LAST_HINT]
    if welcome.queued:
        lines.append(text.backlog(welcome.queued))
    return lines


def listed(listing: Listing, user: str) -> str:
    """Return the line that answers ``/who`` or ``/users`` of a user."""
    more = text.more_by_prefix(listing.more)
    if listing.kind == "who":
        return text.online([each for each in listing.names if each != user], more)
    return text.book(listing.names, more)
