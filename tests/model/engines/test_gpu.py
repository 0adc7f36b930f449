"""Both engines on a real GPU: the CPU's text, and how fast. Each skips, and says why, where it cannot use one."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from model.decoding.engine import CHOOSE, Engine
from model.engines.choice import open_engine
from model.errors import DeviceError
from model.language_model import LanguageModel
from model.processor import gpu_present
from tests.model.engines.test_engines import tied_at
from tests.models import CELLS, random_prefix, tiny_checkpoint
from tests.reference import named

pytestmark = pytest.mark.gpu
ENGINES = (named("mxnet"), named("onnxruntime"))


@cache
def problem(engine_name: str) -> str | None:
    if not gpu_present():
        return "no GPU is visible"
    try:
        open_engine(tiny_checkpoint(), "gpu", engine_name)
    except DeviceError as error:
        return str(error)
    return None


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    reason = problem(name)
    if reason is not None:
        pytest.skip(reason)
    return name


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_writes_the_cpus_text_but_where_two_characters_tie(cell: str, num_layers: int, engine_name: str) -> None:
    checkpoint = tiny_checkpoint(cell, num_layers, hidden_dim=128, vocab_size=300)
    rng = np.random.default_rng(0)
    prefixes = [random_prefix(checkpoint, rng) for _ in range(16)]
    on_gpu = LanguageModel(checkpoint, open_engine(checkpoint, "gpu", engine_name))
    on_cpu = LanguageModel(checkpoint, open_engine(checkpoint, "cpu", "onnxruntime"))
    assert on_gpu.engine.device == "gpu"
    for gpu, cpu in zip(on_gpu.generate(prefixes, 100), on_cpu.generate(prefixes, 100), strict=True):
        assert gpu.text == cpu.text or tied_at(checkpoint, gpu.prefix, cpu.text, gpu.text)


@pytest.mark.parametrize("rows", [1, 64, 1024])
def test_throughput(rows: int, engine_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints what it measures (shown with -s or -rP); what must hold is that every row is written to its end."""
    checkpoint = tiny_checkpoint("gru", 1, hidden_dim=256, vocab_size=1465)
    rates = {}
    for device in ("cpu", "gpu"):
        engine = open_engine(checkpoint, device, engine_name)
        seconds, written = _write(engine, rows)
        assert written == (50 * 8, rows)
        rates[device] = written[0] * rows / seconds
    with capsys.disabled():
        print(
            f"\n{engine_name} gru 1×256, V=1465, {rows} rows: " + ", ".join(f"{d} {r:,.0f}/s" for d, r in rates.items())
        )


def _write(engine: Engine, rows: int) -> tuple[float, tuple[int, int]]:
    """50 calls of 8 steps each, after a first one that is not timed."""
    forced = np.full((8, rows), CHOOSE, np.int64)
    last, state = np.zeros(rows, np.int64), engine.start(rows)
    chosen, state = engine.advance(forced, last, state)
    steps, begun = [], time.perf_counter()
    for _ in range(50):
        chosen, state = engine.advance(forced, chosen[-1], state)
        steps.append(chosen)
    texts = np.concatenate(steps)
    return time.perf_counter() - begun, (texts.shape[0], texts.shape[1])
