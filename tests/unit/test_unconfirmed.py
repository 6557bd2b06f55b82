"""What was written and not confirmed: exact, in any course of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.hub.unconfirmed import Unconfirmed


def filled(count: int) -> Unconfirmed:
    """Return messages with marks 10, 20, ..., positions 1, 3, ... and weight 2."""
    unconfirmed = Unconfirmed()
    for number in range(count):
        unconfirmed.add(10 * (number + 1), 2 * number + 1, 2)
    return unconfirmed


def test_a_mark_confirms_every_message_up_to_it_and_no_other() -> None:
    unconfirmed = filled(3)
    assert unconfirmed.confirm(9) == 0
    assert unconfirmed.confirm(29) == 3
    assert (len(unconfirmed), unconfirmed.weight) == (1, 2)
    assert unconfirmed.confirm(29) == 0
    assert unconfirmed.confirm(30) == 5
    assert (len(unconfirmed), unconfirmed.weight) == (0, 0)


def test_what_another_connection_has_is_forgotten_and_later_marks_still_count() -> None:
    unconfirmed = filled(3)
    unconfirmed.forget(4)
    assert (len(unconfirmed), unconfirmed.weight) == (1, 2)
    assert unconfirmed.confirm(20) == 0
    assert unconfirmed.confirm(30) == 5


@pytest.mark.unmeasured
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 5000)), max_size=12))
def test_any_course_of_writing_and_confirming_gives_what_a_list_would(
    steps: list[tuple[int, int]],
) -> None:
    unconfirmed, expected, mark = Unconfirmed(), [], 0
    for written, confirmed in steps:
        for _ in range(written):
            mark += 2
            unconfirmed.add(mark, mark + 1, mark % 7)
            expected.append((mark, mark + 1, mark % 7))
        upto = confirmed * 2
        gone = [each for each in expected if each[0] <= upto]
        expected = expected[len(gone) :]
        assert unconfirmed.confirm(upto) == (gone[-1][1] if gone else 0)
        assert len(unconfirmed) == len(expected)
        assert unconfirmed.weight == sum(each[2] for each in expected)
