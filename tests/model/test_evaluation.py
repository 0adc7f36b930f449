from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from model import cells
from model.corpus import TextRules
from model.device import mx
from model.errors import CorpusError
from model.evaluation import evaluate
from model.prediction import on_context
from tests.conftest import random_checkpoint

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
