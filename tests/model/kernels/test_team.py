from __future__ import annotations

import gc
import threading
import time

import pytest

from model.kernels.team import Team


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 4, 5, 63, 64])
def test_pieces_make_up_the_whole_and_are_as_many_as_threads_at_most(threads: int, size: int) -> None:
    pieces: list[tuple[int, int]] = []
    Team(threads).share(size, lambda lo, hi: pieces.append((lo, hi)))
    assert sorted(i for lo, hi in pieces for i in range(lo, hi)) == list(range(size))
    assert len(pieces) <= threads


def test_what_a_piece_raises_is_raised_once_all_have_ended() -> None:
    ended = threading.Event()

    def work(lo: int, hi: int) -> None:
        if lo == 0:
            raise ValueError("the first piece")
        time.sleep(0.05)
        ended.set()

    team = Team(2)
    with pytest.raises(ValueError, match="the first piece"):
        team.share(8, work)
    assert ended.is_set()
    done: list[int] = []
    team.share(8, lambda lo, hi: done.append(lo))  # it goes on working
    assert sorted(done) == [0, 4]


def test_the_threads_end_with_their_team() -> None:
    before = set(threading.enumerate())
    team = Team(4)
    own = set(threading.enumerate()) - before
    assert len(own) == 3
    team.share(16, lambda lo, hi: None)
    del team
    gc.collect()
    for thread in own:
        thread.join(timeout=5)
        assert not thread.is_alive()
