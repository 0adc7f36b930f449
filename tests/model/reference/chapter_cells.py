"""Cells that call the chapter's functions as a notebook for them does, and what runs them. The words are our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TEXT = "战争中部队分开，又不分开。\nThe lines part, then meet; 山与水不分开。\n"

FIRST = "from model.reference.chapter import namespace\nglobals().update(namespace(text))"

IMPORTS = """
import random
from math import exp
import mxnet as mx
from mxnet import nd, autograd, gluon
"""

CORPUS = """
import zipfile
with zipfile.ZipFile(path) as archive:
    corpus_chars = archive.read('words.txt').decode('utf-8')
print(corpus_chars[:8])
corpus_chars = corpus_chars.replace('\\n', ' ')[:28]
"""

VOCABULARY = """
idx_to_char = list(set(corpus_chars))  # the chapter's order: that of a set
char_to_idx = {c: k for k, c in enumerate(idx_to_char)}
corpus_indices = [char_to_idx[c] for c in corpus_chars]
vocab_size = len(idx_to_char)
print(vocab_size, 'characters')
print(''.join(idx_to_char[k] for k in corpus_indices[:8]), corpus_indices[:8])
"""

OF_THIS_VOCABULARY = """
input_dim = output_dim = vocab_size
hidden_dim, std = 12, .01

def get_inputs(data):
    return [nd.one_hot(step, vocab_size) for step in data.T]

def get_params():
    shapes = (input_dim, hidden_dim), (hidden_dim, hidden_dim), hidden_dim, (hidden_dim, output_dim), output_dim
    drawn = [nd.random_normal(scale=std, shape=s, ctx=ctx) if isinstance(s, tuple) else nd.zeros(s, ctx=ctx)
             for s in shapes]
    for array in drawn:
        array.attach_grad()
    return drawn
"""

SAMPLINGS = """
for batches in data_iter_random, data_iter_consecutive:
    for data, label in batches(range(30), batch_size=2, num_steps=3):
        print(batches.__name__, data.shape, data[0], 'is followed by', label[0])
for data, label in data_iter_random(corpus_indices, 2, 3, ctx):
    assert data.context == label.context == ctx
"""

ONE_HOT = """
print(nd.one_hot(nd.array([0, 2]), vocab_size))
inputs = get_inputs(data)
print(len(inputs), 'inputs of', inputs[0].shape)
"""

PARAMETERS = """
ctx = try_gpu()
print('on', ctx)
params = get_params()
assert all(p.grad.shape == p.shape for p in params)
W_xh, W_hh, b_h, W_hy, b_y = params
print(W_xh.shape, W_hh.shape, b_h.shape, W_hy.shape, b_y.shape)
"""

ON_A_BATCH = """
state = nd.zeros(shape=(data.shape[0], hidden_dim), ctx=ctx)
outputs, state_new = rnn(get_inputs(data.as_in_context(ctx)), state, *params)
print(len(outputs), 'outputs of', outputs[0].shape, 'and a state of', state_new.shape)
"""

PREDICT = """
print(predict_rnn(rnn, '分开', 10, params, hidden_dim, ctx, idx_to_char, char_to_idx, get_inputs))
print(predict_rnn(rnn=rnn, prefix='不分开', num_chars=0, params=params, hidden_dim=hidden_dim, ctx=ctx,
                  idx_to_char=idx_to_char, char_to_idx=char_to_idx, get_inputs=get_inputs, is_lstm=False))
"""

CLIPPING = """
softmax_cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
with autograd.record():
    outputs, state = rnn(get_inputs(data.as_in_context(ctx)), state, *params)
    loss = softmax_cross_entropy(nd.concat(*outputs, dim=0), label.T.reshape((-1,)))
loss.backward()
before = [p.grad.copy() for p in params]
grad_clipping(params, None, ctx)
assert all((p.grad == g).min().asscalar() == 1 for p, g in zip(params, before))
grad_clipping(params, 0.01, ctx)
print('norm:', sum((p.grad ** 2).sum().asscalar() for p in params) ** .5)
print('Perplexity:', exp(loss.mean().asscalar()))
SGD(params, 0.1)
"""


def training(is_random_iter: bool, rnn: str = "rnn", more: str = "", call: str = "train_and_predict_rnn") -> str:
    return f"""
seqs = '分开 不分开 战争中部队'.split()
{call}(rnn={rnn}, is_random_iter={is_random_iter}, epochs=2, num_steps=5, hidden_dim=hidden_dim, learning_rate=0.2,
       clipping_theta=5, batch_size=2, pred_period=1, pred_len=3, seqs=seqs, get_params=get_params,
       get_inputs=get_inputs, ctx=ctx, corpus_indices=corpus_indices, idx_to_char=idx_to_char,
       char_to_idx=char_to_idx{more})
"""


LSTM = """
def get_params():
    drawn = []
    for gate in 'ifoc':
        drawn += [nd.random_normal(scale=std, shape=(rows, hidden_dim), ctx=ctx) for rows in (input_dim, hidden_dim)]
        drawn.append(nd.zeros(hidden_dim, ctx=ctx))
    drawn += [nd.random_normal(scale=std, shape=(hidden_dim, output_dim), ctx=ctx), nd.zeros(output_dim, ctx=ctx)]
    for array in drawn:
        array.attach_grad()
    return drawn

def lstm_rnn(inputs, state_h, state_c, *params):
    *gates, W_hy, b_y = params
    outputs = []
    for X in inputs:
        i, f, o, c = (nd.dot(X, gates[k]) + nd.dot(state_h, gates[k + 1]) + gates[k + 2] for k in (0, 3, 6, 9))
        state_c = nd.sigmoid(f) * state_c + nd.sigmoid(i) * nd.tanh(c)
        state_h = nd.sigmoid(o) * nd.tanh(state_c)
        outputs.append(nd.dot(state_h, W_hy) + b_y)
    return outputs, state_h, state_c
"""
TRAIN_LSTM = training(False, "lstm_rnn", ", is_lstm=True")
PREDICT_LSTM = """
print(predict_rnn(lstm_rnn, '分开', 10, get_params(), hidden_dim, ctx, idx_to_char, char_to_idx, get_inputs, True))
"""

# Whoever has the book's own `utils` imports that; here the module stands for it.
UTILS = "from model.reference import chapter as utils\nctx = utils.try_gpu()"
TRAIN_WITH_UTILS = training(True, "lstm_rnn", ", is_lstm=True", "utils.train_and_predict_rnn")

OWN_FUNCTIONS = """
def rnn(inputs, state, *params):
    W_xh, W_hh, b_h, W_hy, b_y = params
    outputs = []
    for X in inputs:
        state = nd.relu(nd.dot(X, W_xh) + nd.dot(state, W_hh) + b_h)
        outputs.append(nd.dot(state, W_hy) + b_y)
    return (outputs, state)

def data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx=None):
    raise AssertionError('a cell\\'s sampling')

def grad_clipping(params, theta, ctx):
    raise AssertionError('a cell\\'s clipping')

def predict_rnn(*_, **__):
    return 'a cell\\'s prediction'
"""

MODEL = [ONE_HOT, PARAMETERS, ON_A_BATCH, PREDICT, CLIPPING, training(True), training(False)]
OF_THE_TEXT = [FIRST, "from math import exp", SAMPLINGS, *MODEL]
OF_ITS_OWN_TEXT = [
    *(FIRST, IMPORTS, CORPUS, VOCABULARY, SAMPLINGS, OF_THIS_VOCABULARY, *MODEL),
    *(UTILS, LSTM, TRAIN_WITH_UTILS, TRAIN_LSTM, PREDICT_LSTM),
]


def run(cells: Sequence[str], **names: Any) -> dict[str, Any]:
    """What the names of a notebook stand for after all its cells."""
    scope: dict[str, Any] = {"__name__": "__main__", "text": TEXT, **names}
    for number, cell in enumerate(cells, 1):
        exec(compile(cell, f"<cell {number}>", "exec"), scope)
    return scope


def lstm_rnn() -> Any:
    return run([FIRST, LSTM])["lstm_rnn"]
