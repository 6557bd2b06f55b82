"""What the options of several commands are, and what was given of them.

An option may stand before the command's name or behind it; the last one counts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from chatd.client.history.places import HistoryError, data_folder
from chatd.client.settings.address import BadAddress, parse_address
from chatd.client.settings.file import VARIABLE, read_settings, settings_path
from chatd.client.settings.kinds import PATH, BadValue, toml
from chatd.client.settings.settings import (
    BY_NAME,
    Level,
    Origin,
    Setting,
    Settings,
    Value,
    resolve,
)

CONTEXT: Final[dict[str, Any]] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 88,
}
"""The context settings of every command."""

CONNECTING: Final = ("tls", "fingerprint", "password_file", "timeout", "history")
"""The settings that are options of every command that connects."""

SCREEN: Final = ("colour", "background", "bell", "recent", "presence")
"""The settings that are options of a conversation only."""

CONVERSATIONAL: Final = ("plain", *SCREEN)
"""The names of all options that only a conversation has."""


@dataclass
class Given:
    """What the command line has given; it is the context's object."""

    values: dict[str, Value] = field(default_factory=dict)
    config: Path | None = None
    plain: bool = False
    conversational: list[str] = field(default_factory=list)
    """Those given that only a conversation knows."""

    @property
    def settings_file(self) -> Path | None:
        """Where the settings file is, or would be; None where there is no home."""
        return self.config or settings_path(os.environ)

    def settings(self) -> Settings:
        """Return what counts of all that is set. Raises `BadSettings`."""
        path = self.settings_file
        required = self.config is not None or bool(os.environ.get(VARIABLE))
        file = {} if path is None else read_settings(path, required=required)
        return resolve(file, os.environ, self.values)

    def give(self, name: str, value: object, option: str) -> None:
        """Take note of a setting's value."""
        self.values[name] = Value(value, Origin(Level.OPTION, option))

    def give_address(self, text: str, option: str) -> None:
        """Take note of both halves of an address, as far as there are any."""
        try:
            address = parse_address(text)
        except BadAddress as error:
            raise click.UsageError(str(error)) from None
        for name, value in (("user", address.user), ("server", address.server)):
            if value is not None:
                self._check_once(name, value, option)
                self.give(name, value, option)

    def _check_once(self, name: str, value: object, option: str) -> None:
        """See that an address and --as do not differ: it is not clear which counts."""
        before = self.values.get(name)
        if before is None or before.origin.place == option or before.value == value:
            return
        raise click.UsageError(f"The {name} is given twice, and not the same.")


class SettingType(click.ParamType[Any]):
    """A value of a setting, as the command line has it."""

    name = "setting"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the value, or fail with the sentence that says why not."""
        if not isinstance(value, str):
            return value
        try:
            return self.setting.kind.from_text(value)
        except BadValue as bad:
            self.fail(str(bad), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that it may be, or leave a path to the shell."""
        if self.setting.kind is PATH:
            return [CompletionItem(incomplete, type="file")]
        words = self.setting.kind.words
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class SettingOption(click.Option):
    """An option that is one of the settings."""

    def __init__(self, *arguments: Any, setting: Setting, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.setting = setting
        self.meaning = self.help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Add the default, which for the history depends on whose machine it is."""
        default = _default(self.setting)
        self.help = f"{self.meaning}  [default: {default}]" if default else self.meaning
        return super().get_help_record(ctx)


def setting_option(name: str, meaning: str | None = None) -> Callable[[Any], Any]:
    """Return the option of a setting; its value goes to `Given`."""
    setting = BY_NAME[name]

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is None:
            return
        # That a flag was turned off is said with its other name.
        option = (param.secondary_opts if value is False else param.opts)[0]
        given = ctx.ensure_object(Given)
        given.give(name, value, option)
        if name in SCREEN:
            given.conversational.append(option)

    others: dict[str, Any] = {}
    if bool not in setting.kind.types:
        others = {"type": SettingType(setting), "metavar": setting.kind.placeholder}
    return click.option(
        *setting.options,
        name,
        cls=SettingOption,
        setting=setting,
        default=None,
        expose_value=False,
        callback=keep,
        help=meaning or setting.meaning,
        **others,
    )


def _keep_address(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if isinstance(param, click.Option):
        for each in value:
            ctx.ensure_object(Given).give_address(each, param.opts[0])
    elif value is not None:
        ctx.ensure_object(Given).give_address(value, "the command line")


def _keep_config(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        ctx.ensure_object(Given).config = value


def _keep_plain(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        given = ctx.ensure_object(Given)
        given.plain = True
        given.conversational.append(param.opts[0])


as_option: Final = click.option(
    "--as",
    "account",
    metavar="NAME@HOST:PORT",
    multiple=True,
    expose_value=False,
    callback=_keep_address,
    help="As whom, and where to connect; a part that is left out comes from the"
    " settings.",
)

config_option: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    expose_value=False,
    callback=_keep_config,
    help="The file with the settings; chat config shows where it is.",
)

plain_option: Final = click.option(
    "--plain",
    is_flag=True,
    expose_value=False,
    callback=_keep_plain,
    help="Plain lines, as without a terminal or on a dumb one.",
)

address_argument: Final = click.argument(
    "address",
    required=False,
    metavar="[NAME@HOST:PORT]",
    expose_value=False,
    callback=_keep_address,
)


def connecting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that connects with the options that these share."""
    decorators = [as_option, *map(setting_option, CONNECTING), config_option]
    return _all(decorators, function)


def script_options(
    timeout: str, *, history: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what decorates a command for scripts with the same options.

    `timeout` says what is timed; `history` is whether it has a history.
    """
    left_out = () if history else ("history",)
    meanings = {
        "timeout": timeout,
        "password_file": "A file whose first line is the password, readable to nobody"
        " else. Without it CHAT_PASSWORD counts.",
    }
    decorators = [
        setting_option(each, meanings.get(each))
        for each in CONNECTING
        if each not in left_out
    ]
    return lambda function: _all([as_option, *decorators, config_option], function)


def screen_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the settings of the screen."""
    return _all([*map(setting_option, SCREEN)], function)


def conversation_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a conversation with all of its options."""
    return connecting_options(plain_option(screen_options(function)))


def _all(
    decorators: list[Callable[[Any], Any]], function: Callable[..., Any]
) -> Callable[..., Any]:
    for each in reversed(decorators):
        function = each(function)
    return function


pass_given: Final = click.make_pass_decorator(Given, ensure=True)


def _default(setting: Setting) -> str:
    if setting.name == "history":
        return default_history()
    if setting.default is None or setting.default is False:
        return ""
    return toml(setting.default).strip('"')


def default_history() -> str:
    """Return where the histories are, as the person would write it."""
    try:
        folder = str(data_folder())
    except HistoryError:
        return "chat_history_NAME.db in the user's data folder"
    home = os.path.expanduser("~")
    if folder.startswith(f"{home}/"):
        folder = f"~{folder[len(home) :]}"
    return f"chat_history_NAME.db in {folder}"
