from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CheckpointError
from model.plain_record import worded
from model.training.position import Position

FIGURES = st.floats(1, allow_nan=False)


@given(train=FIGURES, best=FIGURES, seconds=st.floats(0, 1e9), rows=st.lists(st.tuples(FIGURES, st.none() | FIGURES)))
def test_it_comes_back_from_strict_json_as_it_was(
    train: float, best: float, seconds: float, rows: list[tuple[float, float | None]]
) -> None:
    history = [(epoch, seconds, *row) for epoch, row in enumerate(rows, 1)]
    position = Position(3, 2, 40, seconds, 1.5, 0.5, 7.0, 9.0, train, best, 2, 1, None, True, ["seed"], history)
    assert None not in {
        getattr(position, field.name)
        for field in fields(Position)
        if field.name not in ("memorised", "changed", "history")
    }
    text = json.dumps(worded(position.to_facts()), allow_nan=False)
    assert Position.from_facts(json.loads(text)) == position


def test_a_run_that_has_not_begun_comes_back_too() -> None:
    back = Position.from_facts(json.loads(json.dumps(worded(Position().to_facts()), allow_nan=False)))
    assert (back, back.best_loss) == (Position(), math.inf)


@pytest.mark.parametrize(
    "facts", [{"epochs": 1}, {"best_loss": "much"}, {"best_loss": None}, {"history": [[1, 2]]}, {"history": 3}]
)
def test_what_no_position_says_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="another version"):
        Position.from_facts(facts)
