"""Where connections come from: how it is shown, and how it is counted."""

import pytest

from chatd.accounts import Origin


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:2:2:3:4:5", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("local", "local"),
    ],
)
def test_an_ipv6_address_is_counted_by_its_network(host: str, network: str) -> None:
    assert Origin(host, 1, False).network == network


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (Origin("192.0.2.1", 4000, False), "192.0.2.1:4000"),
        (Origin("2001:db8::1", 4000, False), "[2001:db8::1]:4000"),
        (Origin("local", None, True), "local"),
    ],
)
def test_an_origin_is_shown_whole_with_its_port(origin: Origin, shown: str) -> None:
    assert str(origin) == shown
