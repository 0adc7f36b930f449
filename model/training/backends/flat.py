"""One vector that holds all parameters of a model, and views of it by name. Knows nothing of what they are for.

The matrices stand before the biases, as `Backend.num_decayed` wants it; among themselves both keep the order in which
they are named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from model.arrays import Reals


class Flat:
    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(sorted(shapes.items(), key=lambda item: -len(item[1])))
        self.size = sum(map(math.prod, self._shapes.values()))
        self.num_decayed = sum(math.prod(shape) for shape in self._shapes.values() if len(shape) == 2)

    def views(self, vector: Reals) -> dict[str, Reals]:
        """Each parameter in its shape. What is written into a view is written into the vector."""
        views, at = {}, 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            views[name] = vector[at : at + size].reshape(shape)
            at += size
        return views
