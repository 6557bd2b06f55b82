"""What ``alice@host:5555`` means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.client.settings.address import (
    BadAddress,
    Server,
    parse_address,
    parse_server,
)
from chatd.wire.display import neutralise


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("alice@example.org:6000", "alice", "example.org", 6000),
        ("alice@example.org", "alice", "example.org", None),
        ("alice@:6000", "alice", "127.0.0.1", 6000),
        ("@example.org", None, "example.org", None),
        ("example.org", None, "example.org", None),
        ("example.org:6000", None, "example.org", 6000),
        ("my_host", None, "my_host", None),
        ("10.0.0.1:6000", None, "10.0.0.1", 6000),
        ("[::1]", None, "::1", None),
        ("[::1]:6000", None, "::1", 6000),
        ("::1", None, "::1", None),
        ("alice@[fe80::1%eth0]:6000", "alice", "fe80::1%eth0", 6000),
        ("Zoë@bücher.example", "Zoë", "bücher.example", None),
    ],
)
def test_an_address_has_a_name_a_host_and_a_port_as_far_as_they_were_given(
    text: str, user: str | None, host: str, port: int | None
) -> None:
    address = parse_address(text)
    assert (address.user and address.user.shown) == user
    assert address.server == Server(host, port)


def test_an_address_may_have_a_name_alone() -> None:
    address = parse_address("alice@")
    assert address.user is not None
    assert (address.user.shown, address.server) == ("alice", None)


@pytest.mark.parametrize("text", ["example.org:6000", "[::1]:6000", "::1", "host"])
def test_a_server_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_server(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no address: write it like alice@host:5555."),
        ("@", "'@' is no address: write it like alice@host:5555."),
        ("a b@host", "'a b' is no name: A name has only letters"),
        ("all@host", "'all' is no name: The name 'all' is reserved."),
        ("alice@host:", "'' is no port: ports are 1 to 65535."),
        ("alice@host:0", "'0' is no port"),
        ("alice@host:65536", "'65536' is no port"),
        ("alice@host:٣", "'٣' is no port"),
        ("alice@ho st", "'ho st' is no host name."),
        ("alice@a..b", "'a..b' is no host name."),
        ("alice@host/path", "'host/path' is no host name."),
        ("alice@[::1", "'[::1' is no address: write it like [::1]:5555."),
        ("alice@[::1]6000", "'[::1]6000' is no address"),
        ("alice@[host]", "'host' is no IPv6 address."),
        ("alice@::1::2", "'::1::2' is no IPv6 address."),
        ("alice@\udcff", "is no host name."),
    ],
)
def test_what_is_no_address_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_address(text)
    assert reason in str(caught.value)


@pytest.mark.unmeasured
@given(st.text())
def test_whatever_is_given_is_an_address_or_refused_in_one_line(text: str) -> None:
    try:
        address = parse_address(text)
        assert address.user or address.server
        shown = str(address.server)
    except BadAddress as bad:
        shown = str(bad)
    assert neutralise(shown) == shown


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("localhost.example.org", False),
        ("192.0.2.1", False),
        ("[2001:db8::1]", False),
        ("host", False),
    ],
)
def test_what_is_sent_to_this_machine_stays_there(host: str, here: bool) -> None:
    assert parse_server(f"{host}:5555").is_this_machine == here
