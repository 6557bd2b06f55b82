"""What may be a password, how it is kept, and how many wait for that."""

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from twisted.internet.defer import Deferred, maybeDeferred

from chatd import passwords
from chatd.passwords import (
    MAX_BYTES,
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    MOST_WAITING,
    BadPassword,
    Hasher,
    Verdict,
    encode,
    prepare,
)
from chatd.wire.answers import Refusal

GOOD = "correct horse battery"


def result(of: "Deferred[Any]") -> Any:
    results: list[Any] = []
    of.addCallback(results.append)
    (found,) = results
    return found


@pytest.fixture
def hasher() -> Hasher:
    return Hasher(maybeDeferred)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "good", ["x" * MIN_CHARACTERS, "x" * MAX_CHARACTERS, GOOD, "Ünïcödé 密码 пароль"]
)
def test_a_password_has_characters_of_any_script(good: str) -> None:
    assert prepare(good) == good


def test_a_password_is_the_same_however_its_accents_and_spaces_were_typed() -> None:
    assert prepare("cafe\u0301 au\u3000lait, deux") == "caf\u00e9 au lait, deux"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "has 15 to 128 characters; this has 0"),
        ("x" * (MIN_CHARACTERS - 1), "this has 14"),
        ("x" * (MAX_CHARACTERS + 1), "this has 129"),
        ("x" * (MAX_BYTES + 1), "at most 128 characters"),
        (f"{GOOD}\t", "no control characters"),
        (f"{GOOD}\x1b[2J", "no control characters"),
    ],
)
def test_what_is_no_password_gets_its_reason(bad: str, why: str) -> None:
    with pytest.raises(BadPassword, match=why):
        prepare(bad)


def test_what_is_kept_has_no_password_in_it_and_differs_each_time() -> None:
    first, second = encode(GOOD), encode(GOOD)
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "horse" not in first


def test_only_the_right_password_is_right(hasher: Hasher) -> None:
    encoded = encode(GOOD)
    assert result(hasher.verify(encoded, GOOD)) == Verdict(True)
    for wrong in ("", GOOD.upper(), GOOD + "x", "\x00" * 20):
        assert result(hasher.verify(encoded, wrong)) == Verdict(False)


@pytest.mark.parametrize("encoded", [None, "", "plain", "$argon2id$v=19$broken"])
def test_where_there_is_no_hash_nothing_is_right(
    hasher: Hasher, encoded: str | None
) -> None:
    assert result(hasher.verify(encoded, GOOD)) == Verdict(False)


def test_nobodys_hash_costs_what_a_real_one_does() -> None:
    # Else how long an answer takes would tell whether a name has a password.
    assert passwords._NOBODYS.split("$")[:4] == encode(GOOD).split("$")[:4]
    assert not passwords._argon2().check_needs_rehash(passwords._NOBODYS)


def test_a_hash_with_weaker_parameters_is_replaced_when_its_password_is_known(
    hasher: Hasher,
) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(GOOD)
    verdict = result(hasher.verify(weak, GOOD))
    assert verdict.right
    assert verdict.better.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert result(hasher.verify(verdict.better, GOOD)) == Verdict(True)
    assert result(hasher.verify(weak, "wrong" * 5)) == Verdict(False)


def test_so_many_wait_for_a_thread_and_no_more() -> None:
    waiting: list[tuple[Callable[[], object], Deferred[Any]]] = []

    def later(work: Callable[[], object]) -> "Deferred[Any]":
        waiting.append((work, Deferred()))
        return waiting[-1][1]

    hasher = Hasher(later)  # type: ignore[arg-type]
    for _ in range(MOST_WAITING):
        hasher.hash(GOOD)
    with pytest.raises(Refusal, match="busy"):
        hasher.verify(None, GOOD)
    waiting[0][1].callback("a hash")
    hasher.hash(GOOD)
    assert len(waiting) == MOST_WAITING + 1
