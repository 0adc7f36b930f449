"""Measures decoding through the library: against peers, as rows, vocabulary and hidden units grow, and per stream."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from model.config import ModelConfig
from model.decoding.decoder import BatchDecoder
from model.decoding.row import Row
from model.engines.choice import open_engine
from model.language_model import LanguageModel
from nextchar.benchmarks import peers
from nextchar.benchmarks.measuring import interleaved, mxnet_peers, ratio
from nextchar.benchmarks.models import CHAPTER, open_model, prefixes, random_checkpoint

NUM_CHARS = 200
SAMPLED: dict[str, Any] = {"temperature": 0.9, "top_k": 40, "seed": 1}
KIB = 1024
STATM = Path("/proc/self/statm")  # of Linux


def against_peers(rows: int, rounds: int, with_torch: bool) -> dict[str, Any]:
    """Medians in µs per step, characters per second, and ratios, of `rows` streams."""
    lm = open_model(CHAPTER)
    starts = prefixes(lm, rows, 1)
    ids = np.concatenate([lm.vocabulary.encode(prefix) for prefix in starts])
    contenders: dict[str, Callable[[], Any]] = {
        "generate": lambda: lm.generate(starts, NUM_CHARS),
        "generate, top-k 40": lambda: lm.generate(starts, NUM_CHARS, **SAMPLED),
        "bare ONNX Runtime, 200 steps a call": peers.bare_onnxruntime(lm.checkpoint, ids, NUM_CHARS, NUM_CHARS),
        "bare ONNX Runtime, 8 steps a call": peers.bare_onnxruntime(lm.checkpoint, ids, NUM_CHARS, 8),
        "bare ONNX Runtime, 1 step a call": peers.bare_onnxruntime(lm.checkpoint, ids, NUM_CHARS, 1),
    }
    if with_torch:
        contenders["PyTorch by hand"] = peers.torch_by_hand(lm.checkpoint, ids, NUM_CHARS)
        contenders["PyTorch nn.RNN"] = peers.torch_nn(lm.checkpoint, ids, NUM_CHARS)
    if rows == 1 and (mxnet := mxnet_peers()) is not None:
        contenders["the chapter's predict_rnn"] = mxnet.written(lm.checkpoint, starts[0], NUM_CHARS)
    times = interleaved(contenders, rounds)
    return {
        name: {
            "us_per_step": round(1e6 * statistics.median(own) / NUM_CHARS, 1),
            "chars_per_s": round(rows * NUM_CHARS / statistics.median(own)),
            "generate_is": round(ratio(times, "generate", name), 2),
        }
        for name, own in times.items()
    }


def growth(rounds: int) -> list[tuple[str, int, float]]:
    """(what grows, to what, characters per second), greedy."""
    found = []
    lm = open_model(CHAPTER)
    for exponent in range(11):
        found.append(("rows", 2**exponent, _rate(lm, 2**exponent, rounds)))
    for size in (65, 256, 1465, 4000, 10_000):
        found.append(("V, 128 rows", size, _rate(open_model(replace(CHAPTER, vocab_size=size)), 128, rounds)))
    for size in (128, 256, 512, 1024):
        found.append(("H, 128 rows", size, _rate(open_model(replace(CHAPTER, hidden_dim=size)), 128, rounds)))
    for cell in ("gru", "lstm"):
        found.append((f"{cell} 1×256, rows", 128, _rate(open_model(ModelConfig(cell, 1, 256, 1465)), 128, rounds)))
    return found


def engine_options(rounds: int) -> list[tuple[int, bool, int, float, float]]:
    """(threads, spinning, rows, µs per step in one call of 64, µs per step in calls of one)."""
    checkpoint = random_checkpoint(CHAPTER)
    found = []
    for threads in (2, 1):
        for spin in (True, False):
            engine = open_engine(checkpoint, "cpu", "onnxruntime", threads, spin)
            for rows in (1, 16, 128):
                last, state = np.arange(rows, dtype=np.int64), engine.start(rows)
                forced = np.full((64, rows), -1, np.int64)

                def many(engine=engine, forced=forced, last=last, state=state) -> None:  # type: ignore[no-untyped-def]
                    engine.advance(forced, last, state)

                def single(engine=engine, last=last, state=state) -> None:  # type: ignore[no-untyped-def]
                    for _ in range(64):
                        engine.advance(last[None] * 0 - 1, last, state)

                times = interleaved({"many": many, "single": single}, rounds)
                median = {name: 1e6 * statistics.median(own) / 64 for name, own in times.items()}
                found.append((threads, spin, rows, round(median["many"], 1), round(median["single"], 1)))
    return found


def identity(cases: int) -> int:
    """How many of so many texts differ from the same text written alone: in batches of random size and company, at
    random places, greedy or not, with 1 thread or 2."""
    checkpoint = random_checkpoint(ModelConfig("lstm", 1, 48, 300))
    one, two = (LanguageModel(checkpoint, open_engine(checkpoint, "cpu", "onnxruntime", n, False)) for n in (1, 2))
    rng = np.random.default_rng(0)
    asked = prefixes(one, 50, 6)
    options: list[dict[str, Any]] = [
        {},
        {"temperature": 0.9, "top_k": 40, "seed": 3},
        {"temperature": 1.1, "top_p": 0.9, "seed": 4},
    ]
    alone = [[one.generate([prefix], 24, **own)[0].generated for prefix in asked] for own in options]
    differences = tried = 0
    while tried < cases:
        rows = int(rng.integers(1, 250))
        company = rng.integers(0, len(asked), rows)
        which = int(rng.integers(len(options)))
        lm = (one, two)[int(rng.integers(2))]
        texts = lm.generate([asked[at] for at in company], 24, **options[which])
        differences += sum(text.generated != alone[which][at] for text, at in zip(texts, company, strict=True))
        tried += rows
    return differences


def memory(streams: int) -> float:
    """KiB per stream of so many that decode at once, in a process of its own. Where STATM is."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (streams,))


def _memory(streams: int) -> float:
    engine = open_engine(random_checkpoint(CHAPTER), "cpu", "onnxruntime")
    forced = np.arange(2)
    decoder = BatchDecoder(engine)
    decoder.admit(Row(forced, 1000))
    decoder.tick(4)
    before = _resident()
    rows = [Row(forced.copy(), 1000) for _ in range(streams)]
    for row in rows:
        decoder.admit(row)
    for _ in range(5):
        decoder.tick(4)
    return (_resident() - before) / KIB / streams


def _resident() -> int:
    return int(STATM.read_text().split()[1]) * 4096


def _rate(lm: LanguageModel, rows: int, rounds: int) -> float:
    starts, best = prefixes(lm, rows, 1), []
    chars = max(10, min(NUM_CHARS, 20_000 // rows))
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        lm.generate(starts, chars)
        best.append(rows * chars / (time.perf_counter() - begun))
    return statistics.median(best[1:])
