"""Stop strings in rows that are decoded fast or slowly, looked at often or seldom: the text is a reader's."""

from __future__ import annotations

import asyncio
import time
from itertools import product

import numpy as np
import pytest

from app.scheduling.requests import GenerateRequest
from app.scheduling.scheduler import Scheduler
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from model.sampling.options import Sampling
from tests.model.text.test_stops import read
from tests.models import tiny_checkpoint


@pytest.mark.parametrize(("tick_s", "flush_s"), [(0.0, 0.0), (0.0, 0.02), (10.0, 0.0), (10.0, 0.02)])
def test_the_text_is_the_same_at_any_speed_streamed_or_not(
    monkeypatch: pytest.MonkeyPatch, tick_s: float, flush_s: float
) -> None:
    """One step in an engine call or as many as there may be, looked at after each call or now and then."""
    monkeypatch.setattr("app.scheduling.batch.TURN_S", tick_s)
    for module in ("app.scheduling.batch", "app.scheduling.parts"):
        monkeypatch.setattr(f"{module}.FLUSH_S", flush_s)
    checkpoint = tiny_checkpoint("gru", 1, 12, 3)  # three characters, so that stop strings are met everywhere
    engine = open_engine(checkpoint, "cpu", "onnxruntime", 1, spin=False)
    lm, rng = LanguageModel(checkpoint, engine), np.random.default_rng(1)
    prefix = checkpoint.vocabulary.characters[0]

    async def run() -> None:
        scheduler = Scheduler(engine, checkpoint.vocabulary, asyncio.get_running_loop(), time.perf_counter)
        scheduler.start()
        try:
            for seed, stream, logprobs in product(range(12), (False, True), (None, 1)):
                lengths = rng.integers(1, 9, rng.integers(1, 5))
                stops = [checkpoint.vocabulary.decode(rng.integers(0, 3, length)) for length in lengths]
                request = GenerateRequest(
                    checkpoint.vocabulary.encode(prefix).astype(np.int64),
                    int(rng.integers(1, 80)),
                    Sampling(1.0, seed=seed),
                    n=2,
                    stop=tuple(stops),
                    stream=stream,
                    logprobs=logprobs,
                )
                generation = scheduler.submit(request)
                chunks = [chunk async for chunk in generation]
                for choice in (await generation).choices:
                    (whole,) = lm.generate([prefix], request.num_chars, temperature=1.0, seed=choice.seed)
                    text, stopped = read(whole.generated, stops)
                    assert (choice.text, choice.finish_reason) == (text, "stop" if stopped else "length")
                    own = [chunk for chunk in chunks if chunk.index == choice.index]
                    assert "".join(chunk.text for chunk in own) == (text if stream else "")
                    if logprobs is not None:
                        assert choice.measured is not None
                        assert len(choice.measured.logprobs) == len(text)
                        assert all(len(chunk.measured.logprobs) == len(chunk.text) for chunk in own if chunk.measured)
        finally:
            scheduler.close()
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 120))
