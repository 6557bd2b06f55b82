"""The text form: what a person types into nc, and what chatd says back.

Everything here is one line without its end. After login exactly the lines that match
``^[^ ]+: `` are messages; no other line made here does, which programs rely on.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from chatd.wire.answers import Refusal
from chatd.wire.block import Block
from chatd.wire.display import neutralise
from chatd.wire.message import Message
from chatd.wire.names import BadName, Name, parse_name

PROMPT: Final = "Enter your username: "
HINT: Final = (
    "Type <target>-<message>, for example bob-Hello!   (/help lists the commands)"
)
PASSWORD_PROMPT: Final = "Password: "
PASSWORD_PROMPT_AGAIN: Final = "Password (an empty line for another name): "
GOODBYE: Final = "Goodbye."
MAX_TARGETS: Final = 32


@dataclass(frozen=True, slots=True)
class Send:
    """``target-message``: the same text to each of the targets, doubles once."""

    targets: tuple[Name, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line that begins with a slash: its first word, and the rest, stripped."""

    name: str
    argument: str


def parse_line(line: str, max_message: int) -> Send | Command | None:
    """Return what a line after login means; None for the empty line, which is ignored.

    `max_message` is the longest text in bytes of UTF-8. Raises `Refusal`: format,
    too-many-targets or message-too-long.
    """
    if not line:
        return None
    if line[0] == "/":
        name, _, argument = line.partition(" ")
        return Command(name, argument.strip())
    targets, dash, text = line.partition("-")
    if not dash or not text:
        raise Refusal("format")
    return Send(parse_targets(targets.split(",")), checked_text(text, max_message))


def parse_targets(names: Sequence[str]) -> tuple[Name, ...]:
    """Return the named targets in their order, doubles once.

    Raises `Refusal`: format for what cannot be a name, too-many-targets.
    """
    # Counted before they are parsed: a line of commas must not cost much.
    if len(names) > MAX_TARGETS and len(set(names)) > MAX_TARGETS:
        raise Refusal("too-many-targets", limit=MAX_TARGETS)
    try:
        found = [parse_name(name, reserved_too=True) for name in names]
    except BadName:
        raise Refusal("format") from None
    return tuple({name.key: name for name in found}.values())


def checked_text(text: str, max_message: int) -> str:
    """Return the text, if it is not longer than `max_message` bytes of UTF-8."""
    # A character takes at most four bytes: most texts need no encoding to be judged.
    if len(text) * 4 > max_message and len(text.encode()) > max_message:
        raise Refusal("message-too-long", limit=max_message)
    return text


def message_lines(message: Message, *, queued: bool) -> list[str]:
    """Return the lines that show a message, each with its own ``sender: ``.

    A message that was `queued` at login bears its time.
    """
    end = f" ({stamp(message.time)})" if queued else ""
    return [
        f"{message.sender}: {neutralise(part)}{end}"
        for part in message.text.split("\n")
    ]


def block_lines(block: Block, *, queued: bool) -> tuple[bytes, "array[int]"]:
    """Return the lines that show messages kept together, as bytes, and their lengths.

    They are what `message_lines` are of each.
    """
    end = (f" ({stamp(block.time)})\n" if queued else "\n").encode()
    pieces: list[bytes] = []
    lengths = array("I")
    for sender, _, texts, _ in block.parts:
        begin = f"{sender}: ".encode()
        more = len(begin) + len(end)
        pieces += (begin, texts.replace(b"\n", end + begin), end)
        lengths.extend([len(text) + more for text in texts.split(b"\n")])
    return b"".join(pieces), lengths


def stamp(milliseconds: int) -> str:
    """Return a time as people read it, ``2026-11-22 18:42:53 UTC``."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def welcome(name: str, *, new: bool) -> str:
    """Return the first line after a login."""
    return f"Welcome, {name}." + (" You are new here." if new else "")


def open_name(name: str, *, private: bool) -> str:
    """Return the line that says how a name without a password is protected."""
    where = "" if private else ", over TLS or on the server itself"
    return f"Anybody can log in as {name}; /password protects the name{where}."


def password_was_set(name: str, time: int, address: str) -> str:
    """Return the line that tells of a name's first password, for some time."""
    return (
        f"{name} got a password on {stamp(time)}, from {address}."
        " If that was not you, ask the administrator."
    )


NOTHING_CHANGED: Final = "Nothing was changed."
PASSWORDS_DIFFER: Final = "These are two passwords. Nothing was changed."
PASSWORD_AGAIN: Final = "The same again:"


def ask_password(which: str) -> str:
    """Return the question for the present or the new password."""
    return f"Your {which} password (an empty line changes nothing):"


def protected(name: str) -> str:
    """Return the answer to a password that was set."""
    return f"From now on every login as {name} needs this password."


def book(names: Sequence[str], hint: str = "") -> str:
    """Return the line of the users known; `hint` says how many more there are."""
    return f"Client book => {_listed(names)}{hint}"


def online(names: Sequence[str], hint: str = "") -> str:
    """Return the line of the users online; `hint` says how many more there are."""
    return f"Users online => {_listed(names)}{hint}"


def more_listed_by(command: str, more: int) -> str:
    """Return the end of a list that a command shows in full; nothing for no more."""
    return f" ... and {more} more ({command})" if more > 0 else ""


def more_by_prefix(more: int) -> str:
    """Return the end of a list that only a prefix makes shorter."""
    return f" ... and {more} more; give a prefix" if more > 0 else ""


def backlog(count: int) -> str:
    """Return the line that announces the queued messages."""
    return f"You have {count} offline message{'' if count == 1 else 's'}:"


def backlog_elsewhere(count: int) -> str:
    """Return the notice that another connection is getting the queued messages."""
    what = "1 offline message is" if count == 1 else f"{count} offline messages are"
    return f"Your {what} going to another connection of yours."


def confirming(on: bool) -> str:
    """Return the answer to ``/confirm``."""
    return "Every message is answered." if on else "Messages are not confirmed."


def stored_offline(name: str) -> str:
    """Return the answer for a user who was not connected."""
    return f"User '{name}' is offline. Message stored."


def confirmed(name: str, *, delivered: bool) -> str:
    """Return the one answer that every message gets after ``/confirm on``."""
    return f"Delivered to {name}." if delivered else f"Stored for {name}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "(nobody)"
