from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.columns import Columns


@settings(max_examples=50)
@given(st.lists(st.one_of(st.integers(-50, 50), st.sets(st.integers(0, 40))), max_size=60))
def test_a_table_holds_what_a_list_of_rows_would(changes: list[int | set[int]]) -> None:
    columns, rows = Columns({"number": np.int64, "half": np.float64}, capacity=2), []
    for change in changes:
        if isinstance(change, int):
            columns.add({"number": change, "half": change / 2})
            rows.append((change, change / 2))
        else:
            kept = [place for place in range(len(rows)) if place not in change]
            columns.keep(np.array(kept, np.intp))
            rows = [rows[place] for place in kept]
        assert columns.size == len(rows)
        assert columns["number"].tolist() == [number for number, _ in rows]
        assert columns["half"].tolist() == [half for _, half in rows]


def test_writing_into_a_column_writes_into_the_table() -> None:
    columns = Columns({"number": np.int64})
    for number in range(3):
        columns.add({"number": number})
    columns["number"][1] = 7
    columns.keep(np.array([1, 2]))
    assert columns["number"].tolist() == [7, 2]


def test_columns_keep_their_types_and_room_is_doubled_where_there_is_none() -> None:
    columns = Columns({"number": np.int64, "flag": np.bool_}, capacity=2)
    rooms = set()
    for number in range(1000):
        columns.add({"number": 2**53 + number, "flag": True})
        rooms.add(len(columns._arrays["number"]))
    assert (columns["number"].dtype, columns["flag"].dtype) == (np.dtype(np.int64), np.dtype(np.bool_))
    assert columns["number"].tolist() == [2**53 + number for number in range(1000)]
    assert sorted(rooms) == [2**n for n in range(1, 11)]
