"""The functions of the book's chapter, under its names and with its signatures, over MXNet.

The chapter is "recurrent neural networks from scratch" of Dive into Deep Learning, in the Chinese edition over
`mxnet.nd` in which a function takes `hidden_dim` and `get_inputs(data)`. Cells of such a notebook run against this
module unchanged: `namespace(text)` holds every name that they use. `docs/chapter.ipynb` reads it section by section.
Where they import the book's `utils`, write `from model.reference import chapter as utils`: its `try_gpu`, `SGD` and
`train_and_predict_rnn` are here.

Four faults of the chapter's functions, and what becomes of them here:

1. `predict_rnn` writes num_chars + 1 new characters. It stays so: cells count on it. `model.reference.prediction` does
   not.
2. The vocabulary is in the order of a set, another in each process. `namespace` sorts it.
3. `predict_rnn` puts the prefix into lower case, and the corpus keeps its capitals. `namespace` puts the corpus into
   lower case too. A cell that makes its own `char_to_idx` of a text with capitals still cannot ask for one of them.
4. A character that the corpus lacks ends `predict_rnn` with a bare KeyError. It is an UnknownCharacterError now, which
   is a KeyError as well and names every such character.

Letters: N = batch_size, T = num_steps, V = vocab_size, H = hidden_dim. State goes in and comes out. A `rnn` with
`is_lstm` takes and gives two arrays of state, the hidden state and the memory cell.

Longer than a page because a reader of the chapter has all its functions in one place.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from model.errors import UnknownCharactersError
from model.reference.device import Context, NDArray, mx, try_gpu

nd = mx.nd

Batch = tuple[NDArray, NDArray]
GetInputs = Callable[[NDArray], list[NDArray]]
# Inputs, one or two arrays of state, parameters ↦ outputs, as many arrays of state.
Rnn = Callable[..., tuple[Any, ...]]


class UnknownCharacterError(UnknownCharactersError, KeyError):
    """A prefix with characters that the corpus lacks: which, and where. A KeyError too, as in the chapter."""

    __str__ = Exception.__str__  # KeyError's puts quotes around the message


def namespace(
    corpus_chars: str, hidden_dim: int = 256, ctx: Context | None = None, std: float = 0.01
) -> dict[str, Any]:
    """Every name that the chapter's cells use, of one text: `globals().update(namespace(text))`.

    The text is put into lower case, its characters are sorted. `get_params()` draws weights from N(0, std²) by MXNet's
    generator (`mx.random.seed`) and sets biases to 0; `get_inputs(data)` makes T matrices of shape (N, V) of indices of
    shape (N, T). Both are of this text and this hidden_dim: a cell that makes a vocabulary or a hidden_dim of its own
    defines them too. ctx is that of parameters; None takes a GPU that works, else the CPU.

    A function that a cell defines under one of these names is the one that later cells call, but
    `train_and_predict_rnn` of this module goes on with this module's samplings, clipping and prediction.
    """
    ctx = ctx or try_gpu()
    corpus_chars = corpus_chars.lower()
    idx_to_char = sorted(set(corpus_chars))
    char_to_idx = {char: i for i, char in enumerate(idx_to_char)}
    vocab_size = len(idx_to_char)

    def get_params() -> list[NDArray]:
        """W_xh (V, H), W_hh (H, H), b_h (H,), W_hy (H, V), b_y (V,), each with room for its gradient."""
        return with_gradients(
            [
                nd.random_normal(scale=std, shape=(vocab_size, hidden_dim), ctx=ctx),
                nd.random_normal(scale=std, shape=(hidden_dim, hidden_dim), ctx=ctx),
                nd.zeros(hidden_dim, ctx=ctx),
                nd.random_normal(scale=std, shape=(hidden_dim, vocab_size), ctx=ctx),
                nd.zeros(vocab_size, ctx=ctx),
            ]
        )

    def get_inputs(data: NDArray) -> list[NDArray]:
        return to_onehot(data, vocab_size)

    return {
        "corpus_chars": corpus_chars,
        "idx_to_char": idx_to_char,
        "char_to_idx": char_to_idx,
        "corpus_indices": [char_to_idx[char] for char in corpus_chars],
        "vocab_size": vocab_size,
        "input_dim": vocab_size,
        "hidden_dim": hidden_dim,
        "output_dim": vocab_size,
        "std": std,
        "ctx": ctx,
        "get_params": get_params,
        "get_inputs": get_inputs,
        "data_iter_random": data_iter_random,
        "data_iter_consecutive": data_iter_consecutive,
        "rnn": rnn,
        "predict_rnn": predict_rnn,
        "grad_clipping": grad_clipping,
        "SGD": SGD,
        "train_and_predict_rnn": train_and_predict_rnn,
        "try_gpu": try_gpu,
        "autograd": mx.autograd,
        "gluon": mx.gluon,
        "mx": mx,
        "nd": nd,
    }


def data_iter_random(
    corpus_indices: Sequence[int], batch_size: int, num_steps: int, ctx: Context | None = None
) -> Iterator[Batch]:
    """Data and labels of shape (N, T): stretches of the corpus in an order that `random` draws.

    Each stretch is read once an epoch, but those that do not fill a batch. Neighbouring batches are unrelated, so the
    state begins at zero in each.
    """
    # The label of a character is the next one: the last character has none.
    num_examples = (len(corpus_indices) - 1) // num_steps
    order = list(range(num_examples))
    random.shuffle(order)
    for first in range(0, num_examples // batch_size * batch_size, batch_size):
        starts = [place * num_steps for place in order[first : first + batch_size]]
        yield (
            nd.array([corpus_indices[start : start + num_steps] for start in starts], ctx=ctx),
            nd.array([corpus_indices[start + 1 : start + 1 + num_steps] for start in starts], ctx=ctx),
        )


def data_iter_consecutive(
    corpus_indices: Sequence[int], batch_size: int, num_steps: int, ctx: Context | None = None
) -> Iterator[Batch]:
    """Data and labels of shape (N, T): row n of a batch goes on where row n of the batch before ended.

    So the state can be carried from batch to batch, and begins at zero once an epoch.
    """
    batch_len = len(corpus_indices) // batch_size
    if batch_len == 0:  # MXNet has no such array
        return
    rows = nd.array(corpus_indices[: batch_size * batch_len], ctx=ctx).reshape((batch_size, batch_len))
    for start in range(0, (batch_len - 1) // num_steps * num_steps, num_steps):
        yield rows[:, start : start + num_steps], rows[:, start + 1 : start + 1 + num_steps]


def to_onehot(data: NDArray, vocab_size: int) -> list[NDArray]:
    """Indices of shape (N, T), or (T,) for one row ↦ T matrices of shape (N, V), each row with a single 1."""
    return [nd.one_hot(X, vocab_size) for X in data.T]


def with_gradients(params: list[NDArray]) -> list[NDArray]:
    for param in params:
        param.attach_grad()
    return params


def rnn(inputs: Sequence[NDArray], state: NDArray, *params: NDArray) -> tuple[list[NDArray], NDArray]:
    """H_t = tanh(X_t W_xh + H_{t−1} W_hh + b_h), Y_t = H_t W_hy + b_y, for each X_t of shape (N, V).

    Returns T arrays Y_t of shape (N, V) and the last H_t of shape (N, H).
    """
    W_xh, W_hh, b_h, W_hy, b_y = params
    H, outputs = state, []
    for X in inputs:
        H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)
        outputs.append(nd.dot(H, W_hy) + b_y)
    return outputs, H


def predict_rnn(
    rnn: Rnn,
    prefix: str,
    num_chars: int,
    params: Sequence[NDArray],
    hidden_dim: int,
    ctx: Context,
    idx_to_char: Sequence[str],
    char_to_idx: Mapping[str, int],
    get_inputs: GetInputs,
    is_lstm: bool = False,
) -> str:
    """The prefix in lower case, and the num_chars + 1 characters that greedy prediction writes after it.

    The one too many is the chapter's. Raises UnknownCharacterError for a prefix with characters that char_to_idx
    lacks, IndexError for an empty one.
    """
    prefix = prefix.lower()
    _check_known(prefix, char_to_idx)
    output = [char_to_idx[prefix[0]]]
    state = zero_state(1, hidden_dim, ctx, is_lstm)
    for t in range(1, len(prefix) + num_chars + 1):
        (Y,), *state = rnn(get_inputs(nd.array([output[-1]], ctx=ctx)), *state, *params)
        output.append(char_to_idx[prefix[t]] if t < len(prefix) else int(Y.argmax(axis=1).asscalar()))
    return "".join(idx_to_char[i] for i in output)


def grad_clipping(params: Sequence[NDArray], theta: float | None, ctx: Context) -> None:
    """Scales all gradients in place to a common norm of at most theta, g ← g · min(1, θ / ‖g‖); None leaves them."""
    if theta is None:
        return
    norm = nd.zeros(1, ctx=ctx)
    for param in params:
        norm += (param.grad**2).sum()
    factor = theta / max(norm.sqrt().asscalar(), theta)
    if factor < 1:
        for param in params:
            param.grad[:] *= factor


def SGD(params: Sequence[NDArray], lr: float) -> None:
    """W ← W − lr · g, in place."""
    for param in params:
        param[:] = param - lr * param.grad


def train_and_predict_rnn(
    rnn: Rnn,
    is_random_iter: bool,
    epochs: int,
    num_steps: int,
    hidden_dim: int,
    learning_rate: float,
    clipping_theta: float | None,
    batch_size: int,
    pred_period: int,
    pred_len: int,
    seqs: Sequence[str],
    get_params: Callable[[], list[NDArray]],
    get_inputs: GetInputs,
    ctx: Context,
    corpus_indices: Sequence[int],
    idx_to_char: Sequence[str],
    char_to_idx: Mapping[str, int],
    is_lstm: bool = False,
) -> None:
    """Trains what get_params() gives, in place. After every pred_period epochs it prints perplexity and samples.

    A batch's gradient is that of the sum of its losses. Under random sampling the state begins at zero in each batch,
    else once an epoch; it is carried from batch to batch without its gradient. A sample is what `predict_rnn` writes
    after one of seqs.
    """
    data_iter = data_iter_random if is_random_iter else data_iter_consecutive
    params = get_params()
    softmax_cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for epoch in range(1, epochs + 1):
        state = zero_state(batch_size, hidden_dim, ctx, is_lstm)
        loss_sum, count = 0.0, 0
        for data, label in data_iter(corpus_indices, batch_size, num_steps, ctx):
            if is_random_iter:
                state = zero_state(batch_size, hidden_dim, ctx, is_lstm)
            with mx.autograd.record():
                outputs, *state = rnn(get_inputs(data), *(array.detach() for array in state), *params)
                # Both in the order of steps: (T · N, V) and (T · N,).
                loss = softmax_cross_entropy(nd.concat(*outputs, dim=0), label.T.reshape((-1,)))
            loss.backward()
            grad_clipping(params, clipping_theta, ctx)
            SGD(params, learning_rate)
            loss_sum += loss.sum().asscalar()
            count += loss.size
        if epoch % pred_period == 0:
            print(f"Epoch {epoch}. Perplexity {math.exp(loss_sum / count):f}")
            for prefix in seqs:
                print(
                    " - ",
                    predict_rnn(
                        rnn, prefix, pred_len, params, hidden_dim, ctx, idx_to_char, char_to_idx, get_inputs, is_lstm
                    ),
                )
            print()


def zero_state(batch_size: int, hidden_dim: int, ctx: Context, is_lstm: bool) -> list[NDArray]:
    """One array of shape (N, H), or two for an LSTM: the hidden state and the memory cell."""
    return [nd.zeros((batch_size, hidden_dim), ctx=ctx) for _ in range(2 if is_lstm else 1)]


def _check_known(prefix: str, char_to_idx: Mapping[str, int]) -> None:
    positions: dict[str, list[int]] = {}
    for place, char in enumerate(prefix):
        if char not in char_to_idx:
            positions.setdefault(char, []).append(place)
    if positions:
        raise UnknownCharacterError(positions)
