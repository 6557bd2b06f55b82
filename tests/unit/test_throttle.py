"""How long those wait who guess."""

from chatd.throttle import FORGET_SECONDS, FREE, MOST_KEYS, Attempts


def test_mistyping_costs_nothing_and_guessing_more_each_time() -> None:
    attempts = Attempts(longest=10)
    waits = [attempts.begin("alice", 0) for _ in range(FREE + 6)]
    assert waits == [0] * FREE + [1, 2, 4, 8, 10, 10]


def test_each_name_has_its_own_count() -> None:
    attempts = Attempts(longest=10)
    for _ in range(FREE + 3):
        attempts.begin("alice", 0)
    assert attempts.begin("bob", 0) == 0


def test_the_right_one_ends_the_wait() -> None:
    attempts = Attempts(longest=10)
    for _ in range(FREE + 3):
        attempts.begin("alice", 0)
    attempts.succeeded("alice")
    attempts.succeeded("bob")
    assert attempts.begin("alice", 0) == 0


def test_one_that_was_right_takes_back_no_other() -> None:
    attempts = Attempts(longest=10)
    for _ in range(20):
        attempts.begin("192.0.2.1", 0)
        attempts.withdraw("192.0.2.1")
    assert attempts.begin("192.0.2.1", 0) == 0
    for _ in range(FREE):
        attempts.begin("192.0.2.1", 0)
        attempts.begin("192.0.2.1", 0)
        attempts.withdraw("192.0.2.1")
    attempts.withdraw("192.0.2.77")
    assert attempts.begin("192.0.2.1", 0) > 0


def test_failures_are_forgotten_though_others_log_in_all_the_time() -> None:
    attempts = Attempts(longest=10)
    for _ in range(FREE + 3):
        attempts.begin("192.0.2.1", 0)
    for second in range(0, int(FORGET_SECONDS), 60):
        attempts.begin("192.0.2.1", second)
        attempts.withdraw("192.0.2.1")
    assert attempts.begin("192.0.2.1", FORGET_SECONDS) == 0


def test_failures_are_forgotten_after_a_while_without_any() -> None:
    attempts = Attempts(longest=10)
    for second in range(FREE + 3):
        attempts.begin("alice", second)
    assert attempts.begin("alice", FORGET_SECONDS) > 0
    assert attempts.begin("alice", 2 * FORGET_SECONDS) == 0


def test_the_wait_stays_within_its_bound_however_often_somebody_tries() -> None:
    attempts = Attempts(longest=30)
    for _ in range(5_000):
        assert attempts.begin("alice", 0) <= 30


def test_memory_does_not_grow_with_the_names_that_are_tried() -> None:
    attempts = Attempts(longest=10)
    for number in range(MOST_KEYS + 100):
        attempts.begin(f"name{number}", 0)
    assert len(attempts._attempts) == MOST_KEYS
