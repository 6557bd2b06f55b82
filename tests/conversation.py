"""Conversations with a daemon, written down so that people can read them.

A conversation is a file ``*.chat``. It begins with a comment that says what it shows;
then every line is a step, and the steps happen one after the other::

    # Bob was away: the message waits for him, and bears its time.
    limits: queue_messages=3
    51 users named u{}
    51 users named u{} are online

    alice connects
    alice logs in                     connects, sends her name, takes the greeting
    alice logs in as bob              the same under another name
    alice speaks JSON                 connects, sends /json, takes the hello
    alice logs in with JSON           the same, then a login; takes the welcome
    alice logs in as bob with JSON

    alice sends: bob-Hi               a line
    alice sends bytes: "bob-" + "x" * 9 + "\\r\\nbob-\\xff\\n"      in one packet
    alice receives: bob: Hi           the next line
    alice receives bytes: "Enter your username: "      the next bytes, line or not
    alice receives nothing            what came so far has all been named

    alice closes her sending side     or his, its, their: as ``nc -N`` does
    alice is disconnected             by the daemon, and had nothing else to read
    alice vanishes                    without a word, as by a crash

``limits:`` names fields of `chatd.limits.Limits`. Bytes are written as UTF-8 between
quotes, with ``\\r \\n \\t \\" \\\\`` and ``\\xff``; spaces at the end of a line, and
control characters, can only be written so.

A received line is given as it is, with ``{time}``, ``{timestamp}`` (as in JSON),
``{id}`` (one that the server made) and ``{version}`` for what differs each time, and
``{u01..u50}`` for a list of names. One that begins with ``{"`` is compared as JSON;
before an ``accepted`` that something is delivered there may be one that it is stored.

Nothing may come that the conversation does not name: what is left at the end, but for
the prompt, is an error. A line is waited for, in memory by the clock and on a socket
with a deadline; nothing ever sleeps.

`parse` makes a `Script` of the text, and `hold` holds the conversation with a `Daemon`,
of which there are two: `MemoryDaemon`, without a network, and `SocketDaemon`.
"""

import contextlib
import dataclasses
import json
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Final, Protocol

from memory import Client, MemoryServer

from chatd import __version__
from chatd.limits import Limits

SECONDS: Final = 60.0
"""How long anything is waited for."""

PROMPT: Final = b"Enter your username: "
LAST_OF_GREETING: Final = (
    b"Type <target>-<message>, for example bob-Hello!   (/help lists the commands)"
)


class BadScript(ValueError):
    """A script that cannot be read; says which line, and why."""


class WrongTurn(AssertionError):
    """The daemon did not say what the script says; shows where, and what it said."""


# Scripts -----------------------------------------------------------------------------


class Verb(Enum):
    """What somebody does, or sees; the value is the pattern of what follows the name.

    The first that matches counts.
    """

    CONNECTS = r"connects"
    LOGS_IN = r"logs in(?: as (\S+))?"
    LOGS_IN_WITH_JSON = r"logs in(?: as (\S+))? with JSON"
    SPEAKS_JSON = r"speaks JSON"
    SENDS = r"sends:(?: (.*))?"
    SENDS_BYTES = r"sends bytes: (.+)"
    RECEIVES = r"receives:(?: (.*))?"
    RECEIVES_BYTES = r"receives bytes: (.+)"
    RECEIVES_NOTHING = r"receives nothing"
    CLOSES_SENDING_SIDE = r"closes (?:her|his|its|their) sending side"
    IS_DISCONNECTED = r"is disconnected"
    VANISHES = r"vanishes"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script: `who` does something, with a name, a line or bytes."""

    number: int
    line: str
    who: str
    verb: Verb
    argument: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Crowd:
    """The users that a script begins with, in the order of their logins."""

    names: tuple[str, ...]
    stay: bool


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation: what the daemon is started with, and the steps."""

    title: str
    limits: Mapping[str, int]
    crowds: tuple[Crowd, ...]
    steps: tuple[Step, ...]


_CROWD: Final = re.compile(r"([0-9]+) users named ([^\s{}]+)\{\}( are online)?")
_STEP: Final = re.compile(r"([^\s:]+) (.*)")
_RANGE: Final = re.compile(
    r"\{(?P<prefix>[^\W\d]+)(?P<first>[0-9]+)\.\.(?P=prefix)(?P<last>[0-9]+)\}"
)
_QUOTED_RANGE: Final = re.compile(f'"{_RANGE.pattern}"')
_PIECE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(?: \* ([0-9]+))?( \+ |$)')
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b'"': b'"', b"\\": b"\\"}


def parse(text: str) -> Script:
    """Return the conversation that a script tells. Raises `BadScript`."""
    title = ""
    limits: dict[str, int] = {}
    crowds: list[Crowd] = []
    steps: list[Step] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.startswith("#"):
                title = title or line.removeprefix("#").strip()
            elif line.startswith("limits: "):
                limits.update(_limits(line.removeprefix("limits: ")))
            elif match := _CROWD.fullmatch(line):
                crowds.append(_crowd(int(match[1]), match[2], bool(match[3])))
            elif line:
                steps.append(_step(number, line))
        except ValueError as error:
            raise BadScript(f"line {number}: {error}: {line}") from None
    if not title or not text.startswith("#"):
        raise BadScript("line 1: a comment must say what the conversation shows")
    if not steps:
        raise BadScript("nothing happens")
    return Script(title, limits, tuple(crowds), tuple(steps))


def _limits(text: str) -> Iterator[tuple[str, int]]:
    known = {field for field, _, _, _ in Limits.options()}
    for each in text.split(", "):
        name, _, value = each.partition("=")
        if name not in known or not value.isdigit():
            raise ValueError(f"{each!r} is no limit and its number")
        yield name, int(value)


def _crowd(size: int, prefix: str, stay: bool) -> Crowd:
    return Crowd(tuple(_numbered(prefix, 1, size, len(str(size)))), stay)


def _numbered(prefix: str, first: int, last: int, width: int) -> list[str]:
    return [f"{prefix}{number:0{width}}" for number in range(first, last + 1)]


def _step(number: int, line: str) -> Step:
    match = _STEP.fullmatch(line)
    if match is None:
        raise ValueError("nobody does anything")
    who, what = match.groups()
    for verb in Verb:
        found = re.fullmatch(verb.value, what)
        if found is None:
            continue
        argument = (found.groups() or ("",))[0] or ""
        data = b""
        if verb in (Verb.SENDS_BYTES, Verb.RECEIVES_BYTES):
            data = _bytes(argument)
        elif verb in (Verb.SENDS, Verb.RECEIVES):
            argument = _with_names(argument)
        elif verb in (Verb.LOGS_IN, Verb.LOGS_IN_WITH_JSON):
            argument = argument or who
        return Step(number, line, who, verb, argument, data)
    raise ValueError("this cannot be done")


def _bytes(text: str) -> bytes:
    """Return the bytes that pieces such as ``"bob-" + "x" * 9 + "\\n"`` stand for."""
    data = b""
    position = 0
    more = True
    while more:
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ValueError('bytes are written like "bob-" + "x" * 9 + "\\n"')
        data += _ESCAPE.sub(_unescaped, piece[1].encode()) * int(piece[2] or 1)
        position = piece.end()
        more = bool(piece[3])
    if position < len(text):
        raise ValueError("the bytes go on after their end")
    return data


def _unescaped(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if escape[:1] == b"x" and len(escape) == 3:
        return bytes.fromhex(escape[1:].decode())
    if escape not in _ESCAPED:
        raise ValueError(f"unknown escape \\{escape.decode()}")
    return _ESCAPED[escape]


def _with_names(line: str) -> str:
    """Write the names out that ``{u01..u50}`` stands for."""

    def names(match: re.Match[str]) -> list[str]:
        first, last = match["first"], match["last"]
        return _numbered(match["prefix"], int(first), int(last), len(first))

    line = _QUOTED_RANGE.sub(lambda match: json.dumps(names(match))[1:-1], line)
    return _RANGE.sub(lambda match: ", ".join(names(match)), line)


# Expected lines ----------------------------------------------------------------------

_PLACEHOLDERS: Final = {
    "{time}": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC",
    "{timestamp}": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "{id}": r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "{version}": re.escape(__version__),
}
_PLACEHOLDER: Final = re.compile("|".join(map(re.escape, _PLACEHOLDERS)))


def fits(line: str, expected: str) -> bool:
    """Return whether a line is the one that a script expects."""
    if not expected.startswith('{"'):
        return _text_fits(line, expected)
    try:
        return _value_fits(json.loads(line), json.loads(expected))
    except ValueError:
        return False


def _text_fits(text: str, expected: str) -> bool:
    pattern = ""
    end = 0
    for each in _PLACEHOLDER.finditer(expected):
        pattern += re.escape(expected[end : each.start()]) + _PLACEHOLDERS[each[0]]
        end = each.end()
    pattern += re.escape(expected[end:])
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def _value_fits(value: object, expected: object) -> bool:
    if isinstance(expected, str):
        return isinstance(value, str) and _text_fits(value, expected)
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(_value_fits(value[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(map(_value_fits, value, expected))
        )
    return type(value) is type(expected) and value == expected


# What a conversation is held with ----------------------------------------------------


class TooLate(Exception):
    """Nothing came in the time that there was."""


class Wire(Protocol):
    """One connection to a daemon."""

    def send(self, data: bytes) -> None:
        """Send bytes, in one packet as far as that can be said."""

    def receive(self, seconds: float) -> bytes:
        """Wait for more bytes; none mean that the daemon sends no more.

        Raises `TooLate`, or `OSError` for a connection that is broken.
        """

    def end_input(self) -> None:
        """Close the sending side."""

    def vanish(self) -> None:
        """Break the connection; return when the daemon has noticed."""

    def close(self) -> None:
        """Leave; for a connection that is not needed any more."""


class Daemon(Protocol):
    """A daemon with nobody in it yet."""

    remote: bool
    """Whether it goes its own pace: then only an answer tells how far it is."""

    def connect(self) -> Wire:
        """Make a connection."""


class MemoryWire:
    """A connection to a `MemoryServer`; to wait is to advance its clock."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._client: Client = server.connect()
        self._seen = 0

    def send(self, data: bytes) -> None:
        self._client.send_bytes(data)

    def receive(self, seconds: float) -> bytes:
        clock, transport = self._server.clock, self._client.transport
        deadline = clock.seconds() + seconds
        while True:
            self._server.settle()
            data = transport.received[self._seen :]
            self._seen += len(data)
            if data or transport.write_closed or transport.closed:
                return data
            due = [call.getTime() for call in clock.getDelayedCalls()]
            if not due or min(due) > deadline:
                raise TooLate
            clock.advance(min(due) - clock.seconds())

    def end_input(self) -> None:
        self._client.end_input()

    def vanish(self) -> None:
        self._client.vanish()

    def close(self) -> None:
        self._client.vanish()


class MemoryDaemon:
    """A daemon in memory."""

    remote = False

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._server = MemoryServer(dataclasses.replace(Limits(), **limits))

    def connect(self) -> MemoryWire:
        return MemoryWire(self._server)


class SocketWire:
    """A TCP connection to a daemon on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            raise TooLate from None

    def end_input(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def vanish(self) -> None:
        linger = struct.pack("ii", 1, 0)  # to close is to reset
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()
        # Whoever comes later is answered later: by then the reset has been seen.
        witness = SocketWire(self._port)
        witness.send(b"/quit\n")
        while witness.receive(SECONDS):
            pass
        witness.close()

    def close(self) -> None:
        self._socket.close()


class SocketDaemon:
    """A daemon that listens on a port of this machine."""

    remote = True

    def __init__(self, port: int) -> None:
        self._port = port

    def connect(self) -> SocketWire:
        return SocketWire(self._port)


def options(limits: Mapping[str, int]) -> list[str]:
    """Return the command line options that set these limits."""
    return [
        f"--{option}={limits[field]}"
        for field, option, _, _ in Limits.options()
        if field in limits
    ]


# Conversations -----------------------------------------------------------------------


class Connection:
    """Somebody's connection, and what came over it and was not taken yet."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._unread = b""
        self._first_line = b""
        self._unfinished = False
        self._input_ended = False
        self.ended = False

    @property
    def unread(self) -> bytes:
        """What came and was not taken; a prompt that nothing follows is nothing."""
        return b"" if self._unread == PROMPT else self._unread

    def send(self, data: bytes) -> None:
        """Send bytes in one packet."""
        if b"\n" not in self._first_line:
            self._first_line += data
        self._unfinished = not data.endswith(b"\n")
        self._wire.send(data)

    def end_input(self) -> None:
        """Close the sending side."""
        self._input_ended = True
        self._wire.end_input()

    def vanish(self) -> None:
        """Break the connection."""
        self._wire.vanish()

    def close(self) -> None:
        """Close the connection, as programs do when they leave."""
        self._wire.close()

    def take_line(self) -> str:
        """Return the next line without its end, once it is there."""
        while b"\n" not in self._unread:
            self._receive("a line")
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise WrongTurn(f"received no UTF-8: {line!r}") from None

    def take_bytes(self, size: int) -> bytes:
        """Return the next bytes, once there are so many."""
        while len(self._unread) < size:
            self._receive(f"{size} bytes")
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def take_end(self) -> None:
        """Wait until the daemon closes, and close."""
        while not self.ended:
            try:
                data = self._wire.receive(SECONDS)
            except TooLate:
                raise WrongTurn("was not disconnected") from None
            except OSError as error:
                raise WrongTurn(f"the connection broke: {error}") from None
            self._unread += data
            self.ended = not data
        self._wire.close()

    def read_on(self) -> None:
        """Read what is there, and wait for nothing."""
        with contextlib.suppress(TooLate):
            while not self.ended:
                data = self._wire.receive(0)
                self._unread += data
                self.ended = not data

    def ask(self, token: str) -> None:
        """Read up to now: ask something useless, and wait for its answer.

        The answer is dropped. What cannot be asked any more is read to its end.
        """
        if self.ended or (self._unfinished and not self._input_ended):
            return
        if self._input_ended:
            self.take_end()
            return
        json_form = self._first_line.startswith(b"/json")
        question = f'{{"type":"{token}"}}\n' if json_form else f"/{token}\n"
        answer = f"{token}'".encode()
        self._wire.send(question.encode())
        while answer not in self._unread and not self.ended:
            self._receive("an answer", end_too=True)
        before, found, after = self._unread.partition(answer)
        while found and b"\n" not in after:
            self._receive("the rest of an answer")
            before, found, after = self._unread.partition(answer)
        if found:
            start = before.rpartition(b"\n")
            self._unread = b"".join(start[:2]) + after.partition(b"\n")[2]

    def _receive(self, what: str, *, end_too: bool = False) -> None:
        try:
            data = b"" if self.ended else self._wire.receive(SECONDS)
        except TooLate:
            raise WrongTurn(f"waited for {what}; had {self._unread!r}") from None
        except OSError as error:
            raise WrongTurn(f"the connection broke: {error}") from None
        if not data:
            self.ended = True
            if not end_too:
                raise WrongTurn(f"was disconnected; had {self._unread!r}")
        self._unread += data


class Conversation:
    """A script on its way."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._connections: dict[str, Connection] = {}
        self._questions = count(1)

    def gather(self, crowd: Crowd) -> None:
        """Let users log in, one after the other."""
        for name in crowd.names:
            self._connect(name)
            self._log_in(name, name)
            connection = self._connections[name]
            if not crowd.stay:
                connection.send(b"/quit\n")
                self._expect(connection, "Goodbye.")
                connection.take_end()
                del self._connections[name]

    def do(self, step: Step) -> None:
        """Do a step, or see it happen. Raises `WrongTurn`."""
        who = step.who
        match step.verb:
            case Verb.CONNECTS:
                self._connect(who)
                return
            case Verb.LOGS_IN:
                self._connect(who)
                self._log_in(who, step.argument)
                return
            case Verb.SPEAKS_JSON:
                self._speak_json(who)
                return
            case Verb.LOGS_IN_WITH_JSON:
                self._speak_json(who)
                self._log_in_with_json(who, step.argument)
                return
        connection = self._connections.get(who)
        if connection is None:
            raise WrongTurn("is not connected")
        match step.verb:
            case Verb.SENDS:
                connection.send(f"{step.argument}\n".encode())
            case Verb.SENDS_BYTES:
                connection.send(step.data)
            case Verb.RECEIVES:
                self._expect(connection, step.argument)
            case Verb.RECEIVES_BYTES:
                data = connection.take_bytes(len(step.data))
                if data != step.data:
                    raise WrongTurn(f"received {data!r}")
            case Verb.RECEIVES_NOTHING:
                everybody = list(self._connections.values())
                self._rest([*everybody, connection])
                if connection.unread:
                    raise WrongTurn(f"received {connection.unread!r}")
            case Verb.CLOSES_SENDING_SIDE:
                connection.end_input()
            case Verb.IS_DISCONNECTED:
                connection.take_end()
                if connection.unread:
                    raise WrongTurn(f"received {connection.unread!r}")
                del self._connections[who]
            case Verb.VANISHES:
                connection.vanish()
                del self._connections[who]

    def end(self) -> None:
        """See that nothing else was said. Raises `WrongTurn`."""
        everybody = list(self._connections.values())
        self._rest(everybody + everybody)
        for who, connection in self._connections.items():
            if connection.unread:
                raise WrongTurn(f"{who} received {connection.unread!r}")
            if connection.ended:
                raise WrongTurn(f"{who} was disconnected")

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()

    def _connect(self, who: str) -> None:
        if who in self._connections:
            raise WrongTurn(f"is connected; call the other connection {who}.2")
        self._connections[who] = Connection(self._daemon.connect())

    def _log_in(self, who: str, name: str) -> None:
        connection = self._connections[who]
        connection.send(f"{name}\n".encode())
        line = connection.take_line()
        welcome = f"{PROMPT.decode()}Welcome, {name}."
        if line not in (welcome, f"{welcome} You are new here."):
            raise WrongTurn(f"received {line!r}")
        while connection.take_line() != LAST_OF_GREETING.decode():
            pass

    def _speak_json(self, who: str) -> None:
        self._connect(who)
        connection = self._connections[who]
        connection.send(b"/json\n")
        connection.take_line()
        self._expect_type(connection, "hello")

    def _log_in_with_json(self, who: str, name: str) -> None:
        connection = self._connections[who]
        connection.send(json.dumps({"type": "login", "user": name}).encode() + b"\n")
        self._expect_type(connection, "welcome")

    def _expect(self, connection: Connection, expected: str) -> None:
        line = connection.take_line()
        if fits(line, expected):
            return
        # What is delivered may be on disk first: that depends on who is quicker.
        if '"status": "delivered"' in expected:
            stored = expected.replace('"delivered"', '"stored"', 1)
            if fits(line, stored) and fits(connection.take_line(), expected):
                return
        # A busy machine may be late, and the daemon says then what it does know.
        if self._daemon.remote and expected.startswith("Delivered to "):
            late = expected.replace("Delivered to", "Stored for", 1)
            if fits(line, late):
                return
        raise WrongTurn(f"received {line!r}")

    def _expect_type(self, connection: Connection, kind: str) -> None:
        line = connection.take_line()
        if not line.startswith(f'{{"type":"{kind}",'):
            raise WrongTurn(f"received {line!r}")

    def _rest(self, order: Iterable[Connection]) -> None:
        """Let everything arrive that is under way to the last of these.

        An answer is held back by those before it, and with the answer to a message
        that message has been sent on. So who is asked after everybody else, and has
        answered, has got everything.
        """
        for connection in order:
            if self._daemon.remote:
                connection.ask(f"question-{next(self._questions)}")
            else:
                connection.read_on()


def hold(script: Script, daemon: Daemon) -> None:
    """Hold a conversation with a daemon. Raises `WrongTurn`."""
    conversation = Conversation(daemon)
    try:
        for crowd in script.crowds:
            conversation.gather(crowd)
        for step in script.steps:
            try:
                conversation.do(step)
            except WrongTurn as wrong:
                raise WrongTurn(f"line {step.number}: {step.line}\n  {wrong}") from None
        try:
            conversation.end()
        except WrongTurn as wrong:
            raise WrongTurn(f"after the last line: {wrong}") from None
    finally:
        conversation.close()
