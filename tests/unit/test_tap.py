"""The options of ``twistd chatd``, and what each sets."""

import re
from ipaddress import ip_network

import pytest

from chatd.limits import Limits
from chatd.tap import Options


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_without_options_all_is_at_its_default() -> None:
    options = parsed()
    assert options["port"] == ["5555"]
    assert options["trusted-proxy"] == []
    assert options["db"] == "server.db"
    assert options["expire"] is None
    assert options.limits == Limits()


def test_the_help_has_no_holes_in_its_sentences() -> None:
    meanings = Options().docs.values()
    assert any("given several times. A number is" in each for each in meanings)
    assert not any("  " in each or "\n" in each for each in meanings)


@pytest.mark.parametrize(
    ("field", "option", "default"),
    [(field, option, default) for field, option, default, _ in Limits.options()],
)
def test_every_limit_has_an_option_that_sets_it_alone(
    field: str, option: str, default: int
) -> None:
    options = parsed(f"--{option}={default - 1}")
    assert options.limits == Limits(**{field: default - 1})


def test_proxies_are_trusted_by_address_and_by_network() -> None:
    options = parsed(
        "--port=haproxy:5555",
        "--trusted-proxy=192.0.2.1",
        "--trusted-proxy=10.0.0.0/8",
        "--trusted-proxy=2001:db8::/32",
    )
    assert options["trusted-proxy"] == [
        ip_network("192.0.2.1/32"),
        ip_network("10.0.0.0/8"),
        ip_network("2001:db8::/32"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trusted-proxy=10.0.0.1"], "no --port is a haproxy: one"),
        (["--port=haproxy:1", "--trusted-proxy=10.0.0.1/8"], "has host bits set"),
        (["--port=haproxy:1", "--trusted-proxy=localhost"], "give an address"),
        (["--port=haproxy:1", "--trusted-proxy="], "give an address"),
    ],
)
def test_a_proxy_that_cannot_be_trusted_is_named(
    arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit, match=f"--trusted-proxy: .*{told}"):
        parsed(*arguments)


@pytest.mark.parametrize(
    ("path", "named"), [("nosuch", "nosuch"), (".", "."), ("", "no file")]
)
def test_a_file_of_passwords_that_cannot_be_read_is_named(
    path: str, named: str
) -> None:
    with pytest.raises(SystemExit, match=f"--auth: {re.escape(named)}: cannot be read"):
        parsed(f"--auth=file:{path}")
