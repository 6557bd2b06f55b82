"""TLS ports, as operators run them and as programs and people use them."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from certificates import DAY, Made
from terminal import Terminal

from chatd.fingerprint import fingerprint

if TYPE_CHECKING:
    from tests.system.conftest import (
        Connect,
        ConnectTLS,
        Daemon,
        Finished,
        Run,
        SitAt,
        StartDaemon,
        Twistd,
    )

pytestmark = pytest.mark.slow

Needs = Callable[[str], str]

CHAT: Final = str(Path(sys.executable).with_name("chat"))
CHATCTL: Final = str(Path(sys.executable).with_name("chatctl"))
OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations.md"
PLAIN: Final = ("--port", "tcp:0:interface=127.0.0.1")
TLS: Final = "ssl:0:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem"
HINT: Final = "(/help lists the commands)"
GREETING: Final = (
    "Enter your username: Welcome, alice. You are new here.\n"
    "Client book => alice, bob\n"
    "Users online => bob\n"
    "Anybody can log in as alice; /password protects the name.\n"
    "Type <target>-<message>, for example bob-Hello!   (/help lists the commands)\n"
)


class Server:
    """A daemon with a plain port and a TLS port, both on loopback."""

    def __init__(self, daemon: "Daemon", made: Made, folder: Path) -> None:
        self.daemon = daemon
        self.made = made
        self.folder = folder
        self.plain = daemon.port
        self.port = int(daemon.addresses[1].rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def load_again(self, says: str) -> str:
        """Send SIGHUP, wait for these words in the log; return their line."""
        self.daemon.send_signal(signal.SIGHUP)
        self.daemon.wait_for_log(says)
        return next(line for line in self.daemon.log().splitlines() if says in line)


@pytest.fixture
def server(start_daemon: "StartDaemon", home: Path) -> Server:
    made = Made("localhost", "127.0.0.1").write(home)
    return Server(start_daemon(*PLAIN, "--port", TLS), made, home)


# Other programs -----------------------------------------------------------------------

QUIET: Final = "openssl s_client -quiet -connect 127.0.0.1:PORT"
NCAT: Final = "ncat --ssl 127.0.0.1 PORT"
SOCAT: Final = "socat -t 10 - OPENSSL:127.0.0.1:PORT,verify=0"


def command(line: str, server: Server, needs: Needs) -> list[str]:
    words = line.replace("PORT", str(server.port)).split()
    return [needs(words[0]), *words[1:]]


@pytest.mark.parametrize("program", [QUIET, NCAT, SOCAT])
def test_a_script_sends_with_it_and_reads_every_answer_and_the_goodbye(
    server: Server, connect: "Connect", run: "Run", needs: Needs, program: str
) -> None:
    words = command(program, server, needs)
    bob = connect(server.daemon, "bob")
    done = run(words, "alice\nbob-Grüße\nzed-x\n/quit\n")
    said = f"{GREETING}User 'zed' not found.\nGoodbye.\n"
    assert (done.stdout, done.status) == (said, 0)
    assert bob.expect("\n") == "alice: Grüße\n"


def test_an_end_of_input_that_was_said_is_one(
    server: Server, connect: "Connect", run: "Run", needs: Needs
) -> None:
    bob = connect(server.daemon, "bob")
    done = run(command(SOCAT, server, needs), "alice\nbob-one\nbob-two")
    assert (done.stdout, done.status) == (f"{GREETING}Goodbye.\n", 0)
    assert [bob.expect("\n") for _ in range(2)] == ["alice: one\n", "alice: two\n"]


def test_an_end_that_somebody_may_have_made_promises_nothing(
    server: Server, connect: "Connect", run: "Run", needs: Needs
) -> None:
    # ncat closes its side of TCP without a word of TLS, as a cut wire looks.
    bob = connect(server.daemon, "bob")
    done = run(command(NCAT, server, needs), "alice\nbob-one\nzed-x\nbob-do not")
    assert (done.stdout, done.status) == (f"{GREETING}User 'zed' not found.\n", 0)
    assert bob.expect("\n") == "alice: one\n"
    server.daemon.wait_for_log("alice left")
    bob.send("/quit")
    assert bob.rest() == "Goodbye.\n"


@pytest.mark.parametrize("program", [QUIET, NCAT, SOCAT])
def test_a_person_stays_in_it_and_gets_messages(
    server: Server, connect: "Connect", sit_at: "SitAt", needs: Needs, program: str
) -> None:
    person = sit_at(command(program, server, needs), terminal=False)
    bob = connect(server.daemon, "bob")
    person.expect("Enter your username: ")
    person.send("alice")
    person.expect(f"{HINT}\n")
    bob.send("alice-Hello, Älice")
    assert person.expect("\n") == "bob: Hello, Älice\n"
    person.send("bob-Thanks", "/quit")
    assert bob.expect("\n") == "alice: Thanks\n"
    person.expect("Goodbye.\n")
    server.daemon.wait_for_log("alice left")


def test_a_program_without_tls_is_told_so_in_a_line(
    server: Server, run: "Run", needs: Needs
) -> None:
    done = run([needs("ncat"), "127.0.0.1", str(server.port)], "alice\n")
    assert re.fullmatch(r"This port of chatd speaks TLS only\. .+\n", done.stdout)


def test_who_never_begins_to_speak_tls_is_cut_in_the_end(
    start_daemon: "StartDaemon", home: Path
) -> None:
    Made("localhost").write(home)
    daemon = start_daemon(*PLAIN, "--port", TLS, "--max-login-time", "1")
    port = int(daemon.addresses[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as silent:
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        daemon.wait_for_log("login-timeout")


def test_a_long_queue_is_delivered_under_tls(
    server: Server, connect: "Connect", connect_tls: "ConnectTLS"
) -> None:
    connect_tls(server.port, "bob").leave()
    alice = connect(server.daemon, "alice")
    texts = [f"{number} {'x' * 5_000}" for number in range(400)]
    alice.send("/confirm on", *(f"bob-{text}" for text in texts))
    for _ in texts:
        alice.expect("Stored for bob.\n")
    bob = connect_tls(server.port, "bob")
    bob.expect("You have 400 offline messages:\n")
    for text in texts:
        bob.expect(f"alice: {text} (")
    assert bob.leave().endswith("Goodbye.\n")
    # What was delivered has left the queue.
    assert connect_tls(server.port, "bob").leave() == "Goodbye.\n"


def test_what_a_scanner_finds_is_new_and_strong(
    server: Server, run: "Run", needs: Needs
) -> None:
    scan = [needs("sslscan"), "--no-colour", server.address]
    found = run(scan, seconds=120).stdout
    versions = dict(
        re.findall(r"^(SSLv\d|TLSv1\.\d) +(enabled|disabled)$", found, re.M)
    )
    assert {name for name, state in versions.items() if state == "enabled"} == {
        "TLSv1.2",
        "TLSv1.3",
    }
    assert {"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"} <= set(versions)
    ciphers = re.findall(
        r"^(?:Preferred|Accepted) +(\S+) +\d+ bits +(\S+)", found, re.M
    )
    assert {version for version, _ in ciphers} == {"TLSv1.2", "TLSv1.3"}
    for version, name in ciphers:
        assert re.fullmatch(
            r"TLS_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+"
            if version == "TLSv1.3"
            else r"ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)",
            name,
        ), f"{version} {name}"
    assert "Compression enabled" not in found
    assert len(re.findall("not vulnerable to heartbleed", found)) == 2


# Starting and loading again -----------------------------------------------------------


def complaint(done: "Finished") -> str:
    """Return the last line, for a start that failed, without what is before it."""
    assert done.status == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    (line,) = (each for each in lines if "#critical" in each or "chatd: " in each)
    return re.sub(r"^.*(Cannot start: |chatd: )", "", line)


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("ssl:0:privateKey=no.pem", "cannot serve TLS: HOME/no.pem: No such file"),
        (f"{TLS}:extraCertChain=no.pem", "cannot serve TLS: HOME/no.pem: No such file"),
        (
            "ssl:0:privateKey=other.pem:certKey=cert.pem",
            "cannot serve TLS: HOME/other.pem is not the key of the certificate in",
        ),
        (
            "ssl:0:privateKey=cert.pem",
            "cannot serve TLS: HOME/cert.pem has no private key",
        ),
        ("ssl:0", "--port: 'ssl:0' is no port: privateKey= is missing"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    twistd: "Twistd", home: Path, description: str, why: str
) -> None:
    Made("localhost").write(home)
    (home / "other.pem").write_bytes(Made("localhost").key_pem)
    done = twistd("-n", "chatd", "--port", description)
    assert complaint(done).startswith(why.replace("HOME", str(home)))
    assert not (home / "server.db").exists()


def test_an_expired_certificate_is_not_served(twistd: "Twistd", home: Path) -> None:
    ends = datetime.now(UTC) - timedelta(seconds=1)
    Made("localhost", begins=ends - DAY, ends=ends).write(home)
    done = twistd("-n", "chatd", "--port", TLS)
    assert complaint(done).startswith(
        f"cannot serve TLS: {home / 'cert.pem'} expired on "
    )


@pytest.mark.parametrize("what", ["expired", "of another key", "missing"])
def test_a_replacement_that_cannot_be_served_leaves_the_old_one(
    server: Server, connect_tls: "ConnectTLS", what: str
) -> None:
    alice = connect_tls(server.port, "alice")
    now = datetime.now(UTC)
    if what == "expired":
        Made("localhost", begins=now - 2 * DAY, ends=now - DAY).write(server.folder)
    elif what == "of another key":
        (server.folder / "cert.pem").write_bytes(Made("localhost").pem)
    else:
        (server.folder / "cert.pem").unlink()

    line = server.load_again("Not loaded again")

    assert f"{server.folder / 'cert.pem'} goes on as it was loaded before" in line
    assert (
        fingerprint(connect_tls(server.port, "bob").certificate)
        == server.made.fingerprint
    )
    alice.send("bob-still here")
    Made("localhost").write(server.folder)
    server.load_again("Loaded again")


def test_a_certificate_that_expires_soon_is_a_warning(
    start_daemon: "StartDaemon", home: Path
) -> None:
    Made("localhost", ends=datetime.now(UTC) + 13 * DAY).write(home)
    daemon = start_daemon(*PLAIN, "--port", TLS)
    assert "#warn] " in daemon.log()
    assert f"{home / 'cert.pem'} expires soon" in daemon.log()


# chatctl and chat ---------------------------------------------------------------------


@pytest.fixture
def person(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a person who has used nothing of ours yet."""
    folder = tmp_path / "person"
    folder.mkdir()
    return {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}


def known(person: dict[str, str]) -> Path:
    return Path(person["XDG_DATA_HOME"]) / "chatd" / "known_servers"


def chat(
    *arguments: str, person: dict[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [CHAT, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | person,
        timeout=60,
        check=False,
    )


def documented(mark: str) -> list[str]:
    """Return the lines of a block in docs/operations.md."""
    document = OPERATIONS.read_text(encoding="utf-8")
    found = re.search(rf"^<!-- {mark} -->\n```sh\n(.*?)^```$", document, re.S | re.M)
    assert found
    return found[1].splitlines()


def test_what_the_document_says_makes_serves_and_speaks_tls(
    start_daemon: "StartDaemon", run: "Run", home: Path, needs: Needs
) -> None:
    (make,) = documented("certificate")
    made = run([CHATCTL, *make.split()[1:]], cwd=home)
    assert made.status == 0
    (serve,) = documented("serve tls")
    _, options = serve.split(" chatd ")
    options = options.replace(":5555:", ":0:").replace(":5556:", ":0:")
    daemon = start_daemon(*options.split())
    port = daemon.addresses[1].rpartition(":")[2]
    clients = documented("tls clients")
    assert len(clients) == 3
    for client in clients:
        program, *arguments = client.replace("5556", port).split()
        done = run([needs(program), *arguments], "alice\n/quit\n")
        assert done.status == 0
        assert done.stdout.endswith("Goodbye.\n")


def test_what_chatctl_makes_is_served_and_recognised(
    start_daemon: "StartDaemon", run: "Run", home: Path, person: dict[str, str]
) -> None:
    made = run([CHATCTL, "certificate", "localhost", "127.0.0.1"], cwd=home)
    assert (made.status, made.stderr) == (0, "")
    where = re.search(r"--port (ssl:5556:\S+)$", made.stdout, re.M)
    shown = re.search(r"^  ([0-9A-F:]{95})$", made.stdout, re.M)
    assert where
    assert shown
    tls = where[1].replace("5556", "0:interface=127.0.0.1", 1)
    daemon = start_daemon(*PLAIN, "--port", tls)
    port = daemon.addresses[1].rpartition(":")[2]
    trusting = person | {"SSL_CERT_FILE": str(home / "cert.pem")}
    for host in ("localhost", "127.0.0.1"):
        done = chat("--tls", f"alice@{host}:{port}", person=trusting)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not known(person).exists()
    address = f"alice@localhost:{port}"
    done = chat("--tls", "--fingerprint", shown[1], address, person=person)
    assert (done.returncode, done.stderr) == (0, "")
    assert known(person).read_text() == f"localhost:{port} {shown[1]}\n"


def test_in_a_pipe_nobody_is_asked_and_it_is_said_how_to_accept(
    server: Server, connect: "Connect", person: dict[str, str]
) -> None:
    bob = connect(server.daemon, "bob")
    address = f"alice@{server.address}"
    done = chat("--tls", address, person=person, stdin="bob-Hi\n")
    assert (done.returncode, done.stdout) == (7, "")
    refused, kept = done.stderr.splitlines()
    option = f"--fingerprint {server.made.fingerprint}"
    assert refused.endswith(f"run chat with {option}")
    assert kept.startswith("1 message not sent, and kept")
    assert "alice" not in server.daemon.log()

    done = chat("--tls", *option.split(), address, person=person)
    assert (done.returncode, done.stdout) == (0, "")
    assert bob.expect("\n") == "alice: Hi\n"
    # Pinned by that.
    assert chat("--tls", address, person=person).returncode == 0


def test_another_certificate_is_refused_with_both_fingerprints_and_no_other_try(
    server: Server, person: dict[str, str]
) -> None:
    address = f"alice@{server.address}"
    option = ("--fingerprint", server.made.fingerprint)
    assert chat("--tls", *option, address, person=person).returncode == 0
    renewed = Made("localhost").write(server.folder)
    server.load_again("Loaded again")

    done = chat("--tls", address, person=person)

    assert (done.returncode, done.stdout) == (7, "")
    (line,) = done.stderr.splitlines()
    assert f"is {renewed.fingerprint}, and was {server.made.fingerprint}." in line
    done = chat("--tls", "--fingerprint", renewed.fingerprint, address, person=person)
    assert done.returncode == 0
    assert chat("--tls", address, person=person).returncode == 0


def test_each_kind_of_client_at_the_others_port_is_told_in_a_line(
    server: Server, person: dict[str, str]
) -> None:
    done = chat(f"alice@{server.address}", person=person)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "The server speaks TLS only on this port: use chat --tls.\n"
    done = chat("--tls", f"alice@127.0.0.1:{server.plain}", person=person)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"127.0.0.1:{server.plain} speaks no TLS: ")


@pytest.fixture
def start_screen(person: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        # So wide that a fingerprint stands in one line.
        terminal = Terminal([CHAT, *arguments], columns=120, env=person)
        terminals.append(terminal)
        return terminal

    yield start
    for each in terminals:
        each.close()


@pytest.mark.parametrize("plain", [False, True])
def test_a_person_is_asked_once_and_a_changed_certificate_refused(
    server: Server,
    connect: "Connect",
    start_screen: Callable[..., Terminal],
    person: dict[str, str],
    plain: bool,
) -> None:
    arguments = [*(["--plain"] if plain else []), "--tls", f"alice@{server.address}"]
    screen = start_screen(*arguments)
    screen.expect(server.made.fingerprint)
    screen.expect("Else type no.")
    assert "alice" not in server.daemon.log()
    screen.type("bob-Hi\r")
    screen.expect("Please type yes or no.")
    screen.type("yes\r")
    screen.expect(HINT)
    assert known(person).read_text() == (
        f"{server.address} {server.made.fingerprint}\n"
    )
    assert known(person).stat().st_mode & 0o777 == 0o600
    connect(server.daemon, "bob")
    screen.type("bob-Hi\r/quit\r")
    assert screen.ended() == 0

    screen = start_screen(*arguments)
    screen.expect(HINT)
    screen.type("/quit\r")
    assert screen.ended() == 0
    assert server.made.fingerprint not in "\n".join(screen.lines())

    renewed = Made("localhost").write(server.folder)
    server.load_again("Loaded again")
    screen = start_screen(*arguments)
    assert screen.ended() == 7
    shown = "".join(screen.lines()).replace(" ", "")
    for each in (renewed.fingerprint, server.made.fingerprint):
        assert each in shown


@pytest.mark.measured
def test_a_person_who_says_no_is_not_connected(
    server: Server, start_screen: Callable[..., Terminal], person: dict[str, str]
) -> None:
    screen = start_screen("--tls", f"alice@{server.address}")
    screen.expect("Else type no.")
    screen.type("no\r")
    screen.expect(f"The certificate of {server.address} was not accepted.")
    assert screen.ended() == 7
    assert screen.attributes() == screen.attributes_before
    assert not known(person).exists()
    assert "alice" not in server.daemon.log()


def test_a_password_is_asked_for_once_the_server_is_known(
    server: Server, connect: "Connect", start_screen: Callable[..., Terminal]
) -> None:
    password = "correct horse-battery"
    alice = connect(server.daemon, "alice")
    alice.send("/password", password, password, "/quit")
    alice.rest()
    screen = start_screen("--tls", f"alice@{server.address}")
    screen.expect("Else type no.")
    assert "password-needed" not in server.daemon.log()
    screen.type("yes\r")
    screen.expect("Password (not shown while you type):")
    screen.type(f"{password}\r")
    screen.expect(HINT)
    assert password.encode() not in screen.written


def test_a_person_may_leave_instead_of_an_answer(
    server: Server, start_screen: Callable[..., Terminal], person: dict[str, str]
) -> None:
    screen = start_screen("--tls", f"alice@{server.address}")
    screen.expect("Else type no.")
    screen.type("\x04")
    assert screen.ended() == 4
    assert not known(person).exists()


def test_a_conversation_goes_on_after_the_server_was_away(
    start_daemon: "StartDaemon",
    home: Path,
    start_screen: Callable[..., Terminal],
    person: dict[str, str],
    port: int,
) -> None:
    made = Made("localhost").write(home)
    there = TLS.replace(":0:", f":{port}:")
    server = Server(start_daemon(*PLAIN, "--port", there), made, home)
    option = ("--fingerprint", made.fingerprint)
    screen = start_screen("--tls", *option, f"alice@{server.address}")
    screen.expect(HINT)
    server.daemon.kill()
    screen.expect("was lost")
    start_daemon(*PLAIN, "--port", there)
    screen.expect("Connected to")
    screen.type("alice-back\r")
    screen.expect("✓✓")
    screen.type("/quit\r")
    assert screen.ended() == 0
