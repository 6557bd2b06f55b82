"""All rows, in the order in which the report has them."""

from collections.abc import Sequence

from rows.acknowledged import Acknowledged
from rows.base import Row
from rows.growth import Connections, Queue, Users
from rows.history import Keeping, Searches
from rows.latency import Latency, LatencyMore, TurnsAtAPace
from rows.people import Idle, Logins, Start
from rows.routed import Routed, RoutedFew
from rows.stall import Stall
from rows.storing import Accepted, AcceptedJson, Answered, Drain
from rows.turns import Turns


def all_rows() -> Sequence[Row]:
    """Return all rows."""
    return [
        Routed(),
        RoutedFew(),
        Turns(),
        TurnsAtAPace(),
        Latency(),
        LatencyMore(),
        Accepted(),
        Answered(),
        Drain(),
        Acknowledged(),
        AcceptedJson(),
        Idle(),
        Logins(),
        Start(),
        Stall(),
        Connections(),
        Users(),
        Queue(),
        Searches(),
        Keeping(),
    ]
