from __future__ import annotations

import pytest

from app.addresses import addresses, is_link


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        (" 127.0.0.1 , ::1,", ("127.0.0.1", "::1")),
        ("[::1]", ("::1",)),
        ("0:0:0:0:0:0:0:1,::1", ("::1",)),
        ("::", ("::",)),
        ("fe80::1%eth0", ("fe80::1%eth0",)),
        ("localhost,my-host.example.,a_b", ("localhost", "my-host.example.", "a_b")),
    ],
)
def test_a_host_is_addresses_and_names(host: str, found: tuple[str, ...]) -> None:
    assert addresses(host) == found


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "[::1]:8000", "http://a", "[127.0.0.1]", "::g", "a b", "a/b", "-:", "a..b", "*"]
)
def test_anything_else_is_named_with_what_is_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="NEXTCHAR_PORT has the port") as caught:
        addresses(f"127.0.0.1,{host}")
    assert repr(host) in str(caught.value)


@pytest.mark.parametrize("host", ["", " ", ",", " , "])
def test_a_blank_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0"):
        addresses(host)


@pytest.mark.parametrize(
    ("name", "value", "link"),
    [
        ("NEXTCHAR_PORT", "tcp://10.0.0.1:8000", True),
        ("NEXTCHAR_PORT", "udp://[fd00::1]:8000", True),
        ("NEXTCHAR_PORT", "9000", False),
        ("NEXTCHAR_PORT", "/tcp", False),
        ("NEXTCHAR_GPU_PORT", "tcp://10.0.0.1:8000", True),
        ("NEXTCHAR_GPU_PORT", "8000", False),
        ("NEXTCHAR_SERVICE_HOST", "10.0.0.1", True),
        ("NEXTCHAR_SERVICE_PORT", "8000", True),
        ("NEXTCHAR_SERVICE_PORT_HTTP_ALT", "8000", True),
        ("NEXTCHAR_PORT_8000_TCP", "tcp://10.0.0.1:8000", True),
        ("NEXTCHAR_PORT_8000_TCP_ADDR", "10.0.0.1", True),
        ("NEXTCHAR_PORT_53_UDP_PROTO", "udp", True),
        ("NEXTCHAR_NAME", "/web/nextchar", True),
        ("NEXTCHAR_NAME", "web", False),
        ("NEXTCHAR_ENV_PATH", "/bin", True),
        ("NEXTCHAR_PORTS", "8000", False),
        ("NEXTCHAR_SERVICE", "10.0.0.1", False),
        ("NEXTCHAR_PORT_TCP", "8000", False),
        ("NEXTCHAR_HOST", "tcp://10.0.0.1:8000", False),
        ("OTHER_SERVICE_HOST", "10.0.0.1", False),
    ],
)
def test_a_link_is_told_from_a_setting_and_from_a_misspelt_one(name: str, value: str, link: bool) -> None:
    assert is_link(name, value) == link
