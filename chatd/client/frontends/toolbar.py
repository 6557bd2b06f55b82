"""The line below the prompt: how the connection is, and what waits."""

import math
from collections.abc import Sequence

from chatd.client.frontends.frontend import Phase, Standing
from chatd.client.frontends.layout import Fragment, cells
from chatd.client.frontends.transcript import Signs, cut, name_style
from chatd.wire.display import neutralise

_GAP = "   "


def toolbar(
    standing: Standing,
    columns: int,
    signs: Signs,
    *,
    now: float,
    waiting: int = 0,
    destination: str = "",
    unread: Sequence[tuple[str, int]] = (),
    question: str = "",
) -> list[Fragment]:
    """Return the line, in as many columns as there are.

    `now` is in seconds of the clock of `Standing.next_attempt`; `destination` is to
    whom what is typed will go, and `unread` how many messages by whom. What matters
    most stands first, and what there is no room for is left out. A `question` takes the
    place of all that.
    """
    if question:
        return [("class:bar.question", cut(question, columns, signs))]
    parts = [_connection(standing, now, columns, signs)]
    if destination:
        arrow = ("class:bar", f"{signs.arrow} ")
        parts.append([arrow, (name_style(destination), neutralise(destination))])
    if waiting:
        parts.append([("class:bar.waiting", f"{waiting} waiting")])
    for name, count in unread:
        parts.append([(name_style(name), neutralise(name)), ("class:bar", f" {count}")])
    shown = parts[0]
    for part in parts[1:]:
        if _width(shown) + len(_GAP) + _width(part) > columns:
            break
        shown = [*shown, ("class:bar", _GAP), *part]
    return shown


def _connection(
    standing: Standing, now: float, columns: int, signs: Signs
) -> list[Fragment]:
    server = neutralise(standing.server)
    if standing.phase is Phase.CONNECTED:
        sign, text = ("class:bar.on", signs.dot), server
    else:
        sign, text = (
            ("class:bar.off", signs.circle),
            f"{server}, {_next(standing, now)}",
        )
    return [sign, ("class:bar", cut(f" {text}", columns - len(signs.dot), signs))]


def _next(standing: Standing, now: float) -> str:
    if standing.next_attempt is None:
        return "connecting"
    return f"again in {max(math.ceil(standing.next_attempt - now), 1)} s"


def _width(part: list[Fragment]) -> int:
    return sum(cells(text) for _, text in part)
