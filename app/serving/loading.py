"""Reads a model's file and makes it answer: its engine, its scheduler, the first step.

Knows nothing of other models, or of what serves under the same name already.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import model
from app.scheduling.answer_budget import AnswerBudget
from app.scheduling.observer import Observer
from app.scheduling.scheduler import Scheduler
from app.serving.off_loop import off_loop
from app.serving.registry import Served
from app.settings import Settings
from model.errors import DeviceError
from model.language_model import LanguageModel

FAILED_FIRST_STEP = "its first step failed; the log has the cause"


async def read(name: str, s: Settings) -> LanguageModel:
    return await off_loop(partial(model.load, s.models_dir / name, s.device, s.engine, s.threads, spin=False))


async def begin(name: str, lm: LanguageModel, s: Settings, observer: Observer, budget: AnswerBudget) -> Served:
    """Returns once it has taken a step. Raises DeviceError where the step failed."""
    scheduler = Scheduler(
        lm.engine,
        lm.vocabulary,
        asyncio.get_running_loop(),
        time.perf_counter,
        max_rows=s.max_rows,
        max_queue=s.max_queue,
        cache_bytes=s.state_cache_mb * 2**20,
        observer=observer,
        stall_s=s.stall_s,
        budget=budget,
    )
    try:
        scheduler.start()
        await scheduler.first_step()
        if scheduler.last_step is None:
            raise DeviceError(FAILED_FIRST_STEP)
    except BaseException:
        scheduler.close()
        observer.ended()
        raise
    return Served(name, lm, scheduler, observer, int(time.time()))


def facts(served: Served) -> dict[str, str]:
    lm, c = served.lm, served.lm.checkpoint.config
    return {
        "digest": lm.checkpoint.digest,
        "cell": c.cell,
        "num_layers": str(c.num_layers),
        "hidden_dim": str(c.hidden_dim),
        "vocab_size": str(c.vocab_size),
        "engine": lm.engine.name,
        "device": lm.engine.device,
    }
