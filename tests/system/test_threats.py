"""What docs/security.md says of those who mean harm, with a real daemon."""

import json
import re
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from chatd.limits import MIB

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon, WaitUntil

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

HALF_OPEN = 5_000
HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\u202ereversed\u2028line\x7f\x85"


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process have as many sockets as the daemon is given."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * HALF_OPEN
    if hard not in (resource.RLIM_INFINITY,) and hard < needed:
        pytest.skip(f"only {hard} files may be open: raise the hard limit")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def talks(daemon: "Daemon", connect: "Connect") -> None:
    """See that two people are served as if nobody meant harm."""
    alice, bob = connect(daemon, "alice"), connect(daemon, "bob")
    alice.send("bob-Hi")
    bob.expect("alice: Hi\n")
    alice.leave()
    bob.leave()


@pytest.mark.usefixtures("many_files")
def test_five_thousand_half_open_logins_keep_nobody_out(
    start_daemon: "StartDaemon", connect: "Connect", wait_until: "WaitUntil"
) -> None:
    daemon = start_daemon("--max-login-time=10")
    with ExitStack() as running:
        half_open = []
        for _ in range(HALF_OPEN):
            each = socket.create_connection(("127.0.0.1", daemon.port), 60)
            half_open.append(running.enter_context(each))
            # One at a time: what waits to be accepted beyond its backlog waits seconds.
            assert each.recv(1000) == b"Enter your username: "
        talks(daemon, connect)
        assert daemon.most_memory() < 250 * MIB
        last = half_open[-1]
        said = b""
        while data := last.recv(1000):
            said += data
        assert b"No login within 10 seconds." in said
    daemon.wait_for_log("login-timeout")


def test_who_drips_bytes_does_not_live_longer_than_the_time_for_a_login(
    start_daemon: "StartDaemon", wait_until: "WaitUntil"
) -> None:
    daemon = start_daemon("--max-login-time=1")
    with socket.create_connection(("127.0.0.1", daemon.port)) as dripping:
        dripping.settimeout(0.05)
        said = b""

        def ended() -> bool:
            nonlocal said
            try:
                dripping.sendall(b"a")
                data = dripping.recv(1000)
            except TimeoutError:
                return False
            except OSError:
                return True
            said += data
            return not data

        wait_until(ended, "the end of who drips")
        assert b"No login within 1 seconds." in said


def test_a_megabyte_of_newlines_stops_nobody(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    flooding = connect(daemon, "mallory")
    flooding.send_bytes(b"\n" * MIB)
    talks(daemon, connect)
    assert daemon.most_memory() < 100 * MIB


def test_who_never_reads_is_given_no_more_than_its_bound(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon("--max-line-rate=1M", "--max-line-burst=1M")
    connect(daemon, "sink")
    sender = connect(daemon, "mallory")
    for _ in range(200):
        sender.send(*(f"sink-{'x' * 1_000}" for _ in range(100)))
    sender.leave()
    talks(daemon, connect)
    assert daemon.most_memory() < 150 * MIB


def test_who_never_reads_their_answers_is_read_no_further(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon("--max-line-rate=1M", "--max-line-burst=1M")
    flooding = connect(daemon, "mallory")
    flooding.socket.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sent < 500 * MIB:
            sent += flooding.socket.send(b"/help\n" * 10_000)
    assert sent < 500 * MIB
    talks(daemon, connect)
    assert daemon.most_memory() < 100 * MIB


def test_no_escape_sequence_reaches_a_terminal_through_any_field(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    bob = connect(daemon, "bob")
    mallory = connect(daemon)
    mallory.send(f"x{ESCAPES}", f"/send-only {ESCAPES}", f"/{ESCAPES}", "mallory")
    mallory.expect("(/help lists the commands)\n")
    mallory.send(
        f"bob-{ESCAPES}", f"{ESCAPES}-bob", f"/who {ESCAPES}", f"/users {ESCAPES}"
    )
    mallory.send(f"/confirm {ESCAPES}", f"/{ESCAPES}", "bob-end")
    program = connect(daemon)
    program.send("/json", json.dumps({"type": "login", "user": "prog"}))
    program.expect('"welcome"')
    program.send(
        json.dumps({"type": "send", "to": "bob", "text": ESCAPES, "id": "a"}),
        json.dumps({"type": ESCAPES}),
        json.dumps({"type": "ping", "require": [ESCAPES]}),
    )
    bob.expect("mallory: end\n")
    program.expect("unsupported")
    mallory.leave()
    program.reset()
    for seen in (bob.heard, mallory.heard, program.heard, daemon.log()):
        assert not HARMFUL.search(seen.replace("\r", "")), HARMFUL.search(seen)


def test_a_web_page_cannot_post_a_conversation(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    bob = connect(daemon, "bob")
    browser = connect(daemon)
    browser.send_bytes(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\r\n"
        b"mallory\nbob-a letter from a web page\n/quit\n"
    )
    said = browser.rest(cut=True)
    assert "This is chatd, a message daemon, and no web server" in said
    assert "Welcome" not in said
    bob.send("bob-only I")
    assert bob.expect("\n") == "bob: only I\n"


def test_a_reset_in_the_middle_of_anything_harms_nobody(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    for start in (b"", b"alice\n", b"alice\n/password\n", b"/json\n{", b"\xff\xfb"):
        with socket.create_connection(("127.0.0.1", daemon.port)) as cut:
            cut.sendall(start)
            cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talks(daemon, connect)
