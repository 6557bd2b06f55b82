"""The settings of ``chat``: what there is, and where each value comes from.

Everything that is said about them is made from one table: options, environment, the
commented file, ``chat config`` and the manual.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from chatd.client.settings.address import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
    Server,
)
from chatd.client.settings.kinds import (
    COUNT,
    FINGERPRINT,
    FLAG,
    PATH,
    SECONDS,
    SERVER,
    USER,
    BadValue,
    Kind,
    choice,
)
from chatd.wire.display import neutralise
from chatd.wire.names import Name

NO_COLOUR: Final = "NO_COLOR"
"""The environment variable that stands for ``colour = "never"``: no-color.org."""


class BadSettings(Exception):
    """Settings that cannot be used; str() is one line that says where and why."""

    def __init__(self, line: str) -> None:
        super().__init__(neutralise(line))


class Level(IntEnum):
    """Where a value comes from; a higher one counts."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    OPTION = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from; `place` says it to people."""

    level: Level
    place: str


@dataclass(frozen=True, slots=True)
class Value:
    """A value, and where it comes from."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `name` is its key in the file, `options` its options, if any.

    `meaning` is a sentence or more; `example` is a value for the commented file where
    there is no default.
    """

    name: str
    kind: Kind
    meaning: str
    options: tuple[str, ...] = ()
    default: Any = None
    example: str = ""

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return f"CHAT_{self.name.upper()}"


SETTINGS: Final = (
    Setting(
        "server",
        SERVER,
        "The server: a host, and its port, if it is not the usual one.",
        example="chat.example.org:5556",
    ),
    Setting("user", USER, "The name to log in with.", example="alice"),
    Setting(
        "tls",
        FLAG,
        "Encrypt, and see by its certificate that it is the right server.",
        ("--tls/--no-tls",),
        default=False,
    ),
    Setting(
        "fingerprint",
        FINGERPRINT,
        "With TLS: accept the certificate with this fingerprint, now and later, and no"
        " other.",
        ("--fingerprint",),
        example="0123456789ABCDEF" * 4,
    ),
    Setting(
        "password_file",
        PATH,
        "A file whose first line is the password, readable to nobody else. Without it"
        " CHAT_PASSWORD counts; somebody at a terminal is asked.",
        ("--password-file",),
        example="~/.chat-password",
    ),
    Setting(
        "history",
        PATH,
        "Where messages are kept: a file, or a folder for it.",
        ("--history",),
        example="~/chats",
    ),
    Setting(
        "timeout",
        SECONDS,
        "How long to try to reach the server; somebody at a terminal who was logged in"
        " is reconnected however long it takes.",
        ("--timeout",),
        default=30.0,
    ),
    Setting(
        "colour",
        choice("auto", "never", "always"),
        "Whether there is colour; auto: on a terminal, unless NO_COLOR is set.",
        ("--colour", "--color"),
        default="auto",
    ),
    Setting(
        "background",
        choice("auto", "dark", "light"),
        "What the terminal's background is, for colours that can be read on it.",
        ("--background",),
        default="auto",
    ),
    Setting(
        "bell",
        choice("never", "always"),
        "Whether a message that comes rings the terminal's bell.",
        ("--bell",),
        default="never",
    ),
    Setting(
        "recent",
        COUNT,
        "How many of the last messages are shown at the start, 0 for none.",
        ("--recent",),
        default=10,
    ),
    Setting(
        "presence",
        FLAG,
        "Say who comes and goes, of those one talks with.",
        ("--presence/--no-presence",),
        default=True,
    ),
)

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The value of each setting, and where it comes from."""

    server: Server | None
    user: Name | None
    tls: bool
    fingerprint: str | None
    password_file: Path | None
    history: Path | None
    timeout: float
    colour: str
    background: str
    bell: str
    recent: int
    presence: bool
    origins: Mapping[str, Origin]

    @property
    def default_port(self) -> int:
        """The port of a server that is given without one."""
        return DEFAULT_TLS_PORT if self.tls else DEFAULT_PORT


def resolve(
    file: Mapping[str, Value],
    environment: Mapping[str, str],
    options: Mapping[str, Value],
) -> Settings:
    """Return what counts of all that is set. Raises `BadSettings`."""
    default = Origin(Level.DEFAULT, "default")
    found = {each.name: Value(each.default, default) for each in SETTINGS}
    found |= file
    found |= _of_environment(environment)
    found |= options
    if found["colour"].value == "auto" and environment.get(NO_COLOUR):
        origin = Origin(Level.ENVIRONMENT, NO_COLOUR)
        found["colour"] = Value("never", origin)
    found |= _left_out(file, found)
    _check_fingerprint(found)
    return Settings(
        origins={name: each.origin for name, each in found.items()},
        **{name: each.value for name, each in found.items()},
    )


def _of_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    found = {}
    for setting in SETTINGS:
        text = environment.get(setting.variable)
        if text:
            try:
                value = setting.kind.from_text(text)
            except BadValue as bad:
                raise BadSettings(f"{setting.variable}: {bad}") from None
            origin = Origin(Level.ENVIRONMENT, setting.variable)
            found[setting.name] = Value(value, origin)
    return found


def _left_out(
    file: Mapping[str, Value], found: Mapping[str, Value]
) -> dict[str, Value]:
    """Return as unset what the file has for another account than the one that counts.

    Its password must not go to another server, or be tried for another name, only
    because these were given on the command line.
    """
    port = DEFAULT_TLS_PORT if found["tls"].value else DEFAULT_PORT

    def differs(name: str) -> bool:
        here = found[name].value
        if name in file:
            there = file[name].value
        elif name == "server" and "user" in file and here is not None:
            there = Server(DEFAULT_HOST)  # a name without a server is one there
        else:
            return False
        if isinstance(there, Server):
            return _key(there, port) != _key(here, port)
        return bool(there.key != here.key)

    left = {}
    for name, belongs_to in (
        ("fingerprint", ("server",)),
        ("password_file", ("server", "user")),
    ):
        others = [each for each in belongs_to if differs(each)]
        if others and found[name].origin.level == Level.FILE:
            place = (
                f"left out: the one of {found[name].origin.place} is for another"
                f" {' and '.join(others)}"
            )
            left[name] = Value(None, Origin(Level.DEFAULT, place))
    return left


def _key(server: Server, port: int) -> tuple[str, int]:
    return server.host.lower(), server.port or port


def _check_fingerprint(found: Mapping[str, Value]) -> None:
    fingerprint, tls = found["fingerprint"], found["tls"]
    if fingerprint.value is None or tls.value:
        return
    # What says --no-tls on the command line knows what the file has.
    if fingerprint.origin.level >= tls.origin.level:
        place = fingerprint.origin.place
        if fingerprint.origin.level == Level.OPTION:
            raise BadSettings(f"{place} goes with --tls only.")
        raise BadSettings(f"{place}: A fingerprint goes with tls only; set it, too.")
