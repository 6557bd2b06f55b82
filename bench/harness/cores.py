"""Who runs on which core: the server on one, the generator on another."""

import os
from collections.abc import Callable


def server_core() -> int:
    """Return the core of whatever is measured."""
    return sorted(_usable)[0]


def pin_generator() -> bool:
    """Keep this process off the server's core; return whether there is another."""
    others = sorted(_usable)[1:]
    if others:
        os.sched_setaffinity(0, {others[-1]})
    return bool(others)


def pin_server() -> Callable[[], None]:
    """Return what a new process does before it becomes the server."""
    core = server_core()
    return lambda: os.sched_setaffinity(0, {core})


# Looked up once, before anything is pinned.
_usable = os.sched_getaffinity(0)
