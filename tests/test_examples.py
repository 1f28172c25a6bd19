"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import toolkit

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "toolkit").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name), raise_on_error=False, optionflags=doctest.ELLIPSIS)
    assert done.attempted
    assert done.failed == 0


@pytest.mark.parametrize("name", [name for name in toolkit.__all__ if inspect.isfunction(getattr(toolkit, name))])
def test_a_public_function_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(toolkit, name).__doc__ or "")
