"""Where the daemon listens: what ``--port`` means."""

import errno
import socket
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorSocket,
    IReactorTCP,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from chatd.server.gauges import CiphertextCounters

DEFAULT_PORT: Final = "5555"
BACKLOG: Final = 511

_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class NoIPv6(Exception):
    """This machine has no IPv6."""


@implementer(IStreamServerEndpoint)
class IPv6OnlyEndpoint:
    """A port on [::] that leaves 0.0.0.0 alone, as Twisted's own does not.

    `listen` fails with `NoIPv6` where the machine has none, and with
    `CannotListenError`.
    """

    def __init__(self, reactor: IReactorSocket, port: int) -> None:
        self._reactor = reactor
        self._port = port

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Listen (`IStreamServerEndpoint`)."""
        try:
            listener = socket.create_server(
                ("::", self._port), family=socket.AF_INET6, backlog=BACKLOG
            )
        except OSError as error:
            if error.errno in _NO_IPV6:
                return fail(NoIPv6())
            return fail(CannotListenError("::", self._port, error))
        with listener:
            listener.setblocking(False)
            # The reactor duplicates the descriptor.
            port = self._reactor.adoptStreamPort(
                listener.fileno(),
                socket.AF_INET6,
                protocolFactory,  # type: ignore[arg-type]
            )
        done: Deferred[IListeningPort] = Deferred()
        done.callback(port)
        return done


class _CountingTLS:
    """A reactor, for endpoints, that counts what TLS connections write to TCP."""

    def __init__(self, reactor: object) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)

    def listenSSL(  # noqa: N802, as `IReactorSSL` names it
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,  # noqa: N803
        backlog: int = BACKLOG,
        interface: str = "",
    ) -> IListeningPort:
        """Listen for TLS connections (`IReactorSSL`)."""
        # Not at the top: it needs packages that only TLS needs.
        from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

        encrypting = TLSMemoryBIOFactory(contextFactory, False, factory)
        # Without a buffer of its own: what is written goes down in the same call.
        encrypting.protocol = TLSMemoryBIOProtocol
        counting = CiphertextCounters(encrypting)
        assert IReactorTCP.providedBy(self._reactor)
        return self._reactor.listenTCP(
            port,
            counting,  # type: ignore[arg-type]
            backlog,
            interface,
        )


def endpoints(reactor: object, description: str) -> list[IStreamServerEndpoint]:
    """Return what a ``--port`` stands for.

    A number is that TCP port on 0.0.0.0 and [::]; anything else is an endpoint
    description as Twisted knows them. Raises `ValueError` in words for the
    administrator.
    """
    if description.isascii() and description.isdigit():
        port = int(description)
        if port > 65535:
            raise ValueError(f"{port} is no port: the highest is 65535")
        assert IReactorTCP.providedBy(reactor)
        assert IReactorSocket.providedBy(reactor)
        return [
            TCP4ServerEndpoint(reactor, port, backlog=BACKLOG),
            IPv6OnlyEndpoint(reactor, port),
        ]
    try:
        return [serverFromString(_CountingTLS(reactor), description)]
    except ImportError as error:
        raise ValueError(
            f"'{description}' needs what is not installed ({error}):"
            " for TLS, pip install 'chatd[tls]'"
        ) from None
    except Exception as error:  # whatever a parser of a plugin raises
        raise ValueError(
            f"'{description}' is no port: {error}"
            " (give a number, or an endpoint such as tcp:5555:interface=127.0.0.1)"
        ) from None
