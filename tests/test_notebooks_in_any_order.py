"""Notebooks as learners really run them: set-up, then the second half, then everything, and everything once more."""

import os
import re
from itertools import takewhile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = sorted(path.stem for path in (NOTEBOOKS / "src").glob("[0-9]*.py"))
QUICK = ("00_",)
"""Runs within seconds; the others are tried with the slow tests."""


def is_code(cell):
    return cell.cell_type == "code"


def parts(notebook):
    """Code cells of a notebook: those of its set-up, and the others in two halves."""
    first_section = lambda cell: not re.search(r"^## 1 · ", cell.source, flags=re.M)  # noqa: E731
    setup = list(takewhile(first_section, notebook.cells))
    own = [cell for cell in notebook.cells[len(setup) :] if is_code(cell)]
    return [cell for cell in setup if is_code(cell)], own[: len(own) // 2], own[len(own) // 2 :]


def errors(cells):
    return ["\n".join(output.traceback) for cell in cells for output in cell.outputs if output.output_type == "error"]


def solved(cells):
    outputs = [output for cell in cells for output in cell.outputs]
    return sum("<b>Solved.</b>" in str(output.get("data", {}).get("text/html", "")) for output in outputs)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name.startswith(QUICK) else pytest.mark.slow) for name in LESSONS]
)
def test_cells_that_run_too_early_say_so_and_every_cell_runs_twice(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / "solutions" / f"{name}.ipynb", as_version=4)
    setup, first, second = parts(notebook)
    order = [*setup, *second, *setup, *first, *second, *setup, *first, *second]
    cells = [nbformat.v4.new_code_cell(cell.source) for cell in order]
    tried = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    where = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(tried, timeout=600, allow_errors=True, resources=where)
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    n_early, n_all = len(setup) + len(second), len(setup) + len(first) + len(second)
    early, once, again = cells[:n_early], cells[n_early : n_early + n_all], cells[n_early + n_all :]
    assert errors(once) == []
    assert errors(again) == []
    exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in notebook.cells)
    assert solved(once) == solved(again) == exercises
    too_early = errors(early)
    assert too_early
    assert [error for error in too_early if not error.startswith("Not yet.\nThere is no `")] == []
