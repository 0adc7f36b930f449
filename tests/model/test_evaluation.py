from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from model import cells, evaluation
from model.corpus import TextRules
from model.device import mx
from model.errors import CorpusError
from model.evaluation import evaluate
from model.prediction import on_context
from tests.conftest import LETTERS, random_checkpoint

TEXT = "a small text\nof three lines\nand no more of them" * 8


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_mean_loss_is_that_of_reading_the_text_with_the_reference(cell: str) -> None:
    checkpoint = random_checkpoint(cell, scale=3.0)
    ids = checkpoint.vocabulary.encode(checkpoint.rules.apply(TEXT))
    state, parameters = cells.zero_state(checkpoint.config, 1, mx.cpu()), on_context(checkpoint.parameters, mx.cpu())
    total = 0.0
    for given, wanted in pairwise(ids):
        x = cells.gather(mx.nd.array([given], dtype="int32"))
        H, state = cells.stack_step(checkpoint.config, x, state, parameters)
        total -= float(mx.nd.log_softmax(cells.output(H, parameters)).asnumpy()[0, wanted])
    assert evaluate(checkpoint, TEXT).nats_per_char == pytest.approx(total / (len(ids) - 1), rel=1e-5)


def test_unknown_characters_are_counted_and_left_out() -> None:
    result = evaluate(random_checkpoint(), "one é two é three ß four")
    assert result.unknown == {"é": 2, "ß": 1}
    assert result.coverage == pytest.approx(21 / 24)
    with pytest.raises(CorpusError, match="knows 1"):
        evaluate(random_checkpoint(), "éa")


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
