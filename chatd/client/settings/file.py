"""The settings file: one TOML file, read and checked, and written with comments."""

import difflib
import os
import re
import stat
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs

from chatd.client.settings.kinds import PATH, BadValue, toml
from chatd.client.settings.settings import (
    BY_NAME,
    SETTINGS,
    BadSettings,
    Level,
    Origin,
    Setting,
    Value,
)

VARIABLE: Final = "CHAT_CONFIG"
"""The environment variable that names another file."""

FILE: Final = "chat.toml"

LARGEST: Final = 1024 * 1024
"""In bytes."""

_WRITABLE_TO_OTHERS: Final = 0o022

HEAD: Final = """\
The settings of chat. Each line that begins with a # followed by a name shows a setting
as it is without this file, or an example; take away the # to change it. The environment
counts more than this file, and the command line more than both: chat config shows what
counts, and where it comes from.

A password is never kept here: password_file names the file that has it. What is here
may decide where a password goes: nobody else may be able to write this file.
"""


def settings_path(environment: Mapping[str, str]) -> Path | None:
    """Return where the settings are, unless an option names a file.

    None where the user has no folder of their own.
    """
    named = environment.get(VARIABLE)
    if named:
        return Path(named)
    try:
        folder = platformdirs.user_config_path("chatd", appauthor=False)
    except RuntimeError:  # how newer versions say that there is no home
        return None
    return folder / FILE if folder.is_absolute() else None


def read_settings(path: Path, *, required: bool) -> dict[str, Value]:
    """Return what a file sets; nothing if there is none and none is `required`.

    Raises `BadSettings`.
    """
    try:
        text = _read(path)
    except FileNotFoundError:
        if not required:
            return {}
        raise BadSettings(
            f"There is no settings file {path}: chat config --init makes one."
        ) from None
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadSettings(f"{path}, line {line}: This is not UTF-8.") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(_not_toml(path, text, str(error))) from None
    except RecursionError:
        raise BadSettings(f"{path} is no TOML: it is nested too deep.") from None
    return {name: _value(path, text, name, value) for name, value in table.items()}


def commented() -> str:
    """Return the file with every setting explained, and none of them set."""
    paragraphs = [_comment(part) for part in HEAD.strip().split("\n\n")]
    blocks = ["\n#\n".join(paragraphs), *(_block(each) for each in SETTINGS)]
    return "\n\n".join(blocks) + "\n"


def write_commented(path: Path) -> None:
    """Write that file where none is yet. Raises `BadSettings`."""
    if os.path.lexists(path):
        raise BadSettings(f"There is something at {path} already; it was left alone.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(commented())
    except OSError as error:
        where = error.filename or path
        raise BadSettings(f"{where} cannot be written: {error.strerror}.") from None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        # Of what was opened, not of what has the name by now.
        status = os.fstat(file.fileno())
        # A device, as /dev/null, is everybody's, and says nothing of its own.
        if not stat.S_ISCHR(status.st_mode):
            if status.st_mode & _WRITABLE_TO_OTHERS:
                raise BadSettings(
                    f"{path} decides where passwords go, and others may write it:"
                    " chmod go-w helps."
                )
            if status.st_uid not in (0, os.geteuid()):
                raise BadSettings(
                    f"{path} decides where passwords go, and belongs to somebody else."
                )
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise BadSettings(f"{path} is too large for a settings file.")
    return data.decode()


def _not_toml(path: Path, text: str, why: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line ([0-9]+), .*|end of .*)\)", why, re.DOTALL)
    if found is None:
        return f"{path} is no TOML: {why}."
    line = found[2] or len(text.splitlines())
    return f"{path}, line {line}: This is no TOML: {found[1]}."


def _value(path: Path, text: str, name: str, value: object) -> Value:
    line = _line_of(name, text)
    place = str(path) if line is None else f"{path}:{line}"
    where = str(path) if line is None else f"{path}, line {line}"
    setting = BY_NAME.get(name)
    if setting is None:
        raise BadSettings(f"{where}: {_unknown(name)}")
    try:
        parsed = setting.kind.from_toml(value)
    except BadValue as bad:
        raise BadSettings(f"{where}: {name}: {bad}") from None
    if setting.kind is PATH:
        assert isinstance(parsed, Path)
        parsed = _from_here(path, parsed)
    return Value(parsed, Origin(Level.FILE, place))


def _from_here(path: Path, named: Path) -> Path:
    """Return a path as the file means it: ~ is the home, all else begins beside it."""
    try:
        return Path(os.path.abspath(path)).parent / named.expanduser()
    except RuntimeError:
        raise BadSettings(f"{path}: there is no home for {named}.") from None


def _unknown(name: str) -> str:
    if name == "password":
        return "A password is never kept here: password_file names a file that has it."
    near = difflib.get_close_matches(name, BY_NAME, 1)
    meant = f" Is {near[0]} meant?" if near else ""
    known = ", ".join(BY_NAME)
    return f"There is no setting {name[:64]!r}.{meant} The settings are {known}."


def _line_of(name: str, text: str) -> int | None:
    """Return in which line a key stands; tomllib does not tell.

    None where it stands so that one cannot see it: escaped, say.
    """
    lines = text.split("\n")
    key = rf"[\"']?{re.escape(name)}[\"']?\s*"
    pattern = re.compile(rf"\s*({key}[=.]|\[\[?\s*{key}[\].])")
    for number, line in enumerate(lines, 1):
        # What comes before must be whole: else it may be within a long string.
        if pattern.match(line) and _is_toml("\n".join(lines[: number - 1])):
            return number
    return None


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _block(setting: Setting) -> str:
    if setting.default is None:
        shown, about = toml(setting.example), "For example:"
    else:
        shown, about = toml(setting.default), f"This is {setting.kind.allowed}."
    assignment = f"#{setting.name} = {shown}"
    return f"{_comment(f'{setting.meaning} {about}')}\n{assignment}"


def _comment(paragraph: str) -> str:
    def lines() -> Iterator[str]:
        for line in textwrap.wrap(paragraph, 86, break_on_hyphens=False):
            yield f"# {line}"

    return "\n".join(lines())
