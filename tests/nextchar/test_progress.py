from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from model import checkpoint as checkpoints
from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.report.events import BatchDone, Event, Finished, Sampled, Started
from nextchar import progress
from nextchar.progress import watch
from nextchar.terminal import Unfailing

pytestmark = pytest.mark.usefixtures("no_picture")

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 30
TINY = (
    "--preset=quick", "--steps=3", "--hidden-dim=8", "--num-steps=4", "--batch-size=4", "--pred-len=9", "--epochs=9",
    "--pred-period=1",
)  # fmt: skip


def trainer(**options: Any) -> Trainer:
    corpus = encode(Corpus("fox.txt", TEXT, "0" * 64), TextRules(newlines="keep"))
    small = {"hidden_dim": 8, "num_steps": 8, "batch_size": 8, "pred_period": 1, "device": "cpu", "backend": "cpu"}
    return Trainer(corpus, TrainingOptions(**{**small, "pred_len": 60, "epochs": 2, **options}))


def watched(tmp_path: Path, capsys: pytest.CaptureFixture[str], clock: Any = lambda: 0.0, **options: Any) -> list[str]:
    watch(trainer(**options), tmp_path / "m", tensorboard=False, overwrite=True, clock=clock)
    return capsys.readouterr().out.split("\n")


def test_samples_stand_under_their_epoch_as_the_file_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = watched(tmp_path, capsys, prefixes=("dog.\nthe", "fox"))
    epochs = [at for at, line in enumerate(lines) if line.startswith("epoch ")]
    assert len(epochs) == 2
    samples = (tmp_path / "m" / "samples.txt").read_text("utf-8").split("[epoch ")
    for number, at in enumerate(epochs, start=1):
        shown = "\n".join(line[3:] for line in lines[at + 1 :])
        for sample in samples:
            if sample.startswith(f"{number}, 'dog"):
                assert shown.startswith(sample.partition("\n")[2].rstrip("\n"))
    assert lines[epochs[0] + 1].startswith(" - dog.")
    assert lines[epochs[0] + 2].startswith("   the")


def test_control_characters_of_a_sample_are_kept_where_no_terminal_obeys_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress._print_sample(Sampled(1, "a", "a\x07\x1b[1m:heart:\r[red]b", 0.25))
    assert capsys.readouterr().out == " - a\x07\x1b[1m:heart:\r[red]b (25% stands in the corpus)\n"


def test_on_a_terminal_a_bar_stands_below_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(file=Unfailing("stdout"), force_terminal=True, color_system=None, soft_wrap=True, width=80)  # type: ignore[arg-type]
    monkeypatch.setattr(progress, "console", terminal)
    shown = "\n".join(watched(tmp_path, capsys, prefixes=("fox",), seed=3))
    assert shown.index("characters, ") < shown.index("epoch 1, perplexity") < shown.index("epoch 2, perplexity")
    assert shown.index("epoch 2, perplexity") < shown.index("--epochs 2 are done")
    assert "\x1b[?25l" in shown  # the cursor is hidden while there is a bar
    assert "% done" not in shown


def test_without_a_terminal_a_line_comes_every_half_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter(range(0, 10**6, 7))  # seconds; the clock is read once for each event and once at the beginning
    lines = watched(tmp_path, capsys, lambda: float(next(times)), epochs=4, pred_period=1000)
    said = [line for line in lines if "% done: epoch" in line]
    assert len(said) > 4
    assert "characters/s, about " in said[1]
    assert said[1].endswith(", about 9 min left")


def test_the_samples_of_the_last_epoch_stand_under_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = watched(tmp_path, capsys, epochs=3, pred_period=1000, prefixes=("fox",))
    sample = next(at for at, line in enumerate(lines) if line.startswith(" - fox"))
    assert lines[sample - 1].startswith("epoch 3, perplexity")


def test_epochs_that_have_no_line_of_their_own_do_not_put_that_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter(range(10**6))
    options = {"epochs": 20, "pred_period": 1000, "batch_size": 16, "num_steps": 16}
    lines = watched(tmp_path, capsys, lambda: float(next(times)), **options)
    assert trainer(**options).num_batches < progress.SAY_EVERY_S / 2
    assert [line for line in lines if "% done: epoch" in line]


def test_the_name_of_a_text_does_not_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer(epochs=20)
    run.corpus = replace(run.corpus, name="fox\x1b[2J.txt")
    event = Started(run.config, "cpu", 1, len(TEXT), 0, 0, 1, 0)
    progress._print(event, run, tmp_path / "a\x1b[2Jb" / "m", None)
    run.position.step = 1
    progress._print(Finished("epochs", 20, 1.0, 20), run, tmp_path / "a\x1b[2Jb" / "m", None)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "fox\\u001b[2J.txt: " in shown
    assert "a\\u001b[2Jb" in shown


@pytest.mark.parametrize("number", progress.SIGNALS)
def test_a_signal_ends_a_run_well_and_the_next_one_kills(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = list[int]()
    before = signal.signal(number, lambda *_: killed.append(number))

    def run(trainer: Trainer, *_: Any) -> Iterator[Event]:
        for event in trainer.events():
            yield event
            if isinstance(event, BatchDone) and event.batch == 3:
                os.kill(os.getpid(), number)
                assert not killed
                os.kill(os.getpid(), number)

    monkeypatch.setattr(progress, "run", run)
    try:
        finished = watch(trainer(), tmp_path / "m", tensorboard=False, overwrite=True)
        assert signal.getsignal(number) is not before
    finally:
        signal.signal(number, before)
    assert (finished.reason, killed) == ("stopped", [number])


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    found = list[Any]()

    def run(trainer: Trainer, *_: Any) -> Iterator[Event]:
        for event in trainer.events():
            found.append(signal.getsignal(signal.SIGHUP))
            yield event

    monkeypatch.setattr(progress, "run", run)
    try:
        watch(trainer(), tmp_path / "m", tensorboard=False, overwrite=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert set(found) == {signal.SIG_IGN}


@pytest.mark.parametrize(
    "broken", ["closed", *(pytest.param(broken, marks=pytest.mark.slow) for broken in ("full", "gbk"))]
)
def test_no_training_ends_because_of_what_it_is_printed_to(broken: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Über den Fluß — ❤ :heart: [red]\n" * 60, "utf-8")
    out, environment = tmp_path / "m", {**os.environ, "PYTHONIOENCODING": "gbk" if broken == "gbk" else "utf-8"}
    command = [sys.executable, "-m", "nextchar", "train", "--corpus", str(text), "--out", str(out), *TINY]
    stdout: Any = subprocess.PIPE
    if broken == "full":
        stdout = os.open("/dev/full", os.O_WRONLY)
    elif broken == "closed":
        read, stdout = os.pipe()
        os.close(read)
    stderr = subprocess.PIPE if broken == "gbk" else stdout
    done = subprocess.run(
        [*command, "--hold=0.5", "--schedule=constant"], env=environment, stdout=stdout, stderr=stderr
    )
    if isinstance(stdout, int) and stdout > 2:
        os.close(stdout)
    assert done.returncode == 0
    assert checkpoints.load(out).training["steps"] == 3
    if broken == "gbk":
        assert b"\\u2764" in done.stdout
