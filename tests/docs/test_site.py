"""The site of docs/, as `make docs` builds it: whole, strict, and with nothing from elsewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Sphinx 9 exists for Python 3.11 and later")


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does, with the settings of docs/."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-q", "-c", str(DOCS), str(source), str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by their names, such as `reference/text.html`."""
    out = tmp_path_factory.mktemp("site")
    result = build(DOCS, out)
    assert (result.returncode, result.stderr) == (0, "")
    return {path.relative_to(out).as_posix(): path.read_text("utf-8") for path in out.rglob("*") if is_text(path)}


def is_text(path: Path) -> bool:
    return path.suffix in (".html", ".css")


def test_every_document_is_in_the_navigation(site: dict[str, str]) -> None:
    (tree,) = re.findall(r'<div class="sidebar-tree">(.*?)</div>', site["index.html"], re.S)
    named = set(re.findall(r'href="([^"#]+)', tree))
    documents = [path.relative_to(DOCS) for kind in ("md", "ipynb", "rst") for path in DOCS.rglob(f"*.{kind}")]
    assert {path.with_suffix(".html").as_posix() for path in documents} - {"index.html"} == named


def test_every_module_of_the_library_is_in_the_reference(site: dict[str, str]) -> None:
    public = [
        path.relative_to(ROOT).with_suffix("")
        for path in (ROOT / "model").rglob("*.py")
        if path.name != "__main__.py"
        and not (path.stem.startswith("_") and not ast.parse(path.read_text("utf-8")).body)
    ]
    names = {".".join(path.parts).removesuffix(".__init__") for path in public}
    shown = {name for page in site.values() for name in re.findall(r'id="module-([\w.]+)"', page)}
    assert shown == names


def test_the_reference_shows_equations_and_signatures_as_the_source_has_them(site: dict[str, str]) -> None:
    pages = {
        name: unescape(re.sub("<[^>]+>", "", page)) for name, page in site.items() if name.startswith("reference/")
    }
    assert "\nR  = σ(X W_xr + H W_hr + b_r)\nH~ = tanh(" in pages["reference/reference.html"]
    assert re.search(r"add_product\(\s*A: Words,", pages["reference/kernels.html"]), "a function for Numba is one"
    assert "Iterator[tuple[Unsigneds2D, Unsigneds2D]]" in pages["reference/text.html"]
    assert not [name for name, page in pages.items() if "ForwardRef" in page or "~model" in page]


def test_links_lead_to_what_is_there(site: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Links into the repository too, which documents write as GitHub needs them."""
    missing = []
    for name, page in site.items():
        for href in re.findall(r'<a [^>]*href="([^"]*)"', page):
            path, _, anchor = unescape(href).partition("#")
            if re.match(r"\w+:", path) or "_downloads/" in path or anchor == "":
                continue
            target = os.path.normpath(Path(name).parent / unquote(path)) if path else name
            if target not in site or f'id="{unquote(anchor)}"' not in unescape(site[target]):
                missing.append(f"{name}: {href}")
    assert not missing
    assert 'href="contributing.html"' in site["index.html"]
    assert 'href="reference/training.html#module-model.training.options"' in site["formats.html"]
    assert "](" not in re.sub("<pre>.*?</pre>", "", site["index.html"], flags=re.S)


def test_pages_take_nothing_from_elsewhere(site: dict[str, str]) -> None:
    fetched = r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)|<link\b[^>]*\bhref=\"([^\"]+)|url\(([^)]+)\)"
    found = {next(filter(None, match)) for page in site.values() for match in re.findall(fetched, page)}
    assert any("furo" in place for place in found)
    assert not [place for place in found if re.match(r"[\"']?(?:https?:)?//", place)]


def test_formulas_are_drawn_by_the_browser(site: dict[str, str]) -> None:
    assert "<math" in site["chapter.html"]
    assert "$" not in re.sub(r"<(pre|code)\b.*?</\1>", "", site["chapter.html"], flags=re.S).partition("<article")[2]


def test_cells_of_the_chapter_that_are_to_be_folded_are_folded(site: dict[str, str]) -> None:
    cells = json.loads((DOCS / "chapter.ipynb").read_text("utf-8"))["cells"]
    folded = [
        cell for cell in cells if {"hide-cell", "hide-input", "hide-output"} & set(cell["metadata"].get("tags", []))
    ]
    assert folded
    assert len(re.findall(r'<details class="[^"]*\bhide\b[^"]*">', site["chapter.html"])) == len(folded)


def test_what_is_broken_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text("# Start\n\n[a](nowhere.md)\n[b](other.md#nothing)\n[c](../model/nothing.py)\n")
    (source / "other.md").write_text("# Other\n")
    result = build(source, tmp_path / "built")
    assert result.returncode != 0
    for fault in ("nowhere.md", "nothing", "../model/nothing.py", "other.md: WARNING: document isn't included"):
        assert fault in result.stderr
