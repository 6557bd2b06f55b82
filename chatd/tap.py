"""The options of ``twistd chatd``, and the service they make."""

import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, ClassVar, Final

from twisted.application.service import IService
from twisted.cred import strcred
from twisted.cred.credentials import IUsernamePassword
from twisted.python import usage

from chatd.clock import run_evenly
from chatd.credentials import Policy
from chatd.limits import GIB, KIB, MIB, Limits
from chatd.ports import DEFAULT_PORT, do_without_openssl, is_proxied, speak_no_tls

_UNITS: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_PERIODS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def number(text: str) -> int:
    """Return a number of at least 1; K, M and G stand for 1024 of the unit before."""
    match = re.fullmatch(r"([0-9]{1,15})([KMG]?)", text.strip().upper())
    value = int(match[1]) * _UNITS[match[2]] if match else 0
    if value < 1:
        raise ValueError("give a whole number from 1, such as 500, 64K, 100M or 10G")
    return value


def percent(text: str) -> int:
    """Return a number from 1 to 100."""
    value = number(text)
    if value > 100:
        raise ValueError("give a number from 1 to 100")
    return value


def period(text: str) -> float:
    """Return seconds; s, m, h and d stand for seconds, minutes, hours and days."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip().lower())
    if not match or not int(match[1]):
        raise ValueError("give a time such as 365d, 12h or 90m")
    return float(int(match[1]) * _PERIODS[match[2]])


def network(text: str) -> IPv4Network | IPv6Network:
    """Return the network of an address, or one given with the length of its prefix."""
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise ValueError(
            f"{error} (give an address or a network, such as 10.0.0.0/8)"
        ) from None


def _parameter(
    option: str, default: object, meaning: str, parse: Callable[[str], object]
) -> list[Any]:
    """Return a row of `optParameters` whose mistakes name the option."""

    def coerce(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise usage.UsageError(f"--{option}: {error}") from None

    return [option, None, default, meaning, coerce]


def _limit_parameters() -> list[list[Any]]:
    return [
        _parameter(
            option, default, meaning, percent if field == "queue_share" else number
        )
        for field, option, default, meaning in Limits.options()
    ]


def registration(text: str) -> bool:
    """Return whether new names are registered by their first login."""
    if text not in ("open", "closed"):
        raise ValueError("give open or closed")
    return text == "open"


class Options(usage.Options, strcred.AuthOptionMixin):
    """What can be said after ``twistd chatd``; nothing needs to be."""

    supportedInterfaces = (IUsernamePassword,)  # noqa: N815, as the mixin names it
    synopsis = "[options]"
    longdesc = "A message daemon that anyone can talk to with nc."

    optParameters: ClassVar[list[list[Any]]] = [
        ["db", None, "server.db", "the database: users and queues"],
        _parameter(
            "expire",
            None,
            "drop queues of names that nobody used for so long, such as 365d",
            period,
        ),
        _parameter(
            "registration",
            "open",
            "whether a name that nobody has can be logged in to: open or closed",
            registration,
        ),
        *_limit_parameters(),
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["require-password", None, "let nobody log in without a password"],
        [
            "plaintext-passwords",
            None,
            "ask for passwords on connections, too, on which others can read them",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        for option, meaning in self.docs.items():  # methods': with their indentation
            self.docs[option] = " ".join((meaning or "").split())
        self["port"] = []
        self["trusted-proxy"] = []

    def parseOptions(self, options: Any = None) -> None:
        """Take the command line. Raises `SystemExit`, in one line, for a mistake.

        twistd would print all options before it.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(
                f"chatd: {error} (twistd chatd --help lists the options)"
            ) from None

    def opt_port(self, description: str) -> None:
        """Listen here instead of on port 5555; may be given several times.

        A number is that TCP port on 0.0.0.0 and [::]; anything else is an endpoint as
        Twisted knows them, such as tcp:5555:interface=127.0.0.1 or unix:/run/chatd, or
        with TLS ssl:5556:privateKey=key.pem:certKey=cert.pem.
        """
        self["port"].append(description)

    def opt_auth(self, description: str) -> None:
        """Check passwords elsewhere, such as with file:PATH; see --help-auth.

        Then every login needs one, and names are registered by their first login.
        """
        kind, _, path = description.partition(":")
        if kind == "file" and not (Path(path).is_file() and os.access(path, os.R_OK)):
            # Else everybody would be told that their password is wrong.
            raise usage.UsageError(f"--auth: {path or 'no file'}: cannot be read")
        super().opt_auth(description)

    def opt_trusted_proxy(self, address: str) -> None:
        """Believe the proxies of this address or network; may be given several times.

        It is about haproxy: ports. Without any, those on this machine are trusted.
        """
        try:
            self["trusted-proxy"].append(network(address))
        except ValueError as error:
            raise usage.UsageError(f"--trusted-proxy: {error}") from None

    def opt_version(self) -> None:
        """Print the version, and exit."""
        from chatd import __version__

        print(f"chatd {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Check what can be checked before the daemon starts."""
        if not self["port"]:
            self["port"] = [DEFAULT_PORT]
        if self["trusted-proxy"] and not any(map(is_proxied, self["port"])):
            raise usage.UsageError("--trusted-proxy: no --port is a haproxy: one")
        if not self["db"]:
            raise usage.UsageError("--db: give the path of the database")
        if self["max-message"] > self["max-line"]:
            raise usage.UsageError("--max-message: longer than --max-line allows")
        if self["max-line"] > self["max-json-line"]:
            raise usage.UsageError("--max-line: longer than --max-json-line allows")
        self._ignore_stale_pidfile()
        self._write_log_faster()

    def _ignore_stale_pidfile(self) -> None:
        # A foreground daemon is watched by whoever started it. The file that twistd
        # writes all the same is left behind by kill -9, and in a container its number
        # soon is that of another process: the next start would be refused.
        twistd = getattr(self, "parent", None)
        if (
            twistd is not None
            and twistd.get("nodaemon")
            and twistd.get("pidfile") == "twistd.pid"
        ):
            twistd["pidfile"] = ""

    def _write_log_faster(self) -> None:
        # Only where twistd itself would write to the standard output.
        twistd = getattr(self, "parent", None)
        if (
            twistd is not None
            and twistd.get("nodaemon")
            and twistd.get("logfile") in (None, "", "-")
            and not (twistd.get("syslog") or twistd.get("logger"))
        ):
            twistd["logger"] = "chatd.logtext.standard_output"

    @property
    def policy(self) -> Policy:
        """Who may log in, as set."""
        return Policy(
            registration=self["registration"] in (True, "open"),
            require_password=bool(self["require-password"]),
            plaintext_passwords=bool(self["plaintext-passwords"]),
        )

    @property
    def limits(self) -> Limits:
        """The limits as set."""
        values = {field: self[option] for field, option, _, _ in Limits.options()}
        return Limits(**values)


def makeService(options: Options) -> IService:
    """Return the daemon as a service. Raises `SystemExit` in words."""
    # What else a .tac file or a checker imports, nobody knows.
    alone = options.parent is not None and not options.get("credCheckers")
    if alone and speak_no_tls(options["port"]):
        do_without_openssl()
    # Not at the top: they import OpenSSL, if it is not to be done without.
    from twisted.internet import reactor

    from chatd.listening import endpoints
    from chatd.server.proxied import LOOPBACK
    from chatd.service import ChatService

    run_evenly(reactor)
    try:
        listening = [
            endpoint
            for description in options["port"]
            for endpoint in endpoints(
                reactor, description, options["trusted-proxy"] or LOOPBACK
            )
        ]
    except ValueError as error:
        raise SystemExit(f"chatd: --port: {error}") from None
    return ChatService(
        reactor,
        listening,
        Path(options["db"]),
        options.limits,
        options["expire"],
        options.policy,
        options.get("credCheckers", ()),
    )
