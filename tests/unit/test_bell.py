"""The bell: once for a burst of messages, and never unasked."""

import pytest
from twisted.internet.task import Clock

from chatd.client.frontends.bell import QUIET_SECONDS, Bell


@pytest.mark.parametrize(
    ("pauses", "rings"),
    [
        ([0], 1),
        ([0, 0, 0, 0], 1),
        ([0, QUIET_SECONDS, QUIET_SECONDS], 3),
        ([0, *[0.9 * QUIET_SECONDS] * 100], 1),
        ([0, *[0.9 * QUIET_SECONDS] * 5, 2 * QUIET_SECONDS, 0], 2),
    ],
)
def test_it_rings_when_a_burst_of_messages_begins(
    pauses: list[float], rings: int
) -> None:
    clock, rung = Clock(), []
    bell = Bell(lambda: rung.append(clock.seconds()), clock.seconds)
    for pause in pauses:
        clock.advance(pause)
        bell.message_came()
    assert len(rung) == rings


def test_without_anything_to_ring_it_is_silent() -> None:
    Bell(None, Clock().seconds).message_came()
