"""What a person is told at the login, as in the text form."""

from chatd.client.events import Welcome
from chatd.wire import text


def greeting(welcome: Welcome) -> list[str]:
    """Return the lines of the greeting."""
    more = text.more_listed_by
    lines = [
        text.welcome(welcome.user, new=welcome.new),
        text.book(welcome.users, more("/users", welcome.more_users)),
        text.online(welcome.online, more("/who", welcome.more_online)),
        text.HINT,
    ]
    if welcome.queued:
        lines.append(text.backlog(welcome.queued))
    return lines
