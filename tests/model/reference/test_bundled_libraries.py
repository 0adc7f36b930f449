from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from model.reference import bundled_libraries
from tests.reference import needs_mxnet

pytestmark = needs_mxnet


def run(program: str) -> str:
    """In a process of its own: what is loaded once stays loaded."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_mxnet_computes_with_the_copies_of_other_wheels_where_the_system_has_none() -> None:
    hide = """
import ctypes
from model.reference import bundled_libraries
system = ctypes.CDLL
def without(name, *rest, **options):
    if name in bundled_libraries.LIBRARIES:
        raise OSError(f"{name}: cannot open shared object file")
    return system(name, *rest, **options)
ctypes.CDLL = without
from model.reference.device import mx
ones = mx.nd.ones((40, 50))
print(int(mx.nd.dot(ones, ones.T).sum().asscalar()))
print(sorted({line.split("/", 1)[1].strip() for line in open("/proc/self/maps") if "gomp.so.1" in line}))
"""
    product, libraries = run(hide).splitlines()
    assert int(product) == 40 * 40 * 50
    assert libraries == "['memfd:libgomp.so.1 (deleted)']"


def test_two_libraries_get_the_names_they_are_asked_for_by() -> None:
    names = run("""
import ctypes
from model.reference import bundled_libraries
copies = [bundled_libraries._copy(*where) for where in bundled_libraries.LIBRARIES.values()]
for name, copy in zip(("libone.so", "libtwo.so"), copies):
    bundled_libraries.load_as(name, copy)
one, two = ctypes.CDLL("libone.so"), ctypes.CDLL("libtwo.so")
print(hasattr(one, "omp_get_max_threads"), hasattr(one, "quadmath_snprintf"))
print(hasattr(two, "omp_get_max_threads"), hasattr(two, "quadmath_snprintf"))
""")
    assert names.split() == ["True", "False", "False", "True"]


def test_what_the_system_has_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: None)
    monkeypatch.setattr(bundled_libraries, "load_as", lambda name, _: pytest.fail(f"{name} was loaded"))
    bundled_libraries.prepare()


def test_what_nobody_brings_is_left_to_mxnet_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(bundled_libraries, "LIBRARIES", {"libgomp.so.1": ("no-such-wheel", "libgomp-")})
    monkeypatch.setattr(bundled_libraries, "load_as", lambda name, _: pytest.fail(f"{name} was loaded"))
    bundled_libraries.prepare()


def test_a_library_that_the_system_lacks_is_loaded_from_its_wheel_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def loaded(name: str) -> None:
        if name == "libgomp.so.1":
            raise OSError(name)

    done = []
    monkeypatch.setattr(ctypes, "CDLL", loaded)
    monkeypatch.setattr(bundled_libraries, "_copy", lambda wheel, beginning: tmp_path / f"{wheel} {beginning}")
    monkeypatch.setattr(bundled_libraries, "load_as", lambda name, library: done.append((name, library.name)))
    bundled_libraries.prepare()
    assert done == [("libgomp.so.1", "pykdtree libgomp-")]


def test_a_copy_differs_from_the_wheels_file_in_its_name_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def look(place: str, mode: int) -> None:
        seen.append((Path(place).read_bytes(), mode))

    seen: list[tuple[bytes, int]] = []
    library = tmp_path / "libthing-abc.so.1.0.0"
    library.write_bytes(b"ELF\0libthing-abc.so.1.0.0\0libother.so\0libthing-abc.so.1.0.0x\0end")
    monkeypatch.setattr(ctypes, "CDLL", look)
    bundled_libraries.load_as("libthing.so.1", library)
    expected = b"ELF\0libthing.so.1" + b"\0" * 9 + b"libother.so\0libthing-abc.so.1.0.0x\0end"
    assert seen == [(expected, ctypes.RTLD_GLOBAL)]


def test_a_wheel_that_is_not_there_or_lacks_the_file_has_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundled_libraries._copy("no-such-wheel", "lib") is None
    assert bundled_libraries._copy("numpy", "no-such-file-") is None
    monkeypatch.setattr(
        "model.reference.bundled_libraries.metadata.files", lambda _: None
    )  # a wheel without a list of its files
    assert bundled_libraries._copy("numpy", "lib") is None


@pytest.mark.parametrize("name", bundled_libraries.LIBRARIES)
def test_each_library_is_in_the_wheel_that_is_named(name: str) -> None:
    copy = bundled_libraries._copy(*bundled_libraries.LIBRARIES[name])
    assert isinstance(copy, Path)
    assert copy.is_file()
    assert len(copy.name) >= len(name)
