"""What the figures count, told by a real scheduler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.generation import StepFailed
from app.metrics import Metrics, ModelMetrics
from app.scheduler import Scheduler
from tests.app.test_scheduler import CHECKPOINT, ENGINE, Slow, request


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels or {"model": "tiny"})


class Counting(Slow):
    """Counts its own calls that failed."""

    failed = 0

    def _call(self, *arguments: Any) -> Any:
        try:
            return super()._call(*arguments)
        except RuntimeError:
            self.failed += 1
            raise


@pytest.mark.parametrize("requests", [0, 5])
def test_failed_engine_calls_are_counted_however_many_requests_were_in_them(requests: int) -> None:
    metrics, engine = Metrics(), Counting(ENGINE)
    engine.broken = (
        None if requests else RuntimeError("broken for the test")
    )  # without requests it is the first step, nobody's, that fails

    async def run() -> None:
        scheduler = Scheduler(engine, CHECKPOINT.vocabulary, observer=ModelMetrics(metrics, "tiny"))
        scheduler.start()
        await scheduler.first_step()
        engine.may_go.clear()
        pending = [scheduler.submit(request("一", 10)) for _ in range(requests)]
        engine.broken = RuntimeError("broken for the test")
        engine.may_go.set()
        for generation in pending:
            with pytest.raises(StepFailed):
                await generation
        await scheduler.drain(10)

    asyncio.run(run())
    assert engine.failed > 0
    assert value(metrics, "nextchar_step_failures_total") == engine.failed


def gauges(metrics: Metrics) -> list[float | None]:
    return [value(metrics, f"nextchar_num_requests_{which}") for which in ("waiting", "running")]


def test_gauges_are_those_of_the_scheduler_that_serves_and_go_with_it() -> None:
    metrics = Metrics()
    old, new = ModelMetrics(metrics, "tiny"), ModelMetrics(metrics, "tiny")
    old.queue(9, 9)
    assert gauges(metrics) == [None, None]
    old.loaded({"digest": "a"})
    old.queue(1, 2)
    new.queue(7, 8)  # its first step, while the old one serves
    assert gauges(metrics) == [1, 2]
    old.retired()
    new.loaded({"digest": "b"})
    old.queue(3, 4)
    assert gauges(metrics) == [0, 0]
    new.queue(5, 6)
    old.queue(3, 4)
    assert gauges(metrics) == [5, 6]
    assert value(metrics, "nextchar_model_info", model="tiny", digest="b") == 1
    assert value(metrics, "nextchar_model_info", model="tiny", digest="a") is None
    new.retired()
    new.queue(5, 6)
    assert gauges(metrics) == [None, None]
    assert value(metrics, "nextchar_model_info", model="tiny", digest="b") is None


def test_counts_go_on_from_one_scheduler_to_the_next() -> None:
    metrics = Metrics()
    for observer in (ModelMetrics(metrics, "tiny"), ModelMetrics(metrics, "tiny")):
        observer.loaded({})
        observer.retired()
        observer.finished("length", read=3, written=4, seconds=2.0)
        observer.finished("cancelled", read=1, written=0, seconds=2.0)
        observer.admitted(0.5, 0)
        observer.admitted(0.5, 7)
        observer.admitted(0.5, None)
        observer.first_character(0.25)
        observer.tick(5, 2, 0.001)
    assert value(metrics, "nextchar_prompt_chars_total") == 2 * (3 + 1)
    assert value(metrics, "nextchar_generation_chars_total") == 2 * 4
    assert value(metrics, "nextchar_requests_cancelled_total") == 2
    assert value(metrics, "nextchar_prefix_cache_misses_total") == 2
    assert value(metrics, "nextchar_prefix_cache_hits_total") == 2
    assert value(metrics, "nextchar_request_queue_time_seconds_count") == 6
    assert value(metrics, "nextchar_request_queue_time_seconds_sum") == 3.0
    assert value(metrics, "nextchar_time_to_first_char_seconds_sum") == 0.5
    assert value(metrics, "nextchar_time_per_output_char_seconds_count") == 2  # those that wrote nothing have none
    assert value(metrics, "nextchar_time_per_output_char_seconds_sum") == 2 * 2.0 / 4
    assert value(metrics, "nextchar_batch_size_sum") == 10


def test_two_apps_in_one_process_and_two_models_in_one_app_count_apart() -> None:
    first, second = Metrics(), Metrics()
    ModelMetrics(first, "tiny").finished("length", 1, 1, 1.0)
    ModelMetrics(first, "other").finished("length", 10, 1, 1.0)
    ModelMetrics(second, "tiny").finished("length", 100, 1, 1.0)
    name = "nextchar_prompt_chars_total"
    assert [value(first, name), value(first, name, model="other"), value(second, name)] == [1, 10, 100]
