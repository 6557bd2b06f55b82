"""Fingerprints: how they are shown, and how they may be written."""

import hashlib

import pytest

from chatd.fingerprint import fingerprint, parse_fingerprint

SHOWN = fingerprint(b"a certificate")


def test_a_fingerprint_is_shown_in_pairs_of_capitals() -> None:
    assert (
        SHOWN.replace(":", "") == hashlib.sha256(b"a certificate").hexdigest().upper()
    )
    assert {len(pair) for pair in SHOWN.split(":")} == {2}


@pytest.mark.parametrize(
    "written",
    [
        SHOWN,
        SHOWN.lower(),
        SHOWN.replace(":", ""),
        SHOWN.replace(":", " "),
        f" {SHOWN}\n",
    ],
)
def test_however_it_is_written_it_is_the_same(written: str) -> None:
    assert parse_fingerprint(written) == SHOWN


@pytest.mark.parametrize("text", ["", SHOWN[:-1], f"{SHOWN}:00", f"G{SHOWN[1:]}"])
def test_what_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        parse_fingerprint(text)
