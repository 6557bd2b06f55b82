"""Behind a proxy: a real haproxy, set up as the operations say, and headers by hand."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from proxying import v1, v2

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Daemon, StartDaemon, WaitUntil

Needs = Callable[[str], str]

pytestmark = pytest.mark.slow

OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations.md"
DIRECT: Final = "tcp:0:interface=127.0.0.1"
HERE: Final = "127.0.0.1"
THERE: Final = "127.0.0.2"
"""Where clients are: loopback too, but the proxy's other connections are not there."""

either_version = pytest.mark.parametrize("header", [v1, v2])


def documented(mark: str) -> str:
    """Return the fenced block after a comment in the operations."""
    text = OPERATIONS.read_text(encoding="utf-8")
    found = re.findall(rf"^<!-- {mark} -->\n```\w*\n(.*?)^```$", text, re.S | re.M)
    assert len(found) == 1
    block: str = found[0]
    return block


def proxied_port(daemon: "Daemon") -> int:
    """Return the port of a daemon that listens for clients first, then for proxies."""
    return int(daemon.addresses[1].rpartition(":")[2])


@pytest.fixture
def start(start_daemon: "StartDaemon") -> Callable[..., "Daemon"]:
    """Start a daemon with the documented port for proxies, but for its number."""
    (port,) = re.findall(r"--port (haproxy:\S+)", documented("proxied"))
    free = port.replace("5556", "0")
    assert free != port
    return lambda *more: start_daemon("--port", DIRECT, "--port", free, *more)


# haproxy ----------------------------------------------------------------------------


class HAProxy:
    """A running haproxy: clients connect to `port`."""

    def __init__(self, program: str, send: str, daemon: "Daemon", folder: Path) -> None:
        with socket.create_server((HERE, 0)) as listener:
            self.port: int = listener.getsockname()[1]
            config = documented("haproxy")
            for old, new in (
                ("bind :5555", f"bind fd@{listener.fileno()}"),
                ("127.0.0.1:5556", f"{HERE}:{proxied_port(daemon)}"),
                # On a busy machine a check may fail, and others must go on.
                ("send-proxy-v2 check", f"{send} check inter 500ms fall 100"),
                ("mode tcp", "mode tcp\n    log global\n    option log-health-checks"),
            ):
                assert old in config
                config = config.replace(old, new)
            (folder / "haproxy.cfg").write_text(
                f"global\n    log stdout format raw local0\n{config}", encoding="utf-8"
            )
            self._output = folder / "haproxy.log"
            with self._output.open("wb") as output:
                self.process = subprocess.Popen(
                    [program, "-db", "-f", str(folder / "haproxy.cfg")],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[listener.fileno()],
                )

    def log(self) -> str:
        return self._output.read_text(encoding="utf-8")


@pytest.fixture
def haproxy(needs: Needs, tmp_path: Path) -> Iterator[Callable[..., HAProxy]]:
    """Start haproxies in front of daemons, and end them at the end."""
    started: list[HAProxy] = []

    def start(daemon: "Daemon", send: str) -> HAProxy:
        started.append(HAProxy(needs("haproxy"), send, daemon, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        print(each.log())  # seen if the test fails


versions = pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])


@versions
def test_one_talks_through_haproxy_as_without_it(
    send: str,
    start: Callable[..., "Daemon"],
    haproxy: Callable[..., HAProxy],
    connect: "Connect",
) -> None:
    daemon = start()
    proxy = haproxy(daemon, send)
    bob = connect(daemon, "bob")

    alice = connect(proxy.port, "alice", source=THERE)
    alice.send("bob-Hi")
    assert bob.expect("\n") == "alice: Hi\n"
    bob.send("alice-Hi yourself")
    assert alice.expect("\n") == "bob: Hi yourself\n"
    # The end of the input alone: answers, and what is said last, still come.
    alice.send("/confirm on", "bob-Bye", "zed-Bye")
    alice.end_input()

    assert alice.rest().splitlines() == [
        "Every message is answered.",
        "Delivered to bob.",
        "User 'zed' not found.",
        "Goodbye.",
    ]
    assert bob.expect("\n") == "alice: Bye\n"


@versions
def test_behind_haproxy_the_real_address_is_logged_and_counted(
    send: str,
    start: Callable[..., "Daemon"],
    haproxy: Callable[..., HAProxy],
    connect: "Connect",
) -> None:
    daemon = start("--max-connections-by-address", "3", "--max-new-names", "2")
    proxy = haproxy(daemon, send)
    for name in ("alice", "carol"):
        client = connect(proxy.port, name, source=THERE)
        host, port = client.socket.getsockname()
        daemon.wait_for_log(f"{name} logged in from {host}:{port}, a new name")
        assert host == THERE

    third = connect(proxy.port, source=THERE)
    third.send("erin")
    assert "Too many new names from your address (2 an hour)." in third.expect("\n")
    fourth = socket.create_connection((HERE, proxy.port), 30, (THERE, 0))
    with fourth, fourth.makefile(encoding="utf-8") as lines:
        assert lines.readline().startswith("Too many connections (3 from one address).")
    # It is nobody else's limit.
    connect(proxy.port, "dave", source="127.0.0.3")


@versions
def test_haproxys_health_checks_find_the_daemon_well(
    send: str,
    start: Callable[..., "Daemon"],
    haproxy: Callable[..., HAProxy],
    connect: "Connect",
    wait_until: "WaitUntil",
) -> None:
    daemon = start("--max-connections-by-address", "5")
    proxy = haproxy(daemon, send)

    wait_until(lambda: "succeeded" in proxy.log(), "a health check")

    assert "Layer7 check passed" in proxy.log()
    assert "DOWN" not in proxy.log()
    connect(proxy.port, "alice", source=THERE)
    assert "Refused" not in daemon.log()


# Headers by hand --------------------------------------------------------------------


@either_version
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_header_and_lines_in_one_packet(
    header: Callable[[str], bytes],
    host: str,
    start: Callable[..., "Daemon"],
    connect: "Connect",
) -> None:
    daemon = start()
    lines = b"alice\nalice-Hi\nnobody-Hi"

    client = connect(proxied_port(daemon), header=header(host) + lines)
    client.end_input()

    said = client.rest()
    assert "Welcome, alice. You are new here." in said
    assert said.endswith("\nUser 'nobody' not found.\nGoodbye.\n")
    shown = f"[{host}]" if ":" in host else host
    assert f"alice logged in from {shown}:40000, a new name" in daemon.log()


@either_version
def test_a_header_in_many_packets(
    header: Callable[[str], bytes], start: Callable[..., "Daemon"], connect: "Connect"
) -> None:
    daemon = start()
    whole = header("192.0.2.1") + b"alice\n"
    with socket.create_connection((HERE, proxied_port(daemon)), 30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.sendall(bytes((byte,)))
        client.shutdown(socket.SHUT_WR)
        with client.makefile(encoding="utf-8") as lines:
            assert lines.readlines()[-1] == "Goodbye.\n"
    assert "alice logged in from 192.0.2.1:40000" in daemon.log()


def test_a_unix_socket_may_be_for_a_proxy(
    start_daemon: "StartDaemon", connect: "Connect", home: Path
) -> None:
    daemon = start_daemon(
        "--port", DIRECT, "--port", "haproxy:unix:proxy.sock:mode=600"
    )

    client = connect(str(home / "proxy.sock"), "alice", header=v2("192.0.2.1"))

    assert client.leave() == "Goodbye.\n"
    assert "alice logged in from 192.0.2.1:40000" in daemon.log()


def test_only_the_proxies_given_are_believed(
    start: Callable[..., "Daemon"], connect: "Connect"
) -> None:
    daemon = start("--trusted-proxy", "127.0.0.9", "--trusted-proxy", "127.0.1.0/24")
    port = proxied_port(daemon)

    for number, source in enumerate(("127.0.0.9", "127.0.1.77")):
        connect(port, f"user{number}", source=source, header=v1("192.0.2.1"))
    with socket.create_connection((HERE, port), 30) as other:
        address = "{}:{}".format(*other.getsockname())
        with other.makefile(encoding="utf-8") as lines:
            assert lines.readline().startswith("This port is for trusted proxies only.")
            assert lines.readline() == ""
    assert f"Refused {address}: not-trusted" in daemon.log()
