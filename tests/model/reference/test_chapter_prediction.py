from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from model.config import ModelConfig
from model.errors import UnknownCharactersError
from tests.book import Arrays
from tests.model.reference import chapter_cells as cells
from tests.model.reference.plain_training import ORDER, greedy, weights
from tests.models import random_checkpoint
from tests.reference import chapter, mx, needs_mxnet, predict_rnn

pytestmark = needs_mxnet


def predict(cell: str, p: Arrays, config: ModelConfig, prefix: str, num_chars: int, alphabet: str = "abcdefgh") -> str:
    to_idx = {char: i for i, char in enumerate(alphabet)}
    return str(
        chapter.predict_rnn(
            cells.lstm_rnn() if cell == "lstm" else chapter.rnn,
            *(
                prefix,
                num_chars,
                [mx.nd.array(array) for array in p.values()],
                config.hidden_dim,
                mx.cpu(),
                alphabet,
                to_idx,
            ),
            lambda data: chapter.to_onehot(data, len(alphabet)),
            is_lstm=cell == "lstm",
        )
    )


@pytest.mark.parametrize("cell", ORDER)
@limits(max_examples=15)
@given(prefix=st.text("abcdefgh", min_size=1, max_size=6), num_chars=st.integers(0, 7), seed=st.integers(0, 3))
def test_prediction_is_greedy_and_writes_one_character_more(cell: str, prefix: str, num_chars: int, seed: int) -> None:
    config, p = weights(cell, hidden_dim=6, vocab_size=8, seed=seed)
    expected = greedy(config, p, ["abcdefgh".index(c) for c in prefix], num_chars + 1)
    assert predict(cell, p, config, prefix, num_chars) == "".join("abcdefgh"[i] for i in expected)


def test_the_text_is_the_products_and_one_character_more() -> None:
    checkpoint = random_checkpoint(scale=4.0)
    p = {name: checkpoint.parameters[name].astype(np.float64) for name in ORDER["rnn"]}
    alphabet = checkpoint.vocabulary.decode(np.arange(len(checkpoint.vocabulary), dtype=np.int32))
    for prefix in ("不分开", "战争中部队", "Part"):
        text = predict("rnn", p, checkpoint.config, prefix, 12, alphabet)
        assert text[:-1] == predict_rnn(prefix, 12, checkpoint)
        assert text == predict_rnn(prefix, 13, checkpoint)


def test_a_prefix_is_put_into_lower_case_and_so_is_the_corpus() -> None:
    scope = cells.run([cells.FIRST, cells.PARAMETERS], text="The Lines PART")
    assert scope["corpus_chars"] == "the lines part"
    ask = "print(predict_rnn(rnn, 'PARTS', 3, params, hidden_dim, ctx, idx_to_char, char_to_idx, get_inputs))"
    exec(ask.replace("print", "text = "), scope)
    assert scope["text"].startswith("parts")


def test_a_cells_vocabulary_with_capitals_cannot_be_asked_for_them() -> None:
    config, p = weights("rnn", 4, 2, seed=0)
    with pytest.raises(KeyError):
        predict("rnn", p, config, "A", 1, alphabet="AB")


def test_an_unknown_character_is_named_with_all_the_others() -> None:
    config, p = weights("rnn", 4, 8, seed=0)
    with pytest.raises(KeyError) as raised:
        predict("rnn", p, config, "aéb山É", 5)
    assert isinstance(raised.value, UnknownCharactersError)
    assert raised.value.positions == {"é": [1, 4], "山": [3]}
    assert str(raised.value) == (
        "the model has never seen these characters: 'é' (U+00E9) at positions 1, 4, '山' (U+5C71) at position 3"
    )


def test_an_empty_prefix_is_an_index_error() -> None:
    config, p = weights("rnn", 4, 8, seed=0)
    with pytest.raises(IndexError):
        predict("rnn", p, config, "", 5)


def test_the_vocabulary_is_the_same_in_every_process() -> None:
    # Without MXNet, which takes seconds to import.
    code = """
import sys
from unittest.mock import MagicMock
sys.modules["model.reference.device"] = MagicMock()
from model.reference.chapter import namespace
print(namespace(sys.argv[1])["idx_to_char"])
"""
    text = cells.TEXT + "bcdfgjkquvwxyz"
    # With other hashes a set of characters has another order.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", code, text]
    other = subprocess.run(command, env=environment, capture_output=True, check=True, encoding="utf-8")
    assert other.stdout.strip() == str(chapter.namespace(text)["idx_to_char"]) == str(sorted(set(text.lower())))
