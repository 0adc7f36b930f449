from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import evaluation
from model.config import GATES
from model.errors import CorpusError, OptionError
from model.evaluation import CONTEXT, HUGE, LONGEST, evaluate
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.backends.cpu.backend import CpuBackend
from tests.book import book_forward
from tests.models import CELLS, LETTERS, random_checkpoint, with_parameters

TEXT = "a small text\nof three lines\nand no more of them" * 8


@pytest.mark.parametrize("cell", GATES)
def test_the_mean_loss_is_that_of_reading_the_text_by_the_books_equations(cell: str) -> None:
    checkpoint = random_checkpoint(cell, scale=3.0)
    ids = checkpoint.vocabulary.encode(checkpoint.rules.apply(TEXT))
    parameters = {name: array.astype(np.float64) for name, array in checkpoint.parameters.items()}
    Y, _ = book_forward(checkpoint.config, parameters, ids[None, :-1])
    losses = np.log(np.exp(Y[:, 0]).sum(axis=1)) - Y[np.arange(len(ids) - 1), 0, ids[1:]]
    assert evaluate(checkpoint, TEXT).nats_per_char == pytest.approx(losses.mean(), rel=1e-5)


def test_unknown_characters_are_counted_and_left_out() -> None:
    result = evaluate(random_checkpoint(), "one é two é three ß four")
    assert list(result.unknown.items()) == [("é", 2), ("ß", 1)]
    assert result.characters == 20
    assert result.coverage == pytest.approx(21 / 24)
    with pytest.raises(CorpusError, match=r"2 characters the model knows 1\b"):
        evaluate(random_checkpoint(), "éa")
    assert evaluate(random_checkpoint(), "ab").characters == 1


def test_lines_stand_with_their_own_losses() -> None:
    checkpoint = random_checkpoint(scale=3.0, rules=TextRules(newlines="space"))
    lines = ["the first line", "another one here", "the last of them"]
    result = evaluate(checkpoint, "\n".join(lines), num_lines=3)
    assert {line.text for line in result.worst_lines} == set(lines)
    lengths = np.array([len(line.text) for line in result.worst_lines])
    assert lengths.sum() == sum(map(len, lines))
    assert [x.nats_per_char for x in result.best_lines] == sorted(x.nats_per_char for x in result.worst_lines)


@pytest.mark.parametrize("newlines", ["space", "keep"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_has_the_same_losses_whatever_its_ends_and_whatever_is_cut_off(newlines: str, end: str) -> None:
    letters = LETTERS + ("\n" if newlines == "keep" else "")
    checkpoint = random_checkpoint(characters=letters, scale=3.0, rules=TextRules(newlines=newlines))
    lines = ["the first line", "another one é here", "tiny", "the last of them"]
    text = end.join(lines)
    seen = checkpoint.rules.apply("\n".join(lines))
    known = checkpoint.vocabulary.known(seen)
    losses = evaluation._Reader(checkpoint).losses("", known)
    whole = evaluate(checkpoint, text, num_lines=9)
    at, expected = 0, {}
    for line in ("the first line", "another one  here", "tiny", "the last of them"):  # é is not known
        if len(line) >= 5:
            expected[line] = losses[max(at - 1, 0) : at + len(line) - 1].mean()
        at += len(line) + 1
    assert {line.text: line.nats_per_char for line in whole.best_lines} == pytest.approx(expected)
    cut = evaluate(checkpoint, text, num_lines=9, max_chars=len(seen) - 4, last=0.5)
    assert {line.text for line in cut.worst_lines} == {"e  here", "the last of "}  # of the characters 25 … 50


def test_a_loss_that_is_too_large_for_a_perplexity_is_still_a_figure() -> None:
    checkpoint = random_checkpoint(scale=1e4)
    assert 1e300 < evaluate(checkpoint, TEXT).perplexity < float("inf")


def test_the_three_figures_are_one() -> None:
    result = evaluate(random_checkpoint(scale=3.0), TEXT)
    assert result.perplexity == pytest.approx(math.exp(result.nats_per_char))
    assert result.perplexity == pytest.approx(2**result.bits_per_char)


def test_commonest_unknown_characters_come_first() -> None:
    assert list(evaluate(random_checkpoint(), "a ß é é ß é").unknown) == ["é", "ß"]


def test_five_of_the_worst_and_of_the_best_lines_are_shown_the_extreme_ones_first() -> None:
    lines = [f"the line {chr(97 + n)} of many {'xyz' * n}" for n in range(12)]
    checkpoint = random_checkpoint(scale=3.0)
    all_lines = evaluate(checkpoint, "\n".join(lines), num_lines=99).best_lines
    assert len(all_lines) == 12
    result = evaluate(checkpoint, "\n".join(lines))
    by_loss = sorted(all_lines, key=lambda line: line.nats_per_char)
    assert list(result.best_lines) == by_loss[:5]
    assert list(result.worst_lines) == by_loss[::-1][:5]


@settings(max_examples=30)
@given(st.integers(2, 60), st.floats(0.05, 1))
def test_what_is_measured_is_the_end_of_what_max_chars_leaves(max_chars: int, last: float) -> None:
    checkpoint, text = random_checkpoint(), "Some words,\r\nas they were written: and some more of them."
    kept = "some words, as they were written: and some more of them."[:max_chars]
    held_out = kept[len(kept) - round(len(kept) * last) :]
    known = held_out.replace(":", "")
    if len(known) < 2:
        with pytest.raises(CorpusError, match=rf"{len(held_out)} characters .* {len(known)};"):
            evaluate(checkpoint, text, max_chars=max_chars, last=last)
        return
    result = evaluate(checkpoint, text, max_chars=max_chars, last=last)
    assert result.characters == len(known) - 1
    assert result.coverage == pytest.approx(len(known) / len(held_out))
    assert result.nats_per_char == pytest.approx(evaluate(checkpoint, known).nats_per_char)


@pytest.mark.parametrize("last", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_that_is_none_is_named(last: float) -> None:
    with pytest.raises(OptionError, match=f"^last: {last} must be above 0 and at most 1"):
        evaluate(random_checkpoint(), TEXT, last=last)


def test_a_text_cut_to_nothing_is_named() -> None:
    with pytest.raises(CorpusError, match="max_chars: 0"):
        evaluate(random_checkpoint(), TEXT, max_chars=0)


def test_lines_of_at_least_five_known_characters_are_shown() -> None:
    result = evaluate(random_checkpoint(), "four\nfives\nßßßß six\n\nanother")
    assert {line.text for line in result.best_lines} == {"fives", "another"}


WORDS = "it was a long line, told without an end. "


@pytest.mark.parametrize("text", [WORDS * 60, "".join(WORDS.split()) * 60, "分开不战争" * 400])
def test_a_text_that_is_one_long_line_is_shown_in_passages(text: str) -> None:
    checkpoint = random_checkpoint(scale=3.0)
    every = evaluate(checkpoint, text, num_lines=1000).best_lines
    assert all(len(passage.text) <= LONGEST for passage in every)
    assert sorted("".join(passage.text for passage in every)) == sorted(text)
    if " " in text:
        assert all(passage.text[-1] == " " for passage in every)
    result = evaluate(checkpoint, text)
    assert (len(result.worst_lines), len(result.best_lines)) == (5, 5)
    assert result.worst_lines[0].nats_per_char > result.nats_per_char > result.best_lines[0].nats_per_char


class Telling:
    """In place of what computes: the loss of a character is its code point."""

    def __init__(self, checkpoint: Any) -> None:
        self._known = checkpoint.vocabulary.known

    def losses(self, before: str, text: str) -> Any:
        codes = np.array([float(ord(c)) for c in self._known(text)])
        return codes if self._known(before) else codes[1:]


@given(
    st.lists(st.sampled_from(["\n", "\r\n", "\r", "word ", "éß", "other", "x" * 80, " "]), min_size=1).map("".join),
    st.sampled_from(["space", "keep"]), st.none() | st.integers(1, 200), st.floats(0.05, 1),
)  # fmt: skip
def test_each_passage_has_the_mean_of_its_own_losses(
    text: str, newlines: str, max_chars: int | None, last: float
) -> None:
    letters = LETTERS + ("\n" if newlines == "keep" else "")
    checkpoint = random_checkpoint(characters=letters, rules=TextRules(newlines=newlines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_Reader", Telling)
        try:
            result = evaluate(checkpoint, text, 1000, max_chars, last)
        except CorpusError:
            return
    whole = checkpoint.rules.apply(text)[:max_chars]
    read = checkpoint.vocabulary.known(whole[len(whole) - round(len(whole) * last) :])
    assert result.characters == len(read) - 1
    assert result.nats_per_char == pytest.approx(np.mean([ord(c) for c in read[1:]]))
    begins = 0
    for passage in result.best_lines:
        whole_mean, without_first = (float(np.mean([ord(c) for c in passage.text[cut:]])) for cut in (0, 1))
        if passage.nats_per_char != pytest.approx(whole_mean):
            begins += 1  # the first character of all is given, not predicted
            assert read.startswith(passage.text)
            assert passage.nats_per_char == pytest.approx(without_first)
    assert begins <= 1


@pytest.mark.parametrize("num_layers", [1, 4])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("size", [HUGE / 2, float(np.finfo(np.float32).max)])
def test_weights_of_any_size_give_figures_that_are_finite(cell: str, num_layers: int, size: float) -> None:
    """A warning of NumPy's would fail it."""
    plain = random_checkpoint(cell, num_layers, hidden_dim=5)
    rng = np.random.default_rng(0)
    extreme = {
        name: (rng.choice([-1, 1, 0.9], array.shape) * size).astype(np.float32)
        for name, array in plain.parameters.items()
    }
    result = evaluate(with_parameters(plain, **extreme), TEXT)
    assert result.nats_per_char > 1e20
    assert json.loads(json.dumps(asdict(result), allow_nan=False))["perplexity"] > 1e300


@pytest.mark.parametrize("cell", CELLS)
def test_every_checkpoint_can_be_measured(cell: str) -> None:
    for hidden_dim, characters in ((1, "a"), (1, "ab"), (300, LETTERS)):
        checkpoint = random_checkpoint(cell, 4, hidden_dim, characters)
        assert evaluate(checkpoint, "abab").nats_per_char == pytest.approx(math.log(len(set(characters))), rel=0.2)


def trained(text: str, **options: Any) -> tuple[Trainer, Any]:
    corpus = encode(Corpus("a text", text, digest_of(text)), TextRules(newlines="keep"))
    small: dict[str, Any] = {
        "cell": "gru", "hidden_dim": 8, "num_steps": 8, "batch_size": 16, "epochs": 2, "optimizer": "adam",
        "learning_rate": 0.02, "initialisation": "scaled", "loss_reduction": "mean", "backend": "cpu",
        "pred_period": 1000, "pred_len": 2, **options,
    }  # fmt: skip
    run = Trainer(corpus, TrainingOptions(**small))
    list(run.events())
    return run, run.checkpoint()


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


LINES = "".join(f"line {n} of {n * n}\n" for n in range(240))


@pytest.mark.parametrize("options", [{}, {"precision": "auto", "averaging": 0.9}, {"validation": "end"}])
def test_what_the_models_own_run_held_out_has_the_figure_of_its_record(options: dict[str, Any]) -> None:
    run, checkpoint = trained(LINES, validation_fraction=0.1, **options)
    result = evaluate(checkpoint, LINES.replace("\n", "\r\n"), held_out=True, num_lines=1000)
    assert result.perplexity == pytest.approx(checkpoint.training["validation_perplexity"], rel=1e-5)
    assert result.characters == run.split.validation_chars
    measured = {LINES[start:end] for start, end in run.split.blocks}
    shown = {passage.text for passage in result.best_lines}
    assert shown == {line for block in measured for line in block.split("\n") if len(line) >= 5}
    # What the text went on with is not read: training may have been given its first characters.
    assert evaluate(checkpoint, LINES + "more", held_out=True).nats_per_char == result.nats_per_char


def test_a_part_that_was_held_out_is_read_behind_what_stands_before_it() -> None:
    run, checkpoint = trained(LINES, validation_fraction=0.1)
    backend = CpuBackend(checkpoint.config, "float64", threads=1)
    backend.load(checkpoint.parameters)
    losses = []
    for start, end in run.split.blocks:
        ids = run.corpus.indices[max(start - CONTEXT - 1, 0) : end].astype(np.int32)[None]
        found, _ = backend.losses(ids[:, :-1], ids[:, 1:], (np.zeros((1, 8)),))
        losses.append(found[0, start - end :])
    result = evaluate(checkpoint, LINES, held_out=True)
    assert result.nats_per_char == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


def test_a_text_or_a_model_without_what_was_held_out_is_a_sentence() -> None:
    _, checkpoint = trained(LINES[:1000], validation_fraction=0.1)
    for text in (LINES[1:1001], LINES[:900], "other", "é" * 1000):
        with pytest.raises(
            CorpusError, match="is not the text that the model was trained on, which was 'a text' of 1,000"
        ):
            evaluate(checkpoint, text, held_out=True)
    _, without = trained(LINES[:1000])
    for model in (random_checkpoint(), without):
        with pytest.raises(CorpusError, match="held_out: the model's record names no text that was held out"):
            evaluate(model, LINES[:1000], held_out=True)
    for odd in ([[0, 5]], [[5, 5]], [[990, 1001]], [["a", 2]], [[1]], [7], [[1, 2, 3]], [None], [[1e400, 2]]):
        with pytest.raises(CorpusError, match="held_out: the model's record names parts that its text does not have"):
            evaluate(
                replace(checkpoint, training={**checkpoint.training, "held_out": odd}), LINES[:1000], held_out=True
            )
    corpora: list[Any] = [{}, {"chars": "x", "sha256": 3}, {"chars": -1}, {"chars": True}, []]
    for corpus in corpora:
        with pytest.raises(CorpusError, match="held_out: "):
            evaluate(
                replace(checkpoint, training={**checkpoint.training, "corpus": corpus}), LINES[:1000], held_out=True
            )
    for both in ({"last": 0.5}, {"max_chars": 5}):
        with pytest.raises(OptionError, match="held_out: is what the model's own run held out"):
            evaluate(checkpoint, LINES[:1000], held_out=True, **both)
