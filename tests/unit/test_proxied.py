"""Ports for proxies: whose headers are believed, and what becomes of a connection."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest
from memory import Client, MemoryServer
from proxying import LOCALLY, UNKNOWN, block, v1, v2
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from chatd.accounts import Origin
from chatd.limits import Limits
from chatd.server.factory import REFUSED_AT_ONCE
from chatd.server.linger import LINGER_SECONDS
from chatd.server.proxied import HEADER_SECONDS, LOOPBACK, Networks, ProxyFactory
from chatd.wire.answers import Refusal

PROMPT = "Enter your username: "
NOT_TRUSTED = f"{Refusal('not-trusted').text}\n"
NO_HEADER = f"{Refusal('no-proxy-header').text}\n"
PROXY = IPv4Address("TCP", "127.0.0.1", 50_000)
REAL = "192.0.2.1"

HEADERS = {"version 1": v1, "version 2": v2}
either_version = pytest.mark.parametrize(
    "header", HEADERS.values(), ids=list(HEADERS.keys())
)
Header = Callable[[str], bytes]


class Port:
    """A port for proxies of a daemon in memory."""

    def __init__(
        self, limits: Limits | None = None, trusted: Networks = LOOPBACK
    ) -> None:
        self.server = MemoryServer(limits)
        self._factory = ProxyFactory(self.server.factory, trusted)

    def connect(self, peer: IAddress = PROXY) -> Client:
        """Return a connection of a proxy, which has not said anything."""
        return self.server.connect_to(self._factory, peer)

    def pass_on(self, header: bytes) -> Client:
        """Return a connection with its header."""
        client = self.connect()
        client.send_bytes(header)
        return client


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return the lines that are logged during the test."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def closed(client: Client) -> bool:
    """Whether the daemon has said its last; the client then closes too."""
    if not client.transport.write_closed:
        return False
    client.end_input()
    return client.transport.closed


# From the header on it is a connection like any other -------------------------------


def test_nothing_is_said_before_the_header() -> None:
    assert Port().connect().received() == ""


@either_version
def test_the_prompt_follows_the_header(header: Header) -> None:
    client = Port().pass_on(header(REAL))
    assert client.received() == PROMPT
    client.send("alice")
    assert "Welcome, alice. You are new here." in client.received()


@either_version
def test_a_header_may_come_byte_by_byte(header: Header) -> None:
    client = Port().connect()
    for byte in header(REAL) + b"alice\n":
        client.send_bytes(bytes((byte,)))
    assert "Welcome, alice." in client.received()


@either_version
def test_lines_may_come_with_the_header(header: Header) -> None:
    port = Port()
    client = port.pass_on(header(REAL) + b"alice\nalice-Hi\n/quit\n")
    assert client.lines()[-2:] == ["alice: Hi", "Goodbye."]
    assert closed(client)


@either_version
def test_an_end_of_the_input_right_after_the_lines_gets_its_goodbye(
    header: Header,
) -> None:
    port = Port()
    port.server.log_in("bob").vanish()
    client = port.pass_on(header(REAL) + b"alice\nbob-Hi")
    client.end_input()
    lines = client.lines()
    assert lines[-2:] == ["User 'bob' is offline. Message stored.", "Goodbye."]
    assert client.transport.closed


@either_version
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.1", "192.0.2.1:40000"),
        ("2001:db8::1", "[2001:db8::1]:40000"),
        ("::ffff:192.0.2.1", "192.0.2.1:40000"),
    ],
)
def test_the_log_has_the_address_in_the_header(
    header: Header, host: str, shown: str, logged: list[str]
) -> None:
    client = Port().pass_on(header(host) + b"alice\nnonsense\n")
    client.vanish()
    assert logged == [
        f"alice logged in from {shown}, a new name",
        f"Refused {shown}: format",
        f"alice left from {shown}",
    ]


@pytest.mark.parametrize(
    "header",
    [UNKNOWN, LOCALLY, block(0x21, 0x00, b""), block(0x21, 0x31, bytes(216))],
    ids=["UNKNOWN", "LOCAL", "unspecified", "Unix"],
)
def test_without_an_address_in_the_header_the_proxys_own_counts(header: bytes) -> None:
    client = Port().pass_on(header)
    assert client.received() == PROMPT
    assert client.protocol.origin == Origin("127.0.0.1", 50_000, False)


def test_a_health_check_that_leaves_after_its_header_leaves_nothing(
    logged: list[str],
) -> None:
    port = Port()
    for header in (UNKNOWN, LOCALLY):
        port.pass_on(header).vanish()
    assert port.server.factory.all_gone().called
    assert port.server.clock.getDelayedCalls() == []
    assert logged == []


def test_the_time_to_log_in_begins_with_the_header() -> None:
    port = Port(Limits(login_time=60))
    client = port.connect()
    port.server.clock.advance(HEADER_SECONDS - 1)
    client.send_bytes(v1(REAL))
    port.server.clock.advance(59)
    assert client.received() == PROMPT
    port.server.clock.advance(1)
    assert "No login within 60 seconds" in client.received()


# What is no header ------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"alice\n",
        b"PROXY TCP4 not-an-ip 192.0.2.2 1 2\r\nalice\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_no_header_is_refused_and_nothing_in_it_counts(
    data: bytes, logged: list[str]
) -> None:
    port = Port()
    client = port.pass_on(data)
    client.send("alice", "alice-Hi")
    assert client.received() == NO_HEADER
    assert closed(client)
    assert "alice" not in port.server.hub._receivers
    assert logged == ["Refused 127.0.0.1:50000: no-proxy-header"]
    assert port.server.factory.all_gone().called
    assert port.server.clock.getDelayedCalls() == []


@pytest.mark.parametrize("begin", [b"", b"P", v1(REAL)[:-1], v2(REAL)[:-1]])
def test_a_header_that_does_not_come_in_time_is_none(begin: bytes) -> None:
    port = Port()
    client = port.pass_on(begin) if begin else port.connect()
    port.server.clock.advance(HEADER_SECONDS - 0.1)
    assert client.received() == ""
    port.server.clock.advance(0.1)
    client.send_bytes(v1(REAL))
    assert client.received() == NO_HEADER
    assert closed(client)
    assert port.server.factory.all_gone().called


def test_a_header_that_comes_slowly_gets_no_more_time() -> None:
    port = Port()
    client = port.connect()
    for byte in v1(REAL)[:5]:
        client.send_bytes(bytes((byte,)))
        port.server.clock.advance(1)
    assert client.received() == NO_HEADER


@pytest.mark.parametrize("end", [Client.end_input, Client.vanish])
@pytest.mark.parametrize("begin", [b"", v1(REAL)[:-1], v2(REAL)[:-1]])
def test_a_connection_that_ends_before_its_header_is_gone(
    end: Callable[[Client], None], begin: bytes
) -> None:
    port = Port()
    client = port.connect()
    client.send_bytes(begin)
    end(client)
    assert client.transport.closed
    assert port.server.factory.all_gone().called
    assert port.server.clock.getDelayedCalls() == []


# Who is trusted ---------------------------------------------------------------------


@either_version
@pytest.mark.parametrize(
    "peer",
    [
        IPv4Address("TCP", "192.0.2.7", 4000),
        IPv6Address("TCP", "2001:db8::7", 4000),
        IPv6Address("TCP", "::ffff:192.0.2.7", 4000),
    ],
)
def test_who_is_no_trusted_proxy_is_refused_whatever_the_header_says(
    header: Header, peer: IPv4Address | IPv6Address, logged: list[str]
) -> None:
    port = Port()
    client = port.connect(peer)
    assert client.received() == NOT_TRUSTED
    client.send_bytes(header("127.0.0.1") + b"alice\n")
    assert client.received() == ""
    assert closed(client)
    assert "alice" not in port.server.hub._receivers
    origin = port.server.factory.origin_of(peer)
    assert logged == [f"Refused {origin}: not-trusted"]


def test_an_unknown_kind_of_connection_is_not_trusted() -> None:
    port = Port()
    client = port.server.connect_to(port._factory, object())  # type: ignore[arg-type]
    assert client.received() == NOT_TRUSTED


@pytest.mark.parametrize(
    "peer",
    [
        IPv4Address("TCP", "127.0.0.1", 4000),
        IPv4Address("TCP", "127.1.2.3", 4000),
        IPv6Address("TCP", "::1", 4000),
        IPv6Address("TCP", "::ffff:127.0.0.1", 4000),
        UNIXAddress(None),
        UNIXAddress(b"/run/haproxy"),
    ],
)
def test_proxies_on_this_machine_are_trusted(peer: IAddress) -> None:
    client = Port().connect(peer)
    client.send_bytes(v1(REAL))
    assert client.received() == PROMPT
    assert client.protocol.origin == Origin(REAL, 40_000, False)


TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8:7::/48")]


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "10.255.255.255", "::ffff:10.0.0.1", "2001:db8:7:ffff::1"]
)
def test_proxies_of_the_networks_given_are_trusted(host: str) -> None:
    client = Port(trusted=TRUSTED).connect(IPv6Address("TCP", host, 4000))
    client.send_bytes(v2(REAL))
    assert client.received() == PROMPT


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "11.0.0.1", "2001:db8:8::1", "::10.0.0.1"]
)
def test_with_networks_given_nobody_else_is_trusted(host: str) -> None:
    client = Port(trusted=TRUSTED).connect(IPv6Address("TCP", host, 4000))
    assert client.received() == NOT_TRUSTED


def test_unix_sockets_are_trusted_whatever_networks_are() -> None:
    client = Port(trusted=TRUSTED).connect(UNIXAddress(None))
    client.send_bytes(v2(REAL))
    assert client.received() == PROMPT


def test_a_flood_of_those_who_are_not_trusted_is_cut_without_an_answer() -> None:
    port = Port(trusted=[])
    refused = [port.connect() for _ in range(REFUSED_AT_ONCE + 5)]
    assert [client.transport.aborted for client in refused] == (
        [False] * REFUSED_AT_ONCE + [True] * 5
    )


# Limits -----------------------------------------------------------------------------


@either_version
def test_connections_are_counted_by_the_address_in_the_header(header: Header) -> None:
    port = Port(Limits(connections_by_address=2))
    first = port.pass_on(header(REAL))
    port.pass_on(header(REAL))
    assert port.pass_on(header(REAL)).received() == (
        "Too many connections (2 from one address). Close one, or try again later.\n"
    )
    assert port.pass_on(header("192.0.2.2")).received() == PROMPT
    # The same address without a proxy is the same.
    assert "2 from one address" in port.server.connect(REAL).received()
    first.vanish()
    assert port.pass_on(header(REAL)).received() == PROMPT


@either_version
def test_new_names_are_counted_by_the_address_in_the_header(header: Header) -> None:
    port = Port(Limits(new_names=1))
    port.pass_on(header(REAL) + b"a\n").vanish()
    assert "Too many new names" in port.pass_on(header(REAL) + b"b\n").received()
    assert "Welcome, b." in port.pass_on(header("192.0.2.2") + b"b\n").received()


@pytest.mark.parametrize(
    "header",
    [
        v1("127.0.0.1"),
        v2("127.0.0.1"),
        v1("::1"),
        v2("::1"),
        v1("::ffff:127.0.0.1"),
        UNKNOWN,
        LOCALLY,
    ],
)
def test_nobody_behind_a_proxy_is_exempt_from_limits_by_address(header: bytes) -> None:
    port = Port(Limits(connections_by_address=1, new_names=0))
    first = port.pass_on(header)
    assert "1 from one address" in port.pass_on(header).received()
    first.send("alice")
    assert "Too many new names" in first.received()
    # This machine itself is.
    assert port.server.connect("127.0.0.1").received() == PROMPT
    assert port.server.connect("::1").received() == PROMPT


def test_nobody_behind_a_proxy_on_a_unix_socket_is_exempt_either() -> None:
    port = Port(Limits(connections_by_address=1))
    for expected in (PROMPT, "Too many connections (1 from one address)"):
        client = port.connect(UNIXAddress(None))
        client.send_bytes(UNKNOWN)
        assert client.received().startswith(expected)


def test_connections_without_a_header_count_among_all() -> None:
    port = Port(Limits(connections=3))
    waiting = [port.connect(), port.connect()]
    port.server.connect()
    too_many = "Too many connections (3 in all). Close one, or try again later.\n"
    assert port.connect().received() == too_many
    assert port.server.connect().received() == too_many
    # A connection that is counted already is not counted again with its header.
    waiting[0].send_bytes(v1(REAL))
    assert waiting[0].received() == PROMPT
    waiting[1].vanish()
    assert port.server.connect().received() == PROMPT
    assert port.server.connect().received() == too_many


def test_connections_whose_header_is_late_make_room_for_others() -> None:
    port = Port(Limits(connections=2))
    late = [port.connect() for _ in range(2)]
    port.server.clock.advance(HEADER_SECONDS)
    assert [client.received() for client in late] == [NO_HEADER] * 2
    assert port.server.connect().received() == PROMPT
    port.server.clock.advance(LINGER_SECONDS)
    assert all(client.transport.aborted for client in late)


# Stopping ---------------------------------------------------------------------------


def test_a_stop_does_not_wait_for_headers() -> None:
    port = Port()
    waiting = port.connect()
    waiting.send_bytes(v1(REAL)[:-1])
    Deferred.fromCoroutine(port.server.factory.finish_conversations())
    gone = port.server.factory.all_gone()
    assert waiting.lines() == [Refusal("shutting-down").text]
    assert closed(waiting)
    assert gone.called
    assert port.connect().lines() == [Refusal("shutting-down").text]


def test_who_waits_for_the_end_of_all_waits_for_those_without_a_header_too() -> None:
    port = Port()
    waiting = port.connect()
    gone = port.server.factory.all_gone()
    assert not gone.called
    waiting.vanish()
    assert gone.called
