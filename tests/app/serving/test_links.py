"""A running server over a models directory that is made of links and mounts: whatever is switched is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from model import checkpoint as checkpoints
from model.checkpoint import FILE_NAME
from model.versions import publish
from tests.app.conftest import Server, eventually
from tests.models import random_checkpoint

# In these a process sees mounts of its own; the second way needs no root.
OWN_MOUNTS = (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount"))
INTO_THEM = ("nsenter --mount", "nsenter --user --preserve-credentials --mount")


def save(folder: Path, seed: int) -> str:
    """All these files have the same size."""
    return checkpoints.save(folder, random_checkpoint("rnn", seed=seed))


def switch(link: Path, target: str | Path) -> None:
    """At once, as `ln -sfn` does not."""
    new = link.with_name(".new")
    new.symlink_to(target)
    os.replace(new, link)


@cache
def way_to_mounts() -> int | None:
    """Which of the ways works here."""
    for number, command in enumerate(OWN_MOUNTS):
        try:
            done = subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return number
    return None


class Place:
    """A server and its models directory, which is a link. `folder` is where it leads."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server = root, server
        self.directory, self.folder = root / "models", root / "first"

    def get(self, path: str, **params: Any) -> httpx.Response:
        return httpx.get(self.server.url + path, params=params, timeout=30)

    def names(self) -> list[str]:
        return [card["name"] for card in self.get("/models").json()["models"]]

    def about(self, name: str) -> dict[str, Any]:
        card: dict[str, Any] = self.get(f"/models/{name}").json()
        return card

    def serves(self, name: str, digest: str) -> None:
        eventually(lambda: self.about(name).get("digest") == digest)
        assert self.get("/generate", prefix="a", model=name, num_chars=1).status_code == 200

    def has_problem(self, name: str, words: str) -> None:
        eventually(lambda: words in (self.about(name).get("problem") or ""))

    def mount(self, *arguments: str | Path) -> None:
        way = way_to_mounts()
        assert way is not None
        enter = [*INTO_THEM[way].split(), "--target", str(self.server.process.pid)]
        subprocess.run([*enter, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("links")
    save(root / "first" / "good", 1)
    (root / "models").symlink_to("first")
    with pytest.MonkeyPatch.context() as patch:
        way = way_to_mounts()
        if way is not None:
            python = root / "python"
            python.write_text(f'#!/bin/sh\nexec {" ".join(OWN_MOUNTS[way])} {sys.executable} "$@"\n', "utf-8")
            python.chmod(0o755)
            patch.setattr(sys, "executable", str(python))
        server = Server(root, root / "models", NEXTCHAR_DEFAULT_MODEL=None, NEXTCHAR_RELOAD_S="0.05")
    with server:
        yield Place(root, server)


@pytest.fixture
def elsewhere(place: Place) -> Iterator[Path]:
    """A folder of a test's own beside the models directory, whose links into it are gone afterwards."""
    folder = place.root / "elsewhere"
    folder.mkdir()
    yield folder
    switch(place.directory, "first")
    for link in place.folder.iterdir():
        if link.name != "good" and not link.name.startswith(".default"):
            link.unlink() if link.is_symlink() else shutil.rmtree(link)
    shutil.rmtree(folder)
    eventually(lambda: place.names() == ["good"])


def test_a_link_to_a_folder_that_is_made_later_is_followed_wherever_it_is_switched_to(
    place: Place, elsewhere: Path
) -> None:
    digests = [save(elsewhere / str(seed), seed) for seed in range(3)]
    link = place.folder / "mine"
    link.symlink_to(elsewhere / "0")
    place.serves("mine", digests[0])
    switch(link, elsewhere / "1")
    place.serves("mine", digests[1])
    link.unlink()
    link.symlink_to(elsewhere / "2")
    place.serves("mine", digests[2])


@pytest.mark.parametrize("same_time", [False, True])
def test_a_linked_file_is_followed_switched_replaced_or_written_in_place(
    place: Place, elsewhere: Path, same_time: bool
) -> None:
    digests = [save(elsewhere / str(seed), seed) for seed in range(5)]
    files = [elsewhere / str(seed) / FILE_NAME for seed in range(5)]
    if same_time:
        for file in files:
            os.utime(file, ns=(0, 0))
    assert len({file.stat().st_size for file in files}) == 1
    link = place.folder / "mine" / FILE_NAME
    link.parent.mkdir()
    link.symlink_to(files[0])
    place.serves("mine", digests[0])
    switch(link, files[1])
    place.serves("mine", digests[1])
    os.replace(files[2], files[1])
    place.serves("mine", digests[2])
    shutil.copyfile(files[3], files[1])
    if same_time:
        os.utime(files[1], ns=(0, 0))
    place.serves("mine", digests[3])
    os.link(files[4], link.with_name("hard"))
    os.replace(link.with_name("hard"), link)
    place.serves("mine", digests[4])


def test_a_folder_is_followed_as_kubernetes_switches_it(place: Place, elsewhere: Path) -> None:
    """A volume mounted as the model's folder: one link to the data of now, which is switched by a rename."""
    volume = place.folder / "mine"
    digests = [save(volume / f"..2026_11_28_0{seed}" / FILE_NAME, seed) for seed in range(3)]
    (volume / FILE_NAME).symlink_to(f"..data/{FILE_NAME}")
    (volume / "..data").symlink_to("..2026_11_28_00")
    place.serves("mine", digests[0])
    for seed in (1, 2):
        (volume / "..data_tmp").symlink_to(f"..2026_11_28_0{seed}")
        os.replace(volume / "..data_tmp", volume / "..data")
        shutil.rmtree(volume / f"..2026_11_28_0{seed - 1}")
        place.serves("mine", digests[seed])


def test_a_directory_is_followed_as_kubernetes_switches_it_and_its_own_names_are_no_models(
    place: Place, elsewhere: Path
) -> None:
    """A volume mounted as the models directory."""
    digests = [save(place.folder / f"..2026_11_28_0{seed}" / "mine", seed) for seed in range(2)]
    (place.folder / "mine").symlink_to("..data/mine")
    (place.folder / "..data").symlink_to("..2026_11_28_00")
    place.serves("mine", digests[0])
    assert place.names() == ["good", "mine"]
    (place.folder / "..data_tmp").symlink_to("..2026_11_28_01")
    os.replace(place.folder / "..data_tmp", place.folder / "..data")
    place.serves("mine", digests[1])
    assert place.names() == ["good", "mine"]


def test_the_models_directory_itself_is_switched(place: Place, elsewhere: Path) -> None:
    good = place.about("good")["digest"]
    digests = [save(elsewhere / name, seed) for seed, name in enumerate(("good", "other"))]
    switch(place.directory, elsewhere)
    place.serves("good", digests[0])
    place.serves("other", digests[1])
    switch(place.directory, "first")
    place.serves("good", good)
    eventually(lambda: place.names() == ["good"])


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_link_that_leads_to_nothing_is_named_with_its_reason_and_drops_nothing(
    place: Place, elsewhere: Path, what: str
) -> None:
    digests = [save(elsewhere / "kept" / str(seed), seed) for seed in range(2)]
    target = elsewhere / "target"
    link = place.folder / "mine"
    if what == "file":
        link.mkdir()
        link, target = link / FILE_NAME, target / FILE_NAME
    link.symlink_to(target)
    place.has_problem("mine", f"its {what} is a link that leads to nothing")
    refused = place.get("/generate", prefix="a", model="mine")
    assert refused.status_code == 503
    assert "leads to nothing" in refused.json()["detail"]
    (elsewhere / "kept" / "0").rename(elsewhere / "target")
    place.serves("mine", digests[0])
    shutil.rmtree(elsewhere / "target")
    place.has_problem("mine", "leads to nothing")
    place.serves("mine", digests[0])
    assert "leads to nothing" in place.get("/readyz").json()["problems"]["mine"]
    (elsewhere / "kept" / "1").rename(elsewhere / "target")
    place.serves("mine", digests[1])
    eventually(lambda: place.about("mine")["problem"] is None)


def test_a_models_directory_whose_link_leads_to_nothing_drops_nothing(place: Place, elsewhere: Path) -> None:
    good = place.about("good")["digest"]
    switch(place.directory, "nothing")
    eventually(lambda: "leads to nothing" in place.get("/readyz").json()["problems"].get("*", ""))
    place.serves("good", good)
    switch(place.directory, "first")
    eventually(lambda: place.get("/readyz").json()["problems"] == {})
    place.serves("good", good)


def test_a_loop_of_links_is_named_with_its_reason(place: Place, elsewhere: Path) -> None:
    (place.folder / "one").symlink_to("two")
    (place.folder / "two").symlink_to("one")
    (place.folder / "three").mkdir()
    (place.folder / "three" / FILE_NAME).symlink_to(FILE_NAME)
    for name in ("one", "two", "three"):
        place.has_problem(name, "Too many levels of symbolic links")
    shutil.rmtree(place.folder / "three")
    digest = save(elsewhere, 3)
    switch(place.folder / "two", elsewhere)
    for name in ("one", "two"):
        place.serves(name, digest)


def test_versions_behind_a_link_are_listed_as_they_are_now(place: Place, elsewhere: Path) -> None:
    for seed in range(3):
        publish(elsewhere / "data", random_checkpoint("rnn", seed=seed))
    (place.folder / "mine").mkdir()
    (place.folder / "mine" / FILE_NAME).symlink_to(elsewhere / "data" / FILE_NAME)
    (place.folder / "mine" / "versions").symlink_to(elsewhere / "data" / "versions")
    eventually(lambda: len(place.about("mine").get("versions", ())) == 2)
    kept = next((elsewhere / "data" / "versions").iterdir())
    (elsewhere / "older").mkdir()
    kept.rename(elsewhere / "older" / kept.name)
    eventually(lambda: len(place.about("mine")["versions"]) == 1)
    switch(place.folder / "mine" / "versions", elsewhere / "older")
    eventually(lambda: [version["digest"] for version in place.about("mine")["versions"]] == [kept.stem])


@pytest.mark.skipif(way_to_mounts() is None, reason="no mounts may be made here")
def test_what_is_mounted_over_a_folder_or_the_directory_is_seen_and_what_was_below_it_again(
    place: Place, elsewhere: Path
) -> None:
    below, above = save(place.folder / "mine", 2), save(elsewhere / "above", 3)
    place.serves("mine", below)
    place.mount("mount", "--bind", elsewhere / "above", place.folder / "mine")
    place.serves("mine", above)
    place.mount("umount", "--lazy", place.folder / "mine")  # a look may have a file open
    place.serves("mine", below)
    place.mount("mount", "-t", "tmpfs", "none", place.folder)
    eventually(lambda: place.names() == [])
    place.mount("cp", "-r", elsewhere / "above", place.folder / "new")
    place.serves("new", above)
    place.mount("umount", "--lazy", place.folder)
    place.serves("mine", below)
