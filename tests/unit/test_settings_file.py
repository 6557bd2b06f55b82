"""The settings file: what it may have, and how each mistake in it is said."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.settings import file as settingsfile
from chatd.client.settings.file import (
    commented,
    read_settings,
    settings_path,
    write_commented,
)
from chatd.client.settings.kinds import toml
from chatd.client.settings.settings import SETTINGS, BadSettings, Level, Value, resolve
from chatd.wire.display import neutralise


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.toml"


def read(path: Path, content: str | bytes) -> dict[str, Value]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return read_settings(path, required=True)


def complaint(path: Path, content: str | bytes) -> str:
    """Return why it is refused, behind the file's name."""
    with pytest.raises(BadSettings) as caught:
        read(path, content)
    line = str(caught.value)
    assert line.startswith(str(path))
    return line.removeprefix(str(path))


def test_each_value_bears_its_line(path: Path) -> None:
    values = read(path, '# Mine\nuser = "alice"\n\n"tls"=true\ntimeout = 5\n')
    assert {name: each.value for name, each in values.items() if name != "user"} == {
        "tls": True,
        "timeout": 5,
    }
    assert {name: each.origin.place for name, each in values.items()} == {
        "user": f"{path}:2",
        "tls": f"{path}:4",
        "timeout": f"{path}:5",
    }
    assert {each.origin.level for each in values.values()} == {Level.FILE}


def test_a_line_within_a_long_string_is_none_of_a_key(path: Path) -> None:
    content = 'history = """\nuser = 1\n"""\nuser = "bob"\n'
    values = read(path, content)
    assert values["user"].origin.place == f"{path}:4"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\nusr = 1", ", line 2: There is no setting 'usr'. Is user meant? The set"),
        ("[server]\nhost = 'x'", ", line 1: server: This must be a host, or host:port"),
        ("a.b = 1", ", line 1: There is no setting 'a'. The settings are server, use"),
        ('password = "x"', ", line 1: A password is never kept here: password_file"),
        ('user = "a b"', ", line 1: user: 'a b' is no name: A name has only letters"),
        ("user = 1", ", line 1: user: This must be a name, in quotation marks."),
        ("tls = 1", ", line 1: tls: This must be true or false, without quotation"),
        ('tls = "true"', ", line 1: tls: This must be true or false, without"),
        ("timeout = true", ", line 1: timeout: This must be a number above 0, with"),
        ("timeout = -1", ", line 1: timeout: '-1' is not a number above 0."),
        ("timeout = inf", ", line 1: timeout: 'inf' is not a number above 0."),
        ("recent = 2.0", ", line 1: recent: This must be a number from 0 to 1000"),
        ('bell = "loud"', ", line 1: bell: 'loud' is not never or always."),
        ("user = 'a'\nuser = 'b'", ", line 2: This is no TOML: Cannot overwrite a"),
        ("user = \n", ", line 1: This is no TOML: Invalid value"),
        ('user = "x', ", line 1: This is no TOML: "),
        ('user = """x\n\ny', ", line 3: This is no TOML: "),
        (b"#\nuser = '\xff'", ", line 2: This is not UTF-8."),
        ('history = ""', ", line 1: history: '' is not a path."),
        ('history = "a\\u0000"', ", line 1: history: 'a\\x00' is not a path."),
        ('history = "~nobody-at-all/x"', ": there is no home for ~nobody-at-all/x."),
        ("\x1b = 1", ", line 1: This is no TOML: "),
        ('"\\u001b" = 1', ": There is no setting '\\x1b'."),
        ("#\na = " + "[" * 100_000, " is no TOML: it is nested too deep."),
    ],
)
def test_a_mistake_is_said_with_its_file_and_line_and_what_is_allowed(
    path: Path, content: str | bytes, reason: str
) -> None:
    line = complaint(path, content)
    assert line.startswith(reason)
    assert neutralise(line) == line


@pytest.mark.unmeasured
@given(st.text() | st.from_regex(r'[a-z_]+ = ("[^"]*"|[0-9]+|true|\[\])\n'))
def test_whatever_a_file_has_is_taken_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    line = ""
    try:
        read(path, text.encode(errors="replace"))
    except BadSettings as bad:
        line = str(bad)
    assert neutralise(line) == line


def test_a_path_is_in_the_home_or_begins_beside_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    values = read(path, 'history = "chats"\npassword_file = "~/secret"\n')
    assert values["history"].value == path.parent / "chats"
    assert values["password_file"].value == Path("/home/alice/secret")
    assert read(path, 'history = "/h"')["history"].value == Path("/h")


# The file itself ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(path: Path, mode: int) -> None:
    path.write_text("")
    path.chmod(mode)
    with pytest.raises(BadSettings, match="others may write it: chmod go-w helps"):
        read_settings(path, required=True)


def test_nor_is_a_pipe_that_others_can_write_taken(path: Path) -> None:
    os.mkfifo(path)
    path.chmod(0o666)
    with (
        open(path, "r+b", buffering=0),  # or to open it would wait
        pytest.raises(BadSettings, match="others may write it"),
    ):
        read_settings(path, required=True)


def test_a_device_sets_nothing() -> None:
    assert read_settings(Path("/dev/null"), required=True) == {}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_file_that_others_can_read_is_not(path: Path, mode: int) -> None:
    path.write_text("tls = true")
    path.chmod(mode)
    assert read_settings(path, required=True)["tls"].value is True


def test_a_file_of_somebody_else_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("")
    # Whoever runs the tests cannot give a file away.
    owner = path.stat().st_uid or 1000
    os.chown(path, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(BadSettings, match="belongs to somebody else"):
        read_settings(path, required=True)


def test_a_missing_file_matters_only_if_somebody_named_it(path: Path) -> None:
    assert read_settings(path, required=False) == {}
    with pytest.raises(BadSettings, match=r"There is no settings file .*--init makes"):
        read_settings(path, required=True)


def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read: Is a directory"):
        read_settings(tmp_path, required=False)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(BadSettings, match="too large for a settings file"):
        read_settings(Path("/dev/zero"), required=True)


def test_dev_null_is_a_file_without_settings() -> None:
    assert read_settings(Path(os.devnull), required=True) == {}


def test_the_environment_may_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    usual = Path("/home/alice/.config/chatd/chat.toml")
    assert settings_path({}) == settings_path({"CHAT_CONFIG": ""}) == usual
    assert settings_path({"CHAT_CONFIG": "mine"}) == Path("mine")


def test_without_a_home_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object, **__: object) -> Path:
        raise RuntimeError

    monkeypatch.setattr(settingsfile.platformdirs, "user_config_path", homeless)
    assert settings_path({}) is None
    monkeypatch.setattr(
        settingsfile.platformdirs, "user_config_path", lambda *_, **__: Path("~/x")
    )
    assert settings_path({}) is None


# The commented file ------------------------------------------------------------------


def test_the_commented_file_sets_nothing_and_explains_every_setting() -> None:
    text = commented()
    assert tomllib.loads(text) == {}
    assert re.findall("^#([a-z_]+) = ", text, re.MULTILINE) == [
        each.name for each in SETTINGS
    ]
    in_one_line = " ".join(text.replace("\n# ", " ").split())
    for setting in SETTINGS:
        assert setting.meaning in in_one_line
    assert max(map(len, text.splitlines())) <= 88


def test_what_it_shows_is_right_once_the_mark_is_taken_away(path: Path) -> None:
    content = re.sub("^#([a-z_]+ = )", r"\1", commented(), flags=re.MULTILINE)
    values = read(path, content)
    assert set(values) == {each.name for each in SETTINGS}
    for setting in SETTINGS:
        if setting.default is not None:
            assert values[setting.name].value == setting.default
    assert toml(values["timeout"].value) == "30"
    del values["fingerprint"]
    assert resolve(values, {}, {}).recent == 10


def test_it_is_written_for_its_owner_only_and_never_over_another(path: Path) -> None:
    inner = path.parent / "a" / "b" / "chat.toml"
    write_commented(inner)
    assert inner.read_text() == commented()
    assert inner.stat().st_mode & 0o777 == 0o600
    assert inner.parent.stat().st_mode & 0o777 == 0o700
    inner.write_text("mine")
    with pytest.raises(BadSettings, match="already; it was left alone"):
        write_commented(inner)
    assert inner.read_text() == "mine"


def test_where_it_cannot_be_written_is_said(path: Path) -> None:
    path.write_text("")
    with pytest.raises(BadSettings, match=r"chat\.toml cannot be written: "):
        write_commented(path / "chat.toml")
