"""A server that routes lines, as one would first write it with Twisted."""

import sys
from typing import cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorCore, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Factory, ServerFactory
from twisted.protocols.basic import LineReceiver

online: dict[bytes, "Router"] = {}


class Router(LineReceiver):
    """The first line is one's name; each further one goes to whom it names."""

    delimiter = b"\n"
    MAX_LENGTH = 16384
    user = b""

    def connectionMade(self) -> None:
        """Do not wait for more to send."""
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)

    def lineReceived(self, line: bytes) -> None:
        """Take a name, or pass a message on."""
        if not self.user:
            self.user = line
            online[line] = self
            self.sendLine(b"welcome")  # type: ignore[no-untyped-call]
            return
        target, _, text = line.partition(b"-")
        receiver = online.get(target)
        if receiver is not None:
            line = self.user + b": " + text
            receiver.sendLine(line)  # type: ignore[no-untyped-call]


factory = Factory.forProtocol(Router)
cast(IReactorTCP, reactor).listenTCP(
    int(sys.argv[1]), cast(ServerFactory, factory), 4096, "127.0.0.1"
)
cast(IReactorCore, reactor).run()
