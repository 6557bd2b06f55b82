"""The commands of the client, and its help by topic."""

from collections.abc import Mapping, Sequence
from typing import Final

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "/to": ("[names]", "lets every line go to somebody; alone: no longer"),
    "/history": ("[name] [n]", "shows the last messages, to and from name"),
    "/search": ("words", "shows the messages with all of these words"),
    "/who": ("[prefix]", "lists who is online"),
    "/users": ("[prefix]", "lists all users"),
    "/watch": ("[names]", "tells when they come and go; alone: who is watched"),
    "/unwatch": ("names", "tells that no longer"),
    "/password": ("", "protects your name with a password"),
    "/help": ("[topic]", "lists the commands, or explains a topic"),
    "/quit": ("", "leaves, once everything sent is safe"),
}
"""What can follow each command, and what it does."""

KEYS: Final[Mapping[str, str]] = {
    "Enter": "sends what is typed; with nothing typed: all is read",
    "Alt-Enter": "begins another line of the same message (or Esc, then Enter)",
    "Tab": "completes a name or a command, or lists what fits",
    "Up, Down": "go to other lines of the message, then to what was typed before",
    "Ctrl-R": "searches what was typed before",
    "Ctrl-A, Ctrl-E": "go to the beginning and to the end of the line",
    "Alt-B, Alt-F": "go back and forth by a word",
    "Ctrl-W, Ctrl-U": "cut the word, or all, before the cursor",
    "Ctrl-K, Ctrl-Y": "cut all after the cursor; put back what was cut",
    "Ctrl-L": "clears the screen",
    "Ctrl-Z": "puts chat into the background; fg brings it back",
    "Ctrl-C, Ctrl-D": "leave; Ctrl-D only with nothing typed",
}
"""What each key does on a terminal."""

TOPICS: Final[Mapping[str, Sequence[str]]] = {
    "sending": (
        "bob-Hi sends Hi to bob, and bob,carol-Hi to both. The first - ends the names.",
        "After /to bob every line goes to bob, and /to alone ends that.",
        "Then carol-Hi still goes to carol if carol is a known name, right before the"
        " dash; anything else with a dash is text for bob.",
        "Then // begins a text with a slash, and a space one with a name: the text has"
        " the space, too.",
        "What is typed without a connection is kept, and sent when there is one.",
    ),
    "lines": (
        "Alt-Enter begins another line of the same message; Enter sends all of it.",
        "A paste is never sent by itself. One of more than three lines asks first.",
    ),
    "keys": tuple(
        f"{key:{max(map(len, KEYS))}}   {meaning}" for key, meaning in KEYS.items()
    ),
    "history": (
        "/history bob shows the last messages to and from bob, /history bob 100 the"
        " last 100, /history those of all.",
        "/search backup done shows the messages that have both words.",
        "Neither needs a connection. chat history does the same in a shell.",
    ),
    "presence": (
        "You are told when those you talk with come and go.",
        "/watch carol adds carol, /unwatch carol takes her out, /watch lists them.",
        "/who lists all who are online.",
    ),
    "unread": (
        "Messages are unread until you turn to their sender: write to them, or /to or"
        " /history them.",
        "Those of whom you are talking to are read once you type anything, and Enter"
        " with nothing typed reads all.",
    ),
    "names": (
        "A name has letters and digits of one script, _ and . ; case does not matter.",
        "/password protects yours with a password. Without one, anybody can use it.",
    ),
    "leaving": (
        "/quit leaves once everything sent is safe with the server; so does Ctrl-D.",
        "What was not sent by then is kept, and sent by the next chat.",
    ),
}
"""The lines of each topic."""


def help_lines(topic: str) -> Sequence[str] | None:
    """Return the lines of a topic, of the commands for none; None if there is no such.

    A command can be named instead of a topic, with its slash or without.
    """
    if not topic:
        return _commands()
    wanted = topic.casefold().removeprefix("/")
    if wanted == "topics":
        return (_topics(),)
    if wanted in TOPICS:
        return TOPICS[wanted]
    if f"/{wanted}" in COMMANDS:
        arguments, meaning = COMMANDS[f"/{wanted}"]
        return (f"{f'/{wanted} {arguments}'.rstrip()}   {meaning}",)
    return None


def arguments(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return what can follow each command, given the names that are known."""
    words: dict[str, Sequence[str]] = {"/help": ["topics", *TOPICS]}
    for command, (what, _) in COMMANDS.items():
        words.setdefault(command, names if "name" in what or "prefix" in what else [])
    return words


def usage(command: str) -> str:
    """Return how a command is typed."""
    return f"{command} {COMMANDS[command][0]}".rstrip()


def _commands() -> Sequence[str]:
    width = max(len(usage(each)) for each in COMMANDS)
    return (
        "<target>-<message> sends a message; a,b-<message> sends it to several.",
        *(f"  {usage(each):{width}}   {does}" for each, (_, does) in COMMANDS.items()),
        _topics(),
    )


def _topics() -> str:
    return f"/help and a topic explains it: {', '.join(TOPICS)}"
