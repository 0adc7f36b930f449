"""An option that has no effect is told, and one that is told of has none."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.text.corpus import Corpus
from model.text.encoding import encode
from model.text.rules import TextRules
from model.training import Trainer, TrainingOptions
from model.training.report.events import Finished
from nextchar import evaluate, export, generate, idle, score, train

TEXT = "the quick brown fox jumps over the lazy dog. " * 4
LINEAR = TrainingOptions(schedule="linear")
VALIDATED = TrainingOptions(validation_fraction=0.1)
# A setting, options beside which it has no effect, what is said, and options beside which it has one.
CASES: list[tuple[str, Any, TrainingOptions, str, TrainingOptions]] = [
    (
        "state_reset", 0.5, TrainingOptions(),
        "--state-reset has no effect with --sampling random without --carry-state",
        TrainingOptions(carry_state=True),
    ),
    ("hold", 0.5, TrainingOptions(), "--hold has no effect with --schedule constant", LINEAR),
    ("hold", 0.5, replace(LINEAR, final_rate=1.0), "--hold has no effect with --final-rate 1", LINEAR),
    ("final_rate", 0.5, TrainingOptions(), "--final-rate has no effect with --schedule constant", LINEAR),
    ("final_rate", 0.5, replace(LINEAR, hold=1.0), "--final-rate has no effect with --hold 1", LINEAR),
    (
        "dropout_layers", 0.5, TrainingOptions(), "--dropout-layers has no effect with one layer (--num-layers 1)",
        TrainingOptions(num_layers=2),
    ),
    ("validation", "end", TrainingOptions(), "--validation has no effect without --validation-fraction", VALIDATED),
    ("eval_every", 2, TrainingOptions(), "--eval-every has no effect without --validation-fraction", VALIDATED),
    ("patience", 1, TrainingOptions(), "--patience has no effect without --validation-fraction", VALIDATED),
]  # fmt: skip


def said(options: TrainingOptions, *given: str) -> list[str]:
    return idle.idle(idle.SETTINGS, asdict(options), given)


@pytest.mark.parametrize(("name", "value", "beside", "sentence", "effective"), CASES)
def test_a_setting_without_effect_is_told_where_it_was_given(
    name: str, value: Any, beside: TrainingOptions, sentence: str, effective: TrainingOptions
) -> None:
    options = replace(beside, **{name: value})
    assert said(options, name) == [sentence]
    assert len(sentence) <= 80
    assert said(options) == []  # it may be a preset's
    assert said(replace(effective, **{name: value}), name) == []


@pytest.mark.parametrize("name", ["dropout_layers", "dropout_output", "dropout_recurrent"])
def test_a_share_that_is_rounded_to_none_is_told(name: str) -> None:
    def told(share: Any) -> list[str]:
        return said(replace(TrainingOptions(num_layers=2), **{name: share}), name)

    assert told(0.0019) == [f"--{name.replace('_', '-')} has no effect below 1/512"]
    assert told(0.0) == told(0.002) == []


def trained(options: TrainingOptions) -> bytes:
    rules = TextRules(lowercase=False, newlines="keep")
    trainer = Trainer(encode(Corpus("text", TEXT, "0" * 64), rules), options)
    for _ in trainer.events():
        pass
    return trainer.backend.weights.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "beside"),
    [(name, value, beside) for name, value, beside, _, _ in CASES]
    + [(f"dropout_{of}", 0.0019, TrainingOptions(num_layers=2)) for of in ("layers", "output", "recurrent")],
)
def test_what_is_said_to_have_no_effect_has_none(name: str, value: Any, beside: TrainingOptions) -> None:
    small = replace(beside, hidden_dim=3, num_steps=5, batch_size=3, epochs=4, pred_len=1, backend="cpu")
    assert trained(replace(small, **{name: value})) == trained(small)


def test_each_setting_is_said_to_be_effective_or_when_it_is_not() -> None:
    in_the_table = {one.name for one in idle.SETTINGS}
    assert in_the_table | idle.EFFECTIVE == {field.name for field in fields(TrainingOptions)}
    assert not in_the_table & idle.EFFECTIVE


def test_training_tells_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "watch", lambda *_: Finished("steps", 0, 0.0, 0))
    (tmp_path / "text.txt").write_text(TEXT)
    result = CliRunner().invoke(
        train.program,
        [
            "--corpus", str(tmp_path / "text.txt"), "--out", str(tmp_path / "m"), "--preset=chapter", "--hidden-dim=2",
            "--num-steps=5", "--batch-size=2", "--steps=1", "--pred-len=1", "--patience=3", "--hold=0.5",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "--hold has no effect with --schedule constant",
        "--patience has no effect without --validation-fraction",
    ]


GREEDY = "while the likeliest is taken; give a --temperature above 0"


@pytest.mark.parametrize(
    ("program", "arguments", "sentences"),
    [
        (generate, ["--top-k=3", "--seed=1"], [f"--top-k has no effect {GREEDY}", f"--seed has no effect {GREEDY}"]),
        (generate, ["--top-p=0.5", "--temperature=0"], [f"--top-p has no effect {GREEDY}"]),
        (generate, ["--top-k=3", "--seed=1", "--top-p=0.5", "--temperature=1"], []),
        (score, ["--encoding=gb18030"], ["--encoding has no effect on texts of the command line"]),
        (score, [], []),
        (evaluate, ["--encoding=gb18030"], ["--encoding has no effect on an embedded corpus"]),
        (evaluate, [], []),
    ],
)
def test_a_command_tells_and_does_what_it_was_asked_for(
    program: Any, arguments: list[str], sentences: list[str], saved: Path
) -> None:
    text = {generate: "a", score: "ab", evaluate: "lyrics"}[program]
    short = {generate: ["--num-chars=1"], score: ["--unknown=skip"], evaluate: ["--max-chars=2000"]}[program]
    result = CliRunner().invoke(program.program, [str(saved), text, *short, *arguments])
    assert (result.exit_code, result.stderr.splitlines()) == (0, sentences), result.output
    without = [a for a in arguments if not a.startswith(tuple(s.split()[0] for s in sentences))]
    assert result.stdout == CliRunner().invoke(program.program, [str(saved), text, *short, *without]).stdout


@pytest.mark.parametrize(("texts", "file", "told"), [([], "lyrics", 1), (["a"], "lyrics", 1), ([], "a.txt", 0)])
def test_an_encoding_has_no_effect_on_what_is_embedded(texts: list[str], file: str, told: int) -> None:
    options = {"texts": texts, "file": file, "encoding": "gb18030"}
    assert idle.idle(idle.SCORE, options, ["encoding"]) == ["--encoding has no effect on an embedded corpus"] * told


def test_an_export_tells_which_of_its_options_are_of_the_other_direction(saved: Path, tmp_path: Path) -> None:
    out = CliRunner().invoke(export.program, [str(saved), "--keep-case"])
    assert out.stderr.startswith("--keep-case has no effect without --from-mxnet\n")
    none = CliRunner().invoke(
        export.program, [str(tmp_path / "m"), "--from-mxnet", str(tmp_path / "none"), "--onnx", str(tmp_path / "o")]
    )
    assert none.stderr.startswith("--onnx has no effect with --from-mxnet\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--encoding=gb18030"], "--encoding has no effect on an embedded corpus"),
        (["--if-missing", "--overwrite"], "--overwrite has no effect with --if-missing"),
        (
            ["--if-missing", "--resume"],
            "--resume has no effect with --if-missing, which goes on by itself",
        ),
    ],
)
def test_training_tells_of_its_other_options(arguments: list[str], sentence: str, saved: Path) -> None:
    """A model stands there, so that nothing is trained."""
    result = CliRunner().invoke(train.program, ["--out", str(saved), *arguments])
    assert result.stderr.startswith(sentence + "\n")
