"""Peers of an outlet in a network of their own, whose only link is cut: see the tests.

Prints what happens, a line each. Needs a network namespace with `ip` in it.
"""

import socket
import subprocess
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from chatd.server.outlet import Outlet, Traffic
from chatd.server.tcp import tcp_info
from chatd.server.ticker import Ticker
from chatd.turn import Turn

REACTOR: Any = reactor


class Hasty(Outlet):
    """Has a silence of its own."""


class Side(Protocol):
    """The daemon's end."""

    transport: Any
    silence = 1.0
    gone = False

    def connectionMade(self) -> None:
        ticker = Ticker(REACTOR, Turn(REACTOR))
        self.outlet = Hasty(self.transport, ticker, Traffic(), self)
        self.outlet.silence = self.silence

    def progress(self, acknowledged: int) -> None:
        pass

    def connectionLost(self, reason: object = None) -> None:
        self.gone = True
        self.outlet.lost()
        say("cut off")


def say(what: str) -> None:
    print(what, flush=True)


def link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def pause(seconds: float) -> None:
    await deferLater(REACTOR, seconds)


async def run(peer_reads: bool, cut: bool, seconds: float) -> None:
    link("up")
    sides: list[Side] = []
    factory = Factory.forProtocol(Side)
    build = factory.buildProtocol
    factory.buildProtocol = lambda address: sides.append(build(address)) or sides[-1]
    port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
    peer = socket.socket()
    if not peer_reads:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    peer.connect_ex(("127.0.0.1", port.getHost().port))
    while not sides:
        await pause(0.01)
    side = sides[0]
    # One who was idle for long: the last acknowledgement is old.
    await pause(1.5 * side.silence)
    if peer_reads:
        if cut:
            link("down")
        side.outlet.write(b"hello")
    else:
        side.outlet.write(b"x" * (1 << 20))
        await pause(0.5)
        say("takes nothing" if side.outlet.outstanding > 1 << 19 else "has read")
        if cut:
            link("down")
    elapsed = 0.0
    while not side.gone and elapsed < seconds:
        await pause(0.05)
        elapsed += 0.05
    if not side.gone:
        say(f"there, {tcp_info(side.transport.getHandle()).probes} probes unanswered")


def main() -> None:
    reads, cut, seconds = sys.argv[1:4]
    if len(sys.argv) > 4:
        Side.silence = float(sys.argv[4])
    from twisted.internet.defer import Deferred

    done = Deferred.fromCoroutine(run(reads == "reads", cut == "cut", float(seconds)))
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda result: REACTOR.stop())
    REACTOR.run()


if __name__ == "__main__":
    main()
