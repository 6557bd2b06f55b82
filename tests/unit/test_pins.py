"""Which certificates were accepted: the file that remembers."""

import stat
from pathlib import Path

import pytest

from chatd.client.connection.pins import PinError, Pins
from chatd.fingerprint import fingerprint

ONE, OTHER = fingerprint(b"one"), fingerprint(b"other")


def test_what_was_kept_is_there_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_servers"
    pins = Pins(path)
    assert pins.of("host:5556") is None
    pins.keep("Host:5556", ONE)
    pins.keep("[::1]:5556", OTHER)
    for each in (pins, Pins(path)):
        assert each.of("host:5556") == ONE
        assert each.of("HOST:5556") == ONE
        assert each.of("[::1]:5556") == OTHER
        assert each.of("host:5557") is None


def test_the_file_is_its_owners_alone_and_nothing_lies_beside_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "known_servers"
    Pins(path).keep("host:5556", ONE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == f"host:5556 {ONE}\n"


def test_a_pin_that_a_person_has_written_counts_in_capitals_too(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    path.write_text(f"Chat.Example.org:5556 {ONE}\n")
    assert Pins(path).of("chat.example.org:5556") == ONE
    Pins(path).keep("chat.example.org:5556", OTHER)
    assert path.read_text() == f"chat.example.org:5556 {OTHER}\n"


def test_a_new_pin_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    Pins(path).keep("host:5556", ONE)
    Pins(path).keep("host:5556", OTHER)
    assert path.read_text() == f"host:5556 {OTHER}\n"


def test_what_another_chat_has_kept_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    mine, theirs = Pins(path), Pins(path)
    theirs.keep("theirs:1", ONE)
    mine.keep("mine:1", OTHER)
    assert Pins(path).of("theirs:1") == ONE


@pytest.mark.parametrize("line", ["", "host:5556", "host:5556 AB:CD", f"{ONE}", "\x00"])
def test_a_file_that_cannot_be_understood_is_not_ignored(
    tmp_path: Path, line: str
) -> None:
    path = tmp_path / "known_servers"
    path.write_text(f"host:1 {ONE}\n{line}\n")
    with pytest.raises(PinError, match="known_servers, line 2: "):
        Pins(path)


def test_a_file_that_cannot_be_read_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(PinError, match="cannot be read: Is a directory"):
        Pins(tmp_path)


def test_a_pin_that_cannot_be_kept_counts_for_this_run() -> None:
    pins = Pins(None)
    with pytest.raises(PinError, match="no home"):
        pins.keep("host:5556", ONE)
    assert pins.of("host:5556") == ONE
