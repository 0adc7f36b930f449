from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import model
from model import checkpoint as checkpoints
from model.errors import CheckpointError, OptionError, UnknownCharactersError
from model.language_model import LanguageModel
from model.prediction import predict_rnn
from tests.model.tiny import random_prefix, tiny_checkpoint


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = tmp_path_factory.mktemp("model")
    checkpoints.save(path, tiny_checkpoint("lstm", 2, 32, 300))
    return model.load(path, device="cpu")


def prefixes(lm: LanguageModel, count: int) -> list[str]:
    rng = np.random.default_rng(count)
    return [random_prefix(lm.checkpoint, rng, 30) for _ in range(count)]


def test_load_gives_a_model_that_writes_what_the_reference_writes(lm: LanguageModel) -> None:
    (prefix,) = prefixes(lm, 1)
    (generation,) = lm.generate([prefix], num_chars=20)
    assert generation.text == predict_rnn(prefix, 20, lm.checkpoint)
    assert len(generation.generated) == 20
    assert generation.seed is None


def test_load_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        model.load(tmp_path / "nothing")


@pytest.mark.parametrize("options", [{}, {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "seed": 5}])
def test_a_text_is_the_same_alone_and_among_three_hundred(lm: LanguageModel, options: dict[str, float]) -> None:
    many = prefixes(lm, 300)
    together = lm.generate(many, 30, **options)
    for place in (0, 1, 17, 255, 256, 299):
        assert lm.generate([many[place]], 30, **options) == [together[place]]


def test_a_seed_gives_its_text_again_and_another_seed_another(lm: LanguageModel) -> None:
    (prefix,) = prefixes(lm, 1)
    (drawn,) = lm.generate([prefix], 40, temperature=1.0)
    assert drawn.seed is not None
    assert lm.generate([prefix], 40, temperature=1.0, seed=drawn.seed) == [drawn]
    assert lm.generate([prefix], 40, temperature=1.0, seed=drawn.seed + 1) != [drawn]


def test_prefixes_without_a_seed_get_one_each(lm: LanguageModel) -> None:
    (prefix,) = prefixes(lm, 1)
    one, other = lm.generate([prefix, prefix], 40, temperature=1.0)
    assert one.seed != other.seed
    assert one.generated != other.generated


def test_no_prefixes_and_no_characters_are_no_trouble(lm: LanguageModel) -> None:
    assert lm.generate([], 10) == []
    (generation,) = lm.generate(["一丁"], 0)
    assert generation.text == "一丁"


def test_what_cannot_be_read_is_named(lm: LanguageModel) -> None:
    with pytest.raises(OptionError, match="prefixes: is one string"):
        lm.generate("一丁")
    with pytest.raises(OptionError, match="prefix: is empty"):
        lm.generate([""])
    with pytest.raises(UnknownCharactersError, match=r"'x' \(U\+0078\) at position 1"):
        lm.generate(["一x"])
    with pytest.raises(OptionError, match="prefix: holds no character that the model knows"):
        lm.generate(["xy"], unknown="skip")
    with pytest.raises(OptionError, match="num_chars: -1"):
        lm.generate(["一"], -1)


def test_skipping_leaves_out_what_is_unknown(lm: LanguageModel) -> None:
    assert lm.generate(["一x丁"], 5, unknown="skip") == lm.generate(["一丁"], 5)


def test_score_adds_up_and_finds_greedy_text_likeliest(lm: LanguageModel) -> None:
    (prefix,) = prefixes(lm, 1)
    (generation,) = lm.generate([prefix], 20)
    score = lm.score(generation.text)
    assert score.text == generation.text
    assert len(score.measured.logprobs) == len(score.text) - 1
    assert score.measured.ranks[-20:].tolist() == [0] * 20
    assert score.total == pytest.approx(score.measured.logprobs.sum())
    assert score.perplexity == pytest.approx(math.exp(-score.total / (len(score.text) - 1)))
    assert score.bits_per_char == pytest.approx(math.log2(score.perplexity))


def test_score_of_a_single_character_has_nothing_to_score(lm: LanguageModel) -> None:
    score = lm.score("一")
    assert (len(score.measured.logprobs), score.total, score.perplexity) == (0, 0.0, 1.0)
