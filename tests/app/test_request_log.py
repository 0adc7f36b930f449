from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import model
from app.answering import Question
from app.completions import Prompt
from app.errors import ProblemError
from app.generation import Choice, Chunk, GenerateRequest, ScoreRequest
from app.openai_schemas import CompletionBody
from app.schemas import GenerateBody, ScoreBody
from tests.app.conftest import ROOT, Server

SECRETS = {
    "TEST_KEY": "the-only-key-there-is",
    "TEST_SECRET": "the-secret-of-the-tokens",
    "TEST_TEXT": "wordsofaperson",
}


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
        CompletionBody(model="tiny", prompt=text, stop=text, user=text),
        question,
        Prompt(text, indices, question),
        ScoreRequest(indices),
        Chunk(0, text, None),
        Choice(0, text, "length", None, None, None),
        ProblemError(422, f"prefix: {text}", errors=[{"field": "prefix", "message": text}]),
    ]
    for shown in [*map(repr, held), *map(str, held)]:
        assert text not in shown
        assert str(indices[0]) + ", " + str(indices[1]) not in shown


def test_a_client_that_leaves_pipelined_requests_behind_is_a_499_and_no_error(models_dir: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, models_dir, NEXTCHAR_MAX_NUM_CHARS="10000000")
    body = b'{"prefix":"a","num_chars":10000000}'
    head = b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    running = 'nextchar_num_requests_running{model="tiny"} %s.0'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall((head + body) * 2 + head + body[:-5])
        wait_for(server, running % 1)
    wait_for(server, running % 0)
    assert server.stop() == 0
    log = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    answers = [line["status"] for line in log if line["event"] == "request" and line["route"] == "/generate"]
    assert answers
    assert set(answers) == {499}
    assert not [line for line in log if line["level"] in ("warning", "error")]


def wait_for(server: Server, line: str) -> None:
    deadline = time.monotonic() + 60
    while line not in httpx.get(f"{server.url}/metrics").text:
        assert time.monotonic() < deadline, line
        time.sleep(0.02)
