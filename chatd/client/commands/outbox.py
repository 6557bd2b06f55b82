"""The outbox: what ``chat send --outbox`` keeps, and the command ``chat flush``."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from chatd.client.commands.connecting import account
from chatd.client.commands.given import checked, input_lines
from chatd.client.commands.options import CONTEXT, Given, pass_given, script_options
from chatd.client.history.file import HistoryInUse, OpenedHistory, open_history
from chatd.client.history.places import history_path
from chatd.client.statuses import Failed, Status
from chatd.wire.answers import Refusal
from chatd.wire.message import Message
from chatd.wire.names import Name, name_key

if TYPE_CHECKING:
    from chatd.client.connection.account import Account
    from chatd.client.history.shared import SharedHistory

STATUSES: Final = """\b
Exit status:
  0  every message is stored, or delivered where that was asked for
  1  some message was refused
  2  the command line is wrong
  3  the server refused the login
  4  the server could not be reached within --timeout; nothing was sent
  5  what answered is no chatd of this version
  6  the history {history}
  7  the server's certificate is not accepted
  8  nobody has the name that was written to
  9  not confirmed within --timeout; standard error says what may have been sent
  128 and its number after a signal

Of several that apply, 9 comes before 1, and 1 before 8.
"""
"""The end of the help of commands that send; `history` is what 6 says of it."""

verbose_option: Final = click.option(
    "-v", "--verbose", is_flag=True, help="Say what becomes of each message."
)


class Keeping:
    """Keeps messages to the same targets in the outbox; `tell` is told what cannot be.

    Its methods return an exit status.
    """

    def __init__(
        self,
        shared: "SharedHistory",
        user: str,
        targets: Sequence[str],
        tell: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._user = user
        self._targets = targets
        self._tell = tell

    def text(self, message_id: str, text: str) -> int:
        """Keep one message. Raises `Failed`."""
        self._append([self._messages(message_id, text)])
        return Status.OK

    def lines(self, message_id: str) -> int:
        """Keep each line of standard input, under the ids that `Feed` gives them."""
        number, status = 0, Status.OK
        for lines in input_lines():
            together = []
            for line in lines:
                number += 1
                try:
                    if line:
                        its_id = f"{message_id}.{number:07}"
                        together.append(self._messages(its_id, checked(line)))
                except Failed as failed:
                    status = failed.status
                    self._tell(f"line {number}: {failed}")
            try:
                self._append(together)
            except Failed:
                status = self._one_by_one(together)
        return status

    def _one_by_one(self, together: Sequence[list[Message]]) -> Status:
        """Keep messages of which some cannot be kept."""
        status = Status.OK
        for messages in together:
            try:
                self._append([messages])
            except Failed as failed:
                status = failed.status
                self._tell(str(failed))
        return status

    def _messages(self, message_id: str, text: str) -> list[Message]:
        from chatd.client.talk.input import MAX_MESSAGE

        if len(text.encode()) > MAX_MESSAGE:
            refusal = Refusal("message-too-long", limit=MAX_MESSAGE)
            raise Failed(Status.NOT_ACCEPTED, refusal.text)
        now = int(time.time() * 1000)
        return [
            Message(0, message_id, self._user, to, text, now, 0) for to in self._targets
        ]

    def _append(self, together: Sequence[list[Message]]) -> None:
        from chatd.client.history.shared import AnotherText

        try:
            self._shared.append([each for some in together for each in some], "waiting")
        except AnotherText as another:
            earlier = another.earlier
            refusal = Refusal("id-used", id=earlier.id, name=earlier.receiver)
            raise Failed(Status.NOT_ACCEPTED, refusal.text) from None


@click.command(
    "flush",
    context_settings=CONTEXT,
    epilog=STATUSES.format(history="is in use by another chat, or cannot be used"),
)
@verbose_option
@script_options("How long to wait for the login, and then for the next confirmation.")
@pass_given
def flush(given: Given, verbose: bool) -> int:
    """Send what waits in the outbox.

    That is what chat send --outbox has kept, and what an earlier chat could not send.
    What is not confirmed stays there. A chat that runs with this history sends it by
    itself: then this only waits for that, for --timeout at most; what waits still is
    status 6.
    """
    settings = given.settings()
    user, whole = account(settings, may_ask=False)
    path = history_path(user, settings.history)
    opened = _claimed(path, user, whole)
    if opened is None:
        return Status.OK
    # Not at the top: it needs Twisted.
    from twisted.internet import reactor

    from chatd.client.connection.link import Link
    from chatd.client.frontends.plain import Plain
    from chatd.client.history.history import History
    from chatd.client.script.scripting import run_sender, teller
    from chatd.client.script.sender import Sender, Wait

    front_end = Plain(reactor)
    tell = teller(front_end)
    for note in opened.notes:
        tell(note)
    history = History(opened, reactor, whole.server)  # type: ignore[arg-type]
    sender = Sender(
        history,
        reactor,
        tell,
        user=whole.user,
        server=whole.server,
        wait=Wait.STORED,
        timeout=whole.timeout,
        stream=True,
        advice="It is kept: chat flush sends it again, and nobody gets it twice.",
        verbose=verbose,
    )

    async def work(link: Link) -> int:
        try:
            kept = await history.waiting()
            own = [each for each in kept if name_key(each.sender) == user.key]
            sender.load(own)
            sender.close()
            return await sender.run(link) if own else Status.OK
        finally:
            history.close()

    return run_sender(whole, front_end, reactor, sender, work)


def _claimed(path: Path, user: Name, whole: "Account") -> OpenedHistory | None:
    """Return the outbox as soon as no other chat has it; None if nothing waits in it.

    Raises `HistoryError`, if another chat has it for too long.
    """
    from chatd.client.history.shared import sharing

    begun = time.monotonic()
    while True:
        # Not to own it for nothing: a chat that runs sends what waits by itself.
        with sharing(path, user, whole.server) as shared:
            if not shared.waiting(user):
                return None
        try:
            return open_history(path, user)
        except HistoryInUse:  # after a moment
            if time.monotonic() - begun > whole.timeout:
                raise
