"""Which certificates are accepted, and what is said of those that are not."""

import pytest

from chatd.client.connection.pins import PinError, Pins
from chatd.client.connection.trust import Presented, Rejected, Trust, Unknown
from chatd.client.statuses import Status
from chatd.fingerprint import fingerprint

ONE, OTHER = fingerprint(b"one"), fingerprint(b"other")
SERVER = "host:5556"
UNSIGNED = "no authority that this system trusts has signed it"


def trust(*, pinned: str | None = None, expected: str | None = None) -> Trust:
    pins = Pins(None)
    if pinned is not None:
        with pytest.raises(PinError):
            pins.keep(SERVER, pinned)
    return Trust(SERVER, pins, expected)


def refusal(trust: Trust, presented: Presented) -> str:
    with pytest.raises(Rejected) as caught:
        trust.judge(presented)
    assert caught.value.status == Status.CERTIFICATE
    line = str(caught.value)
    assert "\n" not in line
    assert "Nothing was sent." in line
    return line


def test_without_a_pin_an_authority_may_vouch() -> None:
    trust().judge(Presented(ONE, None))


def test_where_no_authority_does_it_is_left_to_a_person() -> None:
    with pytest.raises(Unknown) as caught:
        trust().judge(Presented(ONE, UNSIGNED))
    assert ONE in trust().question(caught.value)
    assert any(UNSIGNED in line for line in trust().question(caught.value))


def test_where_nobody_can_be_asked_it_is_said_how_to_accept_it() -> None:
    unknown = Unknown(Presented(ONE, UNSIGNED))
    rejected = trust().refusal(unknown)
    assert rejected.status == Status.CERTIFICATE
    assert f"is not known: {UNSIGNED}. Nothing was sent." in str(rejected)
    assert str(rejected).endswith(f"run chat with --fingerprint {ONE}")


@pytest.mark.parametrize("doubt", [None, UNSIGNED, "it has expired"])
def test_a_pinned_certificate_is_accepted_whatever_authorities_say(
    doubt: str | None,
) -> None:
    trust(pinned=ONE).judge(Presented(ONE, doubt))


@pytest.mark.parametrize("doubt", [None, UNSIGNED])
def test_another_certificate_than_the_pinned_is_refused_whoever_vouches(
    doubt: str | None,
) -> None:
    line = refusal(trust(pinned=ONE), Presented(OTHER, doubt))
    assert f"its SHA-256 fingerprint is {OTHER}, and was {ONE}." in line
    assert line.endswith(f"run chat once with --fingerprint {OTHER}")


@pytest.mark.parametrize("pinned", [None, ONE, OTHER])
def test_a_given_fingerprint_accepts_exactly_that_and_is_pinned(
    pinned: str | None,
) -> None:
    presented = Presented(ONE, UNSIGNED)
    judge = trust(pinned=pinned, expected=ONE)
    judge.judge(presented)
    assert judge.unpinned(presented) == (pinned != ONE)
    if pinned != ONE:
        with pytest.raises(PinError):
            judge.pin(presented)
    assert not judge.unpinned(presented)


@pytest.mark.parametrize("pinned", [None, ONE, OTHER])
@pytest.mark.parametrize("doubt", [None, UNSIGNED])
def test_a_given_fingerprint_refuses_all_others(
    pinned: str | None, doubt: str | None
) -> None:
    line = refusal(trust(pinned=pinned, expected=ONE), Presented(OTHER, doubt))
    assert f"its SHA-256 fingerprint is {OTHER}, not {ONE}." in line


def test_what_an_authority_vouches_for_is_not_pinned() -> None:
    assert not trust().unpinned(Presented(ONE, None))
