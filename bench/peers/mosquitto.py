"""Mosquitto: an MQTT broker in C."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.connection import Connection, connect
from peers import mqtt
from peers.base import Peer, StoringPeer, first_line

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
max_connections -1
set_tcp_nodelay true
log_dest stderr
log_type error
user root
"""


class Mosquitto(Peer):
    """Mosquitto in memory, without limits; a user is a topic, QoS 0."""

    name = "Mosquitto QoS 0"
    program = "mosquitto"
    settings = (
        "persistence false, max_inflight_messages 0, max_queued_messages 0,"
        " set_tcp_nodelay true; a topic each receiver"
    )
    quality: ClassVar[int] = 0
    logged_in = (mqtt.subscribed(0), mqtt.subscribed(1))

    def version(self) -> str:
        """Return its version."""
        return first_line(self.path, "-h").removeprefix("mosquitto version ")

    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Write mosquitto.conf."""
        path = folder / "mosquitto.conf"
        path.write_text(_CONFIGURATION.format(port=port))
        return [self.path, "-c", str(path)]

    def hello(self, name: str) -> bytes:
        """Connect, and subscribe to one's own topic."""
        return mqtt.connect(name, clean=True) + mqtt.subscribe(name, self.quality)

    def finish(self, connection: Connection, name: str) -> None:
        """Wait until that is done."""
        connection.read_until(mqtt.CONNECTED + mqtt.subscribed(self.quality))

    def log_in_to_send(self, connection: Connection, name: str) -> None:
        """Connect."""
        connection.write(mqtt.connect(name, clean=True))
        connection.read_until(mqtt.CONNECTED)

    def message(self, sender: str, target: str, text: bytes, number: int) -> bytes:
        """Return a PUBLISH packet."""
        return mqtt.publish(target, text, self.quality, number)


class AcknowledgedMosquitto(Mosquitto, StoringPeer):
    """Mosquitto with QoS 1: each message is acknowledged on both sides."""

    name = "Mosquitto QoS 1"
    quality = 1
    stores = "in memory"
    can = frozenset({"route acknowledged", "acknowledged", "store"})
    greeting_bytes = len(mqtt.CONNECTED_AGAIN)

    def acknowledge(self, inbox: Connection, before: int, after: int) -> bytes:
        """Return PUBACK for each message."""
        skip, size = inbox.skip, inbox.size
        packets = inbox.inbox[skip + before * size : skip + after * size]
        return mqtt.acknowledge(packets, size, len("r00000"))

    def make_known(self, port: int, name: str) -> None:
        """Subscribe in a session that stays."""
        connection = connect(port)
        connection.write(mqtt.connect(name, clean=False))
        connection.read_until(mqtt.CONNECTED)
        connection.write(mqtt.subscribe(name, 1))
        connection.read_until(mqtt.subscribed(1))
        connection.write(mqtt.DISCONNECT)
        connection.close()

    def come_back(self, name: str) -> bytes:
        """Connect to the session; it is subscribed."""
        return mqtt.connect(name, clean=False)
