"""One run of a command for scripts: a connection, and nobody who could be asked."""

from collections.abc import Callable, Coroutine
from typing import Any

from chatd.client.connection.account import Account
from chatd.client.connection.link import Link, Listener
from chatd.client.connection.secrets import OwnPassword
from chatd.client.frontends.frontend import FrontEnd, Kind, Line
from chatd.client.frontends.plain import Plain
from chatd.client.script.sender import Sender
from chatd.client.talk.running import (
    INTERRUPT_SECONDS,
    handle_signals,
    run_reactor,
    security,
)
from chatd.wire.display import neutralise


def teller(front_end: FrontEnd) -> Callable[[str], None]:
    """Return what shows a line on standard error, with the program's name."""

    def tell(line: str) -> None:
        front_end.show(Line(Kind.ERROR, neutralise(f"chat: {line}")))

    return tell


def run_sender(
    account: Account,
    front_end: Plain,
    reactor: Any,
    sender: Sender,
    work: Callable[[Link], Coroutine[Any, Any, int]],
) -> int:
    """Run the reactor until what is to be sent has been; return the exit status."""
    return run_script(
        account,
        front_end,
        reactor,
        listener=sender,
        work=work,
        interrupt=sender.interrupt,
        receive=False,
        rescue=front_end.rescue,
    )


def run_script(
    account: Account,
    front_end: FrontEnd,
    reactor: Any,
    *,
    listener: Listener,
    work: Callable[[Link], Coroutine[Any, Any, int]],
    interrupt: Callable[[int], None],
    receive: bool,
    rescue: Callable[[], None],
    seconds: float = INTERRUPT_SECONDS,
) -> int:
    """Run the reactor until the work is done; return the exit status.

    The connection tells the listener what happens. A signal calls `interrupt`, and
    allows `seconds` for the end; `rescue` is called when it ends at once. Without
    `receive` it only sends.
    """
    secured = security(account, front_end, reactor)

    async def begin() -> int:
        own = OwnPassword(account.user, private=account.private, given=account.password)
        link = Link(
            secured(None),
            reactor,
            account.user,
            listener,
            own,
            receive=receive,
            patient=True,
        )
        handle_signals(reactor, interrupt, rescue, seconds)
        return await work(link)

    return run_reactor(reactor, front_end, begin)
