"""Answers come in the order of the requests, however late each is known."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from chatd.server.answers import Answers, Slot


class Page:
    """What was written, and the answers that write it."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.answers = Answers(self)

    @property
    def written(self) -> list[str]:
        return [line for write in self.writes for line in write]

    def write_answers(self, lines: list[str]) -> None:
        self.writes.append(lines)

    def answers_held(self, held: int) -> None:
        pass

    def all_given(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.answers.all_given())


def is_done(deferred: Deferred[None]) -> bool:
    return deferred.called


def test_an_answer_that_is_known_is_written_at_once() -> None:
    page = Page()
    page.answers.say("a")
    page.answers.slot().resolve("b")
    assert page.written == ["a", "b"]


def test_a_late_answer_holds_back_those_after_it() -> None:
    page = Page()
    first, second = page.answers.slot(), page.answers.slot()
    page.answers.say("third")
    second.resolve("second")
    assert page.written == []
    first.resolve("first")
    assert page.written == ["first", "second", "third"]


def test_an_answer_may_have_several_lines_or_none() -> None:
    page = Page()
    first, second = page.answers.slot(), page.answers.slot()
    second.resolve("a", "b")
    first.resolve()
    assert page.written == ["a", "b"]


def test_only_the_first_answer_to_a_request_counts() -> None:
    page = Page()
    slot = page.answers.slot()
    slot.resolve("Delivered to bob.")
    slot.resolve("Stored for bob.")
    assert page.written == ["Delivered to bob."]


def test_a_second_answer_to_a_request_that_still_waits_does_not_count_either() -> None:
    page = Page()
    first, second = page.answers.slot(), page.answers.slot()
    second.resolve("once")
    second.resolve("twice")
    first.resolve()
    assert page.written == ["once"]


def test_answers_that_become_known_together_are_written_together() -> None:
    page = Page()
    first, second = page.answers.slot(), page.answers.slot()
    second.resolve("b")
    first.resolve("a")
    assert page.writes == [["a", "b"]]


def test_nothing_is_written_for_answers_without_lines() -> None:
    page = Page()
    page.answers.slot().resolve()
    assert page.writes == []


def test_all_are_given_where_none_was_asked_for() -> None:
    assert is_done(Page().all_given())


def test_all_are_given_once_the_last_of_them_is() -> None:
    page = Page()
    first, second = page.answers.slot(), page.answers.slot()
    done = page.all_given()
    first.resolve("a")
    assert not is_done(done)
    second.resolve("b")
    assert is_done(done)


def test_all_are_given_only_when_those_before_the_last_are_too() -> None:
    page = Page()
    first, second, third = (page.answers.slot() for _ in range(3))
    third.resolve("c")
    done = page.all_given()
    first.resolve("a")
    assert not is_done(done)
    second.resolve("b")
    assert is_done(done)
    assert page.written == ["a", "b", "c"]


def test_answers_asked_for_later_are_not_waited_for() -> None:
    page = Page()
    first = page.answers.slot()
    done = page.all_given()
    page.answers.slot()
    first.resolve("a")
    assert is_done(done)


def test_what_is_said_when_all_are_given_comes_after_them() -> None:
    page = Page()
    slot = page.answers.slot()
    page.all_given().addCallback(lambda _: page.answers.say("Goodbye."))
    slot.resolve("stored")
    assert page.written == ["stored", "Goodbye."]


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=4))
def test_whatever_order_answers_come_in_they_go_out_in_order(
    order: list[int], marks: list[int]
) -> None:
    """And whoever waits for the answers so far is told with exactly those written."""
    page = Page()
    slots: list[Slot] = []
    told: list[tuple[int, list[str]]] = []
    for number in range(8):
        slots.append(page.answers.slot())
        if number in marks:
            page.all_given().addCallback(
                lambda _, number=number: told.append((number, list(page.written)))
            )
    for number in order:
        slots[number].resolve(str(number))
        assert page.written == [str(each) for each in range(len(page.written))]
    assert page.written == [str(each) for each in range(8)]
    assert [number for number, _ in told] == sorted(set(marks))
    for number, written in told:
        assert str(number) in written
