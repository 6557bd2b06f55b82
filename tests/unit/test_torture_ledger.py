"""The ledger of the torture: what it counts as broken, and what it lets pass."""

from collections.abc import Sequence

import pytest

from torture.judgement import KINDS, judge
from torture.ledger import (
    Acked,
    Confirmed,
    DaemonEnded,
    Delivered,
    Event,
    Goodbye,
    Joined,
    Key,
    Ledger,
    Received,
    Refused,
    Sent,
    SomeRefused,
    SomeStored,
    Stored,
    Trouble,
)
from torture.texts import origin_of, text_of


def key(number: int, stream: str = "a.1", target: str = "bob") -> Key:
    return Key(stream, number, target)


def sent(*numbers: int) -> list[Event]:
    return [Sent("a.1", key(number)) for number in numbers]


def stored(*numbers: int) -> list[Event]:
    return [Stored("a.1", key(number)) for number in numbers]


def delivered(*numbers: int) -> list[Event]:
    return [Delivered("a.1", key(number)) for number in numbers]


def joined(name: str, *, acks: bool = False) -> list[Event]:
    return [Joined(name, "bob", acks=acks)]


def received(name: str, *numbers: int) -> list[Event]:
    return [Received(name, key(number)) for number in numbers]


def confirmed(name: str, count: int) -> list[Event]:
    return [Confirmed(name, count)]


DIED: list[Event] = [DaemonEnded(clean=False)]
STOPPED: list[Event] = [DaemonEnded(clean=True)]
GOODBYE: list[Event] = [Goodbye("a.1", answered=True)]
LOOSE_GOODBYE: list[Event] = [Goodbye("a.1", answered=False)]


def counts(*parts: Sequence[Event], complete: bool = True) -> dict[str, int]:
    """Return how often each promise was broken, without those that never were."""
    ledger = Ledger()
    for part in parts:
        for event in part:
            ledger.add(event)
    verdict = judge(ledger, complete=complete)
    return {kind: verdict.count(kind) for kind in KINDS if verdict.count(kind)}


# Lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [stored(2), delivered(2), [*stored(2), *delivered(2)]])
def test_what_was_said_to_be_safe_and_never_came_is_lost(safe: list[Event]) -> None:
    history = [*sent(1, 2), *stored(1), *safe, *joined("b.1"), *received("b.1", 1)]
    assert counts(history) == {"lost": 1}


def test_what_has_no_answer_may_be_lost() -> None:
    assert counts(sent(1, 2), stored(1), DIED, joined("b.1"), received("b.1", 1)) == {}


def test_what_came_without_an_answer_is_no_mistake() -> None:
    assert counts(sent(1, 2), stored(1), joined("b.1"), received("b.1", 1, 2)) == {}


def test_it_does_not_matter_on_which_connection_it_came() -> None:
    history = [*sent(1, 2), *stored(1, 2), *joined("b.1"), *received("b.1", 1)]
    assert counts(history, DIED, joined("c.1"), received("c.1", 2)) == {}


def test_what_came_and_was_not_acked_has_to_come_again() -> None:
    history = [*sent(1, 2), *stored(1, 2), *joined("b.1", acks=True)]
    history += [*received("b.1", 1, 2), Acked("b.1", 1)]
    assert counts(history) == {"lost": 1}
    assert counts(history, joined("b.2"), received("b.2", 2)) == {}


def test_what_another_receiver_got_is_lost_to_the_one_it_was_for() -> None:
    other = [Joined("z.1", "zoe"), Received("z.1", key(1, target="zoe"))]
    history: list[Event] = [*sent(1), Sent("a.1", key(1, target="zoe")), *other]
    assert counts(history, stored(1)) == {"lost": 1}


def test_what_a_clients_history_calls_stored_must_come() -> None:
    said: list[Event] = [Stored("a.history", key(2)), *joined("b.1")]
    assert counts(sent(1, 2), said, received("b.1", 1)) == {"lost": 1}


def test_nothing_is_lost_in_a_round_that_was_given_up() -> None:
    assert counts(sent(1), stored(1), complete=False) == {}


# Answers that do not say which message they are about --------------------------------


def test_after_a_goodbye_everything_must_come_that_was_not_refused() -> None:
    history = [*sent(1, 2, 3), SomeRefused("a.1", "bob", "queue-full"), *LOOSE_GOODBYE]
    assert counts(history, joined("b.1"), received("b.1", 1)) == {"lost": 1}
    assert counts(history, joined("b.1"), received("b.1", 1, 2)) == {}


def test_more_than_was_not_refused_is_refused_but_seen() -> None:
    history = [*sent(1, 2), SomeRefused("a.1", "bob", "queue-full"), *LOOSE_GOODBYE]
    seen = [*joined("b.1"), *received("b.1", 1, 2)]
    assert counts(history, seen) == {"refused but seen": 1}


def test_without_a_goodbye_as_many_must_come_as_were_stored() -> None:
    history = [*sent(1, 2, 3), SomeStored("a.1", "bob"), SomeStored("a.1", "bob")]
    assert counts(history, joined("b.1"), received("b.1", 3)) == {"lost": 1}
    assert counts(history, joined("b.1"), received("b.1", 1, 2)) == {}


def test_what_is_safe_for_two_reasons_is_accepted_once() -> None:
    ledger = Ledger()
    history: list[Event] = [Stored("a.history", key(1)), Stored("a.history", key(2))]
    for event in (*sent(1, 2, 3), *LOOSE_GOODBYE, *history):
        ledger.add(event)
    assert judge(ledger).accepted == 3


# Doubled ----------------------------------------------------------------------------


def test_twice_on_one_connection_is_doubled() -> None:
    history = [*sent(1, 2), *joined("b.1"), *received("b.1", 1, 2, 1, 1)]
    assert counts(history) == {"doubled": 2}


def test_twice_in_a_history_is_doubled() -> None:
    kept = [Joined("b.history", "bob", history=True), *received("b.history", 1, 1)]
    assert counts(sent(1), kept) == {"doubled": 1}


def test_on_two_connections_at_once_is_allowed() -> None:
    history = [*sent(1), *joined("b.1"), *joined("c.1")]
    history += [*received("b.1", 1), *confirmed("b.1", 1), *received("c.1", 1)]
    assert counts(history) == {}


def test_again_after_the_daemon_knew_of_its_arrival_is_doubled() -> None:
    history = [*sent(1, 2), *joined("b.1"), *received("b.1", 1, 2)]
    again = [*joined("b.2"), *received("b.2", 2)]
    assert counts(history, confirmed("b.1", 1), again) == {}
    assert counts(history, confirmed("b.1", 2), again) == {"doubled": 1}
    assert counts(history, confirmed("b.1", 2), STOPPED, again) == {"doubled": 1}


def test_again_after_the_daemon_died_is_allowed() -> None:
    history = [*sent(1), *joined("b.1"), *received("b.1", 1), *confirmed("b.1", 1)]
    again = [*joined("b.2"), *received("b.2", 1)]
    assert counts(history, DIED, again) == {}
    assert counts(history, STOPPED, DIED, again) == {}


def test_a_confirmation_that_was_read_after_the_death_proves_nothing() -> None:
    history = [*sent(1), *joined("b.1"), *received("b.1", 1), *DIED]
    late = [*confirmed("b.1", 1), *joined("b.2"), *received("b.2", 1)]
    assert counts(history, late) == {}


def test_a_later_daemon_may_not_know_what_was_never_stored() -> None:
    history = [*sent(1), *joined("b.1"), *received("b.1", 1), *confirmed("b.1", 1)]
    anew: list[Event] = [Sent("a.2", key(1)), *joined("b.2"), *received("b.2", 1)]
    assert counts(history, STOPPED, anew) == {}
    assert counts(history, anew) == {"doubled": 1}
    assert counts(stored(1), history, STOPPED, anew) == {"doubled": 1}


# Out of order -----------------------------------------------------------------------


def test_a_swap_is_disordered() -> None:
    history = [*sent(1, 2, 3), *joined("b.1"), *received("b.1", 1, 3, 2)]
    assert counts(history) == {"disordered": 1}


def test_gaps_are_not_disordered() -> None:
    history = [*sent(1, 2, 3, 4), *joined("b.1"), *received("b.1", 1, 4)]
    assert counts(history) == {}


def test_streams_are_in_no_order_to_each_other() -> None:
    other = key(1, stream="z.1")
    history: list[Event] = [*sent(1, 2), Sent("z.1", other), *joined("b.1")]
    history += [*received("b.1", 1, 2), Received("b.1", other)]
    assert counts(history) == {}


def test_a_swap_among_what_comes_again_is_disordered() -> None:
    history = [*sent(1, 2), *joined("b.1"), *received("b.1", 1, 2), *DIED]
    assert counts(history, joined("b.2"), received("b.2", 2, 1)) == {"disordered": 1}


def test_what_a_later_daemon_had_to_take_for_new_has_no_place_in_the_order() -> None:
    history = [*sent(1, 2), *joined("b.1"), *received("b.1", 1, 2), *DIED]
    anew: list[Event] = [Sent("a.2", key(1)), *joined("b.2"), *received("b.2", 2, 1)]
    assert counts(history, anew) == {}


# Refused but seen, unanswered, contradicted ------------------------------------------


def test_what_was_refused_and_came_is_counted() -> None:
    refused: list[Event] = [Refused("a.1", key(2), "queue-full"), *joined("b.1")]
    history = [*sent(1, 2), *stored(1), *refused]
    assert counts(history, received("b.1", 1, 2)) == {"refused but seen": 1}
    assert counts(history, received("b.1", 1)) == {}


def test_what_was_refused_and_taken_later_may_come() -> None:
    history = [*sent(1), Refused("a.1", key(1), "queue-full"), *sent(1), *stored(1)]
    assert counts(history, joined("b.1"), received("b.1", 1)) == {}


def test_a_refusal_may_follow_an_answer_that_died_with_an_earlier_daemon() -> None:
    seen = [*joined("b.1"), *received("b.1", 1)]
    refused: list[Event] = [Sent("a.2", key(1)), Refused("a.2", key(1), "queue-full")]
    assert counts(sent(1), seen, DIED, refused) == {}
    assert counts(sent(1), seen, refused) == {"refused but seen": 1}


def test_a_message_without_an_answer_at_the_goodbye_is_unanswered() -> None:
    seen = [*joined("b.1"), *received("b.1", 1, 2)]
    assert counts(sent(1, 2), stored(1), GOODBYE, seen) == {"unanswered": 1}
    assert counts(sent(1, 2), stored(1, 2), GOODBYE, seen) == {}


def test_each_of_two_sends_has_an_answer() -> None:
    seen = [*joined("b.1"), *received("b.1", 1)]
    assert counts(sent(1, 1), stored(1), GOODBYE, seen) == {"unanswered": 1}
    assert counts(sent(1, 1), stored(1, 1), GOODBYE, seen) == {}


@pytest.mark.parametrize(
    "answers",
    [
        [*stored(1), *stored(1)],
        [*delivered(1), *delivered(1)],
        [*delivered(1), *stored(1)],
        [*stored(1), Refused("a.1", key(1), "queue-full")],
    ],
)
def test_an_answer_too_many_is_trouble(answers: list[Event]) -> None:
    seen = [*joined("b.1"), *received("b.1", 1)]
    assert counts(sent(1), answers, seen) == {"trouble": 1}


def test_a_refusal_of_what_was_stored_before_is_trouble() -> None:
    seen = [*joined("b.1"), *received("b.1", 1)]
    refused: list[Event] = [Sent("a.2", key(1)), Refused("a.2", key(1), "queue-full")]
    assert counts(sent(1), stored(1), DIED, refused, seen) == {"trouble": 1}
    assert counts(sent(1), delivered(1), refused, seen) == {"trouble": 1}
    assert counts(sent(1), delivered(1), DIED, refused, seen) == {}


def test_what_nobody_sent_is_trouble() -> None:
    assert counts(joined("b.1"), received("b.1", 1)) == {"trouble": 1}


def test_trouble_that_was_seen_is_counted() -> None:
    assert counts([Trouble("a traceback"), Trouble("another")]) == {"trouble": 2}


# Texts ------------------------------------------------------------------------------


def test_a_text_says_what_it_is() -> None:
    assert origin_of(text_of("a.1", 17, 0)) == ("a.1", 17)
    assert origin_of(text_of("a.1", 17, 300)) == ("a.1", 17)


def test_a_text_that_was_changed_is_none() -> None:
    text = text_of("a.1", 17, 300)
    assert origin_of(text[:-1]) is None
    assert origin_of(f"{text}.") is None
    assert origin_of(f" {text}") is None
