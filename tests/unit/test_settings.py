"""What the settings are, what they can be, and which of several values counts."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.commands.options import CONNECTING, SCREEN
from chatd.client.settings.address import Server
from chatd.client.settings.kinds import BadValue
from chatd.client.settings.settings import (
    BY_NAME,
    SETTINGS,
    BadSettings,
    Level,
    Origin,
    Setting,
    Settings,
    Value,
    resolve,
)
from chatd.wire.display import neutralise

PRINT = ":".join(["AB"] * 32)


def at(level: Level, **texts: str) -> dict[str, Value]:
    """Return values as if they came from somewhere."""
    origin = Origin(level, level.name.lower())
    return {
        name: Value(BY_NAME[name].kind.from_text(text), origin)
        for name, text in texts.items()
    }


def in_file(**texts: str) -> dict[str, Value]:
    return at(Level.FILE, **texts)


def as_options(**texts: str) -> dict[str, Value]:
    return at(Level.OPTION, **texts)


def test_the_table_has_each_setting_there_is() -> None:
    names = [each.name for each in dataclasses.fields(Settings)]
    assert [*BY_NAME, "origins"] == names


def test_every_setting_has_an_option_but_those_that_an_address_has() -> None:
    assert {*CONNECTING, *SCREEN} == {each.name for each in SETTINGS if each.options}
    assert [each.name for each in SETTINGS if not each.options] == ["server", "user"]


def test_without_anything_the_defaults_count() -> None:
    settings = resolve({}, {}, {})
    assert (settings.server, settings.user, settings.tls) == (None, None, False)
    assert (settings.timeout, settings.recent, settings.colour) == (30, 10, "auto")
    assert set(settings.origins.values()) == {Origin(Level.DEFAULT, "default")}


def test_the_environment_counts_more_than_the_file_and_an_option_more_than_both() -> (
    None
):
    file = in_file(timeout="1", bell="always", recent="1")
    environment = {"CHAT_TIMEOUT": "2", "CHAT_BELL": "never"}
    settings = resolve(file, environment, as_options(timeout="3"))
    assert (settings.timeout, settings.bell, settings.recent) == (3, "never", 1)
    assert settings.origins["timeout"] == Origin(Level.OPTION, "option")
    assert settings.origins["bell"] == Origin(Level.ENVIRONMENT, "CHAT_BELL")
    assert settings.origins["recent"] == Origin(Level.FILE, "file")


VALUES = {
    "server": ("chat.example.org:6000", Server("chat.example.org", 6000)),
    "tls": ("on", True),
    "fingerprint": (PRINT.lower(), PRINT),
    "password_file": ("/p", Path("/p")),
    "history": ("h", Path("h")),
    "timeout": ("2.5", 2.5),
    "colour": ("Always", "always"),
    "background": ("light", "light"),
    "bell": ("always", "always"),
    "recent": ("0", 0),
    "presence": ("no", False),
}


def test_every_setting_can_come_from_the_environment() -> None:
    environment = {f"CHAT_{name.upper()}": text for name, (text, _) in VALUES.items()}
    settings = resolve({}, {**environment, "CHAT_USER": "Zoë"}, {})
    assert {name: getattr(settings, name) for name in VALUES} == {
        name: value for name, (_, value) in VALUES.items()
    }
    assert settings.user is not None
    assert settings.user.shown == "Zoë"
    assert {each.level for each in settings.origins.values()} == {Level.ENVIRONMENT}


def test_an_empty_variable_sets_nothing() -> None:
    settings = resolve({}, {each.variable: "" for each in SETTINGS}, {})
    assert settings == resolve({}, {}, {})


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("CHAT_SERVER", "ho st", "'ho st' is no host name."),
        ("CHAT_SERVER", "alice@host", "'alice@host' is no host name."),
        ("CHAT_USER", "a b", "'a b' is no name: "),
        ("CHAT_TLS", "maybe", "'maybe' is not true or false."),
        ("CHAT_FINGERPRINT", "00", "'00' is no SHA-256 fingerprint: "),
        ("CHAT_TIMEOUT", "0", "'0' is not a number above 0."),
        ("CHAT_TIMEOUT", "-1", "'-1' is not a number above 0."),
        ("CHAT_TIMEOUT", ".", "'.' is not a number above 0."),
        ("CHAT_TIMEOUT", "nan", "'nan' is not a number above 0."),
        ("CHAT_TIMEOUT", "1e999", "'1e999' is not a number above 0."),
        ("CHAT_COLOUR", "blue", "'blue' is not auto, never or always."),
        ("CHAT_RECENT", "1001", "'1001' is not a number from 0 to 1000."),
        ("CHAT_RECENT", "٣", "'٣' is not a number from 0 to 1000."),
    ],
)
def test_a_bad_variable_is_named_with_the_reason(
    variable: str, text: str, reason: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        resolve({}, {variable: text}, {})
    assert str(caught.value).startswith(f"{variable}: {reason}")


@pytest.mark.unmeasured
@given(st.sampled_from(SETTINGS), st.text())
def test_whatever_is_given_is_a_value_or_refused_in_one_line(
    setting: Setting, text: str
) -> None:
    line = ""
    try:
        resolve({}, {"CHAT_TLS": "1", setting.variable: text}, {})
    except BadSettings as bad:
        line = str(bad)
    assert neutralise(line) == line


@pytest.mark.parametrize("value", [1, 1.5, True, "x", [], {}, None])
def test_a_value_of_another_type_is_refused_with_what_is_allowed(
    value: object,
) -> None:
    for setting in SETTINGS:
        if type(value) not in setting.kind.types:
            with pytest.raises(BadValue, match="This must be ") as caught:
                setting.kind.from_toml(value)
            assert setting.kind.allowed in str(caught.value)


# Colour ------------------------------------------------------------------------------


def test_no_color_means_no_colour_where_nothing_else_was_said() -> None:
    settings = resolve({}, {"NO_COLOR": "1"}, {})
    assert settings.colour == "never"
    assert settings.origins["colour"].place == "NO_COLOR"


def test_an_empty_no_color_means_nothing() -> None:
    assert resolve({}, {"NO_COLOR": ""}, {}).colour == "auto"


def test_whoever_asks_for_colour_gets_it_in_spite_of_no_color() -> None:
    assert resolve(in_file(colour="always"), {"NO_COLOR": "1"}, {}).colour == "always"


# The file's account ------------------------------------------------------------------

FILE = in_file(
    server="chat.example.org",
    user="alice",
    tls="true",
    fingerprint=PRINT,
    password_file="/secret",
)


def test_the_file_s_fingerprint_and_password_are_for_its_server_and_name() -> None:
    settings = resolve(FILE, {}, {})
    assert (settings.fingerprint, settings.password_file) == (PRINT, Path("/secret"))


@pytest.mark.parametrize(
    "options",
    [
        {"server": "CHAT.example.org:5556", "user": "Alice"},
        {"user": "alice"},
        {"timeout": "3"},
    ],
)
def test_the_same_account_given_again_keeps_them(options: dict[str, str]) -> None:
    settings = resolve(FILE, {}, as_options(**options))
    assert (settings.fingerprint, settings.password_file) == (PRINT, Path("/secret"))


@pytest.mark.parametrize("server", ["other.example.org", "chat.example.org:5555"])
def test_another_server_gets_neither_the_password_nor_the_fingerprint(
    server: str,
) -> None:
    for settings in (
        resolve(FILE, {}, as_options(server=server)),
        resolve(FILE, {"CHAT_SERVER": server}, {}),
    ):
        assert (settings.fingerprint, settings.password_file) == (None, None)
        assert settings.origins["password_file"].place == (
            "left out: the one of file is for another server"
        )


def test_another_name_does_not_get_the_password() -> None:
    settings = resolve(FILE, {}, as_options(user="bob"))
    assert (settings.fingerprint, settings.password_file) == (PRINT, None)
    assert settings.origins["password_file"].place.endswith("for another user")


def test_a_password_file_given_with_the_command_counts_for_whatever_it_says() -> None:
    given = as_options(server="other.example.org", password_file="/mine")
    settings = resolve(FILE, {}, given)
    assert (settings.fingerprint, settings.password_file) == (None, Path("/mine"))
    settings = resolve(
        FILE, {"CHAT_PASSWORD_FILE": "/env"}, as_options(server="other.example.org")
    )
    assert settings.password_file == Path("/env")


def test_a_file_that_names_a_user_only_has_a_password_for_this_machine() -> None:
    file = in_file(user="alice", password_file="/secret")
    for server in (None, "127.0.0.1", "127.0.0.1:5555"):
        given = {} if server is None else as_options(server=server)
        assert resolve(file, {}, given).password_file == Path("/secret")
    for server in ("evil.example.org", "127.0.0.1:6211"):
        settings = resolve(file, {}, as_options(server=server))
        assert settings.password_file is None
        assert settings.origins["password_file"].place.endswith("for another server")


def test_a_file_that_names_no_account_has_its_password_for_all() -> None:
    file = in_file(password_file="/secret")
    settings = resolve(file, {}, as_options(server="host", user="bob"))
    assert settings.password_file == Path("/secret")


# A fingerprint without TLS -----------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "environment", "options", "reason"),
    [
        ({}, {}, {"fingerprint": PRINT}, "option goes with --tls only."),
        ({"fingerprint": PRINT}, {}, {}, "file: A fingerprint goes with tls only"),
        (
            {"fingerprint": PRINT, "tls": "false"},
            {},
            {},
            "file: A fingerprint goes with tls only",
        ),
        ({}, {"CHAT_FINGERPRINT": PRINT}, {}, "CHAT_FINGERPRINT: A fingerprint goes"),
        ({"tls": "false"}, {}, {"fingerprint": PRINT}, "option goes with --tls only."),
    ],
)
def test_a_fingerprint_without_tls_is_refused(
    file: dict[str, str],
    environment: dict[str, str],
    options: dict[str, str],
    reason: str,
) -> None:
    with pytest.raises(BadSettings) as caught:
        resolve(in_file(**file), environment, as_options(**options))
    assert str(caught.value).startswith(reason)


def test_who_turns_tls_off_need_not_turn_off_the_file_s_fingerprint_too() -> None:
    settings = resolve(FILE, {}, as_options(tls="false"))
    assert settings.tls is False
