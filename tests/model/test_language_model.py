from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model
from model import checkpoint as checkpoints
from model.decoding.row import ALL
from model.engines.choice import open_engine
from model.errors import CheckpointError, OptionError, UnknownCharactersError
from model.language_model import LanguageModel
from model.sampling.options import MAX_SEED
from model.sampling.plain import choose_reference
from model.sampling.random_stream import uniform
from model.text.boundaries import ENDS, MAX_BEYOND, BoundaryWatcher
from model.text.rules import TextRules
from tests.model.text.test_stops import read
from tests.models import random_checkpoint, random_prefix, tiny_checkpoint
from tests.reference import predict_rnn


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


def test_an_engine_is_asked_for_under_its_new_and_its_old_name(saved: Path) -> None:
    assert model.load(saved, device="cpu", engine="onnxruntime").engine.name == "onnxruntime"
    for load in (partial(model.load, engine="torch"), partial(model.load, backend="torch")):
        with pytest.raises(OptionError, match=r"^engine: 'torch' is not one of auto, mxnet, onnxruntime$"):
            load(saved)


def test_load_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        model.load(tmp_path / "nothing")


@pytest.mark.parametrize("options", [{}, {"temperature": 0.9, "top_k": 40, "top_p": 0.9, "seed": 5}])
def test_a_text_is_the_same_alone_and_among_three_hundred(lm: LanguageModel, options: dict[str, Any]) -> None:
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
    first, second = lm.generate(["一", "丁"], 0, temperature=1.0)
    assert (first.text, second.text) == ("一", "丁")


def test_a_hundred_characters_are_written_unless_another_number_is_given(lm: LanguageModel) -> None:
    assert [len(generation.generated) for generation in lm.generate(["一丁", "一"])] == [100, 100]


def test_a_model_shows_its_shape_and_where_it_runs(lm: LanguageModel) -> None:
    assert repr(lm) == "<LanguageModel lstm 2×32, 300 characters, onnxruntime on cpu>"


@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.5}, {"temperature": 0.3}, {}])
def test_a_text_is_drawn_character_by_character_as_the_options_say(lm: LanguageModel, options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"temperature": 1.3, "top_k": ALL, "top_p": 1.0, **options}
    (prefix,) = prefixes(lm, 1)
    (generation,) = lm.generate([prefix], 30, seed=11, **{"temperature": 1.3, **options})
    assert generation.seed == 11
    state = lm.engine.start(1)
    for character in prefix:
        logits, state = lm.engine.step(lm.vocabulary.encode(character).astype(np.int64), state)
    for position, character in enumerate(generation.generated):
        place = choose_reference(
            logits[0], asked["temperature"], int(asked["top_k"]), asked["top_p"], uniform(11, position)
        )
        assert lm.vocabulary.characters[place] == character
        logits, state = lm.engine.step(np.array([place]), state)


def test_seed_zero_is_a_seed_like_any_other(lm: LanguageModel) -> None:
    (prefix,) = prefixes(lm, 1)
    (one,), (again,) = (lm.generate([prefix], 20, temperature=1.0, seed=0) for _ in range(2))
    assert one == again
    assert one.seed == 0


def test_a_prefix_is_seen_as_the_corpus_was_and_as_indices_of_64_bits(lm: LanguageModel) -> None:
    seen, indices = lm.prepare("一\u4e01")
    assert (seen, indices.tolist(), indices.dtype) == ("一丁", [0, 1], np.dtype(np.int64))
    assert lm.prepare("x一", unknown="skip")[0] == "一"


def test_what_cannot_be_read_is_named(lm: LanguageModel) -> None:
    with pytest.raises(OptionError, match=r"^prefixes: is one string"):
        lm.generate("一丁")
    for rule in ("error", "skip"):
        with pytest.raises(OptionError, match=r"^text: is empty"):
            lm.score("", unknown=rule)
    with pytest.raises(OptionError, match=r"^unknown: 'guess' is not one of error, skip"):
        lm.generate(["一"], unknown="guess")
    with pytest.raises(UnknownCharactersError):
        lm.score("一x")
    with pytest.raises(UnknownCharactersError, match=r"'x' \(U\+0078\) at position 1"):
        lm.generate(["一x"])
    with pytest.raises(OptionError, match=r"^prefix: holds no character that the model knows"):
        lm.generate(["xy"], unknown="skip")
    for wrong in (-1, True, 2.0, None):
        with pytest.raises(OptionError, match=f"^num_chars: {wrong!r} is not a whole number of at least 0"):
            lm.generate(["一"], wrong)  # type: ignore[arg-type]


def test_skipping_leaves_out_what_is_unknown(lm: LanguageModel) -> None:
    assert lm.generate(["一x丁"], 5, unknown="skip") == lm.generate(["一丁"], 5)


def drawn(lm: LanguageModel, count: int = 3) -> dict[str, Any]:
    return {"prefixes": prefixes(lm, count), "temperature": 1.0, "seed": 5}


def test_texts_of_one_prefix_are_written_with_the_seeds_that_follow(lm: LanguageModel) -> None:
    asked = drawn(lm)
    found = lm.generate(**asked, num_chars=20, n=3)
    alone = [lm.generate([one], 20, temperature=1.0, seed=5 + i)[0] for one in asked["prefixes"] for i in range(3)]
    assert found == alone
    assert [one.seed for one in found] == [5, 6, 7] * 3
    last = lm.generate(["一"], 5, n=2, temperature=1.0, seed=MAX_SEED)
    assert [one.seed for one in last] == [MAX_SEED, 0]
    one, other = lm.generate(["一"], 5, n=2, temperature=1.0)
    assert one.seed is not None
    assert other.seed == one.seed + 1
    assert [one.seed for one in lm.generate(["一"], 0, n=2, temperature=1.0, seed=1)] == [1, 2]
    assert [one.seed for one in lm.generate(["一"], 5, n=2)] == [None, None]


def test_a_stop_string_ends_a_text_before_it(lm: LanguageModel) -> None:
    whole = lm.generate(**drawn(lm), num_chars=60)
    stops = [whole[0].generated[20:22], whole[1].generated[30]]
    found = lm.generate(**drawn(lm), num_chars=60, stop=stops)
    for full, cut in zip(whole, found, strict=True):
        expected, stopped = read(full.generated, stops)
        assert (cut.generated, cut.finish_reason) == (expected, "stop" if stopped else "length")
    assert [one.finish_reason for one in found][:2] == ["stop", "stop"]


def writing(characters: str) -> LanguageModel:
    """A model that writes these characters in no order."""
    checkpoint = random_checkpoint("gru", 1, 12, characters, rules=TextRules(False, "keep"))
    return LanguageModel(checkpoint, open_engine(checkpoint, "cpu", "onnxruntime", 1, spin=False))


@pytest.mark.parametrize("end", ENDS)
def test_a_text_that_ends_at_a_place_is_the_beginning_of_the_longer_one_alone_or_among_others(end: str) -> None:
    lm = writing("ab '.1\n␃e\u0301\u200d\U0001f468\U0001f469\U0001f1e9\U0001f1ea")
    starts = ["a", "b'", "\U0001f468", "\U0001f1e9", "e"]
    options: dict[str, Any] = {"temperature": 1.3, "seed": 3, "n": 4}
    longer = lm.generate(starts, 300, **options)
    found = lm.generate(starts, 7, end=end, **options)
    for number, (short, full) in enumerate(zip(found, longer, strict=True)):
        watcher = BoundaryWatcher(end, 7, short.prefix)
        assert short.generated == watcher.feed(full.generated)
        assert watcher.ended
        assert short.finish_reason == "end"
        alone = lm.generate([starts[number // 4]], 7, end=end, temperature=1.3, seed=3 + number % 4)
        assert alone == [short]
    assert len({len(one.generated) for one in found}) > 1, "the places are not all the same"


def test_without_characters_of_its_own_a_text_finishes_what_the_prefix_began() -> None:
    lm = writing("ab \n")
    longer = lm.generate(["a", "b"], 60, temperature=1.0, seed=2, n=4)
    for end, ends in (("line", "\n"), ("word", " \n")):
        found = lm.generate(["a", "b"], 0, end=end, temperature=1.0, seed=2, n=4)
        for short, full in zip(found, longer, strict=True):
            at = next(at for at, character in enumerate(full.generated) if character in ends)
            assert (short.generated, short.finish_reason) == (full.generated[:at], "end")
        assert "" in {one.generated for one in found}


def test_where_no_place_comes_a_text_ends_so_much_beyond() -> None:
    lm = writing("ab\n")
    lm.checkpoint.parameters["b_y"][0] = -1e9  # it never writes a line end
    lm = LanguageModel(lm.checkpoint, open_engine(lm.checkpoint, "cpu", "onnxruntime", 1, spin=False))
    (found,) = lm.generate(["a"], 5, end="line", temperature=1.0, seed=1)
    assert (len(found.generated), found.finish_reason) == (5 + MAX_BEYOND, "length")


def test_pieces_make_the_texts_and_the_last_of_each_has_it_whole(lm: LanguageModel) -> None:
    asked = drawn(lm, 40)
    for options in ({"num_chars": 30, "n": 2}, {"num_chars": 30, "stop": ["一"], "end": "grapheme"}, {"num_chars": 0}):
        expected = lm.generate(**asked, **options)
        texts = [""] * len(expected)
        ended: set[int] = set()
        for piece in lm.pieces(**asked, **options):
            assert piece.index not in ended
            assert piece.text or piece.generation is not None
            texts[piece.index] += piece.text
            if piece.generation is not None:
                ended.add(piece.index)
                assert piece.generation == expected[piece.index]
            whole = expected[piece.index]
            assert (piece.prefix, piece.seed) == (whole.prefix, whole.seed)
        assert texts == [one.generated for one in expected]
        assert ended == set(range(len(expected)))


def test_pieces_come_while_the_text_is_written(lm: LanguageModel) -> None:
    pieces = list(lm.pieces(["一"], 2_000))
    assert len(pieces) > 2
    assert [piece.generation is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_what_cannot_be_written_is_named_before_the_first_piece_is_asked_for(lm: LanguageModel) -> None:
    for options, message in (
        ({"n": 0}, "^n: 0 is not a whole number of at least 1$"),
        ({"n": True}, "^n: True is not a whole number of at least 1$"),
        ({"stop": "一"}, "^stop: is one string; give a list of them$"),
        ({"stop": ["一", ""]}, "^stop: '' is not a text of at least one character$"),
        ({"stop": [3]}, "^stop: 3 is not a text of at least one character$"),
        ({"end": "page"}, "^end: 'page' is not one of grapheme, word, line, document$"),
        ({"end": "line"}, "^end: this model has never seen the end of a line; it may be grapheme, word$"),
    ):
        with pytest.raises(OptionError, match=message):
            lm.pieces(["一"], 5, **options)


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
