"""The row below the prompt."""

import pytest

from chatd.client.frontends.frontend import Phase, Standing
from chatd.client.frontends.toolbar import toolbar
from chatd.client.frontends.transcript import ASCII, UNICODE, name_style

ON = Standing(Phase.CONNECTED, "host:5555")
OFF = Standing(Phase.PAUSING, "host:5555", next_attempt=107.0)


def text(standing: Standing, columns: int = 79, **fields: object) -> str:
    signs = fields.pop("signs", UNICODE)
    shown = toolbar(standing, columns, signs, **({"now": 100.0} | fields))  # type: ignore[arg-type]
    return "".join(each for _, each in shown)


def test_it_tells_of_the_connection() -> None:
    assert text(ON) == "● host:5555"
    assert text(ON, signs=ASCII) == "* host:5555"
    assert text(Standing(Phase.CONNECTING, "host:5555")) == "○ host:5555, connecting"


@pytest.mark.parametrize(
    ("now", "seconds"), [(100.0, 7), (100.1, 7), (106.1, 1), (107.0, 1), (120.0, 1)]
)
def test_it_counts_down_to_the_next_attempt(now: float, seconds: int) -> None:
    assert text(OFF, now=now) == f"○ host:5555, again in {seconds} s"


def test_it_tells_to_whom_it_goes_what_waits_and_what_is_unread() -> None:
    unread = [("carol", 2), ("dora", 1)]
    shown = text(ON, destination="bob", waiting=3, unread=unread)
    assert shown == "● host:5555   → bob   3 waiting   carol 2   dora 1"


def test_names_have_their_colours() -> None:
    shown = toolbar(ON, 79, UNICODE, now=0, destination="bob", unread=[("carol", 2)])
    assert (name_style("bob"), "bob") in shown
    assert (name_style("carol"), "carol") in shown


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (50, "● host:5555   → bob   3 waiting   carol 2   dora 1"),
        (49, "● host:5555   → bob   3 waiting   carol 2"),
        (33, "● host:5555   → bob   3 waiting"),
        (25, "● host:5555   → bob"),
        (18, "● host:5555"),
        (9, "● host:5…"),
        (2, "●…"),
    ],
)
def test_what_there_is_no_room_for_is_left_out(columns: int, shown: str) -> None:
    unread = [("carol", 2), ("dora", 1)]
    fields = {"destination": "bob", "waiting": 3, "unread": unread}
    assert text(ON, columns, **fields) == shown


def test_control_characters_go_nowhere() -> None:
    shown = text(ON, destination="b\x1bob", unread=[("c\x07arol", 1)])
    assert shown == "● host:5555   → b\ufffdob   c\ufffdarol 1"
