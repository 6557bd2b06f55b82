"""The programs that people have at hand: each of them, as it is, is a client."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Connect, Run, Shared, SitAt

Needs = Callable[[str], str]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Client:
    """A program and how it is called.

    `quits` is whether ``/quit`` has to end its input, because it does not tell the
    other side that there is no more. `says` is what it says itself at the start, and
    `says_last` at the end.
    """

    command: str
    quits: bool = False
    says: str = ""
    says_last: str = ""

    @property
    def program(self) -> str:
        return self.command.split()[0]

    def arguments(self, port: int) -> list[str]:
        return [part.replace("PORT", str(port)) for part in self.command.split()]


# What each sends, and what it does when its input ends, differs: LF or CRLF, the CRLF
# perhaps in a packet of its own; a half-close or nothing.
PIPED = {
    "nc.openbsd -N": Client("nc.openbsd -N 127.0.0.1 PORT"),
    "nc.openbsd -N -C": Client("nc.openbsd -N -C 127.0.0.1 PORT"),
    "nc.openbsd -q 5": Client("nc.openbsd -q 10 127.0.0.1 PORT"),
    "nc.openbsd": Client("nc.openbsd 127.0.0.1 PORT", quits=True),
    "nc.traditional -q 10": Client("nc.traditional -q 10 127.0.0.1 PORT"),
    "nc.traditional": Client("nc.traditional 127.0.0.1 PORT", quits=True),
    "ncat": Client("ncat 127.0.0.1 PORT"),
    "ncat -C": Client("ncat -C 127.0.0.1 PORT"),
    "busybox nc": Client("busybox nc 127.0.0.1 PORT"),
    "socat": Client("socat -t 10 - TCP:127.0.0.1:PORT"),
    "socat crnl": Client("socat -t 10 - TCP:127.0.0.1:PORT,crnl"),
    # Begins with a packet of negotiation, and ends with IAC EOF.
    "plink -telnet": Client("plink -batch -telnet -P PORT 127.0.0.1"),
    "plink -raw": Client("plink -batch -raw -P PORT 127.0.0.1"),
    "curl": Client("curl --silent telnet://127.0.0.1:PORT", quits=True),
}
TELNET = {
    # It sends nothing of what comes from a pipe.
    "telnet": Client(
        "telnet 127.0.0.1 PORT",
        quits=True,
        says=(
            "Trying 127.0.0.1...\nConnected to 127.0.0.1.\nEscape character is '^]'.\n"
        ),
        says_last="Connection closed by foreign host.\n",
    ),
    "busybox telnet": Client(
        "busybox telnet 127.0.0.1 PORT",
        quits=True,
        says="Connected to 127.0.0.1\n",
        says_last="Connection closed by foreign host\n",
    ),
}
BASH = "exec 3<>/dev/tcp/127.0.0.1/PORT; cat >&3; cat <&3"

LINES = ("alice", "bob-hé there", "carol-one-two", "carol,zed-three", "nonsense")

TRANSCRIPT = """\
Enter your username: Welcome, alice. You are new here.
Client book => alice, bob, carol
Users online => bob
Anybody can log in as alice; /password protects the name.
Type <target>-<message>, for example bob-Hello!   (/help lists the commands)
User 'carol' is offline. Message stored.
User 'carol' is offline. Message stored.
User 'zed' not found.
Format error. Please enter: <target>-<message>
Goodbye.
"""


def without_times(text: str) -> str:
    """Return a text with TIME for each time that a queued message bears."""
    return re.sub(r"\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", "(TIME)", text)


@pytest.fixture
def receivers(daemon: "Shared", connect: "Connect") -> "Receivers":
    return Receivers(daemon, connect)


class Receivers:
    """A daemon with bob, who is online, and carol, who is not."""

    def __init__(self, daemon: "Shared", connect: "Connect") -> None:
        self._connect = connect
        self.daemon = daemon
        self.bob = connect(self.daemon, "bob")
        connect(self.daemon, "carol").leave()

    def got_all(self) -> bool:
        """Check that both got what `LINES` say."""
        assert self.bob.expect("\n") == "alice: hé there\n"
        said = self._connect(self.daemon, "carol").leave()
        assert without_times(said) == (
            "You have 2 offline messages:\n"
            "alice: one-two (TIME)\n"
            "alice: three (TIME)\n"
            "Goodbye.\n"
        )
        return True

    def get_all(self) -> list[str]:
        """Return what carol gets of `LINES`, queued or not, and nothing else."""
        assert self.bob.expect("\n") == "alice: hé there\n"
        carol = self._connect(self.daemon, "carol")
        got: list[str] = []
        while "alice: three" not in got:
            line = without_times(carol.expect("\n")).removesuffix("\n")
            if line.startswith("alice: "):
                got.append(line.removesuffix(" (TIME)"))
        assert carol.leave() == "Goodbye.\n"
        return got


@pytest.mark.parametrize("client", PIPED.values(), ids=list(PIPED))
def test_a_script_sends_with_it_and_reads_every_answer(
    client: Client, receivers: Receivers, run: "Run", needs: Needs
) -> None:
    needs(client.program)
    lines = (*LINES, "/quit") if client.quits else LINES
    stdin = "".join(f"{line}\n" for line in lines)

    done = run(client.arguments(receivers.daemon.port), stdin)

    assert (done.stdout, done.stderr, done.status) == (TRANSCRIPT, "", 0)
    assert receivers.got_all()


def test_a_script_needs_nothing_but_bash(
    receivers: Receivers, run: "Run", needs: Needs
) -> None:
    program = BASH.replace("PORT", str(receivers.daemon.port))
    stdin = "".join(f"{line}\n" for line in (*LINES, "/quit"))

    done = run([needs("bash"), "-c", program], stdin)

    assert (done.stdout, done.stderr, done.status) == (TRANSCRIPT, "", 0)
    assert receivers.got_all()


def test_what_a_client_sent_counts_though_it_leaves_at_once(
    receivers: Receivers, run: "Run", needs: Needs
) -> None:
    # It reads nothing once its input has ended, and so resets the connection.
    needs("busybox")
    stdin = "".join(f"{line}\n" for line in LINES)

    run(["busybox", "telnet", "127.0.0.1", str(receivers.daemon.port)], stdin)

    # What is being stored then may come to carol as she logs in, or just after.
    assert receivers.get_all() == ["alice: one-two", "alice: three"]


@pytest.mark.parametrize("client", TELNET.values(), ids=list(TELNET))
def test_a_person_pastes_lines_into_it(
    client: Client, receivers: Receivers, sit_at: "SitAt", needs: Needs
) -> None:
    needs(client.program)
    program = sit_at(client.arguments(receivers.daemon.port), terminal=True)
    heard = program.expect("Enter your username: ")

    program.send(*LINES, "/quit")
    heard += program.rest()

    for echo in (*LINES, "/quit"):
        heard = heard.replace(f"{echo}\n", "", 1)
    assert heard == client.says + TRANSCRIPT + client.says_last
    assert receivers.got_all()


# curl receives nothing while it waits for its input.
CONVERSING = {name: each for name, each in (PIPED | TELNET).items() if name != "curl"}


@pytest.mark.parametrize("client", CONVERSING.values(), ids=list(CONVERSING))
def test_a_person_stays_in_it_and_gets_messages(
    client: Client, receivers: Receivers, sit_at: "SitAt", needs: Needs
) -> None:
    needs(client.program)
    person = sit_at(
        client.arguments(receivers.daemon.port), terminal=client in TELNET.values()
    )
    assert person.expect("username: ") == f"{client.says}Enter your username: "
    person.type("alice")
    assert person.lines_until("(/help lists the commands)")[2] == "Users online => bob"

    receivers.bob.send("alice-Hello, Älice - how are you?")
    assert person.expect("\n") == "bob: Hello, Älice - how are you?\n"
    person.type("bob-Thanks, fine")
    person.type("alice-a note to myself")
    assert person.expect("\n") == "alice: a note to myself\n"
    assert receivers.bob.expect("\n") == "alice: Thanks, fine\n"
    receivers.bob.send("alice,zed-Bye\x1b[2J")
    assert receivers.bob.expect("\n") == "User 'zed' not found.\n"
    assert person.expect("\n") == "bob: Bye\ufffd[2J\n"
    person.type("/quit")

    assert person.expect("\n") == "Goodbye.\n"
    receivers.daemon.wait_for_log("alice left")
