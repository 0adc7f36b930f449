from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.settings import PREFIX, Settings, SettingsError, from_environment


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_environment_sets_every_kind_of_field(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "9000",
        "MODELS_DIR": "/srv/models",
        "API_KEYS": "one, two,",
        "CORS_ORIGINS": "https://a.example,https://b.example",
        "RATE_LIMIT": "60/minute",
        "REQUEST_TIMEOUT_S": "2.5",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = from_environment()
    assert (settings.port, settings.models_dir) == (9000, Path("/srv/models"))
    assert settings.keys() == ("one", "two")
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.request_timeout_s == 2.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "eighty"),
        ("MAX_ROWS", "0"),
        ("DEVICE", "tpu"),
        ("DEFAULT_MODEL", "../x"),
        ("RATE_LIMIT", "often"),
        ("REQUEST_TIMEOUT_S", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=f"^{PREFIX}{name} is '{value}': "):
        from_environment()


def test_a_secret_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "SECRET", "too-short")
    with pytest.raises(SettingsError, match=r"NEXTCHAR_SECRET: .*at least 16") as caught:
        from_environment()
    assert "too-short" not in str(caught.value)
    monkeypatch.delenv(PREFIX + "SECRET")
    assert "hidden-key" not in repr(Settings(api_keys="hidden-key"))


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PROT", "80")
    with pytest.raises(SettingsError, match=r"^NEXTCHAR_PROT: there is no such setting"):
        from_environment()


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nthree\n\nfour\n")
    assert Settings(api_keys="one", api_keys_file=file).keys() == ("one", "three", "four")
    file.write_text("# none\n")
    with pytest.raises(SettingsError, match="holds no key"):
        Settings(api_keys_file=file).keys()
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings(api_keys_file=tmp_path / "nothing").keys()
