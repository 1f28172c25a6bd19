"""Makes the subjects of this folder importable, and builds each of them once."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@cache
def _subject(name: str):
    from subjects import make_subject

    return make_subject(name)


@pytest.fixture
def vlm(request):
    """The model that ``@pytest.mark.parametrize("vlm", NAMES, indirect=True)`` names."""
    loaded = _subject(request.param)
    loaded.engine.forget()
    return loaded
