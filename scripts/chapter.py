"""Runs the cells of docs/chapter.ipynb in order and keeps what they print: `python -m scripts.chapter`, `make chapter`.

The notebook keeps the SHA-256 of the cells that were run, so that a test sees a cell that was changed without a run.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "chapter.ipynb"
CELL_TIMEOUT_S = 1800


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def digest(notebook: Any) -> str:
    """The SHA-256 of the sources of all cells."""
    sources = "\0".join(cell.source for cell in notebook.cells)
    return hashlib.sha256(sources.encode()).hexdigest()


def execute(notebook: Any, parameters: str = "", pytorch: bool = True) -> Any:
    """A copy of the notebook with the outputs of a run in a new process.

    parameters: assignments that are run behind the cell tagged "parameters". pytorch: False leaves out the cells that
    are tagged so. Raises nbclient's CellExecutionError where a cell raises.
    """
    notebook = copy.deepcopy(notebook)
    cells = [cell for cell in notebook.cells if pytorch or "pytorch" not in cell.metadata.get("tags", [])]
    place = next(i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
    if parameters:
        cells.insert(place + 1, nbformat.v4.new_code_cell(parameters))
    notebook.cells = cells
    # The times at which cells ran would be another change in every run.
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute()
    return notebook


def main() -> None:
    if importlib.util.find_spec("torch") is None:
        sys.exit("The page compares its results with PyTorch's: `make chapter` installs it.")
    notebook = execute(read())
    notebook.metadata["nextchar"] = {"cells_sha256": digest(notebook)}
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
