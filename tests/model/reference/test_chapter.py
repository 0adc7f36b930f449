from __future__ import annotations

import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.book import book_forward
from tests.model.reference import chapter_cells as cells
from tests.model.reference.plain_training import ORDER, weights
from tests.reference import chapter, mx, needs_mxnet

pytestmark = needs_mxnet

lengths = st.integers(0, 40)
batch_sizes = st.integers(1, 4)
steps = st.integers(1, 6)


# Cells


def check_what_was_printed(printed: str, trainings: int) -> None:
    """Each training prints twice: a perplexity, and a sample for each prefix, of pred_len + 1 new characters."""
    perplexities = [float(x) for x in re.findall(r"^Epoch [12]\. Perplexity (\d+\.\d{6})$", printed, re.M)]
    assert len(perplexities) == 2 * trainings
    assert max(perplexities) < 60, "near that of guessing evenly; how it falls is for test_chapter_training.py"
    for prefix in ("分开", "不分开", "战争中部队"):
        samples = re.findall(rf"^ -  {prefix}(.*)$", printed.replace("\n\n", "\n"), re.M)
        assert len(samples) == 2 * trainings
        assert {len(sample) for sample in samples} == {4}


def test_cells_run_with_the_names_of_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    mx.random.seed(1)
    text = cells.TEXT.replace("\n", " ")
    scope = cells.run(cells.OF_THE_TEXT, text=text)
    assert scope["corpus_chars"] == text.lower()
    V, H = scope["vocab_size"], scope["hidden_dim"]
    assert len(set(text.lower())) == V
    assert H == 256
    assert V == scope["input_dim"] == scope["output_dim"] == len(scope["char_to_idx"]) == len(scope["idx_to_char"])
    assert "".join(scope["idx_to_char"][i] for i in scope["corpus_indices"]) == text.lower()
    printed = capsys.readouterr().out
    assert f"({V}, 256) (256, 256) (256,) (256, {V}) ({V},)" in printed
    assert f"3 inputs of (2, {V})\n" in printed
    assert f"3 outputs of (2, {V}) and a state of (2, 256)\n" in printed
    assert re.search(r"^norm: 0\.0(1000|09999)", printed, re.M)
    check_what_was_printed(printed, 2)


def test_cells_run_with_a_corpus_and_a_vocabulary_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mx.random.seed(2)
    path = tmp_path / "words.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("words.txt", cells.TEXT)
    scope = cells.run(cells.OF_ITS_OWN_TEXT, path=path)
    assert "T" in scope["char_to_idx"], "the cells' corpus keeps its capitals"
    assert scope["utils"] is chapter
    assert scope["params"][0].shape == (scope["vocab_size"], 12)
    check_what_was_printed(capsys.readouterr().out, 4)


def test_a_cells_own_functions_stand_over_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    before = cells.run([cells.FIRST])
    scope = cells.run([cells.FIRST, cells.OWN_FUNCTIONS, cells.PARAMETERS, cells.PREDICT])
    assert capsys.readouterr().out.endswith("a cell's prediction\na cell's prediction\n")
    assert scope["grad_clipping"] is not before["grad_clipping"]
    # What is passed to the module's training is used, the rest is its own.
    cells.run([cells.FIRST, cells.OWN_FUNCTIONS, cells.training(False)], text=cells.TEXT.replace("\n", " "))
    check_what_was_printed(capsys.readouterr().out, 1)


def test_parameters_are_drawn_about_zero_and_the_generator_repeats_them() -> None:
    get_params = chapter.namespace("abcd", hidden_dim=100, ctx=mx.cpu(), std=0.2)["get_params"]
    mx.random.seed(3)
    W_xh, W_hh, b_h, W_hy, b_y = first = get_params()
    assert [p.shape for p in first] == [(4, 100), (100, 100), (100,), (100, 4), (4,)]
    assert all(p.grad.shape == p.shape for p in first)
    assert 0.19 < float(W_hh.asnumpy().std()) < 0.21
    assert 0.15 < float(W_xh.asnumpy().std()) < 0.25
    assert 0.15 < float(W_hy.asnumpy().std()) < 0.25
    assert not b_h.asnumpy().any()
    assert not b_y.asnumpy().any()
    mx.random.seed(3)
    for one, other in zip(first, get_params(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


# Samplings


@limits(max_examples=40)
@given(length=lengths, batch_size=batch_sizes, num_steps=steps)
@example(length=30, batch_size=2, num_steps=3)
def test_random_sampling_reads_each_stretch_once(length: int, batch_size: int, num_steps: int) -> None:
    """The corpus 0, 1, 2 … tells of each row where it was."""
    batches = list(chapter.data_iter_random(list(range(length)), batch_size, num_steps))
    stretches = {tuple(range(k, k + num_steps)) for k in range(0, length, num_steps) if k + num_steps < length}
    assert len(batches) == len(stretches) // batch_size
    rows = [tuple(row) for data, _ in batches for row in data.asnumpy().astype(int)]
    assert len(set(rows)) == len(rows) == len(batches) * batch_size
    assert set(rows) <= stretches
    for data, label in batches:
        assert data.shape == label.shape == (batch_size, num_steps)
        np.testing.assert_array_equal(label.asnumpy(), data.asnumpy() + 1)


def test_random_sampling_is_in_the_order_that_random_draws() -> None:
    def firsts() -> list[float]:
        return [float(row[0]) for data, _ in chapter.data_iter_random(range(90), 2, 3) for row in data.asnumpy()]

    order = list(range(29))
    random.Random(5).shuffle(order)
    random.seed(5)
    assert firsts() == [3 * k for k in order[:28]]
    assert firsts() != [3 * k for k in order[:28]]  # the next epoch has another order


@limits(max_examples=40)
@given(length=lengths, batch_size=batch_sizes, num_steps=steps)
@example(length=30, batch_size=2, num_steps=3)
@example(length=30, batch_size=4, num_steps=3)
def test_consecutive_batches_go_on_where_the_last_ended(length: int, batch_size: int, num_steps: int) -> None:
    row_length = length // batch_size
    batches = list(chapter.data_iter_consecutive(list(range(length)), batch_size, num_steps))
    # As many as fit with a label for each character.
    assert len(batches) == max(0, row_length - 1) // num_steps
    for data, label in batches:
        assert data.shape == label.shape == (batch_size, num_steps)
        np.testing.assert_array_equal(label.asnumpy(), data.asnumpy() + 1)
    for n in range(batch_size):
        row = [int(x) for data, _ in batches for x in data.asnumpy()[n]]
        assert row == list(range(n * row_length, n * row_length + len(batches) * num_steps))


# Inputs and the cell


def test_inputs_are_one_hot_step_by_step() -> None:
    data = np.array([[0, 3, 1], [2, 2, 0]])
    get_inputs = chapter.namespace("abcd", ctx=mx.cpu())["get_inputs"]
    for inputs in (get_inputs(mx.nd.array(data)), chapter.to_onehot(mx.nd.array(data), 4)):
        np.testing.assert_array_equal(np.stack([X.asnumpy() for X in inputs]), np.eye(4)[data.T])
    (one_row,) = get_inputs(mx.nd.array([2]))
    np.testing.assert_array_equal(one_row.asnumpy(), np.eye(4)[[2]])


@pytest.mark.parametrize("cell", ORDER)
def test_rnn_and_a_cells_lstm_compute_the_books_equations(cell: str) -> None:
    config, p = weights(cell, hidden_dim=5, vocab_size=6, seed=4)
    rng = np.random.default_rng(5)
    indices = rng.integers(0, 6, (3, 4)).astype(np.int32)
    state = [rng.normal(size=(3, 5)) for _ in range(2 if cell == "lstm" else 1)]
    inputs = [mx.nd.one_hot(X, 6, dtype="float64") for X in mx.nd.array(indices).T]
    rnn = cells.lstm_rnn() if cell == "lstm" else chapter.rnn
    given = [mx.nd.array(array, dtype="float64") for array in state]
    outputs, *after = rnn(inputs, *given, *[mx.nd.array(array, dtype="float64") for array in p.values()])
    Y, expected = book_forward(config, p, indices, state)
    np.testing.assert_allclose(np.stack([y.asnumpy() for y in outputs]), Y, rtol=1e-12)
    for ours, theirs, before, was in zip(after, expected, given, state, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), theirs, rtol=1e-12)
        np.testing.assert_array_equal(before.asnumpy(), was)
