from __future__ import annotations

from model.seeds import draw_seed


def test_drawn_seeds_differ_and_are_whole_numbers_in_javascript() -> None:
    # Of 100,000 in a range of 2³², one would meet another with a chance of 69 %, and of 400,000 surely.
    seeds = [draw_seed() for _ in range(400_000)]
    assert len(set(seeds)) == len(seeds)
    assert 2**52 < max(seeds) < 2**53 - 16  # n continuations take the seeds above as well
