from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from model.training.report import journal
from model.training.report.events import EpochDone, Sampled
from model.training.report.journal import (
    METRICS_NAME,
    PICTURE_NAME,
    SAMPLES_NAME,
    TENSORBOARD_NAME,
    Journal,
    draw_picture,
    read_metrics,
)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a short run's time goes into the picture it leaves, of which these tests say nothing."""
    monkeypatch.setattr(journal, "draw_picture", lambda *_: None)


def epoch(number: int, train: float = 2.0, held_out: float | None = None) -> EpochDone:
    return EpochDone(number, 1.0, 100.0, train, held_out, 0.1, 3.0, None, True, float(number))


def sample(number: int, prefix: str = "a", text: str = "abc") -> Sampled:
    return Sampled(number, prefix, text, 0.5)


def write(folder: Path, *events: EpochDone | Sampled, done: int = 0, **more: Any) -> None:
    with Journal(folder, done, **more) as journal:
        for event in events:
            journal.note(event)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.usefixtures("no_picture")
def test_nothing_is_touched_before_it_is_entered(tmp_path: Path) -> None:
    write(tmp_path, epoch(1), sample(1))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    Journal(tmp_path)
    Journal(tmp_path, 1, tensorboard=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_figures_that_are_not_finite_are_words_and_every_line_is_json(tmp_path: Path) -> None:
    write(tmp_path, epoch(1, math.inf, math.nan), epoch(2, 1.5, 1.25))
    lines = [strict(line) for line in (tmp_path / METRICS_NAME).read_text().splitlines()]
    assert [(line["train_perplexity"], line["validation_perplexity"]) for line in lines] == [
        ("inf", "nan"),
        (1.5, 1.25),
    ]
    assert (tmp_path / PICTURE_NAME).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("train", [math.inf, math.nan, 0.0, 1e300])
def test_a_picture_of_any_figures_is_drawn_without_a_warning(tmp_path: Path, train: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path, epoch(1, train, train))
        draw_picture([{"epoch": 1, "seconds": "inf", "train_perplexity": "inf"}], tmp_path / PICTURE_NAME)


def test_the_picture_shows_both_curves_over_epochs_and_over_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    rows = [(1, 2.0, 9.0, 8.0), (2, 4.5, 7.0, 6.0), (3, 6.5, 5.0, 7.5)]
    names = ("epoch", "seconds", "train_perplexity", "validation_perplexity")
    draw_picture([dict(zip(names, row, strict=True)) for row in rows], tmp_path / PICTURE_NAME)
    (figure,) = drawn
    for place, axes in enumerate(figure.axes):
        curves = [[[row[place], row[figures]] for row in rows] for figures in (2, 3)]
        assert [np.asarray(line.get_xydata()).tolist() for line in axes.lines] == [*curves, [[rows[1][place], 6.0]]]
        assert (axes.get_xlabel(), axes.get_yscale()) == (names[place], "log")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "best, 6"]


@pytest.mark.usefixtures("no_picture")
def test_a_resumed_run_goes_on_behind_the_epochs_it_keeps(tmp_path: Path) -> None:
    write(tmp_path, *[event for n in range(1, 5) for event in (sample(n), sample(n, "it's", "x\n[y]\n"), epoch(n))])
    write(tmp_path, sample(3, "b", "new"), epoch(3, 7.0), done=2)
    assert [(line["epoch"], line["train_perplexity"]) for line in read_metrics(tmp_path)] == [
        (1, 2.0),
        (2, 2.0),
        (3, 7.0),
    ]
    headers = [line for line in (tmp_path / SAMPLES_NAME).read_text().splitlines() if line.startswith("[epoch")]
    wanted = [f"[epoch {n}, {p}, 50% of its windows stand in the corpus]" for n in (1, 2) for p in ("'a'", '"it\'s"')]
    assert headers == [*wanted, "[epoch 3, 'b', 50% of its windows stand in the corpus]"]
    assert (
        (tmp_path / SAMPLES_NAME)
        .read_text()
        .endswith("x\n[y]\n\n\n[epoch 3, 'b', 50% of its windows stand in the corpus]\nnew\n\n")
    )


@pytest.mark.usefixtures("no_picture")
def test_another_run_begins_anew(tmp_path: Path) -> None:
    write(tmp_path, sample(1), epoch(1))
    write(tmp_path, epoch(1, 9.0))
    assert [line["train_perplexity"] for line in read_metrics(tmp_path)] == [9.0]
    assert (tmp_path / SAMPLES_NAME).read_text() == ""


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("rest", ['{"epoch": 2, "tra', '{"epoch"', "[1]\n", '{"no": 1}\n', "\xff", '{"epoch": "2"}\n'])
def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path, rest: str) -> None:
    write(tmp_path, epoch(1))
    with (tmp_path / METRICS_NAME).open("ab") as file:
        file.write(rest.encode("latin-1"))
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1]
    write(tmp_path, epoch(2), done=1)
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1, 2]


def fail(folder: Path, **more: Any) -> None:
    with Journal(folder, **more) as journal:
        journal.note(epoch(1))
        raise RuntimeError("in training")


def test_an_error_closes_it_and_leaves_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboardX import SummaryWriter

    closed = []
    real = SummaryWriter.close

    def close(self: Any) -> None:
        closed.append(1)
        real(self)

    monkeypatch.setattr(SummaryWriter, "close", close)
    with pytest.raises(RuntimeError, match="in training"):
        fail(tmp_path, tensorboard=True)
    assert closed == [1]
    assert list((tmp_path / TENSORBOARD_NAME).iterdir())
    assert (tmp_path / PICTURE_NAME).exists()


def test_a_picture_that_cannot_be_written_hides_no_other_error(tmp_path: Path) -> None:
    (tmp_path / PICTURE_NAME).mkdir()
    with pytest.raises(RuntimeError, match="in training"):
        fail(tmp_path)
    with Journal(tmp_path) as journal:
        journal.note(epoch(1))
        with pytest.raises(OSError, match="directory"):
            journal.close()
