from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import PREFIX, Settings, SettingsError, from_environment, left_open


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_environment_sets_every_kind_of_field(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "9000",
        "MODELS_DIR": "/srv/models",
        "API_KEYS": "the-first-of-the-keys, the-second-of-the-keys,",
        "CORS_ORIGINS": "https://a.example,https://b.example",
        "RATE_LIMIT": "60/minute",
        "REQUEST_TIMEOUT_S": "2.5",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = from_environment()
    assert (settings.port, settings.models_dir) == (9000, Path("/srv/models"))
    assert shown(settings.keys()) == ["the-first-of-the-keys", "the-second-of-the-keys"]
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
        ("RATE_LIMIT", "0/minute"),
        ("RATE_LIMIT", "60/minute;1000/hour"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", ","),
        ("ALLOWED_HOSTS", "a.example:8000"),
        ("HOST", " "),
        ("REQUEST_TIMEOUT_S", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=f"^{PREFIX}{name} is '{re.escape(value)}': "):
        from_environment()


def test_a_secret_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "SECRET", "too-short")
    with pytest.raises(SettingsError, match=r"NEXTCHAR_SECRET: .*at least 16") as caught:
        from_environment()
    assert "too-short" not in str(caught.value)
    monkeypatch.delenv(PREFIX + "SECRET")
    assert "hidden-key" not in repr(Settings(api_keys="hidden-key-of-sixteen"))


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PROT", "80")
    with pytest.raises(SettingsError, match=r"^NEXTCHAR_PROT: there is no such setting"):
        from_environment()


def shown(keys: tuple[SecretStr, ...]) -> list[str]:
    return [key.get_secret_value() for key in keys]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_keys_come_from_a_file_too(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "keys"
    file.write_text(mark + "the-third-of-the-keys\n# ours\n\n  schlüssel-für-分开-und-mehr \r\n", "utf-8")
    keys = Settings(api_keys="the-first-of-the-keys", api_keys_file=file).keys()
    assert shown(keys) == ["the-first-of-the-keys", "the-third-of-the-keys", "schlüssel-für-分开-und-mehr"]
    file.write_text("# none\n")
    with pytest.raises(SettingsError, match="holds no key"):
        Settings(api_keys_file=file).keys()
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings(api_keys_file=tmp_path / "nothing").keys()


def test_a_short_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PREFIX + "API_KEYS", "the-first-of-the-keys,fifteen-letters")
    with pytest.raises(SettingsError, match=r"^NEXTCHAR_API_KEYS: key 2 of 2 has fewer than 16 characters$") as caught:
        from_environment()
    assert "fifteen-letters" not in str(caught.value)
    monkeypatch.delenv(PREFIX + "API_KEYS")
    file = tmp_path / "keys"
    file.write_text("# ours\nthe-first-of-the-keys\nfifteen-letters\n")
    with pytest.raises(SettingsError, match=r"line 3 has fewer than 16 characters$") as caught:
        Settings(api_keys_file=file).keys()
    assert "fifteen-letters" not in str(caught.value)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), "")
    settings = from_environment()
    assert settings == Settings()
    assert settings.host == "127.0.0.1"


def test_an_empty_variable_about_keys_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert left_open() == []
    for name in ("API_KEYS", "API_KEYS_FILE", "SECRET"):
        monkeypatch.setenv(PREFIX + name, "")
    assert [sentence.split(" ")[0] for sentence in left_open()] == [
        "NEXTCHAR_API_KEYS",
        "NEXTCHAR_API_KEYS_FILE",
        "NEXTCHAR_SECRET",
    ]
    monkeypatch.setenv(PREFIX + "API_KEYS", "the-first-of-the-keys")
    assert len(left_open()) == 2
