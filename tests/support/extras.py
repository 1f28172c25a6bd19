"""Explainers that run with an extra only."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import pytest

MISSING = frozenset() if find_spec("lightgbm") else frozenset({"proxyspex-interaction"})


def runnable(names: Iterable[str]) -> list[object]:
    """The names as parameters; those whose extra is missing are skipped with that reason."""
    skip = pytest.mark.skip(reason="extra `trees` is not installed")
    return [pytest.param(name, marks=skip if name in MISSING else ()) for name in names]
