"""Where the daemon listens: what ``--port`` means."""

import errno
import re
import socket
from pathlib import Path
from typing import Final

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

from chatd.certificates import CertificateError, Files, ServerCertificate
from chatd.ports import SOCKETS, is_proxied, kind_of
from chatd.server.factory import ChatFactory
from chatd.server.proxied import LOOPBACK, Networks, ProxyFactory

BACKLOG: Final = 511
"""How many connections may wait to be taken; beyond that each waits for seconds."""

# Twisted's own default is 50.
_WITH_BACKLOG: Final = ("tcp", "tcp6", "unix")

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


@implementer(IStreamServerEndpoint)
class TLSEndpoint:
    """A TCP port that speaks TLS only, with a `certificate` that can be loaded again.

    `listen` fails with `CertificateError`, too.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        port: int,
        interface: str,
        certificate: ServerCertificate,
    ) -> None:
        self._tcp = TCP4ServerEndpoint(reactor, port, BACKLOG, interface)
        self.certificate = certificate

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Load the certificate and listen (`IStreamServerEndpoint`)."""
        try:
            self.certificate.load()
        except CertificateError as error:
            return fail(error)
        # Not at the top: it needs OpenSSL.
        from chatd.server.tls import encrypting

        encrypted = encrypting(self.certificate, protocolFactory)
        listening: Deferred[IListeningPort] = self._tcp.listen(encrypted)
        return listening


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
        if not behind.isdigit() and kind_of(behind) not in SOCKETS:
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
        if description.startswith("ssl:"):
            return [_tls_endpoint(reactor, description)]
        backlog = ""
        if kind_of(description) in _WITH_BACKLOG and ":backlog=" not in description:
            backlog = f":backlog={BACKLOG}"
        return [serverFromString(reactor, description + backlog)]
    except Exception as error:  # whatever a parser of a plugin raises
        raise ValueError(
            f"'{description}' is no port: {error}"
            " (give a number, or an endpoint such as tcp:5555:interface=127.0.0.1)"
        ) from None


def _tls_endpoint(reactor: object, description: str) -> TLSEndpoint:
    """Return what ``ssl:5556:privateKey=key.pem:certKey=cert.pem`` stands for.

    It is written as Twisted's own, which cannot load files again, nor say which of
    them is wrong. Raises `ValueError`.
    """
    fields = _fields(description)
    port = fields.pop("port", "")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("say ssl:PORT:privateKey=FILE:certKey=FILE")
    key = fields.pop("privateKey", "")
    if not key:
        raise ValueError("privateKey= is missing; chatctl certificate makes one")
    certificate = fields.pop("certKey", key)
    chain = fields.pop("extraCertChain", None)
    interface = fields.pop("interface", "")
    if fields:
        raise ValueError(
            f"{next(iter(fields))}= is unknown; there are privateKey, certKey,"
            " extraCertChain and interface"
        )
    files = Files(Path(key), Path(certificate), None if chain is None else Path(chain))
    assert IReactorTCP.providedBy(reactor)
    return TLSEndpoint(reactor, int(port), interface, ServerCertificate(files))


def _fields(description: str) -> dict[str, str]:
    """Return the fields of a description; the one without a name is the port.

    As in Twisted, a backslash takes the meaning from the character after it.
    """
    fields = {}
    for part in re.findall(r"((?:[^:\\]|\\.)+)", description)[1:]:
        name, value = re.fullmatch(r"(?:(\w+)=)?(.*)", part, re.S).groups()  # type: ignore[union-attr]
        fields[name or "port"] = re.sub(r"\\(.)", r"\1", value)
    return fields
