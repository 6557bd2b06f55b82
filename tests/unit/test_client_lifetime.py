"""How long a run of the client goes on, and with which status it ends."""

import pytest
from twisted.internet.task import Clock

from chatd.client.statuses import Status
from chatd.client.talk.lifetime import Lifetime

TIMEOUT = 30.0


class Run:
    """A lifetime, and both what it knows of and whom it asks."""

    def __init__(self, *, interactive: bool) -> None:
        self.left = 0
        self.stuck = False
        self.told: list[str] = []
        self.clock = Clock()
        self.life = Lifetime(
            self, self.clock, self, interactive=interactive, timeout=TIMEOUT
        )
        self.life.wait_for_server()

    def __len__(self) -> int:
        return self.left

    def take_leave(self) -> None:
        self.told.append("leave")

    def timed_out(self) -> None:
        self.told.append("timed out")

    def wind_up(self) -> None:
        self.told.append("end")

    def status(self) -> int | None:
        return getattr(self.life.status, "result", None)


@pytest.mark.parametrize("interactive", [False, True])
def test_the_first_login_is_waited_for_as_long_as_the_timeout_says(
    interactive: bool,
) -> None:
    run = Run(interactive=interactive)
    run.clock.advance(TIMEOUT - 1)
    assert run.status() is None
    run.clock.advance(1)
    assert run.told == ["timed out", "end"]
    assert run.status() == Status.UNREACHABLE


@pytest.mark.parametrize(("interactive", "ends"), [(False, True), (True, False)])
def test_only_a_person_waits_for_a_lost_server_without_end(
    interactive: bool, ends: bool
) -> None:
    run = Run(interactive=interactive)
    run.life.connected()
    run.clock.advance(TIMEOUT)
    assert run.told == []
    run.life.lost()
    run.clock.advance(TIMEOUT)
    assert run.life.over == ends


@pytest.mark.parametrize(
    ("interactive", "been_online", "left", "status"),
    [
        (True, False, 0, Status.UNREACHABLE),
        (True, True, 0, Status.OK),
        (True, True, 1, Status.UNREACHABLE),
        (False, False, 0, None),
        (False, True, 0, Status.OK),
        (False, True, 1, None),
    ],
)
def test_who_leaves_without_a_connection_ends_or_waits_for_one(
    interactive: bool, been_online: bool, left: int, status: Status | None
) -> None:
    run = Run(interactive=interactive)
    if been_online:
        run.life.connected()
        run.life.lost()
    run.left = left
    run.life.leave()
    assert run.status() == status
    assert not run.life.open


def test_a_pipe_that_leaves_gives_up_what_is_refused_for_long() -> None:
    run = Run(interactive=False)
    run.life.connected()
    run.left, run.stuck = 1, True
    run.life.leave()
    run.clock.advance(TIMEOUT / 2)
    run.life.leave_if_done()
    run.clock.advance(TIMEOUT / 2)
    assert run.told == ["leave"]
    run.life.lost()
    assert run.status() == Status.UNREACHABLE


def test_a_person_who_leaves_waits_for_answers_but_not_for_what_is_stuck() -> None:
    run = Run(interactive=True)
    run.life.connected()
    run.left = 2
    run.life.leave()
    assert run.told == []
    run.left, run.stuck = 1, True
    run.life.leave_if_done()
    assert run.told == ["leave"]
    run.life.goodbye()
    assert run.status() == Status.NOT_ACCEPTED


def test_a_goodbye_ends_only_what_leaves() -> None:
    run = Run(interactive=False)
    run.life.connected()
    run.life.goodbye()
    assert run.status() is None
    run.life.leave()
    run.life.goodbye()
    assert run.status() == Status.OK


def test_it_ends_once_and_leaves_nothing_behind() -> None:
    run = Run(interactive=False)
    run.life.end(143)
    run.life.end(130)
    assert run.told == ["end"]
    assert run.status() == 143
    assert not run.clock.getDelayedCalls()
