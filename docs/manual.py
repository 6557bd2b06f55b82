"""Makes the manual pages in docs/man from what ``--help`` is made from.

Run it with the tests' environment: ``.venv/bin/python docs/manual.py``. What no
``--help`` has, such as files, stands here.
"""

import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from chatd import __version__  # noqa: E402
from chatd.client.main import chat  # noqa: E402
from chatd.client.settings.file import HEAD  # noqa: E402
from chatd.client.settings.kinds import toml  # noqa: E402
from chatd.client.settings.settings import SETTINGS  # noqa: E402
from chatd.control.main import chatctl  # noqa: E402
from chatd.tap import Options  # noqa: E402

FOLDER: Final = ROOT / "docs" / "man"

Entry = tuple[str, str]

CHAT_ENVIRONMENT: Final[list[Entry]] = [
    *(
        (each.variable, f"The setting {each.name}; see chat.toml(5).")
        for each in SETTINGS
    ),
    ("CHAT_CONFIG", "The settings file, instead of the usual one."),
    (
        "CHAT_PASSWORD",
        "The password, where neither --password-file nor CHAT_PASSWORD_FILE names a"
        " file. It is not handed on to other programs.",
    ),
    ("NO_COLOR", "If it is set and not empty, the setting colour is never, not auto."),
    ("XDG_CONFIG_HOME", "The folder of the folder with the settings; else ~/.config."),
    ("XDG_DATA_HOME", "That of the one with the histories; else ~/.local/share."),
]

CHAT_FILES: Final[list[Entry]] = [
    ("~/.config/chatd/chat.toml", "The settings; see chat.toml(5)."),
    (
        "~/.local/share/chatd/chat_history_NAME.db",
        "The history of NAME: a SQLite database.",
    ),
    (
        "~/.local/share/chatd/known_servers",
        "The certificates that were accepted: a server and a SHA-256 fingerprint a"
        " line. Delete a line to be asked again.",
    ),
]

CHATD_STATUS: Final[list[Entry]] = [
    ("0", "Stopped in order, and everything accepted is kept."),
    ("1", "It could not start, or some lines could not be kept; the log says which."),
]

CHATD_SIGNALS: Final[list[Entry]] = [
    ("SIGTERM, SIGINT", "Stop in order."),
    ("SIGHUP", "Load the certificates again."),
]


# Roff ---------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Return a text as roff shows it as it is."""
    special = {"\\": r"\e", "~": r"\(ti", "^": r"\(ha", "`": r"\(ga", "'": r"\(aq"}
    shown = "".join(special.get(character, character) for character in text)
    # Those of options and of commands are to be copied; others are hyphens.
    shown = re.sub(r"(?<![\w)])-+", lambda dashes: dashes[0].replace("-", r"\-"), shown)
    shown = re.sub(r"\\-\\-[\w-]+", lambda name: _exactly(name[0]), shown)
    return "".join(
        character if character.isascii() else rf"\[u{ord(character):04X}]"
        for character in shown
    )


def verbatim(text: str) -> str:
    """Return a line as roff shows it as it is, with each dash as it is typed."""
    return _line(_exactly(escaped(text)))


def _exactly(text: str) -> str:
    return re.sub(r"(?<!\\)-", r"\\-", text)


def _line(text: str) -> str:
    """Return a line that roff takes for no request."""
    return rf"\&{text}" if text.startswith((".", "'")) else text


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Return a section, or nothing if it has no lines."""
    content = list(lines)
    if content:
        yield f'.SH "{title.upper()}"'
        yield from content


def entries(found: Iterable[Entry]) -> Iterator[str]:
    """Return terms and what they mean."""
    for term, meaning in found:
        yield ".TP"
        yield rf"\fB{_exactly(escaped(term))}\fR"
        yield _line(escaped(" ".join(meaning.split())))


def prose(text: str) -> Iterator[str]:
    """Return the paragraphs of a help; those that click would not wrap are kept."""
    for paragraph in _paragraphs(text):
        if paragraph[0] == "\b":
            yield from (".PP", ".RS 4", ".nf")
            yield from map(verbatim, _dedented(paragraph[1:]))
            yield from (".fi", ".RE")
        else:
            yield ".PP"
            yield _line(escaped(" ".join(paragraph)))


def _paragraphs(text: str) -> Iterator[list[str]]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.strip("\n "):
            yield paragraph.strip("\n ").split("\n")


def _dedented(lines: list[str]) -> list[str]:
    return inspect.cleandoc("\n" + "\n".join(lines)).split("\n")


def page(
    name: str, number: int, purpose: str, synopsis: Iterable[str], *rest: Iterable[str]
) -> str:
    """Return a page."""
    lines = [
        r".\" Made by docs/manual.py: change what that is made from.",
        f'.TH "{name.upper()}" "{number}" "" "chatd {__version__}" "chatd"',
        ".nh",
        ".ad l",
        *section("Name", [rf"{_exactly(name)} \- {escaped(purpose)}"]),
        *section("Synopsis", synopsis),
    ]
    for each in rest:
        lines += each
    return "\n".join(lines) + "\n"


# click --------------------------------------------------------------------------------


def context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    """Return the context that a command would run in."""
    settings = command.context_settings
    return click.Context(command, info_name=name, parent=parent, **settings)


def options_of(ctx: click.Context, without: Iterable[str] = ()) -> list[Entry]:
    """Return the options of a command, but for those called so, and its help."""
    help_option = ctx.command.get_help_option(ctx)
    return [
        (_both_names(param, record[0]), record[1])
        for param in ctx.command.get_params(ctx)
        if param.name not in without and param is not help_option
        for record in [param.get_help_record(ctx)]
        if record is not None and record[1]
    ]


def _both_names(param: click.Parameter, shown: str) -> str:
    return shown.replace(" / ", ", ") if param.secondary_opts else shown


def commands_of(ctx: click.Context) -> Iterator[click.Context]:
    """Return the contexts of all commands below one."""
    assert isinstance(ctx.command, click.Group)
    for name in sorted(ctx.command.commands):
        inner = ctx.command.commands[name]
        below = context(inner, name, ctx)
        yield below
        if isinstance(inner, click.Group):
            yield from commands_of(below)


def usage_of(ctx: click.Context) -> list[str]:
    """Return the lines of a command's usage."""
    formatter = click.HelpFormatter(width=10_000)
    ctx.command.format_usage(ctx, formatter)
    lines = formatter.getvalue().removeprefix("Usage: ").strip().split("\n")
    return [line.strip() for line in lines]


def synopsis_of(lines: Iterable[str], path: str) -> Iterator[str]:
    """Return how a command is used, its name in bold."""
    for index, line in enumerate(lines):
        if index:
            yield ".br"
        arguments = _exactly(escaped(line.removeprefix(path).strip()))
        yield rf"\fB{_exactly(path)}\fR {arguments}"


def epilog_of(command: click.Command) -> list[tuple[str, list[str]]]:
    """Return the titles in an epilog, and what stands below each.

    Below a title with a colon is a list of terms and meanings, and perhaps prose.
    """
    found: list[tuple[str, list[str]]] = []
    for paragraph in _paragraphs(command.epilog or ""):
        if paragraph[0] == "\b":
            title, *lines = _dedented(paragraph[1:])
            terms = [_term(line.strip()) for line in lines]
            found.append((title.removesuffix(":"), list(entries(terms))))
        else:
            found[-1][1].extend(prose("\n".join(paragraph)))
    return found


def _term(line: str) -> Entry:
    found = re.fullmatch(r"([0-9]+) (and .+)|(\S+) {2,}(.*)", line)
    assert found, f"no term and meaning: {line!r}"
    return (found[1] or found[3], found[2] or found[4])


def command_page(
    command: click.Group,
    purpose: str,
    *,
    apart: Iterable[str] = (),
    sections: Iterable[tuple[str, list[Entry]]],
    see: str,
) -> str:
    """Return the page of a program; options called `apart` have their own list."""
    assert command.name is not None
    ctx = context(command, command.name)
    shared = [each.name for each in command.params if each.name is not None]
    meanings = {meaning for _, meaning in options_of(ctx)}
    special = [each for each in shared if each in apart]
    below: list[str] = []
    for each in commands_of(ctx):
        below += command_section(each, meanings)
    apart_lines = entries(options_of(ctx, set(shared) - set(special)))
    return page(
        command.name,
        1,
        purpose,
        synopsis_of(usage_of(ctx), command.name),
        section("Description", prose(command.help or "")),
        section("Options", entries(options_of(ctx, special))),
        section("Options of a conversation", apart_lines) if special else [],
        section("Commands", below),
        *(section(title, lines) for title, lines in epilog_of(command)),
        *(section(title, entries(found)) for title, found in sections),
        section("See also", [escaped(see)]),
    )


def command_section(ctx: click.Context, known: set[str]) -> Iterator[str]:
    """Return what is said about one command; `known` are meanings already told."""
    yield f'.SS "{_exactly(ctx.command_path)}"'
    yield from synopsis_of(usage_of(ctx), ctx.command_path)
    yield from prose(ctx.command.help or "")
    every = options_of(ctx)
    yield from entries(each for each in every if each[1] not in known)
    taken = [names for names, meaning in every if meaning in known]
    if taken:
        names = ", ".join(re.split(r"[ ,]", each)[0] for each in taken)
        yield ".PP"
        yield escaped(f"Of the options above it takes {names}.")
    for title, lines in epilog_of(ctx.command):
        yield ".PP"
        yield escaped(f"{title}:")
        yield ".RS 4"
        yield from lines
        yield ".RE"


# The pages ----------------------------------------------------------------------------


def settings_page() -> str:
    """Return the page of the settings file."""
    found = []
    for each in SETTINGS:
        default = "" if each.default is None else f" Default: {toml(each.default)}."
        names = [name for option in each.options for name in option.split("/")]
        where = f"{each.variable}, {', '.join(names) or '--as'}"
        kind = each.kind.allowed
        meaning = f"{each.meaning} It is {kind}.{default} Elsewhere: {where}."
        found.append((each.name, meaning))
    return page(
        "chat.toml",
        5,
        "the settings of chat",
        [escaped("~/.config/chatd/chat.toml")],
        section("Description", prose(HEAD)),
        section("Settings", entries(found)),
        section("See also", [escaped("chat(1), https://toml.io")]),
    )


def daemon_page() -> str:
    """Return the page of the plugin's options."""
    options = Options()
    found = []
    for each in sorted(options.longOpt):
        name = each.rstrip("=")
        meaning = " ".join((options.docs.get(name) or "").split())
        default = options.defaults.get(name)
        if default is not None and each.endswith("="):
            meaning += f" [default: {default}]"
        meaning = meaning[:1].upper() + meaning[1:]
        found.append((f"--{name}{'=VALUE' if each.endswith('=') else ''}", meaning))
    usage = ["twistd [options of twistd] chatd [options]"]
    return page(
        "chatd",
        8,
        "a message daemon that anyone can talk to with nc",
        synopsis_of(usage, "twistd"),
        section("Description", prose(DAEMON)),
        section("Options", entries(found)),
        section("Signals", entries(CHATD_SIGNALS)),
        section("Exit status", entries(CHATD_STATUS)),
        section(
            "Files", entries([("server.db", "The database, unless --db names it.")])
        ),
        section("See also", [escaped("chat(1), chatctl(1), nc(1), twistd(1)")]),
    )


DAEMON: Final = """
chatd is a plugin of twistd: with -n it stays in the foreground, as under a supervisor.
People log in with a name and write bob-Hello!; messages for who is away are kept in
the database. It listens on port 5555 of all addresses, unless --port is given.

\b
twistd -n chatd
"""


def pages() -> dict[str, str]:
    """Return all pages by the names of their files."""
    from chatd.client.commands.options import CONVERSATIONAL

    return {
        "chat.1": command_page(
            chat,
            "send and receive messages through a chatd",
            apart=CONVERSATIONAL,
            sections=[("Environment", CHAT_ENVIRONMENT), ("Files", CHAT_FILES)],
            see="chat.toml(5), chatctl(1), chatd(8), nc(1)",
        ),
        "chatctl.1": command_page(
            chatctl, "look after a chatd", sections=[], see="chatd(8), chat(1)"
        ),
        "chat.toml.5": settings_page(),
        "chatd.8": daemon_page(),
    }


def main() -> None:
    """Write the pages."""
    os.environ.pop("XDG_DATA_HOME", None)
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="ascii")
        print(f"docs/man/{name}")


if __name__ == "__main__":
    main()
