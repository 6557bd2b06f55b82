"""Questions to a person: what answers, and what waits meanwhile."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from chatd.client.frontends.frontend import Line
from chatd.client.statuses import Status
from chatd.client.talk.lifetime import Lifetime
from chatd.client.talk.output import Output
from chatd.client.talk.questions import LONGEST_SECRET, Questions

TIMEOUT = 30.0


class Person:
    """Somebody at a terminal, and a client that waits for its server."""

    def __init__(self, *, interactive: bool = True) -> None:
        self.shown: list[str] = []
        self.hidden = False
        self.clock = Clock()
        self.life = Lifetime(
            self,  # type: ignore[arg-type]
            self.clock,
            self,
            interactive=interactive,
            timeout=TIMEOUT,
        )
        self.life.wait_for_server()
        self.questions = Questions(
            Output(self, interactive=interactive),  # type: ignore[arg-type]
            self.life,
        )

    def show(self, line: Line) -> None:
        self.shown.append(line.text)

    def hide_input(self, hidden: bool) -> None:
        self.hidden = hidden
        self.shown.append("hidden" if hidden else "not hidden")

    def __len__(self) -> int:
        return 0

    def take_leave(self) -> None:
        raise AssertionError

    def timed_out(self) -> None:
        self.shown.append("timed out")

    def wind_up(self) -> None:
        pass


def ask(person: Person) -> list[bool]:
    answers: list[bool] = []
    _ = person.questions.ask("This is so.", "Is it?").addCallback(answers.append)
    assert person.shown == ["This is so.", "Is it?"]
    person.shown.clear()
    return answers


def test_the_next_line_answers() -> None:
    for typed, answer in (("yes", True), (" YES ", True), ("no", False)):
        person = Person()
        answers = ask(person)
        assert person.questions.take(typed)
        assert answers == [answer]
        assert not person.questions.take(typed)


def test_anything_else_is_asked_again_and_goes_nowhere() -> None:
    person = Person()
    answers = ask(person)
    for typed in ("", "y", "bob-yes", "/quit"):
        assert person.questions.take(typed)
    assert answers == []
    assert person.shown == ["Please type yes or no."] * 4


def test_a_line_without_a_question_is_no_answer() -> None:
    assert not Person().questions.take("yes")


def test_a_person_has_all_the_time_they_need_and_the_server_not() -> None:
    person = Person()
    ask(person)
    person.clock.advance(100 * TIMEOUT)
    assert not person.life.over
    person.questions.take("yes")
    person.clock.advance(TIMEOUT - 1)
    assert not person.life.over
    person.clock.advance(1)
    assert person.shown == ["timed out"]


def test_who_was_connected_before_still_waits_without_end() -> None:
    person = Person()
    person.life.connected()
    person.life.lost()
    ask(person)
    person.questions.take("yes")
    assert not person.clock.getDelayedCalls()


def test_who_leaves_is_not_asked_any_more() -> None:
    person = Person()
    asked: Deferred[bool] = person.questions.ask("Is it?")
    errors: list[object] = []
    _ = asked.addErrback(lambda failure: errors.append(failure.type))
    person.life.end(Status.OK)
    asked.cancel()
    assert errors == [CancelledError]
    assert not person.questions.take("yes")
    assert not person.clock.getDelayedCalls()


# Secrets -----------------------------------------------------------------------------


def test_a_secret_is_hidden_before_it_is_asked_for_and_until_it_is_there() -> None:
    person = Person()
    answers: list[str] = []
    _ = person.questions.ask_secret("Password:").addCallback(answers.append)
    assert person.shown == ["hidden", "Password:"]
    assert person.questions.take(" bob-yes ")
    assert answers == [" bob-yes "]
    assert person.shown == ["hidden", "Password:", "not hidden"]
    assert not person.questions.take("bob-Hi")


def test_what_can_be_no_password_is_asked_for_again() -> None:
    person = Person()
    asked = person.questions.ask_secret("Password:")
    for typed in ("x" * (LONGEST_SECRET + 1), "\udcff"):
        assert person.questions.take(typed)
    assert not asked.called
    assert person.hidden
    assert person.questions.take("x" * LONGEST_SECRET)
    assert asked.called


def test_questions_wait_for_one_another() -> None:
    person = Person()
    first = person.questions.ask_secret("Password:")
    second = person.questions.ask("Is it?")
    third = person.questions.ask("Sure?")
    third.addErrback(lambda failure: failure.trap(CancelledError) and None)
    third.cancel()
    assert person.shown == ["hidden", "Password:"]
    person.clock.advance(100 * TIMEOUT)
    person.questions.take("secret")
    assert person.shown[2:] == ["not hidden", "Is it?"]
    assert first.called
    assert not second.called
    person.clock.advance(100 * TIMEOUT)
    assert not person.life.over
    person.questions.take("yes")
    assert second.called
    assert not person.questions.take("yes")
    person.clock.advance(TIMEOUT)
    assert person.life.over


def test_a_secret_that_is_not_wanted_any_more_hides_nothing() -> None:
    person = Person()
    asked = person.questions.ask_secret("Password:")
    asked.addErrback(lambda failure: failure.trap(CancelledError) and None)
    asked.cancel()
    assert not person.hidden
    assert not person.questions.take("secret")
