from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from app.refusals import AnswersFull, QueueFull
from app.scheduling.answer_budget import AnswerBudget


def test_what_does_not_fit_is_refused_with_the_sizes_and_fits_once_something_was_given_back() -> None:
    budget = AnswerBudget(10_000_000)
    budget.take(6_000_000)
    with pytest.raises(AnswersFull) as refused:
        budget.take(4_000_001)
    assert isinstance(refused.value, QueueFull)
    assert refused.value.retry_after_s == 1
    assert [size in str(refused.value) for size in ("4 MB", "6 MB", "10 MB")] == [True] * 3
    budget.take(4_000_000)
    budget.give(6_000_000)
    assert budget.taken == 4_000_000


def test_it_comes_back_with_the_last_that_holds_the_array() -> None:
    budget = AnswerBudget(100)
    budget.take(60)
    array = np.zeros(3)
    budget.give_with(array, 60)
    view = array[:1]
    del array
    assert budget.taken == 60
    del view
    gc.collect()
    assert budget.taken == 0


def test_any_thread_may_give_back_while_others_are_taken() -> None:
    budget = AnswerBudget(10**9)

    def give() -> None:
        for _ in range(1000):
            budget.give(1)

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4000):
        budget.take(1)
    for thread in threads:
        thread.join()
    assert budget.taken == 0
