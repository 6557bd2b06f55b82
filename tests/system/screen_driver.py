"""Runs the front end on a terminal as `chat` does, with a core made for tests.

The test steers it through a socket, whose descriptor is the first argument: a JSON
array a line, a method of `Remote` and its arguments. What was typed comes back as JSON.
More arguments are methods to call before anything else happens.
"""

import asyncio
import json
import os
import socket
import sys
import time
from typing import Any

from twisted.internet import asyncioreactor

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)
asyncioreactor.install(LOOP)

from twisted.internet import reactor, task  # noqa: E402
from twisted.internet.defer import Deferred, DeferredList  # noqa: E402
from twisted.internet.protocol import Factory  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402

from chatd.client.frontends.completion import Completions  # noqa: E402
from chatd.client.frontends.frontend import Kind, Line, Phase, Standing, State  # noqa: E402
from chatd.client.frontends.screen import Screen  # noqa: E402
from chatd.wire.message import Message  # noqa: E402

DAY = 24 * 60 * 60 * 1000
TIME = int(time.time() * 1000) // DAY * DAY + (14 * 60 + 13) * 60 * 1000
"""The time of all messages, in ms since 1970: 14:13 UTC today."""


class Remote(LineOnlyReceiver):
    """The core, in the test's hands."""

    delimiter = b"\n"
    user = "alice"

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.names = ["alice", "bob", "Böb"]
        self.typed: list[str] = []
        self.whom = ""
        self.next_whom = ""
        self.sending = False
        self.answering: float | None = None
        self.counts: list[tuple[str, int]] = []
        self.failing: Deferred[None] = Deferred()
        self.stands = Standing(Phase.CONNECTED, "127.0.0.1:5555")

    def lineReceived(self, line: bytes) -> None:
        name, *arguments = json.loads(line)
        getattr(self, f"do_{name}")(*arguments)

    # The core -------------------------------------------------------------------

    def enter(self, text: str) -> None:
        self.sendLine(json.dumps(text).encode())
        if self.sending and "-" in text:
            target, _, said = text.partition("-")
            self.do_send(target, said, 1)
            if self.answering is not None:
                delay = self.answering
                reactor.callLater(delay, self.do_become, target, 1, "delivered")
        if text == "/quit":
            self.screen.show(Line(Kind.ANSWER, "Goodbye."))
            self.screen.stop()
        if text == "/bug":
            raise ValueError("a bug")

    def end_of_input(self) -> None:
        raise AssertionError("a terminal has no end of input")

    def typing(self, text: str) -> None:
        self.typed.append(text)

    def completions(self) -> Completions:
        return Completions(self.names, {"/help": ["keys"], "/quit": []})

    def longest(self) -> int:
        return 16_000

    def focus(self) -> str:
        return self.whom

    def destination(self, typed: str) -> str:
        return self.next_whom or self.whom

    def unread(self) -> list[tuple[str, int]]:
        return self.counts

    def standing(self) -> Standing:
        return self.stands

    # What the test may ask for --------------------------------------------------

    def do_show(self, kind: str, text: str) -> None:
        self.screen.show(Line(Kind[kind], text))

    def do_receive(self, sender: str, text: str, queued: bool = False) -> None:
        message = Message(0, "", sender, self.user, text, TIME, 0)
        self.screen.received(message, queued=queued)

    def do_remember(self, sender: str, target: str, text: str, state: str) -> None:
        message = Message(0, "", sender, target, text, TIME - DAY, 0)
        self.screen.remembered(message, State(state) if state else None)

    def do_away(self, since: int | None) -> None:
        self.screen.away(since)

    def do_send(self, target: str, text: str, number: int) -> None:
        """Show a message that is to be sent."""
        message = Message(0, str(number), self.user, target, text, TIME, 0)
        self.screen.sent((str(number), target), message)

    def do_become(self, target: str, number: int, state: str) -> None:
        self.screen.became((str(number), target), State(state))

    def do_stand(self, phase: str, seconds: float | None = None) -> None:
        attempt = None if seconds is None else reactor.seconds() + seconds
        self.stands = Standing(Phase[phase], "127.0.0.1:5555", attempt)
        self.screen.standing_changed()

    def do_burst(self, first: int, last: int) -> None:
        """Show many messages at once."""
        for number in range(first, last + 1):
            self.do_receive("bob", f"message {number}")

    def do_stream(self, first: int, last: int) -> None:
        """Show many messages, one in each turn of the reactor."""
        self.do_receive("bob", f"message {first}")
        if first < last:
            reactor.callLater(0, self.do_stream, first + 1, last)

    def do_sends(self, answering: float | None = None) -> None:
        """Send what is typed from now on; deliver it after so many seconds."""
        self.sending = True
        self.answering = answering

    def do_name_destination(self, whom: str) -> None:
        self.next_whom = whom

    def do_name(self, user: str) -> None:
        self.user = user

    def do_know(self, names: list[str]) -> None:
        self.names = names

    def do_talk_to(self, names: str) -> None:
        self.whom = names
        self.screen.people_changed()

    def do_unread(self, *counts: tuple[str, int]) -> None:
        self.counts = [(name, count) for name, count in counts]
        self.screen.people_changed()

    def do_tell_typed(self) -> None:
        """Send back what was half typed until now, one text after the other."""
        self.sendLine(json.dumps(self.typed).encode())

    def do_hide(self, hidden: bool) -> None:
        self.screen.hide_input(hidden)

    def do_stop(self) -> None:
        self.screen.stop()

    def do_fail(self) -> None:
        """Let main fail, as the core would with a bug in it."""
        self.failing.errback(RuntimeError("main has failed"))

    def do_exit(self) -> None:
        """Leave the loop with an exception that nothing catches."""
        LOOP.call_soon(sys.exit, 3)

    def do_cut(self) -> None:
        """End at once, as after a second signal."""
        self.screen.rescue()
        os._exit(4)


async def main(_: Any) -> None:
    screen = Screen()
    screen.show(Line(Kind.NOTICE, "Connected."))
    remote = Remote(screen)
    factory = Factory.forProtocol(lambda: remote)
    reactor.adoptStreamConnection(int(sys.argv[1]), socket.AF_UNIX, factory)
    ended = screen.start(remote)
    for name in sys.argv[2:]:
        getattr(remote, f"do_{name}")()
    await DeferredList(
        [ended, remote.failing],
        fireOnOneCallback=True,
        fireOnOneErrback=True,
        consumeErrors=True,
    )
    screen.show(Line(Kind.NOTICE, "Disconnected."))


task.react(main)
