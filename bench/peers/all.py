"""All servers, in the order in which the report has them."""

from collections.abc import Sequence

from peers.base import Peer
from peers.chatd import Chatd
from peers.chatd_json import ChatdJson
from peers.inspircd import Inspircd
from peers.line_receiver import StockLineReceiver
from peers.mosquitto import AcknowledgedMosquitto, Mosquitto
from peers.ngircd import Ngircd
from peers.prosody import Prosody
from peers.raw_copy import RawCopy
from peers.words import Words


def all_peers() -> Sequence[Peer]:
    """Return all, also those whose program is missing."""
    return [
        Chatd(),
        ChatdJson(),
        StockLineReceiver(),
        Ngircd(),
        Inspircd(),
        Mosquitto(),
        AcknowledgedMosquitto(),
        Prosody(),
        Words(),
        RawCopy(),
    ]
