"""Which model answers to a name, to none, and what is said where none does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from app.refusals import Refusal
from app.serving.look import DEFAULT_FILE
from app.serving.registry import Registry, Served
from app.wire.problems import ProblemError, problem_of
from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME
from model.versions import Version
from tests.app.conftest import client_of, eventually
from tests.models import random_checkpoint


def save(folder: Path, seed: int = 0) -> None:
    checkpoints.save(folder, random_checkpoint("gru", seed=seed, scale=4.0))


def answering(name: str) -> Served:
    return Served(name, *cast("tuple[Any, Any, Any]", (None, None, None)), loaded_at=0)


def registry(*names: str, default_model: str | None = None, remembered: str | None = None) -> Registry:
    made = Registry(default_model)
    made.remembered = remembered
    for name in names:
        made.serve(answering(name))
    return made


def refusal(registry: Registry, name: str | None) -> ProblemError:
    """As a client is told of it."""
    with pytest.raises(Refusal) as caught:
        registry.get(name)
    return problem_of(caught.value)


def test_the_default_is_the_one_set_then_the_one_remembered_then_the_only_one() -> None:
    assert registry("a").default() == "a"
    assert registry("a", "b").default() is None
    assert registry("a", "b", remembered="b").default() == "b"
    assert registry("a", "b", remembered="b", default_model="a").default() == "a"
    assert registry("a", default_model="gone").default() == "gone"
    assert registry().default() is None


def test_what_is_not_loaded_is_no_default() -> None:
    made = registry("a")
    made.cannot_serve("b", "is damaged")
    made.cannot_serve("My Model", "is misnamed")
    made.unclear({"c": "does not answer"})
    assert made.default() == "a"
    assert made.names() == ["My Model", "a", "b", "c"]


def test_one_that_is_remembered_and_broken_is_not_replaced_by_another_and_one_that_is_gone_is() -> None:
    made = registry("a", remembered="b")
    made.cannot_serve("b", "is damaged")
    assert made.default() == "b"
    assert refusal(made, None).status == 503
    assert "is damaged" in refusal(made, None).detail
    made.remove("b")
    assert made.default() == "a"


def test_one_that_is_remembered_and_gone_is_the_default_again_when_it_comes_back_and_no_other_took_its_place() -> None:
    made = registry("a", "b", "c", remembered="c")
    made.remove("c")
    assert made.default() is None
    made.serve(answering("c"))
    assert made.default() == "c"


def test_a_model_that_answers_goes_on_when_its_new_file_does_not_verify_or_its_folder_is_not_to_be_seen() -> None:
    made = registry("a")
    made.cannot_serve("a", "is damaged")
    made.unclear({"a": "too many open files"})
    assert made.get("a").name == made.get(None).name == "a"
    assert made.problem("a") == "too many open files"
    made.unclear({})
    assert made.problem("a") == "is damaged"
    assert made.serve(answering("a")) is not None
    assert made.problem("a") is None


def test_a_refusal_says_what_to_do() -> None:
    several = refusal(registry("a", "b"), None)
    assert several.status == 404
    assert several.detail == (
        "model: is missing, and none of several is the default; name one, or set NEXTCHAR_DEFAULT_MODEL; "
        "there are: a, b"
    )
    none = refusal(registry(), None)
    assert (none.status, none.headers["Retry-After"]) == (503, "5")
    assert none.detail == "no model is loaded; train one with nextchar train"
    broken = registry()
    broken.cannot_serve("a", "is damaged")
    assert refusal(broken, None).status == refusal(broken, "a").status == 503
    assert "'a' cannot serve: is damaged" in refusal(broken, None).detail
    broken.trouble = "the models directory x cannot be listed (Input/output error)"
    assert "Input/output error" in refusal(broken, None).detail
    assert refusal(broken, None).status == 503


def test_a_folder_of_another_name_is_refused_with_the_reason_and_not_named_among_those_there_are() -> None:
    made = registry("a")
    made.cannot_serve("My Model", "rename it")
    refused = refusal(made, "My Model")
    assert refused.status == 404
    assert "'My Model' is not served: rename it; there are: a" in refused.detail
    assert refusal(made, "nothing").detail == "model: there is no 'nothing'; there are: a"


def test_a_refusal_can_be_told_apart_by_a_program() -> None:
    for name in (None, "gone", "My Model"):
        made = registry("b", "a")
        made.cannot_serve("My Model", "rename it")
        refused = refusal(made, name)
        assert refused.status == 404
        assert refused.code == "model_not_found"
        assert refused.detail.startswith("model: ")
        assert refused.errors == [{"field": "model", "message": refused.detail.removeprefix("model: ")}]
        assert refused.detail.endswith("there are: a, b")
    assert refusal(registry(), "gone").detail.endswith("there are: none")
    made.cannot_serve("torn", "is damaged")
    torn = refusal(made, "torn")
    assert (torn.status, torn.headers["Retry-After"]) == (503, "5")
    assert all(word in torn.detail for word in ("torn", "is damaged"))


def test_of_many_that_cannot_serve_a_few_are_named_in_order() -> None:
    made = registry()
    for name in "edcba":
        made.cannot_serve(name, f"broken {name}")
    refused = refusal(made, None)
    assert refused.headers["Retry-After"] == "5"
    assert [name for name in "abcde" if f"'{name}' cannot serve: broken {name}" in refused.detail] == ["a", "b", "c"]
    made.trouble = "not to be listed"
    assert refusal(made, None).headers["Retry-After"] == "5"


def test_what_is_gone_leaves_nothing_behind() -> None:
    made, first, second = registry(), answering("a"), answering("a")
    assert made.serve(first) is None
    assert made.serve(second) is first
    assert made.find("a") is made.get("a") is second
    assert made.versions("a") == ()
    version = Version("0" * 64, 0.0, None, None)
    made.list_versions("a", [version])
    made.cannot_serve("a", "is damaged")
    assert (list(made.versions("a")), made.problem("a")) == ([version], "is damaged")
    assert made.remove("a") is second
    assert (made.names(), made.served(), made.find("a"), made.problem("a"), made.versions("a")) == (
        [],
        [],
        None,
        None,
        (),
    )
    assert made.remove("a") is None


def test_those_that_answer_come_in_the_order_of_their_names() -> None:
    assert [served.name for served in registry("c", "a", "b").served()] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "..%2ftiny", "tiny%00", "a" * 5000, DEFAULT_FILE])
def test_a_name_that_is_no_models_is_404(client: TestClient, name: str) -> None:
    assert client.get(f"/models/{name}").status_code == 404
    assert client.get("/generate", params={"prefix": "a", "model": name}).status_code in (404, 422)


def who_answers(client: TestClient) -> str:
    answer = client.get("/generate", params={"prefix": "a", "num_chars": 1})
    return str(answer.json()["model"]) if answer.status_code == 200 else f"{answer.status_code}"


def test_the_model_that_answered_goes_on_answering_across_restarts(tmp_path: Path) -> None:
    def serving(**options: Any) -> Any:
        return client_of(tmp_path, default_model=None, **options)

    save(tmp_path / "lyrics")
    with serving(reload_s=0.05) as client:
        assert who_answers(client) == "lyrics"
        save(tmp_path / "mine")
        (tmp_path / "garbage").mkdir()
        (tmp_path / "garbage" / FILE_NAME).write_bytes(b"rubbish")
        eventually(lambda: client.get("/readyz").json()["models"] == ["lyrics", "mine"])
        assert who_answers(client) == "lyrics"
    with serving() as client:
        assert who_answers(client) == "lyrics"
        assert [m["name"] for m in client.get("/models").json()["models"] if m["default"]] == ["lyrics"]
    with client_of(tmp_path, default_model="mine") as client:
        assert who_answers(client) == "mine"
    kept = (tmp_path / "lyrics" / FILE_NAME).read_bytes()
    (tmp_path / "lyrics" / FILE_NAME).write_bytes(b"torn")
    with serving() as client:
        assert who_answers(client) == "503"  # says so, instead of answering with another model's text
        assert client.get("/readyz").status_code == 503
    shutil.rmtree(tmp_path / "lyrics")
    with serving() as client:
        assert who_answers(client) == "mine"
    (tmp_path / "lyrics").mkdir()
    (tmp_path / "lyrics" / FILE_NAME).write_bytes(kept)
    with serving() as client:
        assert who_answers(client) == "mine"


def test_of_several_that_are_there_from_the_start_none_is_the_default(tmp_path: Path) -> None:
    save(tmp_path / "one")
    save(tmp_path / "two")
    with client_of(tmp_path, default_model=None) as client:
        assert who_answers(client) == "404"
    assert not (tmp_path / DEFAULT_FILE).exists()


@pytest.mark.parametrize("held", ["two", "gone", "../../etc/passwd", "\x00", "Two", "two\nmore"])
def test_the_file_of_the_default_is_believed_where_it_names_a_model_that_is_there(tmp_path: Path, held: str) -> None:
    save(tmp_path / "one")
    save(tmp_path / "two")
    (tmp_path / DEFAULT_FILE).write_text(held, "utf-8")
    with client_of(tmp_path, default_model=None) as client:
        assert who_answers(client) == ("two" if held == "two" else "404")


def test_where_the_name_cannot_be_kept_it_is_remembered_while_the_process_lives(tmp_path: Path) -> None:
    save(tmp_path / "one")
    (tmp_path / DEFAULT_FILE).mkdir()  # root may write into a directory that is read-only
    with client_of(tmp_path, default_model=None, reload_s=0.05) as client:
        assert who_answers(client) == "one"
        save(tmp_path / "two")
        eventually(lambda: client.get("/readyz").json()["models"] == ["one", "two"])
        assert who_answers(client) == "one"


def test_with_no_model_at_all_the_service_lives_and_is_not_ready(tmp_path: Path) -> None:
    with client_of(tmp_path / "nothing", default_model=None) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.headers["retry-after"] == "5"
        assert "train one" in client.get("/generate", params={"prefix": "a"}).json()["detail"]
