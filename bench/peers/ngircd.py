"""ngIRCd: a small IRC server in C."""

from collections.abc import Sequence
from pathlib import Path

from peers.base import first_line
from peers.irc import IrcPeer

_CONFIGURATION = """\
[Global]
Name = irc.example.net
AdminInfo1 = bench
AdminEMail = bench@example.net
Info = bench
Listen = 127.0.0.1
Ports = {port}
ServerUID = {user}
ServerGID = {user}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = 3600
PongTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
"""


class Ngircd(IrcPeer):
    """ngIRCd without limits, name look-ups and identification."""

    name = "ngIRCd"
    program = "ngircd"
    at_once = 8  # more do not find room in its listening socket
    settings = (
        "MaxConnections 0, MaxConnectionsIP 0, MaxPenaltyTime 0, PingTimeout 3600,"
        " DNS no, Ident no, PAM no"
    )

    def version(self) -> str:
        """Return its version."""
        return first_line(self.path, "--version").split("-")[0].removeprefix("ngIRCd ")

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Write ngircd.conf."""
        path = folder / "ngircd.conf"
        path.write_text(_CONFIGURATION.format(port=port, user="nobody"))
        folder.chmod(0o755)
        return [self.path, "-n", "-f", str(path)]
