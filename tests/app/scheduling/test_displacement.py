from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from app.scheduling.displacement import Displacement

CALLERS = "abcd"


@settings(max_examples=50)
@given(
    held=st.lists(st.sampled_from(CALLERS), max_size=12),
    free=st.integers(0, 3),
    wanted=st.dictionaries(st.sampled_from(CALLERS), st.integers(1, 9)),
    limit=st.integers(0, 20),
    data=st.data(),
)
def test_nobody_is_left_poorer_than_who_takes_and_nobody_takes_while_a_place_is_free(
    held: list[str], free: int, wanted: dict[str, int], limit: int, data: st.DataObject
) -> None:
    candidates = data.draw(st.permutations(range(len(held)))) if held else []
    candidates = candidates[: data.draw(st.integers(0, len(candidates)))]
    displacement = Displacement(held, candidates, free)
    displacement.ask(wanted, limit)
    taken = displacement.displaced
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(candidates)
    assert len(taken) <= max(min(limit, sum(wanted.values())) - free, 0)
    after = Counter(held) - Counter(held[place] for place in taken)
    for caller in {held[place] for place in taken} - wanted.keys():
        # It gave up places of its own, but never so that it has less than the poorest who wanted had before and one.
        assert after[caller] >= min(Counter(held)[other] for other in wanted)


def test_the_longest_seated_of_the_richest_goes_first() -> None:
    displacement = Displacement(list("aabaa"), [3, 2, 0, 1, 4], 0)
    displacement.ask({"c": 2}, 2)
    assert displacement.displaced == [3, 0]


def test_who_holds_most_turns_its_own_places_over() -> None:
    displacement = Displacement(list("aaab"), [0, 1, 2, 3], 0)
    displacement.ask({"a": 9}, 9)
    assert sorted(displacement.displaced) == [0, 1, 2]


def test_free_places_are_given_before_any_is_taken_and_to_who_holds_least() -> None:
    displacement = Displacement(list("aab"), [0, 1, 2], 2)
    displacement.ask({"a": 1, "c": 2}, 3)
    assert displacement.displaced == [0]


def test_who_can_be_given_none_leaves_its_turn_and_the_limit_to_the_others() -> None:
    for limit in (1, 2, 3):
        displacement = Displacement(list("aabb"), [2, 3], 0)
        displacement.ask({"a": 1, "b": 1}, limit)
        assert displacement.displaced == [2]


def test_places_are_taken_until_both_hold_as_many_and_nobody_gets_more_than_it_wants() -> None:
    for wanted, expected in ((1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2]), (9, [0, 1, 2])):
        displacement = Displacement(list("aaaaaa"), list(range(6)), 0)
        displacement.ask({"c": wanted}, 9)
        assert displacement.displaced == expected
    displacement = Displacement(list("aaa"), [0, 1, 2], 0)
    displacement.ask({"c": 2}, 9)
    assert displacement.displaced == [0, 1]


def test_from_who_holds_as_many_nothing_is_taken() -> None:
    displacement = Displacement(list("ab"), [0, 1], 0)
    displacement.ask({"b": 1}, 1)
    assert displacement.displaced == [1]
