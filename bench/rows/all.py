"""All rows, in the order in which the report has them."""

from collections.abc import Sequence

from rows.base import Row
from rows.latency import Latency, LatencyMore
from rows.routed import Routed, RoutedFew
from rows.turns import Turns


def all_rows() -> Sequence[Row]:
    """Return all rows."""
    return [Routed(), RoutedFew(), Turns(), Latency(), LatencyMore()]
