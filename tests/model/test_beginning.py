"""What the library writes where there is no prefix."""

from __future__ import annotations

from typing import Any

import pytest

import model
from model import checkpoint as checkpoints
from model.engines.choice import open_engine
from model.errors import OptionError
from model.language_model import LanguageModel
from tests.beginnings import CASES, COUNTS, Case, from_nothing

OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.0, "seed": 3},
    {"temperature": 5.0, "seed": 4},
    {"temperature": 0.7, "top_k": 2, "seed": 5},
    {"temperature": 1.3, "top_p": 0.6, "seed": 0},
    {"temperature": 1.0, "seed": 2**63 - 1},
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def lm(case: Case) -> LanguageModel:
    return LanguageModel(case.checkpoint, open_engine(case.checkpoint, "cpu"))


@pytest.mark.parametrize("num_chars", [1, 2, 30])
def test_nothing_is_gone_on_with_as_the_readable_reference_does(lm: LanguageModel, case: Case, num_chars: int) -> None:
    for options in OPTIONS:
        (written,) = lm.generate([""], num_chars, **options)
        assert (written.prefix, written.generated) == ("", from_nothing(case, num_chars, **options)[0])
        assert written.text == written.generated
        assert written.seed == options.get("seed")


def test_it_is_the_same_alone_and_among_others(lm: LanguageModel) -> None:
    others = ["a", "", "分开", "", *["ab"] * 9]
    for options in OPTIONS:
        among = lm.generate(others, 20, **options)
        assert lm.generate([""], 20, **options) == [among[1]] == [among[3]]
        assert lm.generate(["分开"], 20, **options) == [among[2]]


def test_it_is_the_continuation_of_the_character_behind_which_texts_begin(lm: LanguageModel, case: Case) -> None:
    for options in OPTIONS:
        (nothing,) = lm.generate([""], 30, **options)
        if case.read:
            (behind,) = lm.generate([case.read], 30, **options)
            assert nothing.generated == behind.generated
        else:  # and the first character is one that the model goes on from as from any other
            (behind,) = lm.generate([nothing.generated[:1]], 29)
            assert options or nothing.generated[1:] == behind.generated


@pytest.mark.parametrize("num_chars", [1, 9])
def test_pieces_make_the_text_and_several_have_seeds_of_their_own(
    lm: LanguageModel, case: Case, num_chars: int
) -> None:
    wish: dict[str, Any] = {"temperature": 1.2, "seed": 2**63 - 1, "n": 3}
    pieces = list(lm.pieces(["", "ab"], num_chars, **wish))
    texts = ["".join(piece.text for piece in pieces if piece.index == index) for index in range(6)]
    whole = {piece.index: piece.generation for piece in pieces if piece.generation is not None}
    assert [whole[index].generated for index in range(6)] == texts
    for index, seed in enumerate((2**63 - 1, 0, 1)):
        assert lm.generate([""], num_chars, temperature=1.2, seed=seed) == [whole[index]]
        assert whole[index].generated == from_nothing(case, num_chars, temperature=1.2, seed=seed)[0]


def test_no_characters_after_nothing_are_nothing(lm: LanguageModel) -> None:
    (written,) = lm.generate([""], 0)
    assert (written.text, written.seed) == ("", None)


def test_each_without_a_seed_draws_a_beginning_of_its_own(lm: LanguageModel) -> None:
    written = lm.generate([""] * 20, 1, temperature=5.0)
    assert len({one.seed for one in written}) == 20
    assert len({one.generated for one in written}) > 1


def test_first_characters_are_drawn_as_often_as_lines_begin_with_them() -> None:
    checkpoint = CASES["drawn"].checkpoint
    lm = LanguageModel(checkpoint, open_engine(checkpoint, "cpu"))
    assert lm.generate([""], 1)[0].generated == max(COUNTS, key=COUNTS.__getitem__)
    drawn = [lm.generate([""], 1, temperature=1.0, seed=seed)[0].generated for seed in range(800)]
    for character, count in COUNTS.items():
        assert drawn.count(character) / len(drawn) == pytest.approx(count / sum(COUNTS.values()), abs=0.06)
    assert set(drawn) == set(COUNTS)


def test_what_is_to_be_scored_must_be_there_and_unknown_characters_are_not_nothing(lm: LanguageModel) -> None:
    with pytest.raises(OptionError, match=r"^text: is empty"):
        lm.score("")
    with pytest.raises(OptionError, match=r"^prefix: holds no character that the model knows"):
        lm.generate(["ß"], unknown="skip")
    with pytest.raises(OptionError, match=r"^unknown: 'guess' is not one of error, skip"):
        lm.generate([""], unknown="guess")


def test_a_hostile_record_is_loaded_and_begun_from(tmp_path: Any) -> None:
    plain = CASES["space"].checkpoint
    for record in (
        {"starts": {"first_characters": {"a": -3, "ß": 9, "b": "many", "c": 1e300, "d": float("nan")}}},
        {"starts": [], "corpus": {"document_end": ["a"]}},
        {"starts": {"first_characters": [1]}, "corpus": 7},
    ):
        checkpoints.save(tmp_path, checkpoints.Checkpoint(**{**vars(plain), "training": record}))
        lm = model.load(tmp_path, device="cpu")
        assert lm.generate([""], 9)[0].generated == lm.generate([" "], 9)[0].generated
