"""The models directory changes under a running app: what serves, what does not and why, and nothing else suffers."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import model
from app.serving import loading, watch
from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME
from model.files import serialise
from tests.app.conftest import client_of, eventually, service_behind
from tests.models import random_checkpoint
from tests.reference import predict_rnn


def made(seed: int) -> checkpoints.Checkpoint:
    return random_checkpoint("gru", seed=seed, scale=4.0)


def save(folder: Path, seed: int = 0) -> str:
    return checkpoints.save(folder, made(seed))


def about(client: TestClient, name: str) -> dict[str, Any]:
    body: dict[str, Any] = client.get(f"/models/{name}").json()
    return body


def listed(client: TestClient) -> list[str]:
    return [m["name"] for m in client.get("/models").json()["models"]]


def problem(client: TestClient, name: str) -> str:
    return about(client, name).get("problem") or ""


@cache
def text_of(seed: int) -> str:
    return predict_rnn("a", 20, made(seed))


def writes(client: TestClient, name: str, seed: int) -> bool:
    answer = client.get("/generate", params={"prefix": "a", "model": name, "num_chars": 20})
    return answer.status_code == 200 and answer.json()["text"] == text_of(seed)


def decode_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "decode"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[TestClient]:
    """Serves `good`, with the weights of seed 1, from a folder into which the tests of this module put more."""
    save(folder / "good", 1)
    with client_of(folder, default_model=None, reload_s=0.05) as client:
        yield client


@pytest.fixture
def put(app: TestClient, folder: Path) -> Iterator[Path]:
    """A place for a model, gone afterwards."""
    place = folder / "put"
    yield place
    if place.is_symlink() or place.is_file():
        place.unlink()
    else:
        shutil.rmtree(place, ignore_errors=True)
    eventually(lambda: listed(app) == ["good"])


def test_new_changed_broken_and_removed_checkpoints_are_picked_up_while_running(app: TestClient, put: Path) -> None:
    save(put, 2)
    eventually(lambda: writes(app, "put", 2))
    save(put, 3)
    eventually(lambda: writes(app, "put", 3))
    (put / FILE_NAME).write_bytes(b"torn")
    eventually(lambda: problem(app, "put"))
    assert writes(app, "put", 3)  # what does not verify replaces nothing
    save(put, 4)
    eventually(lambda: writes(app, "put", 4))
    assert about(app, "put")["problem"] is None
    shutil.rmtree(put)
    eventually(lambda: app.get("/models/put").status_code == 404)


@pytest.mark.parametrize("name", ["Mine", "my model", "分开", "a" * 65, "lost+found"])
def test_a_folder_whose_name_no_model_can_have_is_listed_with_the_reason_until_it_is_renamed(
    app: TestClient, folder: Path, put: Path, name: str
) -> None:
    save(folder / name, 2)
    eventually(lambda: "rename it" in problem(app, name))
    assert "[a-z0-9]" in problem(app, name)
    assert app.get("/readyz").json()["models"] == ["good"]
    assert app.get("/generate", params={"prefix": "a"}).json()["model"] == "good"
    assert app.get("/generate", params={"prefix": "a", "model": name}).status_code in (404, 422)
    (folder / name).rename(put)
    eventually(lambda: writes(app, "put", 2))


def nested(depth: int) -> bytes:
    """A file that is right but for its training record, which is so many lists in each other."""
    good = made(1)
    config = {**asdict(good.config), **asdict(good.rules)}
    metadata = {
        "format": checkpoints.FORMAT,
        "config": json.dumps(config),
        "vocabulary": json.dumps(good.vocabulary.characters),
        "training": '{"a":' + "[" * depth + "]" * depth + "}",
    }
    return serialise(good.parameters, metadata)[0]


def a_file(data: bytes) -> Callable[[Path], object]:
    def write(place: Path) -> None:
        place.mkdir()
        (place / FILE_NAME).write_bytes(data)

    return write


def in_a_folder(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(place: Path) -> None:
        place.mkdir()
        make(place / FILE_NAME)

    return write


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(serialise(made(1).parameters, {"format": "nextchar/1"})[0])
        file.truncate(10 * 2**30)


HARMFUL: dict[str, tuple[Callable[[Path], object], str]] = {
    "rubbish": (a_file(b"rubbish"), "not a safetensors file"),
    "nothing": (a_file(b""), "not a safetensors file"),
    "a header that claims 2^63 bytes": (a_file(struct.pack("<Q", 2**63) + b"{}"), "header"),
    "a header that claims 2^64 - 1 bytes": (a_file(struct.pack("<Q", 2**64 - 1) + b"{}"), "header"),
    "a record nested 100,000 deep": (a_file(nested(100_000)), "is not a nextchar/1 checkpoint"),
    "a pipe": (in_a_folder(os.mkfifo), "regular file"),
    "endless zeros": (in_a_folder(lambda path: path.symlink_to("/dev/zero")), "regular file"),
    "10 GB of nothing": (in_a_folder(sparse), "is not a nextchar/1 checkpoint"),
    "a folder": (in_a_folder(Path.mkdir), "regular file"),
    "a link to itself": (lambda path: path.symlink_to(path), "cannot be looked at"),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_a_file_that_could_do_harm_is_named_with_its_reason_and_everything_else_goes_on(
    app: TestClient, folder: Path, put: Path, what: str
) -> None:
    make, reason = HARMFUL[what]
    make(put)
    eventually(lambda: reason in problem(app, "put"))
    assert len(problem(app, "put")) < 500
    refused = app.get("/generate", params={"prefix": "a", "model": "put"})
    assert refused.status_code == 503
    assert reason in refused.json()["detail"]
    assert reason in app.get("/readyz").json()["problems"]["put"]
    save(folder / "later", 2)
    eventually(lambda: writes(app, "later", 2))
    assert writes(app, "good", 1)
    shutil.rmtree(folder / "later")


@pytest.mark.parametrize("what", HARMFUL)
def test_a_file_that_could_do_harm_does_not_stop_the_start(tmp_path: Path, what: str) -> None:
    HARMFUL[what][0](tmp_path / "harmful")
    save(tmp_path / "one", 1)
    with client_of(tmp_path, default_model=None) as client:
        assert HARMFUL[what][1] in problem(client, "harmful")
        assert writes(client, "one", 1)


class Loads:
    """Stands in for `model.load`: does `instead` for the folder `put`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instead: Callable[[], object] | None = None
        self.change: Callable[[Any], object] | None = None
        self._real = model.load
        monkeypatch.setattr(model, "load", self)

    def __call__(self, path: Path, *arguments: Any, **options: Any) -> Any:
        if self.instead is not None and path.name == "put":
            self.instead()
        lm = self._real(path, *arguments, **options)
        if self.change is not None and path.name == "put":
            self.change(lm)
        return lm


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


def raising(error: BaseException) -> Callable[[], object]:
    def fail(*_: object) -> None:
        raise error

    return fail


ERRORS = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    OSError(errno.EMFILE, "Too many open files"),
    RuntimeError("a bug of a library's"),
    ZeroDivisionError("division by zero"),
    StopIteration(),
    SystemExit(3),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_whatever_loading_raises_is_named_and_what_passes_is_tried_again(
    app: TestClient, folder: Path, put: Path, loads: Loads, error: BaseException
) -> None:
    loads.instead = raising(error)
    save(put, 2)
    eventually(lambda: type(error).__name__ in problem(app, "put"))
    save(folder / "later", 3)
    eventually(lambda: writes(app, "later", 3))
    loads.instead = None
    eventually(lambda: writes(app, "put", 2))  # the file is the same
    shutil.rmtree(folder / "later")


def test_the_start_survives_whatever_loading_raises(tmp_path: Path, loads: Loads) -> None:
    loads.instead = raising(SystemExit(3))
    save(tmp_path / "put", 2)
    save(tmp_path / "last", 1)
    with client_of(tmp_path, default_model=None) as client:
        assert "SystemExit" in problem(client, "put")
        assert client.get("/generate", params={"prefix": "a"}).json()["model"] == "last"


def test_a_load_that_hangs_loses_its_turn_and_a_newer_file_takes_its_place(
    app: TestClient, folder: Path, put: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_S", 0.2)
    release = threading.Event()
    loads.instead = lambda: release.wait(60)
    try:
        save(put, 2)
        eventually(lambda: "still being loaded" in problem(app, "put"))
        save(folder / "later", 3)
        eventually(lambda: writes(app, "later", 3))
        assert writes(app, "good", 1)
        loads.instead = None
        save(put, 4)
        eventually(lambda: writes(app, "put", 4))
    finally:
        release.set()
    shutil.rmtree(folder / "later")
    eventually(lambda: "later" not in listed(app))
    assert writes(app, "put", 4)  # what hung, and came too late, replaced nothing


def test_a_load_that_hangs_stops_neither_the_start_nor_the_end(
    tmp_path: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_S", 0.2)
    release = threading.Event()
    loads.instead = lambda: release.wait(60)
    save(tmp_path / "put", 2)
    save(tmp_path / "then", 1)
    with client_of(tmp_path, default_model=None) as client:
        assert "still being loaded" in problem(client, "put")
        eventually(lambda: writes(client, "then", 1))
        release.set()
        eventually(lambda: writes(client, "put", 2))
    release.clear()
    with client_of(tmp_path, default_model=None) as client:
        eventually(lambda: writes(client, "then", 1))
    release.set()


def test_a_new_file_whose_first_step_fails_does_not_replace_the_one_that_serves(
    app: TestClient, put: Path, loads: Loads
) -> None:
    save(put, 2)
    eventually(lambda: writes(app, "put", 2))

    def break_engine(lm: Any) -> None:
        lm.engine.advance = lm.engine.step = raising(RuntimeError("no kernel for this card"))

    loads.change = break_engine
    threads = decode_threads()
    save(put, 3)
    eventually(lambda: loading.FAILED_FIRST_STEP in problem(app, "put"))
    assert about(app, "put")["ready"]
    assert writes(app, "put", 2)
    eventually(lambda: decode_threads() <= threads)  # one of before may end meanwhile
    loads.change = None
    eventually(lambda: writes(app, "put", 3))  # the card has recovered: the same file is tried again
    assert about(app, "put")["problem"] is None


def test_a_new_file_whose_first_step_hangs_does_not_replace_the_one_that_serves(
    app: TestClient, put: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PATIENCE_S", 0.2)
    save(put, 2)
    eventually(lambda: writes(app, "put", 2))
    release = threading.Event()

    def hang_engine(lm: Any) -> None:
        real = lm.engine.advance
        lm.engine.advance = lambda *arguments: release.wait(60) and real(*arguments)

    loads.change = hang_engine
    save(put, 3)
    eventually(lambda: "still being loaded" in problem(app, "put"))
    assert writes(app, "put", 2)
    release.set()
    eventually(lambda: writes(app, "put", 3))


@pytest.mark.parametrize("call", ["stat", "listdir"])
def test_running_out_of_file_descriptors_retires_nothing(
    app: TestClient, folder: Path, put: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    save(put, 2)
    eventually(lambda: writes(app, "put", 2))
    scheduler = service_behind(app).registry.get("put").scheduler
    real, failed = getattr(os, call), threading.Event()

    def fail(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path).startswith(str(folder)):
            failed.set()
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, fail)
    assert failed.wait(30)
    eventually(lambda: "Too many open files" in str(app.get("/readyz").json()["problems"]))
    assert listed(app) == ["good", "put"]
    assert app.get("/readyz").json()["models"] == ["good", "put"]
    monkeypatch.undo()
    eventually(lambda: app.get("/readyz").json()["problems"] == {})
    assert service_behind(app).registry.get("put").scheduler is scheduler


@pytest.mark.parametrize("number_of_them", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_replacements_leave_the_last_one_and_no_trace_of_the_others(
    app: TestClient, put: Path, monkeypatch: pytest.MonkeyPatch, number_of_them: int
) -> None:
    loaded: list[weakref.ref[Any]] = []
    real = model.load

    def load(*arguments: Any, **options: Any) -> Any:
        lm = real(*arguments, **options)
        loaded.append(weakref.ref(lm))
        return lm

    monkeypatch.setattr(model, "load", load)
    threads = threading.active_count()
    save(put, 0)
    files = [(put.parent / ".spare" / str(seed) / FILE_NAME) for seed in range(4)]
    for seed, file in enumerate(files):
        save(file.parent, seed)
    for number in range(number_of_them):
        shutil.copyfile(files[number % 4], put / "next")
        os.replace(put / "next", put / FILE_NAME)
        if number % 50 == 0:
            assert writes(app, "good", 1)
    save(put, 5)
    eventually(lambda: writes(app, "put", 5))
    eventually(lambda: threading.active_count() <= threads + 2)  # one decodes, another may be looking

    def forgotten() -> bool:
        gc.collect()
        return sum(lm() is not None for lm in loaded) == 1

    eventually(forgotten)
    assert len(loaded) > 1


def test_models_that_still_write_after_they_were_replaced_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_RETIRED", 2)
    save(tmp_path / "one", 0)
    before = decode_threads()
    with client_of(tmp_path, default_model=None, reload_s=0.02, max_num_chars=10**7, request_timeout_s=3600) as client:
        registry = service_behind(client).registry
        digests: list[str] = []
        release = threading.Event()

        def ask() -> None:
            client.get("/generate", params={"prefix": "a", "num_chars": 10})

        askers = []
        for seed in range(1, 4):
            engine = registry.get("one").lm.engine
            monkeypatch.setattr(engine, "advance", hold(engine.advance, release))
            askers.append(threading.Thread(target=ask))
            askers[-1].start()
            eventually(lambda: registry.get("one").scheduler.problem(0.01) is not None)  # it is in a step
            digests.append(save(tmp_path / "one", seed))
            if seed < 3:
                eventually(lambda: about(client, "one")["digest"] == digests[-1])
        # Two write on, the third serves; the fourth waits until one of the two is done.
        for _ in range(20):
            assert about(client, "one")["digest"] == digests[1]
        assert len(decode_threads() - before) == 3
        release.set()
        eventually(lambda: writes(client, "one", 3))
        for asker in askers:
            asker.join()
        eventually(lambda: len(decode_threads() - before) == 1)


def hold(call: Callable[..., Any], release: threading.Event) -> Callable[..., Any]:
    def held(*arguments: Any) -> Any:
        release.wait(60)
        return call(*arguments)

    return held


def test_a_directory_that_comes_later_is_replaced_or_lies_behind_a_link_that_moves_is_followed(tmp_path: Path) -> None:
    current, elsewhere = tmp_path / "current", tmp_path / "elsewhere"
    with client_of(current, default_model=None, reload_s=0.05) as client:
        assert client.get("/readyz").json()["problems"] == {"*": "there is no model under the models directory"}
        save(tmp_path / "first" / "one", 1)
        current.symlink_to("first")
        eventually(lambda: writes(client, "one", 1))
        save(tmp_path / "second" / "one", 2)
        (tmp_path / "link").symlink_to("second")
        os.replace(tmp_path / "link", current)
        eventually(lambda: writes(client, "one", 2))
        save(elsewhere, 3)
        (tmp_path / "second" / "linked").symlink_to(elsewhere)
        eventually(lambda: writes(client, "linked", 3))
        save(elsewhere, 4)
        eventually(lambda: writes(client, "linked", 4))
        current.unlink()
        eventually(lambda: listed(client) == [])
        save(current / "one", 5)
        eventually(lambda: writes(client, "one", 5))


def test_what_is_being_written_finishes_on_the_weights_it_began_with(tmp_path: Path) -> None:
    save(tmp_path / "one", 1)
    at_once = {"drain_s": 0}  # the limit at SIGTERM is no limit here
    long_enough = {"max_num_chars": 10**6, "request_timeout_s": 600}
    with client_of(tmp_path, default_model=None, reload_s=0.05, **long_enough, **at_once) as client:
        answers: list[str] = []

        def long() -> None:
            answers.append(client.get("/generate", params={"prefix": "a", "num_chars": 40_000}).json()["text"])

        thread = threading.Thread(target=long)
        before = about(client, "one")["digest"]
        thread.start()
        eventually(lambda: service_behind(client).registry.get("one").scheduler._thread.batch.rows)
        save(tmp_path / "one", 2)
        eventually(lambda: about(client, "one")["digest"] != before)
        assert not answers, "the text was done before the weights changed: make it longer"
        thread.join()
        assert answers[0][:200] == predict_rnn("a", 199, made(1))
        assert len(answers[0]) == 40_001
