"""What the torture sends twice on purpose must not break the order by itself."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torture.sending import doubled

targets = st.sets(st.sampled_from(["ann", "bob", "cleo"]), min_size=1).map(sorted)


@given(st.lists(targets, min_size=1), st.randoms())
def test_the_second_copy_stands_before_the_next_to_the_same(
    all_targets: list[list[str]], dice: Random
) -> None:
    sends: list[Any] = [
        {"id": f"s1.{number}", "to": to} for number, to in enumerate(all_targets)
    ]
    before = list(sends)

    again = doubled(sends, dice)

    first, second = (at for at, each in enumerate(sends) if each is again)
    assert sends[:second] + sends[second + 1 :] == before
    between = {target for each in sends[first + 1 : second] for target in each["to"]}
    assert not between & set(again["to"])
