from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from app.settings import PREFIX, Settings
from tests.image.dockerfile import ROOT, read

FILE = read()
FINAL = FILE.stages[-1]


def test_every_stage_stands_on_the_one_base_image() -> None:
    names = {stage.name for stage in FILE.stages}
    assert {stage.base for stage in FILE.stages} - names == {"${BASE_IMAGE}"}


def test_the_base_image_is_nvidias_and_pinned_to_a_whole_version() -> None:
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu\d\d\.\d\d", FILE.arguments["BASE_IMAGE"])


def test_every_accelerator_has_a_lock_file_and_the_default_is_one_of_them() -> None:
    install = next(run for run in FILE.stage("dependencies").values("RUN") if "--require-hashes" in run)
    locks = dict(re.findall(r"([\w-]+)\) lock=(\w+)", install))
    assert locks == {"mxnet-cu117": "cuda11", "onnxruntime-gpu": "cuda", "cpu": "runtime"}
    assert FILE.arguments["ACCELERATOR"] in locks
    for lock in locks.values():
        assert (ROOT / "requirements" / f"{lock}.txt").is_file()


def test_nothing_is_installed_without_a_lock_and_no_cache_of_pip_stays() -> None:
    runs = [run for stage in FILE.stages for run in stage.values("RUN")]
    for command in (part for run in runs for part in run.split("&&") if "/opt/pip/bin/pip" in part):
        assert "--no-cache-dir" in command
        assert "--require-hashes" in command or "--no-deps" in command, command


def test_package_lists_of_the_system_do_not_stay() -> None:
    for stage in FILE.stages:
        for run in stage.values("RUN"):
            assert ("apt-get update" in run) == ("rm -rf /var/lib/apt/lists/*" in run)
            assert "upgrade" not in run


def test_the_dependencies_are_installed_before_any_code_is_copied() -> None:
    assert FILE.stage("dependencies").values("COPY") == ["requirements/ /src/requirements/"]


def test_a_change_of_the_service_trains_no_model() -> None:
    assert FILE.stage("training").base == "dependencies"
    assert [copy.split()[0] for copy in FILE.stage("training").values("COPY")] == ["model/", "nextchar/"]
    assert FILE.stage("training").last("RUN").startswith("python -m nextchar train ")


def test_the_last_stage_takes_finished_things_only_and_installs_nothing() -> None:
    assert FINAL.base == "base"
    assert all("install" not in run for run in FINAL.values("RUN"))
    own = [copy for copy in FINAL.values("COPY") if not copy.startswith("--from=")]
    assert own == ["LICENSE /app/"]


def test_what_is_copied_exists_and_is_let_into_the_build_and_nothing_else_is() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[1] == "*", "everything is left out"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for stage in FILE.stages
        for copy in stage.values("COPY")
        if not copy.startswith("--from=")
        for source in copy.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("left_out", [".git/config", "tests/conftest.py", ".env.local", "checkpoints/x", "shared/x"])
def test_what_has_no_place_in_an_image_is_left_out_of_the_build(left_out: str) -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    assert not any(fnmatch(left_out, pattern) or left_out.startswith(f"{pattern}/") for pattern in let_in)


def test_the_service_runs_as_a_fixed_user_that_is_not_root() -> None:
    user, group = FINAL.last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert any(f"--uid {user}" in run and f"--gid {group}" in run for run in FINAL.values("RUN"))


def test_the_service_is_started_stopped_and_watched_as_it_expects() -> None:
    assert FINAL.exec_form("ENTRYPOINT") == ["tini", "--"]
    assert FINAL.exec_form("CMD") == ["python", "-m", "app"]
    assert FINAL.last("STOPSIGNAL") == "SIGTERM"
    assert FINAL.last("HEALTHCHECK").endswith('CMD ["python", "-m", "app.health"]')


def test_the_commands_are_found_where_pip_puts_them() -> None:
    [install] = [run for run in FILE.stage("application").values("RUN") if "--target" in run]
    target = re.search(r"--target (\S+)", install)
    assert target is not None
    assert FINAL.environment()["PATH"] == f"{target[1]}/bin:$PATH"
    assert FINAL.environment()["PYTHONPATH"] == target[1]


def test_a_crash_leaves_a_trace() -> None:
    assert FILE.stage("base").environment()["PYTHONFAULTHANDLER"] == "1"


def test_the_image_sets_only_settings_that_exist() -> None:
    settings = {name for name in FINAL.environment() if name.startswith(PREFIX)}
    assert settings == {"NEXTCHAR_HOST", "NEXTCHAR_MODELS_DIR"}
    assert settings <= {PREFIX + name.upper() for name in Settings.model_fields}


def test_the_image_says_what_it_is() -> None:
    labels = " ".join(FINAL.values("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


def test_the_version_is_the_projects() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert FILE.arguments["VERSION"] == version[1]
    assert "VERSION" in FINAL.values("ARG")
