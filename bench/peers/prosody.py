"""Prosody: an XMPP server in Lua."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.connection import Connection
from harness.texts import MARK
from peers.base import StoringPeer, first_line

_CONFIGURATION = """\
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}"
certificates = "{folder}"
modules_enabled = {{ "saslauth", "offline", "smacks", "roster" }}
modules_disabled = {{ "s2s", "tls", "limits" }}
authentication = "insecure"
insecure_open_authentication = "Yes please, I know what I'm doing!"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
c2s_ports = {{ {port} }}
c2s_interfaces = {{ "127.0.0.1" }}
c2s_tcp_backlog = 4096
network_settings = {{ tcp_backlog = 4096 }}
s2s_ports = {{ }}
storage = "internal"
log = {{ error = "*console" }}
VirtualHost "localhost"
"""

_OPEN: Final = (
    b"<stream:stream to='localhost' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)
_BIND: Final = (
    b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    b"<resource>b</resource></bind></iq>"
)
_ACKNOWLEDGED: Final = b"<enable xmlns='urn:xmpp:sm:3'/>"
_ASK: Final = b"<r xmlns='urn:xmpp:sm:3'/>"


class Prosody(StoringPeer):
    """Prosody without TLS, limits and passwords; it keeps messages in files."""

    name = "Prosody"
    program = "prosody"
    settings = (
        "storage internal, no TLS, no limits, open authentication; stored messages are"
        " asked for one by one (XEP-0198)"
    )
    stores = "in files, not synced"
    logs_in_by_steps = True
    most_users = 10_000
    most_kept = 100_000
    stored_mark = b"<a "
    kept_mark = MARK

    def version(self) -> str:
        """Return its version."""
        return first_line("dpkg-query", "-W", "-f", "${Version}", "prosody")

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Write prosody.cfg.lua."""
        path = folder / "prosody.cfg.lua"
        path.write_text(_CONFIGURATION.format(folder=folder, port=port))
        return [self.path, "-F", "--config", str(path)]

    def hello(self, name: str) -> bytes:
        """Open a stream."""
        return _OPEN

    def finish(self, connection: Connection, name: str) -> None:
        """Log in step by step, and be there."""
        self._bind(connection, name)
        connection.write(b"<presence/>")
        connection.read_past(b"<presence")

    def log_in_to_send(self, connection: Connection, name: str) -> None:
        """Log in, and do not be there."""
        self.begin(connection, name)
        self._bind(connection, name)

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return a message."""
        return b"<message to='%b@localhost' type='chat'><body>%b</body></message>" % (
            target.encode(),
            text,
        )

    def stored(self, message: bytes) -> bytes:
        """Ask whether it was taken."""
        return message + _ASK

    def log_in_to_store(self, connection: Connection, name: str) -> None:
        """Have messages be acknowledged."""
        self.log_in_to_send(connection, name)
        connection.write(_ACKNOWLEDGED)
        connection.read_past(b"<enabled")

    def make_known(self, port: int, name: str) -> None:
        """Do nothing: every name is known."""

    def prepare(self, connection: Connection, name: str) -> None:
        """Log in; what was kept comes with the presence."""
        self.begin(connection, name)
        self._bind(connection, name)

    def come_back(self, name: str) -> bytes:
        """Be there."""
        return b"<presence/>"

    def _bind(self, connection: Connection, name: str) -> None:
        connection.read_until(b"</stream:features>")
        secret = base64.b64encode(b"\0%b\0x" % name.encode())
        connection.write(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"
            b"%b</auth>" % secret
        )
        connection.read_until(b"/>")
        connection.write(_OPEN)
        connection.read_until(b"</stream:features>")
        connection.write(_BIND)
        connection.read_until(b"</iq>")
