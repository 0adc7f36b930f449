from __future__ import annotations

import numpy as np

from model.training.backends.flat import Flat

SHAPES = {"b": (2, 3), "y": (2,), "a": (1, 4), "x": (3,)}


def test_matrices_stand_before_biases_each_in_the_order_of_their_names() -> None:
    flat = Flat(SHAPES)
    assert (flat.size, flat.num_decayed) == (15, 10)
    views = flat.views(np.arange(15.0))
    assert list(views) == ["b", "a", "y", "x"]
    assert views["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert views["a"].tolist() == [[6, 7, 8, 9]]
    assert views["y"].tolist() == [10, 11]
    assert views["x"].tolist() == [12, 13, 14]


def test_what_is_written_into_a_view_is_written_into_the_vector() -> None:
    vector = np.zeros(15, np.float32)
    for number, view in enumerate(Flat(SHAPES).views(vector).values(), start=1):
        assert view.dtype == np.float32
        view[...] = number
    assert vector.tolist() == [1] * 6 + [2] * 4 + [3] * 2 + [4] * 3
