"""The files that run the service elsewhere agree with the service, with each other and with their own format."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.operation.metrics import Metrics
from app.server.graceful import CLEAN_UP_S, LAST_WORDS_S
from app.settings import PREFIX, Settings
from app.wire.problem_types import type_and_title
from tests.image.dockerfile import read

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = ("nextchar-gpu", "nextchar-cpu")
# The keys of the Compose specification that a service of ours may use.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "env_file", "environment", "healthcheck", "image",
    "logging", "mem_limit", "networks", "pids_limit", "ports", "profiles", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip


def settings_in_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    shown = {}
    for line in lines:
        if line.startswith(f"#{PREFIX}"):
            found = re.fullmatch(r"#(NEXTCHAR_\w+)=(.*)", line)
            assert found, line
            shown[found[1]] = found[2]
    return shown


def test_the_example_names_every_setting_and_no_other() -> None:
    assert settings_in_example().keys() == {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_example_shows_each_settings_default_and_says_what_it_is_for(name: str) -> None:
    default = Settings.model_fields[name].default
    assert settings_in_example()[PREFIX + name.upper()] == ("" if default in (None, ()) else str(default))
    prose = " ".join(line.removeprefix("#").strip() for line in (ROOT / ".env.example").read_text("utf-8").splitlines())
    assert str(Settings.model_fields[name].description) in prose


def test_the_example_can_be_used_with_every_line_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in settings_in_example().items():
        monkeypatch.setenv(variable, value)
    assert Settings() == Settings.model_construct(**{name: f.default for name, f in Settings.model_fields.items()})


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_only_keys_that_compose_knows(service: str) -> None:
    assert SERVICES[service].keys() <= SERVICE_KEYS


@pytest.mark.parametrize("service", SERVICES)
def test_no_image_floats(service: str) -> None:
    tag = SERVICES[service]["image"].rsplit("/", 1)[-1].partition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+", tag), f"{service}: {tag} is not a whole version"
    assert (service in OWN) != bool(re.search(r"@sha256:[0-9a-f]{64}$", tag)), f"{service}: {tag} has no digest"
    assert "latest" not in (ROOT / "docker-compose.yml").read_text("utf-8")


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_held_down_limited_watched_and_restarted(service: str) -> None:
    about = SERVICES[service]
    assert about["read_only"] is True
    assert about["cap_drop"] == ["ALL"]
    assert about["security_opt"] == ["no-new-privileges:true"]
    assert about["restart"] == "unless-stopped"
    assert re.fullmatch(r"\d+[mg]", about["mem_limit"])
    assert about["pids_limit"] > 0
    assert about["healthcheck"]["test"][0] == "CMD"
    if service in OWN:
        assert read().stages[-1].last("HEALTHCHECK").endswith(json.dumps(about["healthcheck"]["test"][1:]))
    assert "privileged" not in about
    assert "user" not in about, "each image names its own user, which is not root"


def test_one_command_starts_each_kind_of_host_and_the_rest_is_asked_for() -> None:
    assert (ROOT / ".env").read_text("utf-8").splitlines()[-1] == "COMPOSE_PROFILES=gpu"
    profiles = {name: about["profiles"] for name, about in SERVICES.items()}
    assert profiles == {
        "nextchar-gpu": ["gpu"],
        "nextchar-cpu": ["cpu"],
        "nginx": ["edge"],
        "prometheus": ["observe"],
        "grafana": ["observe"],
    }


def test_only_the_gpu_service_asks_for_a_card_which_would_stop_any_other_host() -> None:
    [card] = SERVICES["nextchar-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert card == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert all("deploy" not in about for name, about in SERVICES.items() if name != "nextchar-gpu")


def set_in(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(("service", "device"), [("nextchar-gpu", "gpu"), ("nextchar-cpu", "cpu")])
def test_a_profile_computes_where_its_name_says_unless_a_person_says_another(service: str, device: str) -> None:
    own, persons = SERVICES[service]["env_file"]  # the later one counts
    assert set_in(own["path"]) == {"NEXTCHAR_DEVICE": device}
    assert own.get("required", True)
    assert persons == {"path": ".env.local", "required": False}
    assert "NEXTCHAR_DEVICE" not in SERVICES[service]["environment"], "which goes before every file"
    assert "NEXTCHAR_DEVICE" not in read().stages[-1].environment(), "whoever runs the image alone is told in the log"


@pytest.mark.parametrize("accelerator", ["mxnet-cu117", "onnxruntime-gpu", "cpu"])
def test_which_image_is_for_which_card_is_on_the_first_screen(accelerator: str) -> None:
    first_screen = (ROOT / "docs" / "container.md").read_text("utf-8").splitlines()[:25]
    cards = {"mxnet-cu117": "Maxwell to Ada", "onnxruntime-gpu": "Hopper", "cpu": "none"}[accelerator]
    assert [line for line in first_screen if line.startswith(f"| `{accelerator}`") and cards in line]


@pytest.mark.parametrize("service", OWN)
def test_both_kinds_answer_under_one_name_with_one_volume(service: str) -> None:
    assert SERVICES[service]["networks"]["default"]["aliases"] == ["nextchar"]
    assert SERVICES[service]["volumes"] == ["models:/models"]
    image = read().stages[-1].environment()
    assert SERVICES[service]["environment"]["NEXTCHAR_MODELS_DIR"] == image["NEXTCHAR_MODELS_DIR"] == "/models"


@pytest.mark.parametrize("service", OWN)
def test_the_service_is_built_from_arguments_that_the_dockerfile_has(service: str) -> None:
    arguments = SERVICES[service]["build"]["args"]
    assert arguments.keys() == read().arguments.keys() - {"VERSION"}  # which is the project's, not to be chosen


def test_the_gpu_service_is_built_on_the_dockerfiles_base_with_its_digest() -> None:
    base = SERVICES["nextchar-gpu"]["build"]["args"]["BASE_IMAGE"]
    [(name, digest)] = re.findall(r"^\$\{BASE_IMAGE:-(.+)@sha256:([0-9a-f]{64})\}$", base)
    assert name == read().arguments["BASE_IMAGE"]
    assert digest


@pytest.mark.parametrize("service", OWN)
def test_a_container_sets_only_settings_that_exist_and_is_killed_after_it_has_drained(service: str) -> None:
    about = SERVICES[service]
    names = {name for name in about["environment"] if name.startswith(PREFIX)}
    assert names <= {PREFIX + name.upper() for name in Settings.model_fields}
    whole_s = Settings.model_fields["drain_s"].default + LAST_WORDS_S + CLEAN_UP_S
    assert int(about["stop_grace_period"].removesuffix("s")) > whole_s


def test_every_variable_of_the_compose_file_is_explained() -> None:
    variables = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    explained = (ROOT / ".env.example").read_text("utf-8")
    assert not {name for name in variables if name not in explained}


def test_what_the_compose_file_mounts_exists() -> None:
    sources = [mount.split(":")[0] for about in SERVICES.values() for mount in about.get("volumes", [])]
    files = [source for source in sources if source.startswith("./")]
    assert files
    for file in files:
        assert (ROOT / file.replace("${EDGE", "http.conf").split("http.conf")[0]).exists(), file
    assert {source for source in sources if re.fullmatch(r"\w+", source)} == set(COMPOSE["volumes"])


def test_only_nginx_listens_beyond_this_host() -> None:
    for name, about in SERVICES.items():
        for port in about["ports"]:
            assert (name == "nginx") != ("127.0.0.1:" in port), f"{name}: {port}"


def filled_in(text: str) -> str:
    """As Compose reads it where no variable is set."""
    while (found := re.search(r"\$\{\w+:-([^${}]*)\}", text)) is not None:
        text = text.replace(found[0], found[1])
    return text


@pytest.mark.parametrize("service", OWN)
def test_only_nginx_can_say_what_a_clients_address_is(service: str) -> None:
    [network] = COMPOSE["networks"]["default"]["ipam"]["config"]
    subnet, others = (ip_network(filled_in(network[key])) for key in ("subnet", "ip_range"))
    nginx = ip_address(filled_in(SERVICES["nginx"]["networks"]["default"]["ipv4_address"]))
    assert filled_in(SERVICES[service]["environment"]["FORWARDED_ALLOW_IPS"]) == str(nginx)
    assert nginx in subnet
    assert others.subnet_of(subnet)  # type: ignore[arg-type]
    assert nginx not in others  # Docker gives those to whoever starts first
    assert nginx != next(subnet.hosts())  # the bridge itself: whoever uses the published port


def metric_names() -> set[str]:
    exposed = re.findall(r"^# TYPE (\S+) (\w+)$", Metrics().exposition().decode(), re.MULTILINE)
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + part for name, kind in exposed for part in parts.get(kind, ("",))}


@pytest.mark.parametrize("file", ["docs/grafana/nextchar.json", "deploy/prometheus/alerts.yml"])
def test_dashboard_and_alerts_ask_for_metrics_that_exist(file: str) -> None:
    asked = set(re.findall(r"\bnextchar_\w+", (ROOT / file).read_text("utf-8")))
    assert asked
    assert asked <= metric_names()


def test_the_dashboard_finds_its_data_and_grafana_the_dashboard() -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana" / "nextchar.json").read_text("utf-8"))
    grafana = ROOT / "deploy" / "grafana"
    [source] = yaml.safe_load((grafana / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    [provider] = yaml.safe_load((grafana / "dashboards" / "nextchar.yml").read_text("utf-8"))["providers"]
    assert f"./docs/grafana:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_prometheus_asks_the_service_by_its_name_in_the_compose_file() -> None:
    [job] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["nextchar:8000"]}]


def versions(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w-]+)==([^ ;\\]+)", (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8"), re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize(
    ("lock", "gone", "come"), [("cuda11", "mxnet", "mxnet-cu117"), ("cuda", "onnxruntime", "onnxruntime-gpu")]
)
def test_an_accelerator_replaces_one_package_and_adds_only_nvidias(lock: str, gone: str, come: str) -> None:
    runtime, accelerated = versions("runtime"), versions(lock)
    assert gone not in accelerated
    assert come in accelerated
    assert all(accelerated[name] == version for name, version in runtime.items() if name != gone)
    assert all(name == come or name.startswith("nvidia-") for name in accelerated.keys() - runtime.keys())


@pytest.mark.parametrize("lock", ["runtime", "dev", "cuda11", "cuda", "build", "mutation"])
def test_every_locked_package_has_hashes_and_no_lock_names_an_index(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    entries = re.split(r"^(?=[\w-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index" not in re.sub(r"[0-9a-f]{64}", "", text)


def test_errors_of_nginxs_own_are_of_the_services_kinds() -> None:
    text = (ROOT / "deploy" / "nginx" / "proxy.conf").read_text("utf-8")
    problems = [json.loads(body) for body in re.findall(r"return \d+ '(\{.*\})';", text)]
    assert [problem["status"] for problem in problems] == [413, 414, 429, 503]
    for problem in problems:
        assert (problem["type"], problem["title"]) == type_and_title(problem["status"])
