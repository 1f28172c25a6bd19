"""`import toolkit` is quick and loads nothing heavy; every public name is where the package says."""

from __future__ import annotations

import subprocess
import sys

import pytest

import toolkit

HEAVY = ("torch", "transformers", "pandas", "matplotlib", "shapiq", "captum", "datasets", "scipy", "ipywidgets")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = run_python("import sys, toolkit; print(' '.join({m.split('.')[0] for m in sys.modules}))").split()
    assert "toolkit" in loaded
    assert not set(HEAVY) & set(loaded)


def test_import_is_quicker_than_that_of_numpy_alone() -> None:
    timed = (
        "import time; start = time.process_time(); import toolkit; done = time.process_time(); import numpy;"
        "print((done - start) / (time.process_time() - done))"
    )
    assert min(float(run_python(timed)) for _ in range(3)) < 0.5  # a thirtieth


@pytest.mark.parametrize("name", toolkit.__all__)
def test_public_name_is_found(name: str) -> None:
    assert getattr(toolkit, name) is not None
    assert name in dir(toolkit)


def test_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'load_vml'.*load_vlm"):
        toolkit.load_vml  # noqa: B018


def test_version_is_the_distribution_version() -> None:
    from importlib.metadata import version

    assert version("vlm-synergy-toolkit") == toolkit.__version__


def test_an_explanation_imports_no_statistics_figures_or_data_sets() -> None:
    """What only reports and rank tests need would cost every explanation half a second."""
    code = (
        "import sys, toolkit.reporting.explain_page, toolkit.synergy.metrics, toolkit.redundancy.gates;"
        "print([name for name in ('scipy.stats', 'matplotlib.pyplot', 'seaborn', 'captum', 'shapiq', 'datasets') "
        "if name in sys.modules])"
    )
    assert run_python(code).strip() == "[]"
