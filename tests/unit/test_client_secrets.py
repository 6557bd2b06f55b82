"""The own password: when it is sent, when it is asked for, and when it cannot be."""

import pytest
from twisted.internet.defer import Deferred

from chatd.client.connection.events import Refused
from chatd.client.connection.secrets import (
    QUESTION,
    VARIABLE,
    BadSource,
    OwnPassword,
    given_password,
)


class Person:
    """Somebody who is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answer: Deferred[str] = Deferred()

    def ask_secret(self, *lines: str) -> Deferred[str]:
        self.asked.append(lines)
        self.answer = Deferred()
        return self.answer


def refused(code: str = "password-needed") -> Refused:
    return Refused(code, f"It is {code}.", False, None, None)


def test_without_a_refusal_nobody_is_asked() -> None:
    person = Person()
    own = OwnPassword("alice", private=True, asker=person)
    assert own.to_send() is None
    assert own.ready().called
    assert person.asked == []


def test_a_person_is_asked_until_there_is_an_answer_which_is_remembered() -> None:
    person = Person()
    own = OwnPassword("alice", private=True, asker=person)
    assert own.refused(refused()) is None
    assert own.wanted
    fired: list[None] = []
    _ = own.ready().addCallback(fired.append)
    for typed in ("", "secret"):
        assert fired == []
        person.answer.callback(typed)
    assert fired == [None]
    assert person.asked == [("It is password-needed.", QUESTION)] * 2
    assert not own.wanted
    assert own.to_send() == own.to_send() == "secret"


@pytest.mark.parametrize("code", ["wrong-password", "bad-password"])
def test_a_password_that_was_refused_is_asked_for_anew(code: str) -> None:
    person = Person()
    own = OwnPassword("alice", private=True, given="wrong", asker=person)
    assert own.to_send() == "wrong"
    assert own.refused(refused(code)) is None
    assert own.to_send() is None
    own.ready()
    assert person.asked == [(f"It is {code}.", QUESTION)]


def test_where_others_could_read_it_it_is_neither_sent_nor_asked_for() -> None:
    person = Person()
    own = OwnPassword("alice", private=False, given="secret", asker=person)
    assert own.to_send() is None
    assert own.refused(refused()) == (
        "alice needs a password, and others could read it on this connection:"
        " use chat --tls."
    )
    assert own.ready().called
    assert person.asked == []


def test_where_nobody_can_be_asked_a_line_says_what_to_do() -> None:
    why = OwnPassword("alice", private=True).refused(refused())
    assert why is not None
    assert VARIABLE in why
    assert "--password-file" in why
    own = OwnPassword("alice", private=True, given="wrong")
    assert own.refused(refused("wrong-password")) == (
        "alice cannot log in: It is wrong-password."
    )


def test_the_environment_has_it_for_nobody_else() -> None:
    environment = {VARIABLE: "secret", "HOME": "/"}
    assert given_password(None, environment) == "secret"
    assert environment == {"HOME": "/"}
    assert given_password(None, environment) is None
    assert given_password(None, {VARIABLE: ""}) is None


def test_what_is_no_text_is_no_password() -> None:
    with pytest.raises(BadSource, match="not UTF-8"):
        given_password(None, {VARIABLE: "\udcff"})
