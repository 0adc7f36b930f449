"""What a run leaves beside its model for people: figures per epoch, a picture of them, samples, TensorBoard events."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.training.events import EpochDone, Event, Sampled

METRICS_NAME, PICTURE_NAME, SAMPLES_NAME, TENSORBOARD_NAME = (
    "metrics.jsonl",
    "training.png",
    "samples.txt",
    "tensorboard",
)


class Journal:
    """Writes down a run's events in `folder`. A resumed run (`epochs_done` > 0) goes on behind the lines it keeps."""

    def __init__(self, folder: Path, epochs_done: int = 0, tensorboard: bool = False) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_metrics(folder) if line["epoch"] <= epochs_done]
        (folder / METRICS_NAME).write_text("".join(_line(line) for line in kept), encoding="utf-8")
        if not epochs_done:
            (folder / SAMPLES_NAME).write_text("", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter  # takes a second to import, and few ask for it

            self._board = SummaryWriter(str(folder / TENSORBOARD_NAME), purge_step=epochs_done + 1)

    def note(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            figures = {k: v for k, v in asdict(event).items() if not (isinstance(v, float) and not math.isfinite(v))}
            with (self._folder / METRICS_NAME).open("a", encoding="utf-8") as file:
                file.write(_line(figures))
            if self._board is not None:
                for name, value in figures.items():
                    if isinstance(value, float):
                        self._board.add_scalar(name, value, event.epoch)
        elif isinstance(event, Sampled):
            share = "" if event.memorised is None else f", {event.memorised:.0%} of its windows stand in the corpus"
            with (self._folder / SAMPLES_NAME).open("a", encoding="utf-8") as file:
                file.write(f"[epoch {event.epoch}, {event.prefix!r}{share}]\n{event.text}\n\n")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
        lines = read_metrics(self._folder)
        if lines:
            draw(lines, self._folder / PICTURE_NAME)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last one that a kill cut short is left out."""
    file = folder / METRICS_NAME
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def draw(lines: list[dict[str, Any]], file: Path) -> None:
    """Both perplexities over epochs and over seconds, the best marked."""
    from matplotlib.figure import Figure  # not pyplot: no window, no state shared with anyone

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2, sharey=True), ("epoch", "seconds"), strict=True):
        for name, label in (("train_perplexity", "training"), ("validation_perplexity", "validation")):
            points = [(line[key], line[name]) for line in lines if line.get(name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None)
                if name == "validation_perplexity":
                    best = min(points, key=lambda point: point[1])
                    axes.plot(*best, "o", fillstyle="none", color="black", label=f"best, {best[1]:.3g}")
        axes.set(xlabel=key, yscale="log")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("perplexity")
    figure.axes[0].legend()
    figure.savefig(file, dpi=110)


def _line(figures: dict[str, Any]) -> str:
    return json.dumps(figures, ensure_ascii=False) + "\n"
