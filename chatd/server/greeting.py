"""The greeting: from the prompt to a login, or to the JSON form."""

from typing import Final

from twisted.internet.defer import Deferred, succeed

from chatd.server.connection import Connection
from chatd.server.objectform import ObjectForm
from chatd.server.textform import TextForm
from chatd.wire import text
from chatd.wire.answers import Refusal
from chatd.wire.display import neutralise
from chatd.wire.names import BadName, Name, parse_name

UNREAD_BYTES: Final = 16 * 1024
"""Bytes that somebody not logged in may leave unread before being read no further."""

PROXY_LINE: Final = "\0"
"""The third line of a PROXY header of version 2; its fourth could be a name."""

ASKED_AGAIN: Final = (
    "wrong-password",
    "bad-password",
    "busy",
    "too-long",
    "not-utf8",
)
"""The refusals of a password after which the next line is taken for a password too.

As a name it would be registered, and everybody would see it.
"""

HELP: Final = (
    "Enter a name to log in; one that nobody has yet is registered by that.",
    "  /send-only <name>   log in to send only: no messages, no lists",
    "  /json               speak JSON from here on, for programs",
    "  /help               these lines",
    "  /quit               leave",
)


class Greeting:
    """Asks for a name until one is good; the first form of a connection."""

    takes_chunks = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bad_names = 0
        self._first = True
        # Who is asked for a password, and whether they mean to receive.
        self._claimed: tuple[Name, bool] | None = None
        self._write(text.PROMPT)

    def line(self, line: str) -> Deferred[None] | None:
        """Take a name, or one of the few commands there are before a login."""
        first, self._first = self._first, False
        if self._claimed is not None:
            self._show_input()
            return self._take_password(*self._claimed, line)
        if line == PROXY_LINE:
            self._connection.dismiss(Refusal("not-http"))
            return None
        word, _, rest = line.partition(" ")
        if first and word == "/json":
            self._connection.become(ObjectForm(self._connection))
        elif word == "/help":
            self._write("".join(f"{each}\n" for each in HELP) + text.PROMPT)
        elif word == "/quit":
            self._write(f"{text.GOODBYE}\n")
            self._connection.hang_up()
        elif word == "/send-only":
            return self._take_name(rest, receive=False)
        elif line.startswith("/"):
            raise Refusal("unknown-command", command=word[:32])
        else:
            return self._take_name(line, receive=True)
        return None

    def refuse(self, refusal: Refusal) -> None:
        """Answer, and ask again, unless that was enough."""
        self._first = False
        claimed, self._claimed = self._claimed, None
        self._show_input()
        answer = f"{neutralise(refusal.text)}\n"
        if refusal.code in ("login-timeout", "not-http"):
            # The prompt stands alone on its line, and nobody is asked again.
            self._write(f"\n{answer}")
            return
        if refusal.code == "not-private":
            # The next line may be the password, sent without waiting to be asked: it
            # must not become a name, which everybody would see.
            self._write(answer)
            self._connection.hang_up()
            return
        if not self._may_try_again(answer):
            return
        if claimed is not None and refusal.code in ASKED_AGAIN:
            self._ask_password(text.PASSWORD_PROMPT_AGAIN, *claimed)
        else:
            self._write(text.PROMPT)

    def take_chunk(self, chunk: bytes, most: int) -> tuple[int, int]:
        """Never comes: each line may change what the next one is."""
        raise NotImplementedError

    def progress(self, acknowledged: int) -> None:
        """Nobody waits for it."""

    def end(self) -> None:
        """Say goodbye: nothing was sent."""
        if not self._connection.cut:
            self._write(f"\n{text.GOODBYE}\n")
        self._connection.hang_up()

    def idle(self) -> None:
        """Nothing depends on it."""

    def held(self) -> None:
        """Nothing depends on it."""

    def released(self) -> None:
        """Nothing depends on it."""

    def stop(self) -> Deferred[None]:
        """Say that the server stops."""
        self._write(f"\n{Refusal('shutting-down').text}\n")
        return succeed(None)

    def disconnected(self) -> None:
        """There is nothing to let go of."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def _take_name(self, given: str, *, receive: bool) -> Deferred[None]:
        try:
            name = parse_name(given)
        except BadName as bad:
            raise Refusal("bad-name", reason=str(bad)) from None
        # The prompt, if it is not sent yet, goes along with what follows.
        self._connection.outlet.cork()
        return Deferred.fromCoroutine(self._log_in(name, None, receive=receive))

    def _take_password(
        self, name: Name, receive: bool, password: str
    ) -> Deferred[None] | None:
        if not password:
            self._claimed = None
            if self._may_try_again():
                self._write(text.PROMPT)
            return None
        return Deferred.fromCoroutine(self._log_in(name, password, receive=receive))

    async def _log_in(self, name: Name, password: str | None, *, receive: bool) -> None:
        form = TextForm(self._connection)
        try:
            await form.log_in(name, password, receive=receive)
        except Refusal as refusal:
            if refusal.code != "password-needed":
                raise
            self._ask_password(text.PASSWORD_PROMPT, name, receive)
        finally:
            self._connection.outlet.uncork()

    def _ask_password(self, prompt: str, name: Name, receive: bool) -> None:
        self._claimed = name, receive
        self._write(prompt)
        self._connection.write(self._connection.telnet.hide_input())

    def _show_input(self) -> None:
        self._connection.write(self._connection.telnet.show_input())

    def _may_try_again(self, answer: str = "") -> bool:
        """Answer, and hang up if that was enough."""
        self._bad_names += 1
        limit = self._connection.owner.limits.bad_names
        if self._bad_names < limit:
            self._write(answer)
            return True
        last = Refusal("too-many-bad-names", limit=limit)
        self._connection.log_refusal(last)
        self._write(f"{answer}{last.text}\n")
        self._connection.hang_up()
        return False

    def _write(self, data: str) -> None:
        connection = self._connection
        connection.write(data.encode())
        if connection.outlet.unsent > UNREAD_BYTES:
            connection.hold("answers")
            drained = connection.outlet.drained()
            _ = drained.addCallback(lambda _: connection.release("answers"))
