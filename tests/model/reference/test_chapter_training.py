from __future__ import annotations

import math
import mmap
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.book import Arrays
from tests.model.reference import chapter_cells as cells
from tests.model.reference import plain_training
from tests.model.reference.plain_training import ORDER, greedy, weights
from tests.reference import chapter, mx, needs_mxnet

pytestmark = needs_mxnet

ALPHABET = "abcde"
N, T, H, V = 2, 3, 3, len(ALPHABET)
# 27 is no multiple of N · T: some characters fill no batch.
CORPUS = [int(i) for i in np.random.default_rng(0).integers(0, V, 27)]


def train(p: Arrays, rnn: Callable[..., Any] | None = None, **changes: Any) -> list[Any]:
    """As cells call it. Returns the parameters, trained."""
    params = [mx.nd.array(array) for array in p.values()]
    for param in params:
        param.attach_grad()
    settings = {
        **{"rnn": rnn or chapter.rnn, "is_random_iter": False, "epochs": 1, "num_steps": T, "hidden_dim": H},
        **{"learning_rate": 0.1, "clipping_theta": None, "batch_size": N, "pred_period": 1, "pred_len": 0},
        **{"seqs": [], "get_params": lambda: params, "get_inputs": lambda data: chapter.to_onehot(data, V)},
        **{"ctx": mx.cpu(), "corpus_indices": CORPUS, "idx_to_char": ALPHABET},
        "char_to_idx": {char: i for i, char in enumerate(ALPHABET)},
    }
    chapter.train_and_predict_rnn(**{**settings, **changes})
    return params


def late_rnn(inputs: Any, state: Any, *params: Any) -> Any:
    """Each output is of the state before: no loss of a batch reaches the last state."""
    outputs = []
    for X in inputs:
        outputs.append(mx.nd.dot(state, params[3]) + params[4])
        _, state = chapter.rnn([X], state, *params)
    return outputs, state


def of(cell: str) -> dict[str, Any]:
    if cell == "late":
        return {"rnn": late_rnn}
    return {"rnn": cells.lstm_rnn(), "is_lstm": True} if cell == "lstm" else {"rnn": chapter.rnn}


def perplexities(printed: str) -> list[float]:
    return [float(value) for value in re.findall(r"Perplexity (\S+)", printed)]


@pytest.mark.parametrize("cell", ORDER)
def test_the_gradient_of_a_batch_is_that_of_the_sum_of_its_losses(cell: str) -> None:
    config, p = weights(cell, H, V)
    corpus = CORPUS[: N * (T + 1)]  # one batch
    params = train(p, corpus_indices=corpus, learning_rate=0, **of(cell))
    (batch,) = plain_training.consecutive_batches(corpus, N, T)
    expected = plain_training.gradients(config, p, batch)
    for name, param in zip(ORDER[cell], params, strict=True):
        np.testing.assert_allclose(param.grad.asnumpy(), expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(param.asnumpy(), p[name])  # the learning rate is 0


@pytest.mark.parametrize(
    ("cell", "is_random_iter", "theta"),
    [("rnn", True, None), ("rnn", True, 1.5), ("rnn", False, 1.5), ("lstm", True, 1.5), ("lstm", False, None)],
)
def test_training_is_that_of_numpy_in_float64(
    cell: str, is_random_iter: bool, theta: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same batches in the same order: parameters, printed perplexities, samples."""
    config, p = weights(cell, H, V)
    epochs = 2 if cell == "rnn" else 1
    random.seed(6)
    params = train(
        p,
        is_random_iter=is_random_iter,
        epochs=epochs,
        clipping_theta=theta,
        pred_len=5,
        seqs=["ab", "CAD"],
        **of(cell),
    )
    generator = random.Random(6) if is_random_iter else None
    after, expected = plain_training.train(config, p, CORPUS, N, T, epochs, 0.1, theta, generator)
    for name, param in zip(ORDER[cell], params, strict=True):
        np.testing.assert_allclose(param.asnumpy(), after[name], rtol=1e-3, atol=1e-4, err_msg=name)
    printed = capsys.readouterr().out
    assert perplexities(printed) == pytest.approx(expected, rel=1e-4)
    samples = ["".join(ALPHABET[i] for i in greedy(config, after, prefix, 6)) for prefix in ([0, 1], [2, 0, 3])]
    assert printed.endswith(f" -  {samples[0]}\n -  {samples[1]}\n\n")


def test_what_is_printed_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    _, p = weights("rnn", H, V)
    train(p, epochs=5, pred_period=2, pred_len=1, seqs=["a", "bc"])
    epoch = r"Epoch {}\. Perplexity \d+\.\d{{6}}\n -  a[a-e]{{2}}\n -  bc[a-e]{{2}}\n\n"
    assert re.fullmatch(epoch.format(2) + epoch.format(4), capsys.readouterr().out)


@pytest.mark.parametrize("is_random_iter", [True, False])
def test_a_model_that_guesses_evenly_has_the_perplexity_of_its_characters(
    is_random_iter: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _, p = weights("rnn", H, V)
    train({**p, "W_hy": p["W_hy"] * 0, "b_y": p["b_y"] * 0}, is_random_iter=is_random_iter, learning_rate=0)
    assert perplexities(capsys.readouterr().out) == [pytest.approx(V, rel=1e-5)]


def test_a_model_that_knows_the_text_has_perplexity_one_and_one_that_is_sure_of_another_a_large_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """abcdeabcde…: a hidden unit for each character, and the next one is sure."""
    after = np.roll(np.eye(V), 1, axis=1)
    p = {"W_xh": 9 * np.eye(V), "W_hh": np.zeros((V, V)), "b_h": np.zeros(V), "W_hy": 30 * after, "b_y": np.zeros(V)}
    for W_hy in (30 * after, -10 * after):
        train({**p, "W_hy": W_hy}, hidden_dim=V, corpus_indices=list(range(V)) * 5, learning_rate=0)
    best, worst = perplexities(capsys.readouterr().out)
    assert best == pytest.approx(1, rel=1e-5)
    assert worst == pytest.approx(math.exp(10) * (V - 1), rel=1e-3)


@pytest.mark.parametrize("theta", [1e-3, 1.0, 5.0, 13.0, 100.0, None])
def test_clipping_projects_all_gradients_to_one_norm(theta: float | None) -> None:
    """‖g‖ = 13: 3, 4 and 12 in three arrays."""
    params = [mx.nd.zeros((2, 2)), mx.nd.zeros(3)]
    gradients = [np.array([[3, 0], [0, 4]]), np.array([0, 12, 0])]
    for param, gradient in zip(params, gradients, strict=True):
        param.attach_grad()
        param.grad[:] = mx.nd.array(gradient)
    chapter.grad_clipping(params, theta, mx.cpu())
    scale = 1 if theta is None else min(1, theta / 13)
    for param, gradient in zip(params, gradients, strict=True):
        np.testing.assert_allclose(param.grad.asnumpy(), gradient * scale, rtol=1e-6)
        assert not param.asnumpy().any()


@pytest.mark.parametrize("is_random_iter", [True, False])
@pytest.mark.parametrize("cell", [*ORDER, "late"])
def test_state_is_carried_without_its_gradient_or_begins_at_zero(cell: str, is_random_iter: bool) -> None:
    _, p = weights("lstm" if cell == "lstm" else "rnn", H, V)
    given: list[list[Any]] = []
    left: list[list[Any]] = []
    rnn = of(cell)["rnn"]

    def watched(inputs: Any, *state_and_params: Any) -> Any:
        state = state_and_params[: 2 if cell == "lstm" else 1]
        for array in state:
            assert array.shape == (N, H)
            with pytest.raises(mx.base.MXNetError, match="not part of a computation graph"):
                mx.autograd.get_symbol(array)
        outputs, *after = rnn(inputs, *state_and_params)
        given.append([array.asnumpy() for array in state])
        left.append([array.asnumpy() for array in after])
        return (outputs, *after)

    train(p, epochs=2, is_random_iter=is_random_iter, **{**of(cell), "rnn": watched})
    per_epoch = len(given) // 2
    assert per_epoch == 4
    for number, state in enumerate(given):
        begins = is_random_iter or number % per_epoch == 0
        for k, array in enumerate(state):
            np.testing.assert_array_equal(array, np.zeros((N, H)) if begins else left[number - 1][k])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_batches_of_an_epoch() -> None:
    """What one batch needs for its gradients is more than all of them may add."""
    steps, batch_size, hidden_dim = 10, 128, 256
    sizes: list[float] = []

    def watched(*arguments: Any) -> Any:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
        sizes.append(resident / 2**20)
        return chapter.rnn(*arguments)

    scope = chapter.namespace(ALPHABET * (52 * steps * batch_size // V), hidden_dim, mx.cpu())
    train(
        {}, watched, num_steps=steps, batch_size=batch_size, hidden_dim=hidden_dim, clipping_theta=1.0,
        corpus_indices=scope["corpus_indices"], get_params=scope["get_params"],
    )  # fmt: skip
    assert len(sizes) >= 51
    # The states of the steps alone, of 40 batches, would be 50 MiB.
    assert sizes[-1] - sizes[10] < 25
