"""What docs/security.md says of those who mean harm, with a daemon in memory.

There, under "How each is tried", stands which test is for which sentence.
"""

import pytest
from memory import MemoryServer

from chatd.wire.answers import ANSWERS

PROMPT = "Enter your username: "


# Web pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [1 << 20, 20_014], ids=["whole", "cut in the line"])
@pytest.mark.parametrize("address", ["/", "/" + "x" * 20_000], ids=["short", "long"])
@pytest.mark.parametrize("method", ["GET", "POST", "get"])
def test_a_web_page_cannot_post_a_conversation(
    method: str, address: str, packet: int
) -> None:
    server = MemoryServer()
    bob = server.log_in("bob")
    browser = server.connect()
    posted = (
        f"{method} {address} HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n"
        "mallory\nbob-a letter from a web page\n/quit\n"
    ).encode()
    for start in range(0, len(posted), packet):
        browser.send_bytes(posted[start : start + packet])
    assert browser.received() == f"{PROMPT}\n{ANSWERS['not-http'].text}\n"
    assert browser.transport.write_closed
    bob.send("/users")
    assert bob.lines() == ["Client book => bob"]


def test_a_long_line_of_a_person_ends_no_conversation() -> None:
    server = MemoryServer()
    alice = server.connect()
    alice.send("hello " + "x" * 20_000, "alice")
    assert "Welcome, alice." in alice.received()
