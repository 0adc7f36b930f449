from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from model.errors import CorpusError
from model.text.corpus import Corpus
from model.text.encoding import EncodedCorpus, encode
from model.text.rules import TextRules
from model.training import Trainer, speed
from model.training.planning import plan
from model.training.report import events

LINE = "the quick brown fox jumps over the lazy dog.\n"


def corpus(length: int) -> EncodedCorpus:
    text = (LINE * (length // len(LINE) + 1))[:length]
    return encode(Corpus("text", text, "0" * 64), TextRules(newlines="keep"))


class At(speed.Stopwatch):
    """So many characters a second, with any model."""

    def __init__(self, chars_per_second: float) -> None:
        self.rate, self.asked = chars_per_second, list[int]()

    def __call__(self, settings: Mapping[str, Any]) -> float:
        self.asked.append(settings["hidden_dim"])
        return self.rate


def test_a_text_of_180_characters_is_trained_without_validation_by_updates() -> None:
    made = plan("best", corpus(180), {"pred_len": 1}, At(1.0))
    assert made.lines == (
        "180 characters are too few to hold some out: 200 updates, and no validation",
        "batch 4 × 16 steps, so that 180 characters fill one",
    )
    assert (made.options.steps, made.options.validation_fraction, made.options.patience) == (200, 0.0, None)
    assert made.epoch_seconds is None


@pytest.mark.parametrize("preset", ["chapter", "quick", "best"])
@pytest.mark.parametrize("length", [100, 101, 399, 400, 1200])
def test_a_text_trains_from_100_characters_on(preset: str, length: int) -> None:
    made = plan(preset, corpus(length), {"hidden_dim": 2, "pred_len": 1, "steps": 1}, At(1.0))
    finished = list(Trainer(corpus(length), made.options).events())[-1]
    assert isinstance(finished, events.Finished)
    assert finished.reason == "steps"


def test_what_is_given_and_does_not_fit_is_refused() -> None:
    made = plan("best", corpus(180), {"batch_size": 16, "num_steps": 64}, At(1.0))
    assert (made.options.batch_size, made.options.num_steps) == (16, 64)
    with pytest.raises(CorpusError, match="batch_size 16 with num_steps 64 needs 1040"):
        Trainer(corpus(180), made.options)
    with pytest.raises(CorpusError, match="is none of them"):
        plan("best", corpus(180), {"validation_fraction": 0.001}, At(1.0))


def test_what_was_measured_is_told_and_gives_the_time_of_an_epoch() -> None:
    stopwatch = At(45_000.0)
    made = plan("best", corpus(100_000), {"time_budget_s": 60.0}, stopwatch)
    assert stopwatch.asked == [128, 192, 256]
    assert made.options.hidden_dim == 256
    assert made.lines == ("256 hidden units: this machine reads 45,000 characters/s with them",)
    assert made.epoch_seconds == pytest.approx(2.0, rel=0.02)  # of what is not held out
    slow = plan("best", corpus(100_000), {"time_budget_s": 60.0}, At(100.0))
    assert slow.lines == ("128 hidden units: this machine reads 100 characters/s with them",)


@pytest.mark.parametrize(
    ("preset", "given"),
    [("best", {"hidden_dim": 300}), ("best", {"steps": 10}), ("quick", {}), ("chapter", {"time_budget_s": 9.0})],
)
def test_nothing_is_measured_where_nothing_is_chosen_by_it(preset: str, given: dict[str, Any]) -> None:
    stopwatch = At(1.0)
    made = plan(preset, corpus(100_000), given, stopwatch)
    assert (stopwatch.asked, made.lines, made.epoch_seconds) == ([], (), None)
