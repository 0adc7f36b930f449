from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from app.settings import (
    LEFT_OPEN,
    PREFIX,
    Settings,
    SettingsError,
    from_environment,
    given_descriptors,
    left_open,
    service_links,
)
from model.versions import MODEL_NAME


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


def test_a_setting_under_its_old_name_counts_where_the_new_one_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCHAR_BACKEND", "onnxruntime")
    assert from_environment().engine == "onnxruntime"
    monkeypatch.setenv("NEXTCHAR_ENGINE", "")
    assert from_environment().engine == "onnxruntime"
    monkeypatch.setenv("NEXTCHAR_ENGINE", "auto")
    assert from_environment().engine == "auto"
    monkeypatch.setenv("NEXTCHAR_ENGINE", "")
    monkeypatch.setenv("NEXTCHAR_BACKEND", "torch")
    with pytest.raises(SettingsError, match=r"^NEXTCHAR_BACKEND is 'torch': Input should be 'auto', 'mxnet' or"):
        from_environment()


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


@pytest.mark.parametrize(
    ("name", "value", "link"),
    [
        ("SERVICE_HOST", "10.0.0.1", True),
        ("SERVICE_PORT_HTTP", "8000", True),
        ("PORT_8000_TCP_ADDR", "10.0.0.1", True),
        ("GPU_PORT", "tcp://10.0.0.1:8000", True),
        ("GPU_PORT", "8000", False),
    ],
)
def test_a_link_to_a_service_is_no_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str, link: bool) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    if link:
        assert from_environment() == Settings()
        assert service_links() == [PREFIX + name]
    else:
        with pytest.raises(SettingsError, match="there is no such setting"):
            from_environment()


def test_a_port_is_a_link_or_a_setting_by_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PORT", "tcp://10.0.0.1:8000")
    assert from_environment().port == 8000
    assert service_links() == ["NEXTCHAR_PORT"]
    monkeypatch.setenv(PREFIX + "PORT", "9000")
    assert from_environment().port == 9000
    assert service_links() == []


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT", "DEVICE", "ENGINE"])
def test_a_choice_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for choice in get_args(Settings.model_fields[name.lower()].annotation):
        monkeypatch.setenv(PREFIX + name, f" {choice.upper()} ")
        assert getattr(from_environment(), name.lower()) == choice


@pytest.mark.parametrize("name", ["MODELS_DIR", "API_KEYS_FILE", "UDS"])
def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv(PREFIX + name, "~/mine")
    assert getattr(from_environment(), name.lower()) == Path("/home/somebody/mine")
    monkeypatch.setenv(PREFIX + name, "~nobody-of-that-name/mine")
    with pytest.raises(SettingsError, match=f"^{PREFIX}{name} is '~nobody-of-that-name/mine': ~ leads nowhere"):
        from_environment()


def test_it_listens_on_addresses_or_on_a_path() -> None:
    assert Settings(host="127.0.0.1, [::1]").addresses() == ("127.0.0.1", "::1")
    assert Settings(host="127.0.0.1, [::1]").host == "127.0.0.1,::1"
    assert Settings(host="::1", uds="/run/own.sock").addresses() == ()


def test_what_systemd_hands_over_is_for_the_process_it_names_and_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def hand_over(pid: int, count: str) -> int:
        for name, value in {"PID": str(pid), "FDS": count, "FDNAMES": "a:b", "PIDFDID": "1"}.items():
            monkeypatch.setenv(f"LISTEN_{name}", value)
        return given_descriptors()

    assert given_descriptors() == 0
    assert hand_over(os.getpid(), "2") == 2
    assert not [name for name in os.environ if name.startswith("LISTEN_")]
    assert hand_over(os.getpid() + 1, "2") == 0
    with pytest.raises(SettingsError, match="LISTEN_FDS is 'two'"):
        hand_over(os.getpid(), "two")


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


def refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        from_environment()
    monkeypatch.delenv(PREFIX + name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eighty", "integer"),
        ("PORT", "70000", "65535"),
        ("DEFAULT_MODEL", "a b", MODEL_NAME.pattern),
        ("RATE_LIMIT", "often", '"60/minute"'),
        ("RATE_LIMIT", "0/minute", '"60/minute"'),
        ("RATE_LIMIT", "60/minute;1/hour", '"60/minute"'),
        ("CORS_ORIGINS", "https://a.example/", "write 'https://a.example'"),
        ("CORS_ORIGINS", "https://a.example,*", "'*'"),
        ("CORS_ORIGINS", " , ", "names nothing"),
        ("API_KEYS", ",", "names nothing"),
        ("ALLOWED_HOSTS", "a.example,b:80", "'b:80'"),
        ("HOST", "  ", "0.0.0.0"),
        ("HOST", "127.0.0.1:9000", "NEXTCHAR_PORT has the port"),
        ("ROOT_PATH", "/", "'/nextchar'"),
        ("ROOT_PATH", "nextchar", "a slash before each"),
        ("ROOT_PATH", "/texts/", "none at the end"),
        ("ROOT_PATH", "/v1", "the service's own"),
        ("SECRET", "fifteen-letters", "16"),
    ],
)
def test_a_refusal_names_variable_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    about = "" if name in ("SECRET", "API_KEYS") else f" is {value!r}"
    [line] = refused(name, value, monkeypatch).splitlines()
    message = line.removeprefix(f"{PREFIX}{name}{about}: ")
    assert message != line
    assert words in message
    assert not message.startswith("Value error")
    if name in ("SECRET", "API_KEYS"):
        assert value not in message or value == ","


def test_every_wrong_variable_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "x", "NO_SUCH": "1", "MAX_ROWS": "0", "max_queue": "7"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        from_environment()
    lines = sorted(line.split(" ")[0].rstrip(":") for line in str(caught.value).splitlines())
    assert lines == ["NEXTCHAR_MAX_ROWS", "NEXTCHAR_NO_SUCH", "NEXTCHAR_PORT", "NEXTCHAR_max_queue"]
    assert "NEXTCHAR_NO_SUCH: there is no such setting" in str(caught.value).splitlines()


def test_names_and_origins_are_split_at_commas_and_kept_as_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "ALLOWED_HOSTS", " A.example ,b.example,, [::1]")
    monkeypatch.setenv(PREFIX + "CORS_ORIGINS", "https://a.example , http://b.example:3000")
    monkeypatch.setenv(PREFIX + "HOST", " 0.0.0.0 ")
    monkeypatch.setenv(PREFIX + "RATE_LIMIT", "1/second")
    monkeypatch.setenv(PREFIX + "DEFAULT_MODEL", "mine-2")
    settings = from_environment()
    assert settings.allowed_hosts == ("a.example", "b.example", "[::1]")
    assert settings.cors_origins == ("https://a.example", "http://b.example:3000")
    assert (settings.host, settings.rate_limit, settings.default_model) == ("0.0.0.0", "1/second", "mine-2")
    assert Settings(allowed_hosts=("C.example",)).allowed_hosts == ("c.example",)
    assert Settings(allowed_hosts="", rate_limit="").allowed_hosts == ()


@pytest.mark.parametrize("short", [0, 1, 2])
def test_a_key_of_sixteen_characters_is_long_enough_and_a_shorter_one_is_counted_from_one(
    tmp_path: Path, short: int
) -> None:
    file = tmp_path / "keys"
    keys = [letter * 16 for letter in "abc"]
    file.write_text("\n".join(["# ours", *keys]))
    assert shown(Settings(api_keys=",".join(keys)).keys()) == shown(Settings(api_keys_file=file).keys()) == keys
    keys[short] = "z" * 15
    with pytest.raises(ValueError, match=f"key {short + 1} of 3 .*16"):
        Settings(api_keys=",".join(keys))
    file.write_text("\n".join(["# ours", *keys]))
    with pytest.raises(SettingsError, match=f"^NEXTCHAR_API_KEYS_FILE: {re.escape(str(file))}: line {short + 2} .*16"):
        Settings(api_keys_file=file).keys()


def test_a_file_of_keys_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    for content in (None, b"\xff\xff", b"# none\n\n  \n"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=f"^NEXTCHAR_API_KEYS_FILE: {re.escape(str(file))} "):
            Settings(api_keys_file=file).keys()


def test_what_is_left_open_is_told_with_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "SECRET", "")
    [sentence] = left_open()
    assert sentence.startswith("NEXTCHAR_SECRET is set but empty: ")
    assert sentence.endswith(LEFT_OPEN["SECRET"])
    monkeypatch.setenv(PREFIX + "API_KEYS", " ")
    assert len(left_open()) == 1


def test_a_hang_is_longer_than_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCHAR_HANG_S", "10")
    with pytest.raises(SettingsError, match=r"^NEXTCHAR_HANG_S is '10': is not more than NEXTCHAR_STALL_S, 10, and "):
        from_environment()
    monkeypatch.setenv("NEXTCHAR_STALL_S", "9.5")
    assert from_environment().hang_limit_s() == 10


@pytest.mark.parametrize(("variable", "limit_s"), [("HANG_S=0", 0), ("STALL_S=100", 100), ("STALL_S=20", 60)])
def test_a_hang_may_be_left_out_and_a_longer_stall_lifts_its_default(
    monkeypatch: pytest.MonkeyPatch, variable: str, limit_s: float
) -> None:
    monkeypatch.setenv(*(PREFIX + variable).split("="))
    assert from_environment().hang_limit_s() == limit_s


def test_a_hang_is_no_second_complaint_about_a_wrong_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCHAR_STALL_S", "long")
    monkeypatch.setenv("NEXTCHAR_HANG_S", "5")
    with pytest.raises(SettingsError) as refused:
        from_environment()
    assert str(refused.value).count("\n") == 0
    assert str(refused.value).startswith("NEXTCHAR_STALL_S is 'long': ")
