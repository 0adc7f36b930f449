from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import evaluation
from model.config import GATES
from model.errors import CorpusError, OptionError
from model.evaluation import evaluate
from model.text.rules import TextRules
from tests.book import book_forward
from tests.models import LETTERS, random_checkpoint

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
    losses = evaluation._losses(checkpoint, known)
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
