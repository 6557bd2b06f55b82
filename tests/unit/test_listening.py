"""What ``--port`` means, as far as nothing has to listen for it."""

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.testing import MemoryReactor

from chatd.limits import Limits
from chatd.listening import BACKLOG, IPv6OnlyEndpoint, ProxiedEndpoint, endpoints
from chatd.server.factory import ChatFactory
from chatd.server.proxied import ProxyFactory


def test_a_number_is_a_port_on_ipv4_and_one_on_ipv6() -> None:
    first, second = endpoints(MemoryReactor(), "5555")
    assert isinstance(first, TCP4ServerEndpoint)
    assert isinstance(second, IPv6OnlyEndpoint)


@pytest.mark.parametrize(
    ("description", "backlog"),
    [
        ("5555", BACKLOG),
        ("tcp:5555", BACKLOG),
        ("tcp:5555:interface=127.0.0.1", BACKLOG),
        ("haproxy:tcp:5555", BACKLOG),
        ("tcp:5555:backlog=7", 7),
    ],
)
def test_many_may_come_at_once_on_any_port(description: str, backlog: int) -> None:
    reactor = MemoryReactor()
    chat = ChatFactory(Limits(), reactor)  # type: ignore[arg-type]
    _ = endpoints(reactor, description)[0].listen(chat)
    assert [each[2] for each in reactor.tcpServers] == [backlog]


def test_what_a_port_is_said_to_be_is_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"^'tcp:nonsense' is no port: "):
        endpoints(MemoryReactor(), "tcp:nonsense")


@pytest.mark.parametrize(
    ("description", "count"),
    [
        ("haproxy:tcp:0:interface=127.0.0.1", 1),
        ("haproxy:tcp6:0", 1),
        ("HAProxy:tcp:0", 1),
        ("haproxy:unix:/run/chatd/socket", 1),
        ("haproxy:5555", 2),
    ],
)
def test_behind_haproxy_stands_where_proxies_connect(
    description: str, count: int
) -> None:
    found = endpoints(MemoryReactor(), description)
    assert [type(each) for each in found] == [ProxiedEndpoint] * count


def test_on_a_port_for_proxies_every_connection_has_a_header() -> None:
    reactor = MemoryReactor()
    chat = ChatFactory(Limits(), reactor)  # type: ignore[arg-type]
    (endpoint,) = endpoints(reactor, "haproxy:tcp:5556:interface=127.0.0.1")
    _ = endpoint.listen(chat)
    ((port, factory, _, interface),) = reactor.tcpServers
    assert (port, interface) == (5556, "127.0.0.1")
    assert isinstance(factory, ProxyFactory)


@pytest.mark.parametrize(
    "description",
    [
        "haproxy:",
        "haproxy:nonsense",
        "haproxy:haproxy:tcp:0",
        "haproxy:ssl:0",
        "haproxy:stdio:",
        "haproxy:tcp:nonsense",
        "haproxy:tcp\\:5555",
        "haproxy:70000",
    ],
)
def test_what_no_proxy_can_connect_to_is_no_port(description: str) -> None:
    with pytest.raises(ValueError, match="is no port"):
        endpoints(MemoryReactor(), description)
