"""What a run leaves beside its model for people: figures per epoch, a picture of them, samples, TensorBoard events.

Figures that are not finite, of a run that diverged, stand in the files as the words inf, -inf and nan.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.errors import OptionError
from model.files import write_atomically
from model.plain_record import worded
from model.training.report.events import EpochDone, Event, Sampled

METRICS_NAME, PICTURE_NAME, SAMPLES_NAME, TENSORBOARD_NAME = (
    "metrics.jsonl",
    "training.png",
    "samples.txt",
    "tensorboard",
)
_SAMPLE = re.compile(r"^\[epoch (\d+), ['\"].*\]$", re.M)  # the line above each sample


def check_tensorboard() -> None:
    """Raises OptionError where nothing here can write TensorBoard's events."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise OptionError("tensorboard", "tensorboardX is not installed (the extra `tensorboard` brings it)")


class Journal:
    """Writes down a run's events in `folder` while its `with` block lasts.

    A resumed run (`epochs_done` > 0) goes on behind the epochs it keeps; another begins anew. Nothing is touched
    before the block is entered. Raises CheckpointError or OSError where it cannot write.
    """

    def __init__(self, folder: Path, epochs_done: int = 0, tensorboard: bool = False) -> None:
        self._folder, self._epochs_done, self._tensorboard = folder, epochs_done, tensorboard
        self._board: Any = None
        self._closed = False

    def __enter__(self) -> Journal:
        metrics, samples = self._folder / METRICS_NAME, self._folder / SAMPLES_NAME
        kept = [line for line in read_metrics(self._folder) if line["epoch"] <= self._epochs_done]
        _replace(metrics, "".join(_line(line) for line in kept))
        _replace(samples, _samples_until(self._epochs_done, _read(samples)))
        if self._tensorboard:
            from tensorboardX import SummaryWriter  # takes a second to import, and few ask for it

            self._board = SummaryWriter(str(self._folder / TENSORBOARD_NAME), purge_step=self._epochs_done + 1)
        return self

    def note(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            with (self._folder / METRICS_NAME).open("a", encoding="utf-8") as file:
                file.write(_line(asdict(event)))
            if self._board is not None:
                for name, value in asdict(event).items():
                    if isinstance(value, float):
                        self._board.add_scalar(name, value, event.epoch)
        elif isinstance(event, Sampled):
            share = "" if event.memorised is None else f", {event.memorised:.0%} of its windows stand in the corpus"
            with (self._folder / SAMPLES_NAME).open("a", encoding="utf-8") as file:
                file.write(f"[epoch {event.epoch}, {event.prefix!r}{share}]\n{event.text}\n\n")

    def close(self) -> None:
        """Ends TensorBoard's file and draws the picture, once."""
        if self._closed:
            return
        self._closed = True
        if self._board is not None:
            self._board.close()
        lines = read_metrics(self._folder)
        if lines:
            draw_picture(lines, self._folder / PICTURE_NAME)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of the picture; whoever wants to hear of it calls close
            self.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl up to the first that is none: a kill may have cut the last one short."""
    lines = []
    for text in _read(folder / METRICS_NAME).splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
            break
        lines.append(line)
    return lines


def draw_picture(lines: list[dict[str, Any]], file: Path) -> None:
    """Both perplexities over epochs and over seconds, the best marked; figures that are not finite have no place."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home that it cannot write its index to
    from matplotlib.figure import Figure  # not pyplot: no window, no state shared with anyone

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2, sharey=True), ("epoch", "seconds"), strict=True):
        for name, label in (("train_perplexity", "training"), ("validation_perplexity", "validation")):
            points = [
                (line[key], line[name]) for line in lines if _is_drawn(line.get(name)) and _is_drawn(line.get(key))
            ]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None)
                if name == "validation_perplexity":
                    best = min(points, key=lambda point: point[1])
                    axes.plot(*best, "o", fillstyle="none", color="black", label=f"best, {best[1]:.3g}")
        axes.set(xlabel=key, yscale="log")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("perplexity")
    if figure.axes[0].lines:
        figure.axes[0].legend()
    figure.savefig(file, dpi=110)


def _is_drawn(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _samples_until(epoch: int, text: str) -> str:
    """The samples of the first so many epochs."""
    later = (found.start() for found in _SAMPLE.finditer(text) if int(found[1]) > epoch)
    return text[: next(later, len(text))] if epoch else ""


def _read(file: Path) -> str:
    """What stands in a file, if it is there; a kill may have cut a character short."""
    return file.read_bytes().decode("utf-8", "replace") if file.exists() else ""


def _replace(file: Path, text: str) -> None:
    """A kill meanwhile loses nothing of what stays."""
    if text.encode() != (file.read_bytes() if file.exists() else b""):
        write_atomically(file, text.encode())


def _line(figures: dict[str, Any]) -> str:
    return json.dumps(worded(figures), ensure_ascii=False, allow_nan=False) + "\n"
