"""What docs/security.md says of those who mean harm, with a real daemon."""

import json
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harm import ESCAPES, HARMFUL

from chatd.limits import MIB
from chatd.wire.display import neutralise

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon

pytestmark = pytest.mark.slow

HALF_OPEN = 5_000
AT_ONCE = 40  # so many wait at most until the daemon takes them
CHAT = Path(sys.executable).with_name("chat")


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
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    with ExitStack() as running:
        for _ in range(0, HALF_OPEN, AT_ONCE):
            some = [
                running.enter_context(
                    socket.create_connection(("127.0.0.1", daemon.port), 30)
                )
                for _ in range(AT_ONCE)
            ]
            assert {each.recv(100) for each in some} == {b"Enter your username: "}
        talks(daemon, connect)
        assert daemon.most_memory() < 250 * MIB


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


def test_no_escape_sequence_reaches_the_terminal_of_a_client_or_the_log(
    start_daemon: "StartDaemon", connect: "Connect", tmp_path: Path
) -> None:
    daemon = start_daemon()
    connect(daemon, "bob").leave()
    mallory = connect(daemon)
    mallory.send(f"x{ESCAPES}", f"/{ESCAPES}", "mallory", f"bob-{ESCAPES}")
    mallory.send(f"/{ESCAPES}", "/quit")
    mallory.rest()

    done = subprocess.run(
        [CHAT, f"bob@127.0.0.1:{daemon.port}"],
        env=os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )

    (received,) = done.stdout.decode().splitlines()
    assert received.startswith(f"mallory: {neutralise(ESCAPES)} (")
    log = daemon.log()
    assert log.count("bad-name") == 1
    assert log.count("unknown-command") == 2
    for each in (received, mallory.heard, log):
        assert not HARMFUL.search(each), HARMFUL.search(each)


def test_a_reset_in_the_middle_of_anything_harms_nobody(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon()
    for start in (b"", b"alice\n", b"alice\n/password\n", b"/json\n{", b"\xff\xfb"):
        with socket.create_connection(("127.0.0.1", daemon.port)) as cut:
            cut.sendall(start)
            cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talks(daemon, connect)


def test_who_watches_many_and_never_reads_is_told_what_is_and_not_what_was(
    start_daemon: "StartDaemon", connect: "Connect"
) -> None:
    daemon = start_daemon("--max-line-rate=1M", "--max-line-burst=1M")
    watching = connect(daemon)
    watching.send("/json", json.dumps({"type": "login", "user": "mallory"}))
    watching.expect('"type":"welcome"')
    # Of each list there are 80 KB to be told.
    names = ["bob", "carol", *(f"{number:04}{'x' * 28}" for number in range(998))]
    watch = json.dumps({"type": "watch", "names": names})
    watching.send(watch)
    watching.expect(f'"{names[-1]}","online":false}}\n')
    before = daemon.most_memory()
    carol = connect(daemon, "carol")

    for _ in range(300):
        watching.send(watch)
    for _ in range(20):
        connect(daemon, "bob").leave()
    bob = connect(daemon, "bob")
    carol.leave()
    dave = connect(daemon, "dave")
    watching.send('{"type":"send","to":"dave","text":"all sent"}', '{"type":"ping"}')
    dave.expect("mallory: all sent\n")
    dave.leave()

    assert daemon.most_memory() < before + 8 * MIB
    told: dict[str, bool] = {}
    while told != dict.fromkeys(names, False) | {"bob": True}:
        event = json.loads(watching.expect("\n"))
        if event["type"] == "presence":
            told[event["user"]] = event["online"]
    bob.leave()
    watching.expect('{"type":"presence","user":"bob","online":false}\n')
