"""The grammar of the PROXY protocol: headers from bytes, however they are split."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxying import LOCAL, LOCALLY, PROXY, SIGNATURE, UNKNOWN, block, v1, v2

from chatd.wire.proxy import (
    MAX_BLOCK,
    MAX_LINE,
    BadHeader,
    Header,
    HeaderReader,
    Source,
)

ADDRESSES = bytes(range(216))
LONGEST_LINE = (
    b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
)


def split(stream: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    ends = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(ends):
        yield stream[start:end]


def read(packets: Iterator[bytes]) -> Header | None:
    """Return the header, with all that follows it; None if there is not all of it."""
    reader = HeaderReader()
    for packet in packets:
        header = reader.feed(packet)
        if header is not None:
            return Header(header.source, header.rest + b"".join(packets))
    return None


def outcome(stream: bytes, cuts: Sequence[int] = ()) -> Header | str | None:
    try:
        return read(split(stream, cuts))
    except BadHeader:
        return "bad"


def source(host: str, port: int) -> Source:
    return Source(ip_address(host), port)


# What is a header -------------------------------------------------------------------

HEADERS: list[tuple[bytes, Source | None]] = [
    (v1("192.0.2.1", 4000), source("192.0.2.1", 4000)),
    (v1("2001:db8::1", 4000), source("2001:db8::1", 4000)),
    (v1("::ffff:192.0.2.1", 4000), source("::ffff:192.0.2.1", 4000)),
    (v1("0.0.0.0", 0), source("0.0.0.0", 0)),
    (v1("255.255.255.255", 65535), source("255.255.255.255", 65535)),
    (UNKNOWN, None),
    (b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n", None),
    (LONGEST_LINE, None),
    (v2("192.0.2.1", 4000), source("192.0.2.1", 4000)),
    (v2("2001:db8::1", 4000), source("2001:db8::1", 4000)),
    (v2("192.0.2.1", 65535, b"\x04\x00\x01x"), source("192.0.2.1", 65535)),
    (v2("::1", 0, b"\n" * 4000), source("::1", 0)),
    (LOCALLY, None),
    (block(LOCAL, 0xFF, b""), None),
    (block(LOCAL, 0x11, ADDRESSES), None),
    (block(PROXY, 0x00, b""), None),
    (block(PROXY, 0x00, b"anything"), None),
    (block(PROXY, 0x31, ADDRESSES), None),
    (block(PROXY, 0x12, ADDRESSES), None),
    (block(PROXY, 0x10, ADDRESSES), None),
    (block(PROXY, 0x00, b"x" * (MAX_BLOCK - 16)), None),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_a_header_says_who_connects_to_the_proxy(
    header: bytes, expected: Source | None
) -> None:
    assert outcome(header) == Header(expected, b"")


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_a_header_may_come_byte_by_byte(header: bytes, expected: Source | None) -> None:
    assert outcome(header, range(len(header))) == Header(expected, b"")


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_what_follows_a_header_is_left_as_it_is(
    header: bytes, expected: Source | None
) -> None:
    for rest in (b"alice\nbob-Hi\n", header, b"\r\n", b"\x00"):
        assert outcome(header + rest) == Header(expected, rest)
        assert outcome(header + rest, range(len(header))) == Header(expected, rest)


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_every_beginning_of_a_header_waits_for_more(
    header: bytes, expected: Source | None
) -> None:
    assert [outcome(header[:size]) for size in range(len(header))] == (
        [None] * len(header)
    )


def test_the_longest_line_there_can_be_is_a_header() -> None:
    assert len(LONGEST_LINE) == MAX_LINE == 107


# What is none -----------------------------------------------------------------------

LINES_THAT_ARE_NONE = [
    "PROXY TCP4 not-an-ip 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.1 not-an-ip 1 2",
    "PROXY TCP4 192.0.2 192.0.2.2 1 2",
    "PROXY TCP4 192.0.2.256 192.0.2.2 1 2",
    "PROXY TCP4 192.0.02.1 192.0.2.2 1 2",
    "PROXY TCP4 2001:db8::1 2001:db8::2 1 2",
    "PROXY TCP4 192.0.2.1 2001:db8::2 1 2",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP6 2001:db8:::1 2001:db8::2 1 2",
    "PROXY TCP6 12345::1 2001:db8::2 1 2",
    "PROXY TCP6 fe80::1%eth0 fe80::2 1 2",
    "PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536",
    "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 x 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 ١ 2",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
    "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP5 192.0.2.1 192.0.2.2 1 2",
    "PROXY tcp4 192.0.2.1 192.0.2.2 1 2",
    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
    "PROXY TCP4",
    "PROXY UNKNOWNS",
    "PROXY UNKNOWN \x00",
    "PROXY UNKNOWN\r",
    "PROXY ",
    "proxy UNKNOWN",
    "GET / HTTP/1.1",
    "alice",
    "",
]


@pytest.mark.parametrize("line", LINES_THAT_ARE_NONE)
def test_a_line_that_is_no_header_is_refused(line: str) -> None:
    stream = f"{line}\r\nalice\n".encode()
    assert outcome(stream) == "bad"
    assert outcome(stream, range(len(stream))) == "bad"


def test_a_line_that_ends_in_a_bare_line_feed_is_refused() -> None:
    assert outcome(v1("192.0.2.1").replace(b"\r\n", b"\n")) == "bad"


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_a_line_that_is_too_long_is_refused(end: bytes) -> None:
    line = b"PROXY UNKNOWN " + b"x" * (MAX_LINE - 13 - len(end)) + end
    assert len(line) == MAX_LINE + 1
    assert outcome(line) == "bad"


def test_a_line_without_an_end_is_refused_when_none_can_come() -> None:
    endless = b"PROXY UNKNOWN " + b"x" * MAX_LINE
    assert outcome(endless[: MAX_LINE - 1]) is None
    assert outcome(endless[:MAX_LINE]) == "bad"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(block(0x10, 0x11, ADDRESSES), id="version 1 as a block"),
        pytest.param(block(0x31, 0x11, ADDRESSES), id="version 3"),
        pytest.param(block(0x22, 0x11, ADDRESSES), id="an unknown command"),
        pytest.param(block(PROXY, 0x41, ADDRESSES), id="an unknown family"),
        pytest.param(block(PROXY, 0x13, ADDRESSES), id="an unknown transport"),
        pytest.param(block(PROXY, 0x11, ADDRESSES[:11]), id="IPv4, cut off"),
        pytest.param(block(PROXY, 0x21, ADDRESSES[:35]), id="IPv6, cut off"),
        pytest.param(block(PROXY, 0x31, ADDRESSES[:215]), id="Unix, cut off"),
        pytest.param(block(PROXY, 0x11, bytes(MAX_BLOCK - 15)), id="too long"),
        pytest.param(block(LOCAL, 0x00, bytes(65535)), id="much too long"),
        pytest.param(SIGNATURE[:-1] + b"\r", id="another signature"),
        pytest.param(b"\r\n\r\n\x00\r\nQUIT\r\n", id="nearly the signature"),
    ],
)
def test_a_block_that_is_no_header_is_refused(header: bytes) -> None:
    assert outcome(header) == "bad"
    assert outcome(header, range(len(header))) == "bad"


@pytest.mark.parametrize(
    ("begin", "size"),
    [(b"alice", 1), (b"PROXY\t", 6), (b"\n", 1), (b"\r\r", 2), (b"\x16\x03", 1)],
)
def test_what_can_become_no_header_is_refused_at_once(begin: bytes, size: int) -> None:
    assert outcome(begin[: size - 1]) is None
    assert outcome(begin[:size]) == "bad"


def test_a_block_that_is_too_long_is_refused_before_it_comes() -> None:
    assert outcome(block(PROXY, 0x11, bytes(65535))[:16]) == "bad"


# Whatever comes ---------------------------------------------------------------------

cuts = st.lists(st.integers(0, 5_000), max_size=8)
addresses = st.ip_addresses()
ports = st.integers(0, 65535)
valid = st.one_of(
    st.builds(lambda a, port: v1(str(a), port), addresses, ports),
    st.builds(
        lambda a, port, more: v2(str(a), port, more),
        addresses,
        ports,
        st.binary(max_size=300),
    ),
    st.sampled_from([header for header, _ in HEADERS]),
)
odd_blocks = st.builds(
    block,
    st.sampled_from([LOCAL, PROXY, 0x00, 0x22]),
    st.integers(0, 255),
    st.binary(max_size=220),
)
words = st.one_of(
    st.sampled_from(["PROXY", "TCP4", "TCP6", "UNKNOWN", "192.0.2.1", "::1"]),
    st.sampled_from(["0", "65535", "65536", "x", " ", "\r\n", "\r", "\n", "\0"]),
)
odd_lines = st.lists(words, max_size=14).map(lambda some: "".join(some).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a header with one byte changed, left out or added."""
    header = draw(valid)
    at = draw(st.integers(0, len(header) - 1))
    return header[:at] + draw(st.binary(max_size=2)) + header[at + 1 :]


streams = st.builds(
    lambda begin, rest: begin + rest,
    st.one_of(
        valid,
        damaged(),
        odd_blocks,
        odd_lines,
        st.binary().map(lambda some: b"PROXY " + some),
        st.binary().map(lambda some: SIGNATURE + some),
        st.binary(),
    ),
    st.binary(max_size=40),
)


@given(streams, cuts)
def test_the_split_of_any_bytes_does_not_matter(
    stream: bytes, cuts: Sequence[int]
) -> None:
    whole = outcome(stream)
    assert outcome(stream, cuts) == whole
    assert outcome(stream, range(len(stream))) == whole


@given(streams)
def test_any_bytes_are_a_header_and_the_rest_or_refused_or_not_enough(
    stream: bytes,
) -> None:
    match outcome(stream):
        case Header(found, rest):
            assert stream.endswith(rest)
            header = stream.removesuffix(rest)
            assert len(header) <= MAX_BLOCK
            assert found is None or 0 <= found.port <= 65535
            if header.startswith(b"PROXY "):
                assert header.endswith(b"\r\n")
                assert len(header) <= MAX_LINE
                assert (found is None) == header.startswith(b"PROXY UNKNOWN")
            else:
                assert header.startswith(SIGNATURE)
                assert len(header) == 16 + int.from_bytes(header[14:16], "big")
        case None:
            assert len(stream) < MAX_BLOCK
        case "bad":
            # More does not make it better.
            assert outcome(stream + b"\r\n") == "bad"


@given(addresses, ports, st.binary(max_size=100), cuts)
def test_any_source_comes_through_either_version(
    address: IPv4Address | IPv6Address, port: int, rest: bytes, cuts: Sequence[int]
) -> None:
    expected = Header(Source(address, port), rest)
    assert outcome(v1(str(address), port) + rest, cuts) == expected
    assert outcome(v2(str(address), port) + rest, cuts) == expected
    assert outcome(v2(str(address), port, b"\x03" * 50) + rest, cuts) == expected
