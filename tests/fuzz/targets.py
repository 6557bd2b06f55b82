"""What is fuzzed, and what has to hold for any bytes.

Each target takes bytes and raises for what must not be; `__main__.py` has them guided
by coverage, and tests/unit/test_fuzz_corpus.py tries what is in corpus/.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from harm import HARMFUL
from memory import Client, MemoryServer
from twisted.logger import LogEvent, globalLogPublisher

from chatd import passwords
from chatd.credentials import Policy
from chatd.limits import Limits
from chatd.wire import objects, text
from chatd.wire.answers import ANSWERS, Refusal
from chatd.wire.display import neutralise
from chatd.wire.names import BadName, parse_name
from chatd.wire.proxy import BadHeader, HeaderReader
from chatd.wire.telnet import TelnetFilter

MAX_MESSAGE: Final = 64

MESSAGE: Final = re.compile(r"[^ ]+: ")

STEPS: Final = 40
"""How many steps a session has at most."""


def text_line(data: bytes) -> None:
    """Any line of the text form is a message, a command, or refused in one line."""
    line = data.decode(errors="replace").replace("\n", " ")
    try:
        parsed = text.parse_line(line, MAX_MESSAGE)
    except Refusal as refusal:
        _check_answer(refusal)
        return
    if isinstance(parsed, text.Send):
        assert 1 <= len(parsed.targets) <= text.MAX_TARGETS
        assert len({each.key for each in parsed.targets}) == len(parsed.targets)
        assert 1 <= len(parsed.text.encode()) <= MAX_MESSAGE
        assert line.endswith(parsed.text)
    else:
        assert parsed is not None or not line


def json_line(data: bytes) -> None:
    """Any line of the JSON form is a request that is whole, or refused in one line."""
    line = data.decode(errors="replace").replace("\n", " ")
    try:
        request = objects.parse_request(line, MAX_MESSAGE)
    except objects.RequestRefusal as refused:
        _check_answer(refused.refusal)
        if refused.id is not None:
            assert re.fullmatch("[!-~]{1,64}", refused.id)
        objects.error(refused.refusal, refused.id).encode("ascii")
        return
    if isinstance(request, objects.Watch):
        assert len(set(request.names)) == len(request.names)
        try:
            objects.watched(request.names)
        except Refusal as refusal:
            _check_answer(refusal)
            objects.error(refusal).encode("ascii")
    if isinstance(request, objects.SendObject):
        request.text.encode()  # no lone surrogate
        assert 1 <= len(request.text.encode()) <= MAX_MESSAGE
        assert request.id is None or re.fullmatch("[!-~]{1,64}", request.id)


def first_bytes(data: bytes) -> None:
    """Any name, telnet sequence or proxy's header is taken or refused, in any split."""
    try:
        name = parse_name(data.decode(errors="replace"))
    except BadName as bad:
        assert "\n" not in str(bad)
    else:
        assert parse_name(name.shown) == name
        assert not {"-", ":", " "} & set(name.key + name.shown)
    middle = len(data) // 2
    whole, split = TelnetFilter(), TelnetFilter()
    kept = split.feed(data[:middle])
    assert whole.feed(data) == kept + split.feed(data[middle:])
    assert whole.take_replies() == split.take_replies()
    header = HeaderReader()
    try:
        for at in range(len(data)):
            if header.feed(data[at : at + 1]) is not None:
                break
    except BadHeader:
        pass


def session(data: bytes) -> None:
    """Whatever anybody sends, everybody is answered, and nobody is harmed."""
    passwords.MEMORY_KIB, passwords.PASSES = 8, 1  # type: ignore[misc]
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event or event.get("isError"):
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        _play(data)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not failures, failures


def _play(data: bytes) -> None:
    limits = Limits(
        line=200,
        message=100,
        json_line=400,
        queue_messages=5,
        unacknowledged=300,
        unread_answers=300,
        pending_messages=4,
        recent_bytes=50,
        watched=3,
    )
    server = MemoryServer(limits, policy=Policy(plaintext_passwords=True))
    clients: list[Client] = []
    steps = data.split(b"\x00", STEPS)
    for step in steps:
        if not step:
            continue
        kind, rest = step[0], step[1:]
        if not clients or kind % 8 == 0:
            clients.append(server.connect(f"192.0.2.{kind % 3}"))
        client = clients[kind // 8 % len(clients)]
        if client.transport.closed:
            continue
        _act(server, client, kind % 8, rest)
    for client in clients:
        if not client.transport.closed:
            client.transport.reading = True
            client.resume_reading()
    server.wait(1)
    for client in clients:
        _check_received(client.transport.received)
    for client in clients:
        if not client.transport.closed:
            client.vanish()
    server.wait(1)
    server.check_figures()
    assert not server.hub.watchers._watched


def _act(server: MemoryServer, client: Client, kind: int, rest: bytes) -> None:
    actions: dict[int, Callable[[], Any]] = {
        4: client.end_input,
        5: client.vanish,
        6: lambda: server.wait(0.1),
        7: lambda: setattr(client.transport, "reading", not client.transport.reading),
    }
    if kind in actions:
        actions[kind]()
    elif kind == 3:
        for at in range(len(rest)):
            if not client.transport.closed:
                client.send_bytes(rest[at : at + 1])
    else:
        client.send_bytes(rest)


def _check_received(received: bytes) -> None:
    internal = ANSWERS["internal"].text
    # Telnet's replies stand between lines, and are no text.
    lines = re.sub(rb"\xff[\xfb-\xfe].", b"", received, flags=re.S).decode()
    assert internal not in lines
    for line in lines.split("\n"):
        assert not HARMFUL.search(line), line


def _check_answer(refusal: Refusal) -> None:
    assert "\n" not in neutralise(refusal.text)
    assert not MESSAGE.match(neutralise(refusal.text)), refusal.text
    assert not HARMFUL.search(neutralise(refusal.text))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "text": text_line,
    "json": json_line,
    "names": first_bytes,
    "session": session,
}
"""The targets, by the names of their folders in corpus/."""
