"""The telnet filter: what it takes out and answers, however the stream is split."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatd.wire.telnet import MAX_REFUSALS, TelnetFilter

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
NOP, EOF = 241, 236

# What plink -telnet 0.78 sends before its user has typed anything.
PUTTY_OPENING = bytes.fromhex("fffb1f fffb20 fffb18 fffb27 fffd01 fffb03 fffd03")

interesting_bytes = st.lists(
    st.sampled_from([IAC, DONT, DO, WONT, WILL, SB, SE, NOP, EOF, 0, 1, 10, 97, 235])
).map(bytes)
streams = st.one_of(interesting_bytes, st.binary())


def fed(*chunks: bytes) -> tuple[bytes, bytes, bool, bool]:
    telnet = TelnetFilter()
    kept = b"".join([telnet.feed(chunk) for chunk in chunks])
    return kept, telnet.take_replies(), telnet.input_ended, telnet.in_sequence


# Input, what is kept, what is answered.
CASES = {
    "plain text": (b"alice\nbob-Hi\n", b"alice\nbob-Hi\n", b""),
    "nothing": (b"", b"", b""),
    "an offer is refused": (b"a\xff\xfb\x1fb", b"ab", b"\xff\xfe\x1f"),
    "a request is refused": (b"a\xff\xfd\x01b", b"ab", b"\xff\xfc\x01"),
    "WONT is not answered": (b"a\xff\xfc\x01b", b"ab", b""),
    "DONT is not answered": (b"a\xff\xfe\x01b", b"ab", b""),
    "an option may have the number of a line feed": (
        b"\xff\xfb\n\n",
        b"\n",
        b"\xff\xfe\n",
    ),
    "an option may have the number 255": (b"\xff\xfd\xffa", b"a", b"\xff\xfc\xff"),
    "commands without an option": (b"a\xff\xf1b\xff\xf9c\xff\xf6d", b"abcd", b""),
    "a doubled IAC is a literal 255": (b"a\xff\xffb", b"a\xffb", b""),
    "a subnegotiation": (b"a\xff\xfa\x18\x00VT100\xff\xf0b", b"ab", b""),
    "a doubled IAC in a subnegotiation": (
        b"\xff\xfa\x1f\xff\xff\x00\xff\xf0b",
        b"b",
        b"",
    ),
    "a line feed in a subnegotiation": (b"a\xff\xfa\n\n\xff\xf0\n", b"a\n", b""),
    "a command ends a subnegotiation": (
        b"\xff\xfaxy\xff\xfb\x01a",
        b"a",
        b"\xff\xfe\x01",
    ),
    "a subnegotiation ends another": (b"\xff\xfaxy\xff\xfaz\xff\xf0a", b"a", b""),
    "an end without a subnegotiation": (b"a\xff\xf0b", b"ab", b""),
    "end of input": (b"a\n\xff\xec", b"a\n", b""),
    "text in Latin-1": (b"bob-L'Ha\xff-les-Roses\n", b"bob-L'Ha\xff-les-Roses\n", b""),
    "a line that ends in 255": (b"bob-\xff\nnext\n", b"bob-\xff\nnext\n", b""),
    "255 in Latin-1 text ends a subnegotiation": (b"\xff\xfax\xffy\n", b"\xffy\n", b""),
    "PuTTY's opening": (
        PUTTY_OPENING + b"alice\r\n",
        b"alice\r\n",
        bytes.fromhex("fffe1f fffe20 fffe18 fffe27 fffc01 fffe03 fffc03"),
    ),
}


@pytest.mark.parametrize(("data", "kept", "replies"), CASES.values(), ids=CASES)
def test_commands_are_taken_out_and_refused_where_they_ask(
    data: bytes, kept: bytes, replies: bytes
) -> None:
    assert fed(data)[:2] == (kept, replies)


@pytest.mark.parametrize(("data", "kept", "replies"), CASES.values(), ids=CASES)
def test_byte_by_byte_the_outcome_is_the_same(
    data: bytes, kept: bytes, replies: bytes
) -> None:
    assert fed(*(bytes([byte]) for byte in data))[:2] == (kept, replies)


def test_data_without_commands_is_returned_as_the_same_object() -> None:
    data = b"bob-Hi\n" * 1000
    assert TelnetFilter().feed(data) is data


def test_after_a_complete_sequence_data_is_the_same_object_again() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(PUTTY_OPENING) == b""
    data = b"alice\n"
    assert telnet.feed(data) is data


@pytest.mark.parametrize("command", range(EOF + 1, SB))
def test_every_command_of_one_byte_disappears(command: int) -> None:
    assert fed(b"a" + bytes([IAC, command]) + b"b")[0] == b"ab"


@pytest.mark.parametrize("byte", range(EOF))
def test_what_is_no_command_stays_with_the_byte_before_it(byte: int) -> None:
    assert fed(bytes([IAC, byte]))[0] == bytes([IAC, byte])


def test_nothing_that_follows_the_end_of_input_counts() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(b"a\n\xff\xecbob-Hi\n\xff\xfb") == b"a\n"
    assert telnet.input_ended
    assert not telnet.in_sequence
    assert telnet.feed(b"\x01bob-Hi\n") == b""
    assert telnet.take_replies() == b""


def test_the_end_of_input_is_noticed_only_when_it_comes() -> None:
    telnet = TelnetFilter()
    telnet.feed(b"bob-Hi\n\xff")
    assert telnet.input_ended is False
    telnet.feed(b"\xec")
    assert telnet.input_ended is True


def test_eof_within_a_subnegotiation_is_data_of_it() -> None:
    assert fed(b"\xff\xfa\x18\xec\xff\xf0")[2] is False


def test_replies_are_given_once() -> None:
    telnet = TelnetFilter()
    telnet.feed(b"\xff\xfb\x01")
    assert telnet.take_replies() == b"\xff\xfe\x01"
    assert telnet.take_replies() == b""


def test_a_flood_of_requests_gets_no_flood_of_refusals() -> None:
    telnet = TelnetFilter()
    replies = b""
    for _ in range(100):
        assert telnet.feed(b"\xff\xfb\x01\xff\xfd\x01" * 100) == b""
        replies += telnet.take_replies()
    assert replies == b"\xff\xfe\x01\xff\xfc\x01" * (MAX_REFUSALS // 2)


def test_what_needs_no_answer_uses_up_no_refusal() -> None:
    telnet = TelnetFilter()
    telnet.feed(b"\xff\xfc\x01\xff\xfe\x01" * MAX_REFUSALS + b"\xff\xfb\x01")
    assert telnet.take_replies() == b"\xff\xfe\x01"


@pytest.mark.parametrize(
    "data", [b"\xff", b"\xff\xfb", b"\xff\xfa", b"\xff\xfaxyz\n", b"\xff\xfax\xff"]
)
def test_an_unfinished_sequence_can_be_seen(data: bytes) -> None:
    assert fed(b"bob-Hi\n" + data) == (b"bob-Hi\n", b"", False, True)


@pytest.mark.parametrize(("data", "kept", "replies"), CASES.values(), ids=CASES)
def test_after_a_finished_one_nothing_is_unfinished(
    data: bytes, kept: bytes, replies: bytes
) -> None:
    assert fed(data)[3] is False


def test_a_long_subnegotiation_leaves_nothing_behind() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(b"\xff\xfa\x18") == b""
    for _ in range(100):
        assert telnet.feed(b"x\xff\xff" * 10_000) == b""
    assert telnet.feed(b"\xff\xf0alice\n") == b"alice\n"
    assert telnet.take_replies() == b""


@settings(deadline=None)
@given(st.lists(streams))
@example([PUTTY_OPENING[:4], PUTTY_OPENING[4:] + b"a"])
@example([b"\xff", b"\xff", b"a"])
@example([b"\xff\xfa\xff", b"\xff\xff", b"\xf0a"])
def test_it_does_not_matter_where_the_stream_is_split(chunks: list[bytes]) -> None:
    assert fed(*chunks) == fed(b"".join(chunks))


@settings(deadline=None)
@given(st.text(), st.text())
def test_text_in_utf8_passes_as_it_is(before: str, after: str) -> None:
    chunks = (before.encode("utf-8", "ignore"), after.encode("utf-8", "ignore"))
    assert fed(*chunks) == (b"".join(chunks), b"", False, False)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_pass_when_their_255s_are_doubled(data: bytes) -> None:
    doubled = data.replace(b"\xff", b"\xff\xff")
    assert fed(doubled) == (data, b"", False, False)
    assert fed(b"\xff\xfa" + doubled + b"\xff\xf0") == (b"", b"", False, False)


@settings(deadline=None)
@given(streams)
def test_nothing_is_kept_that_was_not_sent(data: bytes) -> None:
    kept, replies, _, _ = fed(data)
    rest = iter(data)
    assert all(byte in rest for byte in kept)  # a subsequence
    assert len(replies) <= 3 * MAX_REFUSALS
