from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.scheduling.lines import Lines


def test_callers_are_served_in_turn_each_in_the_order_of_its_own() -> None:
    lines: Lines[str] = Lines()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        lines.add(item[0], item)
    lines.add_first("c", "c0")
    assert lines.by_caller() == {"a": 3, "b": 2, "c": 2}
    assert [lines.take() for _ in range(7)] == ["a1", "b1", "c0", "a2", "b2", "c1", "a3"]
    assert not lines


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40), st.sets(st.integers(0, 9)))
def test_what_is_removed_is_gone_and_the_others_keep_their_order(
    items: list[tuple[int, int]], unwanted: set[int]
) -> None:
    lines: Lines[tuple[int, int]] = Lines()
    for caller, number in items:
        lines.add(str(caller), (caller, number))
    removed = lines.remove(lambda item: item[1] in unwanted)
    assert sorted(removed) == sorted(item for item in items if item[1] in unwanted)
    assert len(lines) == len(items) - len(removed)
    left = [lines.take() for _ in range(len(lines))]
    for caller in range(4):
        assert [i for i in left if i[0] == caller] == [i for i in items if i[0] == caller and i[1] not in unwanted]


def test_what_comes_first_of_its_callers_may_be_all_there_is() -> None:
    lines: Lines[int] = Lines()
    lines.add_first("a", 1)
    lines.add("b", 2)
    assert [lines.take(), lines.take(), len(lines)] == [1, 2, 0]
