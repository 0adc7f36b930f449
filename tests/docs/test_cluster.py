"""What docs/cluster.md says of two processes with one secret and one models directory: two apps that share nothing."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model import checkpoint as checkpoints
from tests.app.conftest import ROOT, answer_of, client_of, eventually
from tests.models import random_checkpoint
from tests.programs import require

PAGE = (ROOT / "docs" / "cluster.md").read_text("utf-8")
QUESTION: dict[str, Any] = {"prefix": "分开", "temperature": 0.9, "seed": 5}

Two = tuple[TestClient, TestClient]


@contextlib.contextmanager
def two_over(folder: Path, **settings: Any) -> Iterator[Two]:
    with client_of(folder, **settings) as one, client_of(folder, **settings) as other:
        yield one, other


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    checkpoints.save(folder / "tiny", random_checkpoint("lstm", 1, 24, scale=4.0))
    return folder


@pytest.fixture(scope="module")
def two(folder: Path) -> Iterator[Two]:
    with two_over(folder, rate_limit="1000/minute") as both:
        yield both


def test_the_same_question_has_the_same_text(two: Two) -> None:
    texts = {answer_of(client, **QUESTION, num_chars=60)["text"] for client in two}
    assert len(texts) == 1


def test_a_token_of_one_goes_on_at_the_other(two: Two) -> None:
    one, other = two
    whole = answer_of(one, **QUESTION, num_chars=30)["generated"]
    first = answer_of(one, **QUESTION, num_chars=12, return_state=True)
    rest = answer_of(other, state=first["state"], num_chars=18, temperature=0.9)
    assert first["generated"] + rest["generated"] == whole


def test_another_secret_refuses_a_token_and_takes_an_event_id(two: Two, folder: Path) -> None:
    one, _ = two
    token = answer_of(one, **QUESTION, num_chars=5, return_state=True)["state"]
    question = {"prefix": "分开", "temperature": 0.9, "num_chars": 3000, "stream": True}  # the seed is drawn
    with client_of(folder, secret="a secret of somebody else") as foreign:
        answer_of(foreign, 422, state=token)
        events = one.post("/generate", json=question).text.strip().split("\n\n")
        ids = [re.search(r"^id: (.*)$", event, re.MULTILINE) for event in events]
        assert ids[0]
        rest = foreign.post("/generate", json=question, headers={"Last-Event-ID": ids[0][1]}).text
    assert rest.strip().split("\n\n")[-1].split('"timing"')[0] == events[-1].split('"timing"')[0]


def test_a_rate_is_counted_by_each(folder: Path) -> None:
    with two_over(folder, rate_limit="1/hour") as both:
        statuses = [client.get("/models").status_code for _ in range(2) for client in both]
    assert statuses == [200, 200, 429, 429]


def test_both_take_a_replaced_model_and_refuse_what_was_of_the_old_one(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "tiny", random_checkpoint("rnn", 1, 8, scale=4.0))
    with two_over(tmp_path, reload_s=0.05) as both:
        token = answer_of(both[0], **QUESTION, num_chars=5, return_state=True)["state"]
        old = both[0].get("/models/tiny").json()["digest"]
        checkpoints.save(tmp_path / "tiny", random_checkpoint("rnn", 1, 8, scale=4.0, seed=2))
        eventually(lambda: all(client.get("/models/tiny").json()["digest"] != old for client in both))
        for client in both:
            assert answer_of(client, 409, state=token)["type"] == "/problems/other-weights"


def test_the_pages_nginx_files_are_right_for_nginx(tmp_path: Path) -> None:
    nginx = require("nginx")
    commands = next(block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if block.startswith("mkdir"))
    made = commands.replace("/tmp/nextchar-edge", str(tmp_path)).replace("\nnginx -e stderr", f"\n{nginx} -t -e stderr")
    subprocess.run(["sh", "-ec", made], cwd=ROOT, check=True, capture_output=True, timeout=60)
    upstream = re.search(r"upstream nextchar \{(.*?)\}", (tmp_path / "nginx.conf").read_text("utf-8"), re.DOTALL)
    assert upstream
    assert re.findall(r"server (\S+);", upstream[1]) == ["127.0.0.1:8001", "127.0.0.1:8002"]


@pytest.mark.parametrize("command", re.findall(r"^sed -i '(s\|[^']*)' /tmp/nextchar-edge/(\S+)$", PAGE, re.MULTILINE))
def test_what_the_page_replaces_in_nginxs_files_stands_there(tmp_path: Path, command: tuple[str, str]) -> None:
    """After the commands above it: an upstream is as they left it, or was marked as down before."""
    script, name = command
    text = (ROOT / "deploy" / "nginx" / name).read_text("utf-8")
    text = text.replace("server nextchar:8000;", "server 127.0.0.1:8001; server 127.0.0.1:8002;")
    if script.startswith("s|server 127.0.0.1:8002 down"):
        text = text.replace("8002;", "8002 down;")
    file = tmp_path / name
    file.write_text(text, "utf-8")
    subprocess.run(["sed", "-i", script, str(file)], check=True, timeout=60)
    assert file.read_text("utf-8") != text
