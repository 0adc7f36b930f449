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
    engine.broken = not requests  # without requests it is the first step, nobody's, that fails

    async def run() -> None:
        scheduler = Scheduler(engine, CHECKPOINT.vocabulary, observer=ModelMetrics(metrics, "tiny"))
        scheduler.start()
        await scheduler.first_step()
        engine.may_go.clear()
        pending = [scheduler.submit(request("一", 10)) for _ in range(requests)]
        engine.broken = True
        engine.may_go.set()
        for generation in pending:
            with pytest.raises(StepFailed):
                await generation
        await scheduler.drain(10)

    asyncio.run(run())
    assert engine.failed > 0
    assert value(metrics, "nextchar_step_failures_total") == engine.failed
