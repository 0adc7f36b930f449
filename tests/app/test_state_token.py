from __future__ import annotations

import numpy as np
import pytest

from app import state_token
from app.generation import Continuation
from model.config import GATES, ModelConfig
from model.errors import OptionError

DIGEST = "ab" * 32


def continuation(config: ModelConfig) -> Continuation:
    rng = np.random.default_rng(0)
    arrays = tuple(rng.normal(size=config.hidden_dim).astype(np.float32) for _ in config.state_names)
    return Continuation(arrays, pending=3, position=41)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1])
def test_what_was_signed_is_read_back_bit_for_bit(cell: str, seed: int | None) -> None:
    config = ModelConfig(cell, 2, 17, 9)
    original = continuation(config)
    token = state_token.sign(original, seed, DIGEST, b"secret")
    read, read_seed = state_token.read(token, b"secret", config, DIGEST)
    assert (read.pending, read.position, read_seed) == (3, 41, seed)
    assert all((a == b).all() for a, b in zip(read.arrays, original.arrays, strict=True))


def test_every_changed_letter_is_noticed() -> None:
    config = ModelConfig("rnn", 1, 3, 9)
    token = state_token.sign(continuation(config), 1, DIGEST, b"secret")
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(OptionError, match="not a token that this server gave"):
            state_token.read(changed, b"secret", config, DIGEST)


@pytest.mark.parametrize("token", ["", "A", "é", "A" * 10_000, "=" * 40, "a b"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(OptionError, match="not a token"):
        state_token.read(token, b"secret", ModelConfig("rnn", 1, 3, 9), DIGEST)


def test_another_secret_and_other_weights_are_told_apart() -> None:
    config = ModelConfig("rnn", 1, 3, 9)
    token = state_token.sign(continuation(config), 1, DIGEST, b"secret")
    with pytest.raises(OptionError, match="not a token"):
        state_token.read(token, b"other", config, DIGEST)
    with pytest.raises(state_token.OtherWeightsError):
        state_token.read(token, b"secret", config, "cd" * 32)
