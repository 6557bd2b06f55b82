"""InspIRCd: an IRC server in C++."""

import os
from collections.abc import Sequence
from pathlib import Path

from peers.base import first_line
from peers.irc import IrcPeer

_CONFIGURATION = """\
<server name="irc.example.net" description="bench" network="bench">
<admin name="bench" nick="bench" email="bench@example.net">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect allow="*" timeout="60" pingfreq="1h" hardsendq="1G" softsendq="512M"
 recvq="64M" threshold="1000000" commandrate="1000000000" fakelag="no"
 localmax="100000" globalmax="100000" maxconnwarn="no" resolvehostnames="no"
 useident="no" limit="100000">
<performance softlimit="100000" somaxconn="4096" netbuffersize="65534">
<dns server="127.0.0.1" timeout="1">
<options defaultmodes="" modesinlist="opers">
<log method="file" type="* -USERINPUT -USEROUTPUT" level="default" target="{log}">
<pid file="{pid}">
"""


class Inspircd(IrcPeer):
    """InspIRCd without limits, name look-ups and identification."""

    name = "InspIRCd"
    program = "inspircd"
    at_once = 2000
    logs_in_slowly = True  # it lets people in once a second
    settings = (
        "hardsendq 1G, softsendq 512M, recvq 64M, commandrate 10^9, fakelag no,"
        " resolvehostnames no, useident no, netbuffersize 65534, somaxconn 4096"
    )

    def version(self) -> str:
        """Return its version."""
        words = first_line(self.path, "--version")
        return words.removeprefix("InspIRCd-").split("-")[0]

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Write inspircd.conf."""
        path = folder / "inspircd.conf"
        files = {"log": folder / "inspircd.log", "pid": folder / "inspircd.pid"}
        path.write_text(_CONFIGURATION.format(port=port, **files))
        as_root = ["--runasroot"] if os.geteuid() == 0 else []
        return [self.path, "--nofork", *as_root, "--config", str(path)]
