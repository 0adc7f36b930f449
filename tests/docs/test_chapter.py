"""docs/chapter.ipynb runs at a small size, and what it shows was made by its cells."""

from __future__ import annotations

import importlib.util
import inspect
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts import chapter
from tests.reference import needs_mxnet

ROOT = Path(__file__).parents[2]
NUM_PICTURES = 5  # samplings, unrolled network, gradient norms, perplexity, hidden state
PAGE = chapter.read()
SECTIONS = [cell.source.splitlines()[0] for cell in PAGE.cells if cell.source.startswith("## ")]


def tags(cell: Any) -> list[str]:
    found: list[str] = cell.metadata.get("tags", [])
    return found


def outputs(notebook: Any, kind: str) -> list[Any]:
    """What cells show in a MIME type, cell by cell."""
    return [o.data[kind] for cell in notebook.cells for o in cell.get("outputs", []) if kind in o.get("data", {})]


def printed(notebook: Any, stream: str = "stdout") -> str:
    return "".join(o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == stream)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page's run on a text by its path, with few hidden units and epochs."""
    file = tmp_path_factory.mktemp("corpus") / "a text.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(ROOT / "model" / "text" / "corpora" / "lyrics.txt", "text.txt")
    parameters = (
        f"CORPUS = {str(file)!r}\n"
        "HIDDEN_DIM, CHAPTER_EPOCHS, EPOCHS, EXERCISE_EPOCHS = 8, 1, 2, 1\nMAX_CHARS, EXERCISE_CHARS = 1_700, 1_200\n"
        "PREFIXES = ['分开', '不分开']"
    )
    return chapter.execute(chapter.read(), parameters, pytorch=importlib.util.find_spec("torch") is not None)


@needs_mxnet
def test_all_cells_run_on_a_text_by_its_path(small: Any) -> None:
    assert len(outputs(small, "image/svg+xml")) == NUM_PICTURES
    assert "1,700 characters" in printed(small)
    assert not printed(small, "stderr")


@needs_mxnet
def test_samples_of_both_trainings_are_shown_with_their_perplexity(small: Any) -> None:
    text = printed(small)
    random, consecutive = text[text.index("random sampling") :].split("consecutive sampling")[-2:]
    for part in (random, consecutive):
        for prefix in ("分开", "不分开"):
            assert f" -  {prefix}" in part
        assert re.search(r"Epoch 2\. Perplexity \d+\.\d\d\.", part)


@needs_mxnet
def test_a_cell_that_raises_ends_the_run() -> None:
    notebook = chapter.read()
    parameters = next(i for i, cell in enumerate(notebook.cells) if "parameters" in tags(cell))
    del notebook.cells[parameters + 1 :]
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        chapter.execute(notebook, "1 / 0")


def test_what_the_page_shows_is_of_the_cells_that_it_has() -> None:
    assert PAGE.metadata["nextchar"]["cells_sha256"] == chapter.digest(PAGE), "changed since `make chapter`"


@needs_mxnet
def test_the_functions_that_the_page_shows_are_those_that_the_module_has() -> None:
    """A function that was changed without a run of the page would leave its old source and figures there."""
    from model.reference import chapter as module

    shown = outputs(PAGE, "text/markdown")
    asked = re.findall(r"^read_it\((?:chapter\.)?(\w+)\)", "\n".join(cell.source for cell in PAGE.cells), re.M)
    assert len(asked) == 7
    for name in asked:
        assert f"```python\n{inspect.getsource(getattr(module, name)).strip()}\n```" in shown


def test_every_cell_of_the_page_was_run_in_order_and_none_failed() -> None:
    code = [cell for cell in PAGE.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert len(outputs(PAGE, "image/svg+xml")) == NUM_PICTURES


def test_the_page_was_run_at_full_size() -> None:
    [parameters] = [cell.source for cell in PAGE.cells if "parameters" in tags(cell)]
    assert "EPOCHS = 200" in parameters
    assert "Epoch 200. Perplexity" in printed(PAGE)


@pytest.mark.parametrize("cell", [cell for cell in PAGE.cells if "pytorch" in tags(cell)], ids=lambda cell: cell.id)
def test_cells_in_pytorch_are_folded_and_compared_with_ours(cell: Any) -> None:
    assert "hide-cell" in tags(cell)
    assert "assert " in cell.source
    assert cell.outputs, "it says what it compared"


@pytest.mark.parametrize("section", SECTIONS[1:])
def test_each_section_has_its_key_sentence_in_chinese_pytorch_and_its_place_in_the_product(section: str) -> None:
    titles = [cell.source.splitlines()[0] if cell.source.startswith("## ") else None for cell in PAGE.cells]
    start = titles.index(section)
    end = next((i for i in range(start + 1, len(titles)) if titles[i]), len(titles))
    cells = PAGE.cells[start:end]
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert re.search(r"^> \*\*.*[\u4e00-\u9fff]", prose, re.M)
    assert "*In the product:*" in cells[-1].source
    assert any("pytorch" in tags(cell) for cell in cells)


def test_links_of_the_page_lead_somewhere() -> None:
    prose = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "markdown")
    places = [place for place in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose) if not place.startswith("https:")]
    assert places
    assert [place for place in places if not (chapter.NOTEBOOK.parent / place).exists()] == []


def test_prose_holds_no_measured_figure() -> None:
    """Seconds and perplexities stand in outputs, which a run makes."""
    prose = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "markdown")
    assert re.findall(r"\d+\.\d+|\d+ (?:s|ms|seconds|minutes)\b", prose) == ["3.10", "3.12"]
