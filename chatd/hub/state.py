"""The states of a delivery."""

from enum import Enum, auto


class State(Enum):
    """Where a delivery stands."""

    NEW = auto()
    WAITING = auto()
    CATCHING_UP = auto()
    LIVE = auto()
    CLOSED = auto()
