"""Keys, secrets and what people wrote are shown nowhere, whatever fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import model
from app.native.fields import GenerateBody, ScoreBody
from app.openai.fields import CompletionBody
from app.openai.prompts import Prompt
from app.scheduling.requests import Chunk, GenerateRequest, ScoreRequest, Written
from app.serving.question import Question
from app.wire.problems import ProblemError
from tests.app.conftest import ROOT

SECRETS = {
    "TEST_KEY": "the-only-key-there-is",
    "TEST_SECRET": "the-secret-of-the-tokens",
    "TEST_TEXT": "wordsofaperson",
}


@pytest.mark.slow
@pytest.mark.parametrize("style", ["json", "console"])
def test_neither_key_nor_secret_nor_text_is_in_the_log_whatever_fails(
    models_dir: Path, tmp_path: Path, style: str
) -> None:
    served = tmp_path / "models"
    served.mkdir()
    (served / "tiny").symlink_to(models_dir / "tiny")
    (served / "broken").mkdir()
    (served / "broken" / "model.safetensors").write_bytes(b"no checkpoint")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEXTCHAR_")}
    result = subprocess.run(
        [sys.executable, "-m", "tests.app.fail_everywhere", served, style],
        cwd=ROOT, env={**environment, **SECRETS}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    written = result.stdout + result.stderr
    assert "everything failed" in written, written[-3000:]
    assert written.count("injected") > 80
    for name in (
        "unhandled error",
        "Task exception was never retrieved",
        "Exception in thread",
        "Application startup failed",
    ):
        assert name in written, name
    found = {name: written.count(secret) for name, secret in SECRETS.items()}
    assert not any(found.values()), (found, re.findall(rf".*(?:{'|'.join(SECRETS.values())}).*", written)[:5])


def test_what_a_person_wrote_is_not_in_the_repr_of_what_holds_it(saved: Path) -> None:
    text = SECRETS["TEST_TEXT"]
    lm = model.load(saved)
    indices = lm.vocabulary.encode(text).astype("int64")
    request = GenerateRequest(indices, 5, stop=(text,))
    question = Question(None, request, text, (text,))  # type: ignore[arg-type]
    held: list[object] = [
        GenerateBody(prefix=text, stop=[text], state=None),
        ScoreBody(text=text),
        CompletionBody(model="tiny", prompt=[text], stop=[text], user=text),
        question,
        Prompt(text, indices, question),
        ScoreRequest(indices),
        Chunk(0, text, None),
        Written(0, text, "length", None, None, None),
        ProblemError(422, f"prefix: {text}", errors=[{"field": "prefix", "message": text}]),
    ]
    for shown in [*map(repr, held), *map(str, held)]:
        assert text not in shown
        assert str(indices[0]) + ", " + str(indices[1]) not in shown
