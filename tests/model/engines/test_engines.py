"""Every engine against the reference `predict_rnn`, and against itself in other company."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.arrays import Float64s, Float64s2D, Int64s2D, Untyped
from model.checkpoint import Checkpoint
from model.decoding.engine import CHOOSE, Engine
from model.engines.choice import open_engine
from model.errors import CheckpointError, DeviceError, OptionError
from model.language_model import LanguageModel
from tests.models import CELLS, random_prefix, tiny_checkpoint, with_parameters
from tests.reference import mx, named, needs_mxnet, predict_rnn

ENGINES = (named("onnxruntime"), named("mxnet"))
TIE = 1e-5  # of the logits' size
NUM_CHARS = 12


def tied_at(checkpoint: Checkpoint, prefix: str, one: str, other: str) -> bool:
    """Whether the book's two best logits are a tie where two texts part."""
    at = next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    p = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
    Y, _ = book(checkpoint, p, checkpoint.vocabulary.encode(one[:at])[None, :])
    logits = np.sort(Y[0])
    assert at >= len(prefix)
    return bool(logits[-1] - logits[-2] < TIE * np.abs(logits).max())


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize(
    "num_layers", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=5)
@given(data=st.data())
def test_writes_the_reference_text_for_prefixes_of_unequal_length(
    cell: str, num_layers: int, engine_name: str, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    hidden_dim = data.draw(st.sampled_from([1, 5, 16, 33]))
    vocab_size = data.draw(st.sampled_from([1, 2, 31, 300]))
    checkpoint = tiny_checkpoint(cell, num_layers, hidden_dim, vocab_size, seed)
    rng = np.random.default_rng(seed)
    prefixes = [random_prefix(checkpoint, rng) for _ in range(4)]
    lm = LanguageModel(checkpoint, open_engine(checkpoint, "cpu", engine_name))
    for prefix, generation in zip(prefixes, lm.generate(prefixes, NUM_CHARS), strict=True):
        expected = predict_rnn(prefix, NUM_CHARS, checkpoint)
        assert generation.prefix == prefix
        assert generation.text == expected or tied_at(checkpoint, prefix, expected, generation.text)


def run(engine: Engine, forced: Int64s2D) -> tuple[Untyped, ...]:
    """Chosen characters and the state after them, of rows that start from nothing."""
    rows = forced.shape[1]
    chosen, state = engine.advance(np.ascontiguousarray(forced), np.zeros(rows, np.int64), engine.start(rows))
    return chosen, *state


def reading_then_writing(rng: np.random.Generator, vocab_size: int, steps: int, rows: int) -> Int64s2D:
    """Forced inputs (K, N) with prefixes of unequal length."""
    forced = rng.integers(0, vocab_size, (steps, rows))
    lengths = rng.integers(1, steps, rows)
    return np.where(np.arange(steps)[:, None] < lengths, forced, CHOOSE)


@pytest.mark.parametrize("hidden_dim", [7, 64])
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_has_the_same_bits_alone_in_any_batch_and_with_any_number_of_threads(cell: str, hidden_dim: int) -> None:
    checkpoint = tiny_checkpoint(cell, 2, hidden_dim, 130)
    rng = np.random.default_rng(1)
    forced = reading_then_writing(rng, 130, 10, 67)
    one, two = (open_engine(checkpoint, "cpu", "onnxruntime", threads, spin=False) for threads in (1, 2))
    whole = run(one, forced)
    for engine in (one, two):
        for rows in (1, 2, 3, 15, 16, 17, 33, 67):
            start = int(rng.integers(0, 67 - rows + 1))
            part = run(engine, forced[:, start : start + rows])
            assert np.array_equal(part[0], whole[0][:, start : start + rows])
            for own, all_rows in zip(part[1:], whole[1:], strict=True):
                assert own.tobytes() == all_rows[start : start + rows].tobytes()


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_stepping_with_logits_goes_the_way_of_advancing(cell: str, engine_name: str) -> None:
    checkpoint = tiny_checkpoint(cell, 2)
    engine = open_engine(checkpoint, "cpu", engine_name)
    forced = reading_then_writing(np.random.default_rng(2), 23, 9, 6)
    chosen, *state = run(engine, forced)
    stepped, last = engine.start(6), np.zeros(6, np.int64)
    for row, expected in zip(forced, chosen, strict=True):
        logits, stepped = engine.step(np.where(row == CHOOSE, last, row), stepped)
        last = logits.argmax(axis=1)
        assert np.array_equal(last, expected)
    for own, other in zip(stepped, state, strict=True):
        assert np.array_equal(own, other)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_one_long_call_equals_three_resumed_ones(engine_name: str) -> None:
    checkpoint = tiny_checkpoint("lstm", 2)
    engine = open_engine(checkpoint, "cpu", engine_name)
    forced = reading_then_writing(np.random.default_rng(3), 23, 9, 5)
    chosen, *state = run(engine, forced)
    last, resumed, parts = np.zeros(5, np.int64), engine.start(5), []
    for part in (forced[:2], forced[2:3], forced[3:]):
        written, resumed = engine.advance(part, last, resumed)
        last = written[-1]
        parts.append(written)
    assert np.array_equal(np.concatenate(parts), chosen)
    assert all(np.array_equal(own, other) for own, other in zip(resumed, state, strict=True))


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_state_that_was_given_is_not_written_to(engine_name: str) -> None:
    engine = open_engine(tiny_checkpoint("gru"), "cpu", engine_name)
    given_state = engine.start(3)
    engine.step(np.array([1, 2, 3]), given_state)
    engine.advance(np.array([[1, 2, 3]]), np.zeros(3, np.int64), given_state)
    assert not any(array.any() for array in given_state)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_equal_logits_choose_the_lowest_index(engine_name: str) -> None:
    checkpoint = tiny_checkpoint(vocab_size=23)
    flat = with_parameters(checkpoint, W_hy=np.zeros((17, 23), np.float32), b_y=np.zeros(23, np.float32))
    chosen, *_ = run(open_engine(flat, "cpu", engine_name), np.full((3, 2), 7))
    assert not chosen.any()


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("name", ["W_hy", "W_hh", "W_xh"])
def test_weights_whose_sums_could_overflow_are_refused_by_name(name: str, engine_name: str) -> None:
    checkpoint = tiny_checkpoint()
    huge = np.full_like(checkpoint.parameters[name], 1e38)
    with pytest.raises(CheckpointError, match=r"are so large that a sum can overflow float32"):
        open_engine(with_parameters(checkpoint, **{name: huge}), "cpu", engine_name)


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_logits_and_states_are_the_books_in_float64(cell: str, num_layers: int, engine_name: str) -> None:
    checkpoint = tiny_checkpoint(cell, num_layers, hidden_dim=6, vocab_size=9)
    engine = open_engine(checkpoint, "cpu", engine_name)
    p = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
    ids = np.random.default_rng(0).integers(0, 9, (2, 5))
    state = engine.start(2)
    for t in range(5):
        logits, state = engine.step(np.ascontiguousarray(ids[:, t]), state)
        Y, expected = book(checkpoint, p, ids[:, : t + 1])
        np.testing.assert_allclose(logits, Y, rtol=1e-4, atol=1e-5)
        for own, other in zip(state, expected, strict=True):
            np.testing.assert_allclose(own[:, :6], other, rtol=1e-4, atol=1e-5)
            assert not own[:, 6:].any()


def book(checkpoint: Checkpoint, p: dict[str, Float64s], ids: Untyped) -> tuple[Float64s2D, list[Float64s2D]]:
    """Logits and states after the last character, a layer after the other, by the book's equations."""

    def sigmoid(x: Float64s2D) -> Float64s2D:
        return 1 / (1 + np.exp(-x))

    config, states = checkpoint.config, []
    inputs = list(np.eye(config.vocab_size)[ids.T])
    for layer in range(config.num_layers):
        before = f"layer{layer}." if config.num_layers > 1 else ""
        q = {name.removeprefix(before): array for name, array in p.items()}
        H = C = np.zeros((len(ids), config.hidden_dim))
        outputs = []
        for X in inputs:
            if config.cell == "rnn":
                H = np.tanh(X @ q["W_xh"] + H @ q["W_hh"] + q["b_h"])
            elif config.cell == "gru":
                Z, R = (sigmoid(X @ q[f"W_x{g}"] + H @ q[f"W_h{g}"] + q[f"b_{g}"]) for g in "zr")
                H = Z * H + (1 - Z) * np.tanh(X @ q["W_xh"] + (R * H) @ q["W_hh"] + q["b_h"])
            else:
                i, f, o, c = (X @ q[f"W_x{g}"] + H @ q[f"W_h{g}"] + q[f"b_{g}"] for g in "ifoc")
                C = sigmoid(f) * C + sigmoid(i) * np.tanh(c)
                H = sigmoid(o) * np.tanh(C)
            outputs.append(H)
        states += [H, C] if config.cell == "lstm" else [H]
        inputs = outputs
    return inputs[-1] @ p["W_hy"] + p["b_y"], states


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("column", ["h", "y"])
def test_sums_are_refused_from_where_they_can_overflow_and_not_before(column: str, engine_name: str) -> None:
    checkpoint = tiny_checkpoint("rnn", 1, 4, 5)
    largest = float(np.finfo(np.float32).max)
    bias, added = (
        f"b_{column}",
        sum(len(checkpoint.parameters[n]) for n in checkpoint.parameters if n[-1] == column and n[0] == "W"),
    )
    for share, fits in ((0.9, True), (1.1, False)):
        weights = {
            n: np.full_like(a, -share * largest / (added + 1))
            for n, a in checkpoint.parameters.items()
            if n[-1] == column
        }
        changed = with_parameters(checkpoint, **weights)
        assert bias in weights
        if fits:
            open_engine(changed, "cpu", engine_name)
            continue
        with pytest.raises(CheckpointError, match=rf"weights of {column} are so large"):
            open_engine(changed, "cpu", engine_name)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_an_engine_says_what_it_is(engine_name: str) -> None:
    engine = open_engine(tiny_checkpoint("lstm"), "cpu", engine_name)
    assert (engine.name, engine.device) == (engine_name, "cpu")
    assert [(array.shape, array.dtype) for array in engine.start(3)] == [
        ((3, engine.state_dim), np.dtype(np.float32))
    ] * 2
    assert engine.state_dim == (17 if engine_name == "mxnet" else 32)


def test_what_cannot_be_opened_is_named() -> None:
    checkpoint = tiny_checkpoint()
    with pytest.raises(OptionError, match="device: 'tpu' is not one of auto, cpu, gpu"):
        open_engine(checkpoint, "tpu")
    with pytest.raises(OptionError, match="engine: 'torch' is not one of auto, mxnet, onnxruntime"):
        open_engine(checkpoint, engine="torch")
    for threads in (0, -1, True, 1.5, "2"):
        with pytest.raises(OptionError, match=rf"^threads: {threads!r} is not a whole number of at least 1$"):
            open_engine(checkpoint, threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_gpu_that_is_not_there_is_refused_when_asked_for(engine_name: str) -> None:
    if engine_name == "mxnet" and mx.context.num_gpus():
        pytest.fail("this machine has a GPU that MXNet sees; run the tests marked gpu")
    with pytest.raises(DeviceError, match="gpu cannot be used here"):
        open_engine(tiny_checkpoint(), "gpu", engine_name)


def test_importing_model_imports_neither_engine() -> None:
    heavy = "{'mxnet', 'onnxruntime', 'numba'}"
    code = f"import sys, model; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_mxnet
def test_all_that_mxnet_does_is_done_by_one_thread() -> None:
    from model.engines.mxnet import on_mxnet_thread

    def slow_identity() -> int:
        time.sleep(0.01)  # a second thread would be begun while the first is busy
        return threading.get_ident()

    with ThreadPoolExecutor(4) as callers:
        threads = set(callers.map(lambda _: on_mxnet_thread(slow_identity), range(8)))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
