"""Every refusal that chatd can give: one table, code and text side by side.

A refusal is raised wherever the reason is found, as `Refusal`, and becomes an answer
in one place of each form: the text as a line, or the code and the text as an
``error`` object. docs/protocol.md shows the same table, and a test compares the two.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the table.

    `text` is a format string; `temporary` says whether the same request may succeed
    later without being changed.
    """

    text: str
    temporary: bool = False


ANSWERS: Final[dict[str, Answer]] = {
    "unknown-user": Answer("User '{name}' not found."),
    "format": Answer("Format error. Please enter: <target>-<message>"),
    "too-long": Answer("Line too long (over {limit} bytes). Nothing was sent."),
    "message-too-long": Answer(
        "Message too long (over {limit} bytes). Nothing was sent; send it in parts."
    ),
    "too-many-targets": Answer(
        "Too many targets (over {limit}). Nothing was sent; use several lines."
    ),
    "not-utf8": Answer("Not valid UTF-8. Nothing was sent."),
    "unknown-command": Answer(
        "Unknown command '{command}'. Nothing was sent. /help lists the commands."
    ),
    "bad-argument": Answer("Usage of {command}: {usage} (nothing was changed)"),
    "queue-full": Answer(
        "The queue of '{name}' is full. Nothing was sent; try again later.",
        temporary=True,
    ),
    "not-stored": Answer(
        "Could not store the message to '{name}' ({reason})."
        " Nothing was sent; try again later.",
        temporary=True,
    ),
    "out-of-order": Answer(
        "Nothing was sent to '{name}': an earlier message to '{name}' failed."
        " Send that one again first, then this one.",
        temporary=True,
    ),
    "id-used": Answer(
        "The id '{id}' was another message's to '{name}'. Nothing was sent;"
        " use a new id for each message."
    ),
    "bad-name": Answer("{reason} Please choose another name."),
    "too-many-names": Answer(
        "Too many new names from your address ({limit} an hour)."
        " Log in with a known name, or try again later.",
        temporary=True,
    ),
    "not-registered": Answer(
        "Could not register the name '{name}' ({reason}). Please try again later.",
        temporary=True,
    ),
    "password-needed": Answer("The name '{name}' needs its password."),
    "not-private": Answer(
        "The name '{name}' needs a password, and others could read it on this"
        " connection. Connect with TLS (chat --tls), or from the server itself."
    ),
    "wrong-password": Answer("Wrong name or password. Please try again."),
    "bad-password": Answer("{reason} Please choose another password."),
    "password-not-set": Answer(
        "The password could not be set. Nothing was changed; please try again later.",
        temporary=True,
    ),
    "name-in-use": Answer(
        "'{name}' is logged in on another connection too. Nothing was changed:"
        " close that one before you set the first password."
    ),
    "passwords-elsewhere": Answer(
        "Passwords are not kept here. Please ask the administrator."
    ),
    "account-closed": Answer(
        "The administrator has changed or closed this account."
        " Please ask there, or log in again."
    ),
    "busy": Answer(
        "Too many logins at the same time. Please try again later.", temporary=True
    ),
    "too-many-bad-names": Answer(
        "Too many refused names ({limit}). Please connect again."
    ),
    "login-timeout": Answer(
        "No login within {limit} seconds. Please connect again.", temporary=True
    ),
    "too-many-connections": Answer(
        "Too many connections ({limit} {scope}). Close one, or try again later.",
        temporary=True,
    ),
    "not-trusted": Answer(
        "This port is for trusted proxies only. Connect through the proxy,"
        " or to another port."
    ),
    "no-proxy-header": Answer(
        "This port is for proxies only, and no valid PROXY header came."
        " Connect through the proxy, or to another port."
    ),
    "not-http": Answer(
        "This is chatd, a message daemon, and no web server or proxy target."
        " Connect with: nc HOST PORT"
    ),
    "not-tls": Answer(
        "This port of chatd speaks TLS only. Connect with: chat --tls NAME@HOST:PORT,"
        " or ncat --ssl HOST PORT"
    ),
    "too-many-watched": Answer(
        "Too many names are watched ({limit} in all). Nothing was changed;"
        " watch fewer, or try again later.",
        temporary=True,
    ),
    "bad-json": Answer("Not a JSON object ({reason}). Nothing was sent."),
    "bad-field": Answer("Field '{field}': {reason}. Nothing was sent."),
    "unknown-type": Answer("Unknown type '{type}'. Nothing was sent."),
    "unsupported": Answer("This server does not know '{key}'. Nothing was sent."),
    "not-logged-in": Answer("Log in first. Nothing was sent."),
    "already-logged-in": Answer(
        "Already logged in as '{name}'. Use another connection for another name."
    ),
    "shutting-down": Answer(
        "The server is stopping. Nothing more was taken; please connect again later.",
        temporary=True,
    ),
    "internal": Answer(
        "Something went wrong in the server, and was logged."
        " This was not done; please tell the administrator.",
        temporary=True,
    ),
}


class Refusal(Exception):
    """A request that is refused: nothing of it was done.

    `code` is a key of `ANSWERS`; the fields fill that answer's text.
    """

    def __init__(self, code: str, **fields: object) -> None:
        super().__init__(code, fields)
        self.code = code
        self.fields = fields

    @property
    def text(self) -> str:
        """The answer as a person reads it: one line, without its end."""
        return ANSWERS[self.code].text.format(**self.fields)

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return ANSWERS[self.code].temporary
