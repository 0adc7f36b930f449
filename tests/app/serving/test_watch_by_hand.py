"""Single looks at the models directory, one after the other, with a change between two of them or within a load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import model
from app.serving.registry import Served
from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME
from tests.app.conftest import client_of, eventually, service_behind
from tests.models import random_checkpoint


def save(folder: Path, seed: int) -> str:
    return checkpoints.save(folder, random_checkpoint("rnn", seed=seed))


class Hand:
    """An app that looks when it is told to, at a directory in which `one` is a link to `a`, beside `b`."""

    def __init__(self, root: Path, client: TestClient, digests: dict[str, str]) -> None:
        self.root, self.client, self.digests = root, client, digests
        self.link = root / "models" / "one"
        self.service = service_behind(client)

    def switch(self, to: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self.root / to)

    def look(self) -> None:
        """Returns when what was seen is loaded."""
        assert self.client.portal is not None
        self.client.portal.call(self.service.watch.refresh)
        eventually(lambda: not any(folder.has_its_turn() for folder in self.service.watch._folders.values()))

    def served(self) -> Served | None:
        return self.service.registry.find("one")

    def serves(self, which: str) -> bool:
        served = self.served()
        return served is not None and served.lm.checkpoint.digest == self.digests[which]


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    digests = {name: save(tmp_path / name, seed) for seed, name in enumerate("abc")}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one").symlink_to(tmp_path / "a")
    with client_of(tmp_path / "models", default_model=None) as client:
        made = Hand(tmp_path, client, digests)
        assert made.serves("a")
        yield made


def test_what_one_look_misses_goes_on_and_what_two_in_a_row_miss_is_gone(hand: Hand) -> None:
    before = hand.served()
    for _ in range(3):
        hand.link.unlink()
        hand.look()  # between the two steps of `ln -sfn`
        assert hand.served() is before
        assert hand.client.get("/generate", params={"prefix": "a", "model": "one"}).status_code == 200
        hand.switch("a")
        hand.look()
        assert hand.served() is before
    hand.link.unlink()
    hand.look()
    hand.look()
    assert hand.client.get("/models/one").status_code == 404
    hand.switch("b")
    hand.look()
    assert hand.serves("b")


def test_the_same_of_the_whole_directory_and_of_a_file_in_its_folder(hand: Hand) -> None:
    before, directory, aside = hand.served(), hand.link.parent, hand.root / "aside"
    for missing in (directory, hand.link.resolve() / FILE_NAME):
        missing.rename(aside)
        hand.look()
        assert hand.served() is before
        aside.rename(missing)
        hand.look()
        assert hand.served() is before
    shutil.rmtree(directory)
    hand.look()
    hand.look()
    assert hand.served() is None


def test_a_link_that_leads_to_nothing_is_not_gone_however_often_it_is_looked_at(hand: Hand) -> None:
    before = hand.served()
    hand.switch("nothing")
    for _ in range(3):
        hand.look()
        assert hand.served() is before
    hand.link.unlink()
    hand.look()
    assert hand.served() is before, "only now it is missing"
    hand.look()
    assert hand.served() is None


def around_load(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], after: Callable[[], object]) -> None:
    """Once."""
    real = model.load

    def load(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(model, "load", real)
        before()
        loaded = real(*arguments, **options)
        after()
        return loaded

    monkeypatch.setattr(model, "load", load)


def test_a_switch_there_and_back_while_it_is_loaded_does_not_leave_the_wrong_one(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at is there again, but it is not what was loaded."""
    around_load(monkeypatch, lambda: hand.switch("c"), lambda: hand.switch("b"))
    hand.switch("b")
    hand.look()
    assert hand.serves("c")
    hand.look()
    assert hand.serves("b")
    served = hand.served()
    hand.look()
    assert hand.served() is served


def test_a_switch_before_it_is_loaded_begins_one_model_and_not_two(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    around_load(monkeypatch, lambda: hand.switch("c"), lambda: None)
    hand.switch("b")
    hand.look()
    served = hand.served()
    assert hand.serves("c")
    hand.look()
    assert hand.served() is served


def test_a_file_of_the_same_content_replaces_nothing_unless_what_serves_is_broken(hand: Hand) -> None:
    served = hand.served()
    assert served is not None
    shutil.copytree(hand.root / "a", hand.root / "copy")
    hand.switch("copy")
    hand.look()
    assert hand.served() is served
    (hand.root / "copy" / FILE_NAME).write_bytes(b"torn")
    hand.look()
    assert hand.client.get("/models/one").json()["problem"]
    hand.switch("a")
    hand.look()
    assert hand.client.get("/models/one").json()["problem"] is None
    assert hand.served() is served
    served.scheduler.close()  # its decode thread ends
    eventually(lambda: served.scheduler.problem())
    os.utime(hand.link / FILE_NAME)
    hand.look()
    assert hand.served() is not served
    assert hand.client.get("/generate", params={"prefix": "a", "model": "one"}).status_code == 200
