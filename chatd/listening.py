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

from chatd.server.factory import ChatFactory
from chatd.server.gauges import CiphertextCounters
from chatd.server.proxied import LOOPBACK, Networks, ProxyFactory

DEFAULT_PORT: Final = "5555"
BACKLOG: Final = 511

# Transports that are the socket's own, which a connection can take over.
_MAY_BE_PROXIED: Final = ("tcp", "tcp6", "unix", "systemd")

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


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """An endpoint to which proxies connect, and say for whom.

    In place of Twisted's own ``haproxy:``, which makes the connection before the header
    has come, takes anything for an address, waits for ever, and loses half-closes.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, trusted: Networks) -> None:
        self._endpoint = endpoint
        self._trusted = trusted

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Listen (`IStreamServerEndpoint`)."""
        assert isinstance(protocolFactory, ChatFactory)
        factory = ProxyFactory(protocolFactory, self._trusted)
        return self._endpoint.listen(factory)


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


def is_proxied(description: str) -> bool:
    """Whether a ``--port`` is one for proxies."""
    return _kind(description) == "haproxy"


def endpoints(
    reactor: object, description: str, trusted: Networks = LOOPBACK
) -> list[IStreamServerEndpoint]:
    """Return what a ``--port`` stands for.

    A number is that TCP port on 0.0.0.0 and [::]; anything else is an endpoint
    description as Twisted knows them, but for ``haproxy:``, where proxies are trusted
    that connect from the networks given. Raises `ValueError` in words for the
    administrator.
    """
    if is_proxied(description):
        behind = description.partition(":")[2]
        if not behind.isdigit() and _kind(behind) not in _MAY_BE_PROXIED:
            raise ValueError(
                f"'{description}' is no port: behind haproxy: stands a number,"
                " tcp:, tcp6:, unix: or systemd:"
            )
        return [ProxiedEndpoint(each, trusted) for each in endpoints(reactor, behind)]
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


def _kind(description: str) -> str:
    return description.partition(":")[0].lower()
