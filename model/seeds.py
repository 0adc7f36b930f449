"""Where seeds come from: the one module of `model` whose numbers nobody can foresee.

What is written follows from a seed (see `sampling/random_stream.py`), so everything below this can be repeated.
"""

from __future__ import annotations

import secrets

# Below what JavaScript's numbers hold exactly, with room for the seeds beside it of a request's other continuations.
# Two of a million requests share one with a chance of 1 in 18,000.
_DRAWN_SEEDS = 2**53 - 2**10


def draw_seed() -> int:
    """A seed nobody can foresee, for a request that gave none."""
    return secrets.randbelow(_DRAWN_SEEDS)
